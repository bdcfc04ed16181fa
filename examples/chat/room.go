package main

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/session"
)

// Message is one message of a room, as clients see it.
type Message struct {
	Room string `json:"room"`
	N    int64  `json:"n"`    // counts from 1 in its room
	From string `json:"from"` // the sender's name
	Text string `json:"text"`
	At   int64  `json:"at"`            // when it came in: milliseconds since 1970
	Ref  string `json:"ref,omitempty"` // the sender's own mark, by which a message sent twice is known
}

// Notice tells a room that somebody came, left or is typing.
type Notice struct {
	Room string `json:"room"`
	Name string `json:"name"`
	At   int64  `json:"at"`

	Stopped bool `json:"stopped,omitempty"` // is typing no more
}

// member is one session's place in the chat. It has a name once it has entered.
type member struct {
	session *session.Session
	name    string
	key     string  // the secret by which the same person takes the name over on a new connection
	rooms   []*room // in the order of joining

	calls, talk, refused rules.Bucket
	typing               *room     // where the others see that one is typing
	typed                time.Time // the last time that they were told
}

// room is who is in it and what was last said in it. Everything in this file runs on the scheduler.
type room struct {
	name    string
	epoch   string      // tells this room from an earlier one of the same name, whose numbers mean nothing here
	group   *nano.Group // the sessions of members
	members []*member   // in the order of joining
	history []Message   // at most maxHistory, the oldest first
	last    int64       // the number of the last message
	lasting bool        // stays when it is empty
	emptied time.Time   // when the last member left
}

func newRoom(name string) *room {
	return &room{name: name, epoch: rand.Text(), group: nano.NewGroup("room " + name), emptied: time.Now()}
}

// join adds m and tells everybody in the room.
func (r *room) join(m *member) error {
	if len(r.members) >= maxMembers {
		return nano.Errorf(component.CodeExhausted, "%s is full: it holds %d people", r.name, maxMembers)
	}
	if err := r.group.Add(m.session); err != nil {
		return err
	}
	r.members = append(r.members, m)
	m.rooms = append(m.rooms, r)
	r.tell(pushJoined, &Notice{Room: r.name, Name: m.name, At: time.Now().UnixMilli()})
	return nil
}

// leave takes m out and tells those who stay. It does nothing to a person who is not there.
func (r *room) leave(m *member) {
	i := slices.Index(r.members, m)
	if i < 0 {
		return
	}
	r.members = slices.Delete(r.members, i, i+1)
	m.rooms = slices.DeleteFunc(m.rooms, func(other *room) bool { return other == r })
	_ = r.group.Leave(m.session) // a session that has closed has left by itself: nothing to report
	if len(r.members) == 0 {
		r.emptied = time.Now()
		return
	}
	r.tell(pushLeft, &Notice{Room: r.name, Name: m.name, At: time.Now().UnixMilli()})
}

// replace gives the seat of old to m, the same person on a new connection. The others notice
// nothing.
func (r *room) replace(old, m *member) error {
	i := slices.Index(r.members, old)
	if i < 0 {
		return nil
	}
	_ = r.group.Leave(old.session)
	if err := r.group.Add(m.session); err != nil {
		return err
	}
	r.members[i] = m
	m.rooms = append(m.rooms, r)
	return nil
}

// say adds a message and sends it to everybody in the room, its sender included. A message that the
// sender has sent before, by its mark, is not said again.
func (r *room) say(m *member, text, ref string, now time.Time) *Message {
	for i := range r.history {
		if said := &r.history[i]; ref != "" && said.Ref == ref && said.From == m.name {
			return said
		}
	}
	r.last++
	if len(r.history) == maxHistory {
		r.history = slices.Delete(r.history, 0, 1)
	}
	msg := Message{Room: r.name, N: r.last, From: m.name, Text: text, At: now.UnixMilli(), Ref: ref}
	r.history = append(r.history, msg)
	r.tell(pushMessage, &msg)
	return &msg
}

// typing tells the others that m is writing, or has stopped.
func (r *room) typing(m *member, now time.Time, stopped bool) {
	err := r.group.Multicast(pushTyping, &Notice{Room: r.name, Name: m.name, At: now.UnixMilli(), Stopped: stopped},
		func(s *session.Session) bool { return s != m.session })
	r.report(pushTyping, err)
}

// stopTyping tells those who see that m is writing that it is not so any more.
func (m *member) stopTyping(now time.Time) {
	m.typing.typing(m, now, true)
	m.typing, m.typed = nil, time.Time{}
}

// tell sends to everybody in the room. It queues and returns; it waits for no client.
func (r *room) tell(route string, v any) { r.report(route, r.group.Broadcast(route, v)) }

// report logs what a broadcast met. Members whose connections just ended are the usual reason, so
// this is not worth more than a debug line.
func (r *room) report(route string, err error) {
	if err != nil {
		slog.Debug("broadcast", "room", r.name, "route", route, "err", err)
	}
}

// names returns the members' names in the order of joining.
func (r *room) names() []string {
	names := make([]string, len(r.members))
	for i, m := range r.members {
		names[i] = m.name
	}
	return names
}
