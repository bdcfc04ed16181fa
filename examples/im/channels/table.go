package channels

import (
	"context"
	"fmt"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Func is one function of a service, as gates call it: on this node, or on another one.
type Func interface {
	// Call calls the function. resp is a pointer to its reply.
	Call(ctx context.Context, req, resp any) error
	// Serve makes the function a handler that other nodes may call.
	Serve(cs *component.Components, route string)
}

// function is a Func of a request and its reply.
type function[Req, Resp any] func(ctx context.Context, req *Req) (*Resp, error)

// Call calls the function.
func (f function[Req, Resp]) Call(ctx context.Context, req, resp any) error {
	in, ok := req.(*Req)
	out, ok2 := resp.(*Resp)
	if !ok || !ok2 {
		return fmt.Errorf("channels: a function of %T and %T was called with %T and %T", in, out, req, resp)
	}
	r, err := f(ctx, in)
	if err == nil && r != nil {
		*out = *r
	}
	return err
}

// Serve makes the function a handler. It waits for the store, so its scheduler runs others meanwhile.
func (f function[Req, Resp]) Serve(cs *component.Components, route string) {
	component.Handle(cs, route, func(ctx context.Context, _ *session.Session, req *Req) (resp *Resp, err error) {
		scheduler.FromContext(ctx).Await(func() { resp, err = f(ctx, req) })
		return resp, err
	}, component.WithNodesOnly())
}

// Table returns the functions by name, which is also that of the client's route. Send and Typing are not among them: they
// do not wait.
func (s *Service) Table() map[string]Func {
	return map[string]Func{
		"start":   function[protocol.StartRequest, protocol.StartReply](s.Start),
		"edit":    function[protocol.EditRequest, store.Message](s.Edit),
		"delete":  function[protocol.EditRequest, store.Message](s.Delete),
		"history": function[protocol.HistoryRequest, protocol.HistoryReply](s.History),
		"get":     function[protocol.GetRequest, protocol.HistoryReply](s.Get),
		"sync":    function[protocol.SyncRequest, protocol.SyncReply](s.Sync),
		"read":    function[protocol.ReadRequest, protocol.ReadReply](s.Read),
		"members": function[protocol.MembersRequest, protocol.MembersReply](s.Members),
		"people":  function[protocol.PeopleRequest, protocol.PeopleReply](s.People),
		"create":  function[protocol.CreateRequest, protocol.Channel](s.Create),
		"private": function[protocol.PrivateRequest, protocol.Channel](s.Private),
		"invite":  function[protocol.InviteRequest, protocol.Empty](s.Invite),
		"accept":  function[protocol.ChannelRequest, protocol.Channel](s.Accept),
		"decline": function[protocol.ChannelRequest, protocol.Empty](s.Decline),
		"remove":  function[protocol.MemberRequest, protocol.Empty](s.Remove),
		"role":    function[protocol.MemberRequest, protocol.Empty](s.Role),
		"rename":  function[protocol.RenameRequest, protocol.Channel](s.Rename),
		"leave":   function[protocol.ChannelRequest, protocol.Empty](s.Leave),
		"search":  function[protocol.SearchRequest, protocol.SearchReply](s.Search),
		"inbox":   function[protocol.InboxRequest, protocol.InboxReply](s.Inbox),
		"taken":   function[protocol.TakenRequest, protocol.Empty](s.Taken),

		"putpicture": function[protocol.PutPictureRequest, protocol.Empty](s.PutPicture),
		"getpicture": function[protocol.GetPictureRequest, protocol.GetPictureReply](s.GetPicture),
		"enter":      function[protocol.EnterRequest, protocol.Empty](s.Enter),
		"keep":       function[protocol.KeepRequest, protocol.Empty](s.Keep),
		"audience":   function[protocol.AudienceRequest, protocol.AudienceReply](s.Audience),
		"make":       function[protocol.MakeRequest, protocol.OperatorChannel](s.MakeChannel),
		"channel":    function[protocol.ChannelRequest, protocol.OperatorChannel](s.ChannelInfo),
		"channels":   function[protocol.ListRequest, protocol.ChannelsReply](s.ListChannels),
		"roster":     function[protocol.ListRequest, protocol.OperatorMembers](s.ListMembers),
		"admit":      function[protocol.AdmitRequest, protocol.OperatorChannel](s.AdmitUsers),
		"expel":      function[protocol.AdmitRequest, protocol.OperatorChannel](s.ExpelUsers),
		"post":       function[protocol.PostRequest, store.Message](s.PostMessage),
		"page":       function[protocol.HistoryRequest, protocol.HistoryReply](s.Page),
		"answer":     function[protocol.AnswerRequest, protocol.AnswerRequest](s.Answer),
		"sizes":      function[protocol.Empty, protocol.SizesReply](s.Sizes),
		"secret":     function[protocol.SecretRequest, protocol.SecretReply](s.Secret),
	}
}
