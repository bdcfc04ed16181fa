package channels

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// answerTime is how long the answer to a request with an idempotency key is kept.
const answerTime = 24 * time.Hour

// RequestTime is how long one node may be at a request with an idempotency key. If it has not
// answered by then, it is gone, and another one may go on with the request.
const RequestTime = 30 * time.Second

// Keep stores a push.
func (s *operating) Keep(ctx context.Context, req *protocol.KeepRequest) (*protocol.Empty, error) {
	return &protocol.Empty{}, s.outward(s.store.Keep(ctx, req.Push, req.Users, req.Everybody))
}

// Audience returns who is in channels.
func (s *operating) Audience(ctx context.Context, req *protocol.AudienceRequest) (*protocol.AudienceReply, error) {
	reply := &protocol.AudienceReply{}
	for _, id := range req.Channels {
		c, err := s.store.Channel(ctx, id)
		if err != nil {
			return nil, s.outward(err)
		}
		switch c.Kind {
		case store.Global:
			reply.Everybody = true
		case store.Live:
			reply.Live = append(reply.Live, id)
		default:
			roles, err := s.roles(ctx, id)
			if err != nil {
				return nil, s.outward(err)
			}
			for user, role := range roles {
				if role != store.Invited {
					reply.Users = append(reply.Users, user)
				}
			}
		}
	}
	return reply, nil
}

