package channels

import (
	"github.com/lonng/nano/examples/im/backend"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// Table returns the functions by name, which is also that of the client's route. Send and Typing
// are not among them: they do not wait.
func (s *Service) Table() map[string]backend.Func {
	return map[string]backend.Func{
		"start":   backend.Function[protocol.StartRequest, protocol.StartReply](s.Start),
		"sendnow": backend.Function[protocol.SendRequest, store.Message](s.SendNow),
		"touch":   backend.Function[protocol.TouchRequest, protocol.Empty](s.TouchAll),
		"edit":    backend.Function[protocol.EditRequest, store.Message](s.Edit),
		"delete":  backend.Function[protocol.EditRequest, store.Message](s.Delete),
		"history": backend.Function[protocol.HistoryRequest, protocol.HistoryReply](s.History),
		"get":     backend.Function[protocol.GetRequest, protocol.HistoryReply](s.Get),
		"sync":    backend.Function[protocol.SyncRequest, protocol.SyncReply](s.Sync),
		"read":    backend.Function[protocol.ReadRequest, protocol.ReadReply](s.Read),
		"members": backend.Function[protocol.MembersRequest, protocol.MembersReply](s.Members),
		"people":  backend.Function[protocol.PeopleRequest, protocol.PeopleReply](s.People),
		"create":  backend.Function[protocol.CreateRequest, protocol.Channel](s.Create),
		"private": backend.Function[protocol.PrivateRequest, protocol.Channel](s.Private),
		"invite":  backend.Function[protocol.InviteRequest, protocol.Empty](s.Invite),
		"accept":  backend.Function[protocol.ChannelRequest, protocol.Channel](s.Accept),
		"decline": backend.Function[protocol.ChannelRequest, protocol.Empty](s.Decline),
		"remove":  backend.Function[protocol.MemberRequest, protocol.Empty](s.Remove),
		"role":    backend.Function[protocol.MemberRequest, protocol.Empty](s.Role),
		"rename":  backend.Function[protocol.RenameRequest, protocol.Channel](s.Rename),
		"leave":   backend.Function[protocol.ChannelRequest, protocol.Empty](s.Leave),
		"search":  backend.Function[protocol.SearchRequest, protocol.SearchReply](s.Search),
		"inbox":   backend.Function[protocol.InboxRequest, protocol.InboxReply](s.Inbox),
		"taken":   backend.Function[protocol.TakenRequest, protocol.Empty](s.Taken),

		"putpicture": backend.Function[protocol.PutPictureRequest, protocol.Empty](s.PutPicture),
		"getpicture": backend.Function[protocol.GetPictureRequest, protocol.GetPictureReply](s.GetPicture),
		"enter":      backend.Function[protocol.EnterRequest, protocol.Empty](s.Enter),
		"keep":       backend.Function[protocol.KeepRequest, protocol.Empty](s.Keep),
		"audience":   backend.Function[protocol.AudienceRequest, protocol.AudienceReply](s.Audience),
		"make":       backend.Function[protocol.MakeRequest, protocol.OperatorChannel](s.MakeChannel),
		"channel":    backend.Function[protocol.ChannelRequest, protocol.OperatorChannel](s.ChannelInfo),
		"channels":   backend.Function[protocol.ListRequest, protocol.ChannelsReply](s.ListChannels),
		"roster":     backend.Function[protocol.ListRequest, protocol.OperatorMembers](s.ListMembers),
		"admit":      backend.Function[protocol.AdmitRequest, protocol.OperatorChannel](s.AdmitUsers),
		"expel":      backend.Function[protocol.AdmitRequest, protocol.OperatorChannel](s.ExpelUsers),
		"post":       backend.Function[protocol.PostRequest, store.Message](s.PostMessage),
		"page":       backend.Function[protocol.HistoryRequest, protocol.HistoryReply](s.Page),
		"answer":     backend.Function[protocol.AnswerRequest, protocol.AnswerRequest](s.Answer),
		"sizes":      backend.Function[protocol.Empty, protocol.SizesReply](s.Sizes),
		"secret":     backend.Function[protocol.SecretRequest, protocol.SecretReply](s.Secret),
		"revoke":     backend.Function[protocol.TokenRequest, protocol.Empty](s.Revoke),
		"revoked":    backend.Function[protocol.TokenRequest, protocol.TokenReply](s.Revoked),
	}
}
