package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Gateway is the gate's component: it notes which room a client wants, because the choice of the
// backend depends on it, and shows the list of rooms to those who are in none.
//
// Clients do not choose the backend. If one could join a room elsewhere than where all gates look
// for it, there would be two of it, and the backends would take the game of everybody in it for one
// that has moved (see Hall.Claim).
type Gateway struct {
	component.Base

	name  string
	phone Phone
	lobby *nano.Group // clients that look at the list
	last  *Overview   // what the master has told last
}

func newGateway(name string) *Gateway {
	return &Gateway{name: name, lobby: nano.NewGroup("lobby")}
}

// welcome prepares a session on any node that it comes to, before its first message is handled: it
// brings what limits it, and the scheduler of its messages to the service "room" is the node's, as
// it is in no room.
func welcome(s *session.Session, sched *scheduler.Scheduler) {
	s.Set(keyMay, new(rules.Bucket))
	s.Set(keyScheduler, sched)
}

// shake runs in the handshake of each client of this gate. What is set here is forwarded to
// backends.
func (g *Gateway) shake(s *session.Session, _ *nano.Handshake) error {
	s.Set(keyGate, g.name)
	return nil
}

// look sees each message of a client before it goes anywhere. It runs where the message was read,
// and its backend is chosen right after: so a request to join goes where the room is that it names,
// whatever was asked for before, or comes behind. To that backend the session's messages to a room
// go from then on.
func (g *Gateway) look(s *session.Session, msg *pipeline.Message) error {
	if msg.Route != "arena.join" {
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
	_ = g.lobby.Leave(s)
	s.Set(keyWanted, rules.Fold(room))
	s.Router().Delete("arena")
	s.Router().Delete("room")
	return nil
}

// Lobby returns the list of rooms, and what it becomes is pushed from then on, until one joins a
// room.
func (g *Gateway) Lobby(ctx context.Context, s *session.Session, _ *Empty) (*LobbyReply, error) {
	if !allowed(s) {
		return nil, nano.Errorf(component.CodeExhausted, "too many messages; wait a moment")
	}
	_ = g.lobby.Add(s) // it is there already, or has just closed
	if g.last == nil { // this gate is new; the master tells it only of changes
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if o, err := nano.Call[Overview](ctx, "tally.overview", &Empty{}); err == nil && g.last == nil {
			g.last = o
		}
	}
	reply := &LobbyReply{Gate: g.name, Phone: g.phone, Overview: Overview{Rooms: []Listed{}, Backends: []string{}}}
	if g.last != nil { // without its master the cluster plays on; there is no list of rooms, that is all
		reply.Known, reply.Overview = true, *g.last
	}
	return reply, nil
}

// Tell is called by the master when the list of rooms has changed.
func (g *Gateway) Tell(s *session.Session, o *Overview) error {
	if err := onlyNodes(s); err != nil {
		return err
	}
	g.last = o
	_ = g.lobby.Broadcast(pushRooms, o)
	return nil
}
