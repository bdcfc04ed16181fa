package main

import (
	"context"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// The values of a session.
const (
	keyGate      = "gate"      // the name of its gate, which gates forward to backends
	keyWanted    = "wanted"    // the room that it wants to be in: what its backend is chosen by
	keyScheduler = "scheduler" // what runs its messages to the service "room"
	keyRoom      = "room"      // *room that it is in
	keyMay       = "may"       // *rules.Bucket of what it may ask for outside of rooms
)

// Play is what people do in a room. Its handlers run on the room's scheduler: it is registered with
// component.WithSchedulerName(keyScheduler), so that the node looks for the scheduler of each
// message in the values of its session, where the hall puts the room's when one joins.
type Play struct{ component.Base }

// roomOf returns the room that the session is in, if this is that room's turn. It is not the turn
// of the room for somebody who is in none, whose messages run on the node's scheduler. And a client
// that sends without waiting may have changed rooms between the moment at which a message was given
// to the old room's scheduler and this one: the new room's state must not be touched from there.
func roomOf(s *session.Session) (*room, error) {
	if r, _ := s.Value(keyRoom).(*room); r != nil && r.sched.HasTurn() {
		return r, nil
	}
	return nil, nano.Errorf(component.CodeNotFound, "you are in no room here: join one")
}

// Input takes one input, see wire.go. There is no answer: the next snapshots show what has become
// of it.
func (*Play) Input(s *session.Session, data []byte) error {
	r, err := roomOf(s)
	if err != nil {
		return err
	}
	return r.input(s, data, time.Now())
}

// Ping tells the client that its room is there, and where. It waits for its turn as inputs do, so
// the time to the answer is what a player feels.
func (*Play) Ping(_ context.Context, s *session.Session, _ *Ping) (*Pong, error) {
	r, err := roomOf(s)
	if err != nil {
		return nil, err
	}
	return r.ping(s, time.Now())
}

func (r *room) input(s *session.Session, data []byte, now time.Time) error {
	me, err := r.seatFor(s, now)
	if err != nil {
		return err
	}
	seq, in, err := parseInput(data)
	if err != nil {
		return nano.Errorf(component.CodeInvalid, "an input has %d bytes, not %d", inputSize, len(data))
	}
	me.inputs.put(seq, in)
	return nil
}

func (r *room) ping(s *session.Session, now time.Time) (*Pong, error) {
	if _, err := r.seatFor(s, now); err != nil {
		return nil, err
	}
	return &Pong{Gate: s.String(keyGate), Backend: r.backend, Room: r.title, Tick: r.world.Tick}, nil
}

// seatFor returns the seat of a session that sends something, unless it sends too much.
func (r *room) seatFor(s *session.Session, now time.Time) (*seat, error) {
	who := r.placeOf(s)
	if who < 0 {
		return nil, nano.Errorf(component.CodeNotFound, "you are not in this room")
	}
	ok, flood := r.seats[who].allow(now)
	if flood {
		_ = s.Kick("too many messages")
	}
	if !ok {
		return nil, nano.Errorf(component.CodeExhausted, "too many messages")
	}
	return r.seats[who], nil
}
