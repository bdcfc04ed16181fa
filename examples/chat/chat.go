package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/session"
)

// What the server pushes.
const (
	pushMessage = "chat.message" // Message
	pushJoined  = "chat.joined"  // Notice
	pushLeft    = "chat.left"    // Notice
	pushTyping  = "chat.typing"  // Notice; clients send it too, as a notify
	pushRooms   = "chat.rooms"   // RoomList
)

// routeCodes spares the names of the routes that are sent most: two bytes each on the wire.
var routeCodes = map[string]uint16{pushMessage: 1, pushJoined: 2, pushLeft: 3, pushTyping: 4, pushRooms: 5, "chat.say": 6}

// Why a session is kicked; the page has words for each.
const (
	kickMoved = "moved" // the same person came in on another connection
	kickFlood = "flood" // went on asking far over the limits
)

// lobby is the room that is always there.
const lobby = "lobby"

// roomsEvery is how often, at most, everybody is told of the rooms.
const roomsEvery = 250 * time.Millisecond

// EnterRequest asks for a name. Key is what an earlier Enter gave, if any: it takes the name over
// from a connection that is not yet known to be dead.
type EnterRequest struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
}

// EnterReply is the name as everybody will see it.
type EnterReply struct {
	Name   string     `json:"name"`
	Key    string     `json:"key"`
	Rooms  []RoomInfo `json:"rooms"`
	Limits Limits     `json:"limits"`
}

// Limits is what the page tells people, and does not let them type past.
type Limits struct {
	Name    int `json:"name"`
	Text    int `json:"text"`
	History int `json:"history"`
}

// RoomInfo is a line of the list of rooms.
type RoomInfo struct {
	Name    string `json:"name"`
	Members int    `json:"members"`
}

// RoomList is all rooms, the fullest first.
type RoomList struct {
	Rooms []RoomInfo `json:"rooms"`
}

// RoomRequest names a room.
type RoomRequest struct {
	Room string `json:"room"`
}

// TypingRequest says that one is typing in a room, or has stopped.
type TypingRequest struct {
	Room    string `json:"room"`
	Stopped bool   `json:"stopped,omitempty"`
}

// JoinReply is a room as it is when one joins it.
type JoinReply struct {
	Room     string    `json:"room"`
	Epoch    string    `json:"epoch"`
	Last     int64     `json:"last"` // the number of the last message
	Members  []string  `json:"members"`
	Messages []Message `json:"messages"`
}

// SayRequest is a message to a room.
type SayRequest struct {
	Room string `json:"room"`
	Text string `json:"text"`
	Ref  string `json:"ref,omitempty"`
}

// SayReply tells the sender that the message was sent, and its number.
type SayReply struct {
	N int64 `json:"n"`
}

// Empty is an answer that says no more than that it was done.
type Empty struct{}

// Chat is the component: its exported methods are the routes chat.enter, chat.join, chat.leave,
// chat.say and chat.typing. All of them, and gone, run on one scheduler.
type Chat struct {
	component.Base

	after   func(time.Duration, func()) // runs something later, on the same scheduler
	rooms   map[string]*room            // by folded name
	names   map[string]*member          // by folded name
	visitor *nano.Group                 // everybody who has a name
	telling bool                        // the list of rooms is about to be sent
}

// NewChat returns a chat with an empty lobby. It needs its after before the first session comes.
func NewChat() *Chat {
	first := newRoom(lobby)
	first.lasting = true
	return &Chat{
		rooms:   map[string]*room{rules.Fold(lobby): first},
		names:   make(map[string]*member),
		visitor: nano.NewGroup("everybody"),
	}
}