// known returns users by their ids; those who have never been here are entered, with their ids for
// names.
func (s *operating) known(ctx context.Context, ids []string) ([]store.User, error) {
	ids = mentions(ids)
	users, err := s.store.Users(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if slices.ContainsFunc(users, func(u store.User) bool { return u.ID == id }) {
			continue
		}
		u := store.User{ID: id, Name: id}
		if _, err := s.store.PutUser(ctx, u); err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// MakeChannel makes a group or a live room.
func (s *operating) MakeChannel(ctx context.Context, req *protocol.MakeRequest) (*protocol.OperatorChannel, error) {
	title, err := rules.Name("the title", req.Title, protocol.MaxTitle)
	if err != nil {
		return nil, err
	}
	if len(req.Members) > maxGroup {
		return nil, nano.Errorf(component.CodeInvalid, "a group has at most %d members", maxGroup)
	}
	c := store.Channel{ID: req.ID, Kind: req.Kind, Title: title}
	exists := nano.Errorf(component.CodeExists, "there is a channel %s", c.ID)
	if _, err := s.store.Channel(ctx, c.ID); err == nil { // before its members become users
		return nil, exists
	}
	var members []store.Member
	switch c.Kind {
	case store.Group:
		users, err := s.known(ctx, append([]string{req.Owner}, req.Members...))
		if err != nil {
			return nil, s.outward(err)
		}
		for _, u := range users {
			m := store.Member{User: u, Role: store.Plain}
			if u.ID == req.Owner {
				m.Role = store.Owner
			}
			members = append(members, m)
		}
	case store.Live:
		if len(req.Members) > 0 || req.Owner != "" {
			return nil, nano.Errorf(component.CodeInvalid, "a live room has no members: whoever comes is in it")
		}
	default:
		return nil, nano.Errorf(component.CodeInvalid, "kind must be group or live")
	}
	if c.ID == "" {
		c.ID = NewID(c.Kind[:1] + "-")
	}
	if err := s.members.Make(ctx, c, members); err != nil {
		if errors.Is(err, store.ErrExists) {
			return nil, exists
		}
		return nil, s.outward(err)
	}
	return s.ChannelInfo(ctx, &protocol.ChannelRequest{Channel: c.ID})
}

func operatorChannel(c *store.Channel) protocol.OperatorChannel {
	return protocol.OperatorChannel{ID: c.ID, Kind: c.Kind, Title: c.Title, Members: c.Members, Created: c.Created, First: c.First, N: c.N}
}

// ChannelInfo returns a channel.
func (s *operating) ChannelInfo(ctx context.Context, req *protocol.ChannelRequest) (*protocol.OperatorChannel, error) {
	c, err := s.store.Channel(ctx, req.Channel)
	if err != nil {
		return nil, s.outward(err)
	}
	o := operatorChannel(&c)
	return &o, nil
}

// ListChannels returns a page of channels.
func (s *operating) ListChannels(ctx context.Context, req *protocol.ListRequest) (*protocol.ChannelsReply, error) {
	list, err := s.store.Channels(ctx, req.Kind, req.After, req.Limit+1)
	if err != nil {
		return nil, s.outward(err)
	}
	reply := &protocol.ChannelsReply{Channels: []protocol.OperatorChannel{}}
	for i := range list[:min(len(list), req.Limit)] {
		reply.Channels = append(reply.Channels, operatorChannel(&list[i]))
	}
	if len(list) > req.Limit {
		reply.Next = list[req.Limit-1].ID
	}
	return reply, nil
}

// ListMembers returns a page of a channel's members.
func (s *operating) ListMembers(ctx context.Context, req *protocol.ListRequest) (*protocol.OperatorMembers, error) {
	c, err := s.store.Channel(ctx, req.Channel)
	if err != nil {
		return nil, s.outward(err)
	}
	list, err := s.inPages(ctx, &c, req.After, req.Limit+1)
	if err != nil {
		return nil, s.outward(err)
	}
	reply := &protocol.OperatorMembers{Members: []protocol.Person{}}
	for _, m := range list[:min(len(list), req.Limit)] {
		reply.Members = append(reply.Members, protocol.Person{User: m.User, Role: m.Role})
	}
	if len(list) > req.Limit {
		reply.Next = list[req.Limit-1].ID
	}
	return reply, nil
}

// AdmitUsers makes users members of a group at once.
func (s *operating) AdmitUsers(ctx context.Context, req *protocol.AdmitRequest) (*protocol.OperatorChannel, error) {
	if rank(req.Role) == 0 {
		return nil, nano.Errorf(component.CodeInvalid, "role must be owner, admin or member")
	}
	c, err := s.store.Channel(ctx, req.Channel)
	if err != nil {
		return nil, s.outward(err)
	}
	if c.Kind != store.Group {
		return nil, errNoGroup
	}
	users, err := s.known(ctx, req.Users)
	if err != nil {
		return nil, s.outward(err)
	}
	members := make([]store.Member, len(users))
	for i, u := range users {
		members[i] = store.Member{User: u, Role: req.Role}
	}
	if err := s.members.Admit(ctx, req.Channel, members); err != nil {
		return nil, s.outward(err)
	}
	return s.ChannelInfo(ctx, &protocol.ChannelRequest{Channel: req.Channel})
}

// ExpelUsers takes users out of a group.
func (s *operating) ExpelUsers(ctx context.Context, req *protocol.AdmitRequest) (*protocol.OperatorChannel, error) {
	for _, user := range req.Users {
		if err := s.members.Expel(ctx, req.Channel, user); err != nil {
			return nil, s.outward(err)
		}
	}
	return s.ChannelInfo(ctx, &protocol.ChannelRequest{Channel: req.Channel})
}

// PostMessage posts a message in the name of a user, or of the operator.
func (s *operating) PostMessage(ctx context.Context, req *protocol.PostRequest) (*store.Message, error) {
	by := store.User{ID: protocol.OperatorID, Name: "Operator"}
	if req.From != "" {
		if _, err := s.store.Channel(ctx, req.Channel); err != nil { // before the author becomes a user
			return nil, s.outward(err)
		}
		users, err := s.known(ctx, []string{req.From})
		if err != nil {
			return nil, s.outward(err)
		}
		if len(users) == 0 {
			return nil, nano.Errorf(component.CodeInvalid, "from is no user's id")
		}
		by = users[0]
	}
	send := &protocol.SendRequest{Channel: req.Channel, CID: req.CID, Text: req.Text, Mentions: req.Mentions, Reply: req.Reply, System: true}
	send.SetBy(by)
	return s.posts.SendNow(ctx, send)
}

// Answer stores the answer to a request with an idempotency key, or gives it up. With the status 0
// it begins one: it returns the answer to an earlier request with that key, or, with the status 0,
// who is at it, and the id by which it is done once however often it is begun.
func (s *operating) Answer(ctx context.Context, req *protocol.AnswerRequest) (*protocol.AnswerRequest, error) {
	now := time.Now()
	a := store.Answer{Sum: req.Sum, Status: req.Status, Body: req.Body, Holder: req.Holder, Until: now.Add(RequestTime).UnixMilli()}
	expires := now.Add(answerTime).UnixMilli()
	if req.GiveUp {
		return req, s.outward(s.store.Release(ctx, req.Key, req.Holder))
	}
	if req.Status != 0 {
		return req, s.outward(s.store.Remember(ctx, req.Key, a, expires))
	}
	a, err := s.store.Reserve(ctx, req.Key, a, now.UnixMilli(), expires)
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.AnswerRequest{Key: req.Key, Sum: a.Sum, Status: a.Status, Body: a.Body, Holder: a.Holder}, nil
}

// Sizes returns how much there is in the store.
func (s *operating) Sizes(ctx context.Context, _ *protocol.Empty) (*protocol.SizesReply, error) {
	users, channels, messages, err := s.store.Sizes(ctx)
	if err != nil {
		return nil, s.outward(err)
	}
	return &protocol.SizesReply{Users: users, Channels: channels, Messages: messages, Waiting: s.store.Waiting(), Owned: s.Owned()}, nil
}
