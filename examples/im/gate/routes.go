package gate

import (
	"context"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Register registers the routes for clients.
func (g *Gate) Register(cs *component.Components) {
	component.HandleNotify(cs, "im.send", g.send)
	component.HandleNotify(cs, "im.typing", g.typing)
	component.Handle(cs, "im.start", g.start)

	byChannel[protocol.EditRequest, store.Message](g, cs, "edit", func(r *protocol.EditRequest) string { return r.Channel })
	byChannel[protocol.EditRequest, store.Message](g, cs, "delete", func(r *protocol.EditRequest) string { return r.Channel })
	byChannel[protocol.HistoryRequest, protocol.HistoryReply](g, cs, "history", func(r *protocol.HistoryRequest) string { return r.Channel })
	byChannel[protocol.GetRequest, protocol.HistoryReply](g, cs, "get", func(r *protocol.GetRequest) string { return r.Channel })
	byChannel[protocol.SyncRequest, protocol.SyncReply](g, cs, "sync", func(r *protocol.SyncRequest) string { return r.Channel })
	byChannel[protocol.ReadRequest, protocol.ReadReply](g, cs, "read", func(r *protocol.ReadRequest) string { return r.Channel })
	byChannel[protocol.MembersRequest, protocol.MembersReply](g, cs, "members", func(r *protocol.MembersRequest) string { return r.Channel })
	byChannel[protocol.InviteRequest, protocol.Empty](g, cs, "invite", func(r *protocol.InviteRequest) string { return r.Channel })
	byChannel[protocol.ChannelRequest, protocol.Channel](g, cs, "accept", func(r *protocol.ChannelRequest) string { return r.Channel })
	byChannel[protocol.ChannelRequest, protocol.Empty](g, cs, "decline", func(r *protocol.ChannelRequest) string { return r.Channel })
	byChannel[protocol.MemberRequest, protocol.Empty](g, cs, "remove", func(r *protocol.MemberRequest) string { return r.Channel })
	byChannel[protocol.MemberRequest, protocol.Empty](g, cs, "role", func(r *protocol.MemberRequest) string { return r.Channel })
	byChannel[protocol.RenameRequest, protocol.Channel](g, cs, "rename", func(r *protocol.RenameRequest) string { return r.Channel })
	byChannel[protocol.ChannelRequest, protocol.Empty](g, cs, "leave", func(r *protocol.ChannelRequest) string { return r.Channel })

	byUser[protocol.PeopleRequest, protocol.PeopleReply](g, cs, "people")
	byUser[protocol.CreateRequest, protocol.Channel](g, cs, "create")
	byUser[protocol.PrivateRequest, protocol.Channel](g, cs, "private")
	byUser[protocol.SearchRequest, protocol.SearchReply](g, cs, "search")
	byUser[protocol.InboxRequest, protocol.InboxReply](g, cs, "inbox")
	byUser[protocol.TakenRequest, protocol.Empty](g, cs, "taken")
	g.registerLive(cs)
}

// asked is a request that says who asks.
type asked[Req any] interface {
	*Req
	SetBy(u store.User)
}

// byChannel registers a route whose requests go to the node of a channel.
func byChannel[Req, Resp any, P asked[Req]](g *Gate, cs *component.Components, name string, channel func(*Req) string) {
	component.Handle(cs, "im."+name, func(ctx context.Context, s *session.Session, req *Req) (*Resp, error) {
		return forward[Req, Resp, P](ctx, g, s, name, channel(req), req)
	})
}

// byUser registers a route whose requests may go to any node.
func byUser[Req, Resp any, P asked[Req]](g *Gate, cs *component.Components, name string) {
	component.Handle(cs, "im."+name, func(ctx context.Context, s *session.Session, req *Req) (*Resp, error) {
		key := ""
		if st := seatOf(s); st != nil {
			key = st.user.ID
		}
		return forward[Req, Resp, P](ctx, g, s, name, key, req)
	})
}

// onPlatform is a request that depends on the platform.
type onPlatform interface{ SetPlatform(platform string) }

// forward has a node answer a request. The scheduler runs others meanwhile.
func forward[Req, Resp any, P asked[Req]](ctx context.Context, g *Gate, s *session.Session, name, key string, req *Req) (*Resp, error) {
	st, err := g.paces.caller(s)
	if err != nil {
		return nil, err
	}
	if err := g.paces.limit(st, name); err != nil {
		return nil, err
	}
	P(req).SetBy(st.user)
	if p, ok := any(req).(onPlatform); ok {
		p.SetPlatform(st.platform)
	}
	resp := new(Resp)
	scheduler.FromContext(ctx).Await(func() { err = g.call(ctx, key, name, req, resp) })
	if err != nil {
		return nil, err
	}
	g.complete(resp)
	return resp, nil
}

// callTime bounds a call of a node that runs channels.
const callTime = 15 * time.Second

// call calls a function of the node that key belongs to. It does not end with the session: the
// database hangs a context of its own on that of each call, and what a session's context needs for
// that, it would keep as long as it lives.
func (g *Gate) call(ctx context.Context, key, name string, req, resp any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	return g.backend.Call(ctx, key, name, req, resp)
}

// send stores a message. It does not wait, so that messages of one session keep their order.
func (g *Gate) send(ctx context.Context, s *session.Session, req *protocol.SendRequest) error {
	st, err := g.paces.caller(s)
	if err != nil {
		return err
	}
	if err := g.paces.limit(st, "send"); err != nil {
		return err
	}
	req.SetBy(st.user)
	mid := nano.MessageID(ctx)
	g.backend.Send(ctx, req, func(m *store.Message, err error) {
		if mid == 0 {
			return // a notify: nobody waits
		}
		g.later(func() {
			if err != nil {
				err = s.FailMID(mid, err)
			} else {
				err = s.ResponseMID(mid, m)
			}
			report("im.send", err)
		})
	})
	return nil
}

// typing tells that somebody is typing.
func (g *Gate) typing(ctx context.Context, s *session.Session, req *protocol.TypingRequest) error {
	st, err := g.paces.caller(s)
	if err != nil {
		return err
	}
	if err := g.paces.limit(st, "typing"); err != nil {
		return err
	}
	req.SetBy(st.user)
	g.backend.Typing(ctx, req)
	return nil
}

// start has the session hear of its channels, and returns everything that a client needs to begin.
// The session hears of them before their state is read, so that nothing is missed between.
func (g *Gate) start(ctx context.Context, s *session.Session, req *protocol.StartRequest) (*protocol.StartReply, error) {
	st, err := g.paces.caller(s)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	first := false
	if g.hereLocked(st) { // else it has gone to another gate, where its client asks again
		if first = st.channels == nil; first {
			st.channels = make([]string, 0, 1) // most are in that of everybody at least
		}
		st.left = make(map[string]struct{})
	}
	g.mu.Unlock()

	req.SetBy(st.user)
	req.Platform, req.IDsOnly = st.platform, true
	reply := &protocol.StartReply{}
	scheduler.FromContext(ctx).Await(func() {
		if err = g.call(ctx, st.user.ID, "start", req, reply); err != nil {
			return
		}
		g.follow(st, reply.Channels)
		all := *req
		all.IDsOnly = false
		reply = &protocol.StartReply{}
		err = g.call(ctx, st.user.ID, "start", &all, reply)
	})
	if err != nil {
		return nil, err
	}
	g.complete(reply)
	if first {
		g.mu.RLock()
		in := slices.Clone(st.channels)
		g.mu.RUnlock()
		g.tellPresence(st.user, in)
	}
	return reply, nil
}

// follow enters a session into its channels, but for those that its user has left since the list
// was made.
func (g *Gate) follow(st *seat, channels []*protocol.Channel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.hereLocked(st) {
		return
	}
	for _, c := range channels {
		if _, left := st.left[c.ID]; !left && c.Role != store.Invited {
			g.enterLocked(st, c.ID)
		}
	}
	st.left = nil
}

// complete adds to an answer what only gates know: who is online.
func (g *Gate) complete(resp any) {
	mark := func(people []protocol.Person) {
		for i := range people {
			people[i].Online = g.online.Online(people[i].ID, nil)
		}
	}
	switch r := resp.(type) {
	case *protocol.StartReply:
		for _, c := range r.Channels {
			g.complete(c)
		}
	case *protocol.Channel:
		if r.With != nil {
			r.With.Online = g.online.Online(r.With.ID, nil)
		}
	case *protocol.MembersReply:
		mark(r.Members)
	case *protocol.PeopleReply:
		mark(r.People)
	}
}