// Enter gives the session a name. It must come before anything else.
func (c *Chat) Enter(_ context.Context, s *session.Session, req *EnterRequest) (*EnterReply, error) {
	m, err := c.caller(s)
	if err != nil {
		return nil, err
	}
	name, err := rules.Name("the name", req.Name, maxName)
	if err != nil {
		return nil, err
	}
	if m.name != "" {
		return nil, nano.Errorf(component.CodeExists, "you are here as %s already", m.name)
	}
	old := c.names[rules.Fold(name)]
	if old != nil && subtle.ConstantTimeCompare([]byte(old.key), []byte(req.Key)) != 1 {
		return nil, nano.Errorf(component.CodeExists, "the name %s is taken", name)
	}
	if err := c.visitor.Add(s); err != nil {
		return nil, err
	}
	m.name, m.key = name, rand.Text()
	c.names[rules.Fold(name)] = m
	if old != nil {
		m.name, m.key = old.name, old.key
		c.move(old, m)
	}
	return &EnterReply{
		Name: m.name, Key: m.key, Rooms: c.list(),
		Limits: Limits{Name: maxName, Text: maxText, History: maxHistory},
	}, nil
}

// Join puts the session into a room, which is made if there is none of that name, and returns what
// was last said there. Joining a room again returns the same without a stir.
func (c *Chat) Join(_ context.Context, s *session.Session, req *RoomRequest) (*JoinReply, error) {
	m, err := c.named(s)
	if err != nil {
		return nil, err
	}
	name, err := rules.Name("the room's name", req.Room, maxName)
	if err != nil {
		return nil, err
	}
	r := c.rooms[rules.Fold(name)]
	if r == nil || !slices.Contains(m.rooms, r) {
		if len(m.rooms) >= maxJoined {
			return nil, nano.Errorf(component.CodeExhausted, "you are in %d rooms, which is the limit; leave one first", maxJoined)
		}
		if r == nil {
			if r, err = c.open(name); err != nil {
				return nil, err
			}
		}
		if err := r.join(m); err != nil {
			return nil, err
		}
		c.roomsChanged()
	}
	return &JoinReply{Room: r.name, Epoch: r.epoch, Last: r.last, Members: r.names(), Messages: append([]Message{}, r.history...)}, nil
}

// Leave takes the session out of a room. Leaving a room that one is not in is harmless.
func (c *Chat) Leave(_ context.Context, s *session.Session, req *RoomRequest) (*Empty, error) {
	m, err := c.named(s)
	if err != nil {
		return nil, err
	}
	if r := c.rooms[rules.Fold(req.Room)]; r != nil {
		c.depart(r, m)
	}
	return &Empty{}, nil
}

// Say sends a message to a room that the session is in.
func (c *Chat) Say(_ context.Context, s *session.Session, req *SayRequest) (*SayReply, error) {
	m, err := c.named(s)
	if err != nil {
		return nil, err
	}
	r, err := c.seat(m, req.Room)
	if err != nil {
		return nil, err
	}
	text, err := rules.Text("the message", req.Text, maxText)
	if err != nil {
		return nil, err
	}
	if len(req.Ref) > maxRef {
		return nil, nano.Errorf(component.CodeInvalid, "ref has more than %d bytes", maxRef)
	}
	now := time.Now()
	if !m.talk.Take(now, talkBurst, talkEvery) {
		return nil, c.refuse(m, "you are writing faster than people can read; wait a moment")
	}
	m.typing, m.typed = nil, time.Time{} // the message says so
	return &SayReply{N: r.say(m, text, req.Ref, now).N}, nil
}

// Typing tells the others in a room that the session is writing, or has stopped without having sent
// anything. It is a notify: nobody waits for an answer, and one too many is dropped.
func (c *Chat) Typing(_ context.Context, s *session.Session, req *TypingRequest) error {
	m, err := c.named(s)
	if err != nil {
		return err
	}
	r, err := c.seat(m, req.Room)
	if err != nil {
		return err
	}
	now := time.Now()
	if m.typing != nil && (req.Stopped || m.typing != r) {
		m.stopTyping(now)
	}
	if !req.Stopped && now.Sub(m.typed) >= typingEvery {
		m.typing, m.typed = r, now
		r.typing(m, now, false)
	}
	return nil
}

// gone clears up after a session that has closed, however it came to that.
func (c *Chat) gone(s *session.Session) {
	if m, ok := s.Value("member").(*member); ok {
		for _, r := range slices.Clone(m.rooms) {
			c.depart(r, m)
		}
		if c.names[rules.Fold(m.name)] == m { // and not the same person on a newer connection
			delete(c.names, rules.Fold(m.name))
		}
		_ = c.visitor.Leave(s) // it leaves by itself, too
	}
}

