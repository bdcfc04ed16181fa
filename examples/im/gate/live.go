package gate

import (
	"context"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// maxWatched is how many live rooms a session watches at a time.
const maxWatched = 5

// registerLive registers the routes of live rooms.
func (g *Gate) registerLive(cs *component.Components) {
	component.Handle(cs, "live.enter", g.watch)
	component.Handle(cs, "live.leave", g.unwatch)
	component.Handle(cs, "live.rooms", func(ctx context.Context, s *session.Session, req *protocol.RoomsRequest) (*protocol.LiveRooms, error) {
		return forward[protocol.RoomsRequest, protocol.LiveRooms](ctx, g, s, "liverooms", "", req)
	})
	component.Handle(cs, "live.say", func(ctx context.Context, s *session.Session, req *protocol.BulletRequest) (*protocol.Bullet, error) {
		if err := g.watches(s, req.Channel); err != nil {
			return nil, err
		}
		return forward[protocol.BulletRequest, protocol.Bullet](ctx, g, s, "livesay", req.Channel, req)
	})
	component.HandleNotify(cs, "live.count", func(ctx context.Context, s *session.Session, req *protocol.CountRequest) error {
		if err := g.watches(s, req.Channel); err != nil {
			return err
		}
		_, err := forward[protocol.CountRequest, protocol.Empty](ctx, g, s, "livecount", req.Channel, req)
		return err
	})
}

// watches returns an error for a session that does not watch a room.
func (g *Gate) watches(s *session.Session, channel string) error {
	st := seatOf(s)
	if st == nil {
		return errSignedOut
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if _, ok := st.live[channel]; !ok {
		return nano.Errorf(component.CodeNotFound, "enter the live room first")
	}
	return nil
}

// watch has a session hear of a live room.
func (g *Gate) watch(ctx context.Context, s *session.Session, req *protocol.ChannelRequest) (*protocol.LiveReply, error) {
	st, err := g.paces.caller(s)
	if err != nil {
		return nil, err
	}
	req.SetBy(st.user)
	reply := &protocol.LiveReply{}
	scheduler.FromContext(ctx).Await(func() { err = g.call(ctx, req.Channel, "liveenter", req, reply) })
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := st.live[req.Channel]; ok || !g.hereLocked(st) {
		return reply, nil
	}
	if len(st.live) >= maxWatched {
		return nil, nano.Errorf(component.CodeExhausted, "you watch %d live rooms, which is the limit", maxWatched)
	}
	if g.inLocked(st, req.Channel) {
		if st.live == nil {
			st.live = make(map[string]struct{})
		}
		st.live[req.Channel] = struct{}{}
		g.watched[req.Channel]++
	}
	return reply, nil
}

// unwatch has a session hear no more of a live room.
func (g *Gate) unwatch(_ context.Context, s *session.Session, req *protocol.ChannelRequest) (*protocol.Empty, error) {
	st, err := g.paces.caller(s)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := st.live[req.Channel]; ok {
		g.unwatchLocked(st, req.Channel)
	}
	return &protocol.Empty{}, nil
}

func (g *Gate) unwatchLocked(st *seat, channel string) {
	delete(st.live, channel)
	g.outLocked(st, channel)
	if g.watched[channel]--; g.watched[channel] <= 0 {
		delete(g.watched, channel)
	}
}

// Watched returns how many watch each live room at this gate.
func (g *Gate) Watched() map[string]int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	counts := make(map[string]int, len(g.watched))
	for id, n := range g.watched {
		counts[id] = n
	}
	return counts
}
