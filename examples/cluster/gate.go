package main

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

// EnterRequest says who a client is. Who gives no name may be here more than once.
type EnterRequest struct {
	Name string `json:"name,omitempty"`
}

// EnterReply tells a client where it is.
type EnterReply struct {
	Gate     string   `json:"gate"`
	Overview Overview `json:"overview"`
}

// Gateway is the gate's component. It signs people in, and notes which room a client wants, because
// the choice of the backend depends on it.
//
// Clients do not choose the backend. If one could open a room elsewhere than where all gates look
// for it, there would be two of it, and the claim of the second would send everybody in the first
// away (see Rooms.claim).
type Gateway struct {
	component.Base

	name     string
	visitors *nano.Group // all clients of this gate
	last     *Overview   // what the master has told last
	heard    time.Time   // when that was
	told     time.Time   // when everybody here was last told
	changed  func()      // somebody came or went
}

func newGateway(name string) *Gateway {
	return &Gateway{name: name, visitors: nano.NewGroup("visitors")}
}

// opened runs for each client that comes, before its first message. What is set here is forwarded
// to backends.
func (g *Gateway) opened(s *session.Session) {
	s.Set("gate", g.name)
	_ = g.visitors.Add(s) // it is there already, or has closed: closed comes next
	g.changed()
}

// resumed runs for each client that comes back, at the gate that its session has left, too.
func (g *Gateway) resumed(s *session.Session) {
	if nano.GateOf(s) == "" {
		g.opened(s)
		return
	}
	_ = g.visitors.Leave(s) // another gate counts it
	g.changed()
}

func (g *Gateway) closed(*session.Session) { g.changed() } // it has left the group by itself

// look sees each message of a client before it goes to a backend. It runs where the message was
// read, and its backend is chosen right after: a request to join goes to the backend that has the
// room which it names, whatever the session was bound to before. So do the session's messages to
// "chat" from then on.
func (g *Gateway) look(s *session.Session, msg *pipeline.Message) error {
	if msg.Route != "chat.join" {
		return nil
	}
	var req JoinRequest
	if err := json.Unmarshal(msg.Data, &req); err != nil {
		return nano.Errorf(component.CodeInvalid, "this is no request to join: %w", err)
	}
	room, err := rules.Name("the room's name", req.Room, maxName)
	if err != nil {
		return err
	}
	req.Room = room
	if msg.Data, err = json.Marshal(&req); err != nil { // what was understood here, and not what was written there
		return err
	}
	s.Set("room", rules.Fold(room))
	s.Router().Delete("chat")
	return nil
}

// Enter signs the client in, and tells it how the cluster is.
func (g *Gateway) Enter(ctx context.Context, s *session.Session, req *EnterRequest) (*EnterReply, error) {
	if req.Name != "" {
		name, err := rules.Name("the name", req.Name, maxName)
		if err != nil {
			return nil, err
		}
		if err := s.Bind(userOf(name)); err != nil {
			return nil, err
		}
	}
	if g.last == nil { // this gate is new; the master tells it only of changes
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		o, err := nano.Call[Overview](ctx, "tally.overview", &Empty{})
		if err != nil { // without its master the cluster works on; it cannot be counted, that is all
			return &EnterReply{Gate: g.name}, nil
		}
		g.last, g.heard = o, time.Now()
	}
	return &EnterReply{Gate: g.name, Overview: g.last.later(time.Since(g.heard))}, nil
}

// userOf makes a user of a name. There are no passwords here: who comes in under a name is that
// person, and whoever was it before is kicked, at whichever gate that is (see nano.BindKickOld).
func userOf(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(rules.Fold(name)))
	return int64(h.Sum64()>>1 | 1) // a user's id is above 0
}

// newsEvery is how often everybody is told that nothing has changed. A page that is told nothing
// for longer knows that what it shows is old.
const newsEvery = time.Second

// overview is called by the master now and then, and when the count has changed: then everybody at
// this gate is told.
func (g *Gateway) overview(_ context.Context, _ *session.Session, o *Overview) error {
	now := time.Now()
	g.last, g.heard = o, now
	if !o.Changed && now.Sub(g.told) < newsEvery {
		return nil
	}
	g.told = now
	return g.visitors.Broadcast("cluster.overview", o)
}
