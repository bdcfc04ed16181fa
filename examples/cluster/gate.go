package main

import (
	"context"
	"hash/fnv"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// EnterRequest names the room that a client wants to be in, and says who it is. Who gives no name may be here more
// than once.
type EnterRequest struct {
	Room string `json:"room"`
	Name string `json:"name,omitempty"`
}

// EnterReply tells a client where it is.
type EnterReply struct {
	Gate     string   `json:"gate"`
	Overview Overview `json:"overview"`
}

// Gateway is the gate's component. It signs people in, and notes which room a client wants, because the choice of the
// backend depends on it.
type Gateway struct {
	component.Base

	name     string
	visitors *nano.Group // all clients of this gate
	last     *Overview   // what the master has told last
	changed  func()      // somebody came or went
}

func newGateway(name string) *Gateway {
	return &Gateway{name: name, visitors: nano.NewGroup("visitors")}
}

// opened runs for each client, before its first message. What is set here is forwarded to backends.
func (g *Gateway) opened(s *session.Session) {
	s.Set("gate", g.name)
	_ = g.visitors.Add(s) // it has closed already: closed comes next
	g.changed()
}

func (g *Gateway) closed(*session.Session) { g.changed() } // it has left the group by itself

// Enter signs the client in, and says which room its next messages to "chat" are about. They go to the backend that has
// the room now: whatever backend the session was bound to before, it is not any more.
func (g *Gateway) Enter(ctx context.Context, s *session.Session, req *EnterRequest) (*EnterReply, error) {
	room, err := clean("the room's name", req.Room, maxName)
	if err != nil {
		return nil, err
	}
	if req.Name != "" {
		name, err := clean("the name", req.Name, maxName)
		if err != nil {
			return nil, err
		}
		if err := s.Bind(userOf(name)); err != nil {
			return nil, err
		}
	}
	s.Set("room", fold(room))
	s.Router().Delete("chat")
	if g.last == nil { // this gate is new; the master tells it only of changes
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		o, err := nano.Call[Overview](ctx, "tally.overview", &Empty{})
		if err != nil { // without its master the cluster works on; it cannot be counted, that is all
			return &EnterReply{Gate: g.name}, nil
		}
		g.last = o
	}
	return &EnterReply{Gate: g.name, Overview: *g.last}, nil
}

// userOf makes a user of a name. There are no passwords here: who comes in under a name is that person, and whoever was
// it before is kicked, at whichever gate that is (see nano.BindKickOld).
func userOf(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(fold(name)))
	return int64(h.Sum64()>>1 | 1) // a user's id is above 0
}

// overview is called by the master now and then, and when the count has changed: then everybody at this gate is told.
func (g *Gateway) overview(_ context.Context, _ *session.Session, o *Overview) error {
	g.last = o
	if !o.Changed {
		return nil
	}
	return g.visitors.Broadcast("cluster.overview", o)
}