// caller returns who calls, and refuses those who call too often.
func (c *Chat) caller(s *session.Session) (*member, error) {
	m, ok := s.Value("member").(*member)
	if !ok {
		m = &member{session: s}
		s.Set("member", m)
	}
	if !m.calls.Take(time.Now(), callBurst, callEvery) {
		return nil, c.refuse(m, "too many requests; wait a moment")
	}
	return m, nil
}

// named is caller for what only people with a name may do.
func (c *Chat) named(s *session.Session) (*member, error) {
	m, err := c.caller(s)
	if err == nil && m.name == "" {
		err = nano.Errorf(component.CodeUnauthenticated, "choose a name first")
	}
	return m, err
}

// seat returns the room of that name if m is in it.
func (c *Chat) seat(m *member, name string) (*room, error) {
	r := c.rooms[rules.Fold(name)]
	if r == nil || !slices.Contains(m.rooms, r) {
		return nil, nano.Errorf(component.CodeNotFound, "you are not in that room")
	}
	return r, nil
}

// refuse returns the error for one request too many, and kicks who does not stop.
func (c *Chat) refuse(m *member, why string) error {
	if !m.refused.Take(time.Now(), refuseBurst, refuseEvery) {
		if err := m.session.Kick(kickFlood); err != nil {
			slog.Debug("kick", "name", m.name, "err", err)
		}
	}
	return nano.Errorf(component.CodeExhausted, "%s", why)
}

// open makes a room. When there are as many as there may be, the one that has been empty for
// longest makes way.
func (c *Chat) open(name string) (*room, error) {
	if len(c.rooms) >= maxRooms {
		var oldest *room
		for _, r := range c.rooms {
			if len(r.members) == 0 && !r.lasting && (oldest == nil || r.emptied.Before(oldest.emptied)) {
				oldest = r
			}
		}
		if oldest == nil {
			return nil, nano.Errorf(component.CodeExhausted, "there are %d rooms, which is the limit; join one of them", maxRooms)
		}
		c.close(oldest)
	}
	r := newRoom(name)
	c.rooms[rules.Fold(name)] = r
	return r, nil
}

// depart takes m out of a room. A room in which nothing was said ends with its last member; the
// others stay for those who come back.
func (c *Chat) depart(r *room, m *member) {
	r.leave(m)
	if len(r.members) == 0 && len(r.history) == 0 && !r.lasting {
		c.close(r)
	}
	c.roomsChanged()
}

func (c *Chat) close(r *room) {
	delete(c.rooms, rules.Fold(r.name))
	_ = r.group.Close() // only fails when it is closed already
}

// move hands the seats of old to m, the same person on a newer connection, and ends the old one.
func (c *Chat) move(old, m *member) {
	if old.typing != nil {
		old.stopTyping(time.Now())
	}
	for _, r := range old.rooms {
		if err := r.replace(old, m); err != nil {
			slog.Warn("seat lost", "room", r.name, "err", err)
		}
	}
	old.rooms = nil
	if err := old.session.Kick(kickMoved); err != nil {
		slog.Debug("kick", "name", old.name, "err", err)
	}
}

// list returns all rooms, the fullest first.
func (c *Chat) list() []RoomInfo {
	rooms := make([]RoomInfo, 0, len(c.rooms))
	for _, r := range c.rooms {
		rooms = append(rooms, RoomInfo{Name: r.name, Members: len(r.members)})
	}
	slices.SortFunc(rooms, func(a, b RoomInfo) int {
		return cmp.Or(cmp.Compare(b.Members, a.Members), strings.Compare(a.Name, b.Name))
	})
	return rooms
}

// roomsChanged tells everybody of the rooms soon: once for all that changes until then.
func (c *Chat) roomsChanged() {
	if c.telling {
		return
	}
	c.telling = true
	c.after(roomsEvery, func() {
		c.telling = false
		if err := c.visitor.Broadcast(pushRooms, &RoomList{Rooms: c.list()}); err != nil {
			slog.Debug("broadcast", "route", pushRooms, "err", err)
		}
	})
}
