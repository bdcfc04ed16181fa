package main

import (
	"context"
	"errors"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Room is the chat's room. Its handlers run on the scheduler of the node, so it needs no lock.
type Room struct {
	component.Base
	members *nano.Group
}

// The messages of the room.
type (
	Entered struct {
		Here int    `json:"here"` // how many there are
		Gate string `json:"gate"` // where this client is connected
	}
	Said struct {
		Text string `json:"text"`
	}
)

const maxText = 1000

func newRoom() *Room { return &Room{members: nano.NewGroup("room")} }

// Enter brings the client into the room.
func (r *Room) Enter(_ context.Context, s *session.Session, _ *struct{}) (*Entered, error) {
	if err := r.members.Add(s); err != nil && !errors.Is(err, nano.ErrSessionDuplication) {
		return nil, err
	}
	return &Entered{Here: r.members.Count(), Gate: nano.GateOf(s)}, nil
}

// Say tells everybody in the room.
func (r *Room) Say(_ context.Context, s *session.Session, said *Said) (*Said, error) {
	if said.Text == "" || len(said.Text) > maxText {
		return nil, nano.Errorf(component.CodeInvalid, "a text has 1 to %d bytes", maxText)
	}
	if !r.members.ContainsSession(s) {
		return nil, nano.Errorf(component.CodeInvalid, "enter the room first")
	}
	return said, r.members.Broadcast("onSaid", said)
}
