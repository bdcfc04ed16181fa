package main

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/session"
)

// What a backend pushes to the people in a room.
const (
	pushMessage = "chat.message" // Message
	pushPeople  = "chat.people"  // People
	pushRecent  = "chat.recent"  // Recent: what was said elsewhere, when it comes after its people
	pushMoved   = "chat.moved"   // Empty: the room is on another backend now; enter and join again
)

// JoinRequest asks for a place in a room.
type JoinRequest struct {
	Room string `json:"room"`
	Name string `json:"name"`
}

// JoinReply is the room as it is when one joins it.
type JoinReply struct {
	Backend string    `json:"backend"` // the name of the node that has the room
	Addr    string    `json:"addr"`    // and its address
	You     string    `json:"you"`     // the client's address, as the backend knows it
	Room    string    `json:"room"`
	People  []Person  `json:"people"`
	Recent  []Message `json:"recent"`
}

// Person is who is in a room, and behind which gate.
type Person struct {
	Name string `json:"name"`
	Gate string `json:"gate"`
}

// People says who is in a room now, and who has just come or gone.
type People struct {
	People []Person `json:"people"`
	Joined string   `json:"joined,omitempty"`
	Left   string   `json:"left,omitempty"`
}

// Message is what was said in a room.
type Message struct {
	N    int64  `json:"n"`  // counts from 1 in each room
	At   int64  `json:"at"` // milliseconds since 1970
	From string `json:"from"`
	Gate string `json:"gate"`
	Text string `json:"text"`
	Ref  string `json:"ref,omitempty"` // the sender's own mark, by which a message that was sent again is known
}

// Recent is what was last said in a room.
type Recent struct {
	Recent []Message `json:"recent"`
}

// SayRequest is a message to the room that one is in.
type SayRequest struct {
	Text string `json:"text"`
	Ref  string `json:"ref,omitempty"`
}

// SayReply is the number of the message.
type SayReply struct {
	N int64 `json:"n"`
}

// Where is the answer to a ping.
type Where struct {
	Backend string `json:"backend"`
	Addr    string `json:"addr"`
	Room    string `json:"room"`
}

// Claim is a backend's word that it has a room now.
type Claim struct {
	Room, Addr string
}

// Keepsake is what was said in a room, for the backend that has it next.
type Keepsake struct {
	Room   string
	Recent []Message
}

// Rooms is the backend's component. All of it runs on the node's scheduler, so nothing here has a
// lock.
//
// A room is on one backend: the gates see to that, as they choose by the room's name. When a
// backend comes or goes, some rooms belong elsewhere. The next who enters such a room opens it
// there; the new owner claims the room, the old one hands over what was said and sends its people
// after it.
type Rooms struct {
	component.Base

	name, addr string
	all        func(route string, v any)       // calls a handler on all backends, this one too
	one        func(addr, route string, v any) // calls a handler on one backend
	push       func(func())                    // runs something on the scheduler

	rooms   map[string]*room // by folded name
	kept    map[string][]Message
	ending  bool
	deserts chan struct{} // closed when ending and nobody is left
	empty   atomic.Bool   // deserts is closed
}

func newRooms(name, addr string) *Rooms {
	return &Rooms{
		name: name, addr: addr,
		rooms: make(map[string]*room), kept: make(map[string][]Message), deserts: make(chan struct{}),
	}
}

// Join gives the client a place in a room, which is opened if need be. Who is in another room of
// this backend leaves it.
func (c *Rooms) Join(_ context.Context, s *session.Session, req *JoinRequest) (*JoinReply, error) {
	title, err := rules.Name("the room's name", req.Room, maxName)
	if err != nil {
		return nil, err
	}
	name, err := rules.Name("the name", req.Name, maxName)
	if err != nil {
		return nil, err
	}
	if c.ending {
		return nil, nano.Errorf(component.CodeUnavailable, "%s is shutting down; try again", c.name)
	}
	r := c.rooms[rules.Fold(title)]
	if p := personOf(s); p == nil || p.room != r || p.Name != name {
		c.leave(s)
		if r == nil {
			if r, err = c.open(title); err != nil {
				return nil, err
			}
		}
		if err := r.join(s, name); err != nil {
			return nil, err
		}
	}
	return &JoinReply{
		Backend: c.name, Addr: c.addr, You: s.RemoteAddr().String(),
		Room: r.title, People: r.people(), Recent: slices.Clone(r.recent),
	}, nil
}

// Say sends a message to the room.
func (c *Rooms) Say(_ context.Context, s *session.Session, req *SayRequest) (*SayReply, error) {
	p, err := seated(s)
	if err != nil {
		return nil, err
	}
	text, err := rules.Text("the message", req.Text, maxText)
	if err != nil {
		return nil, err
	}
	if len(req.Ref) > maxRef {
		return nil, nano.Errorf(component.CodeInvalid, "the message's mark has more than %d bytes", maxRef)
	}
	if !p.may.Take(time.Now(), talkBurst, talkEvery) {
		return nil, nano.Errorf(component.CodeExhausted, "you are writing faster than people can read; wait a moment")
	}
	return &SayReply{N: p.room.say(p, text, req.Ref)}, nil
}

// Ping tells the client which backend it is on. A page asks now and then, to see when that has
// died.
func (c *Rooms) Ping(_ context.Context, s *session.Session, _ *Empty) (*Where, error) {
	p, err := seated(s)
	if err != nil {
		return nil, err
	}
	return &Where{Backend: c.name, Addr: c.addr, Room: p.room.title}, nil
}

// Leave takes the client out of its room.
func (c *Rooms) Leave(_ context.Context, s *session.Session, _ *Empty) (*Empty, error) { //nolint:unparam // the form of a handler
	c.leave(s)
	return &Empty{}, nil
}

// claim is called by a backend that has opened a room. If the room is here too, the gates have
// changed their mind about it, because a backend has come or gone: it belongs to the other one now.
func (c *Rooms) claim(_ context.Context, _ *session.Session, claim *Claim) error {
	r := c.rooms[rules.Fold(claim.Room)]
	if r == nil || claim.Addr == c.addr {
		return nil
	}
	c.one(claim.Addr, "chat.keep", &Keepsake{Room: r.title, Recent: r.recent})
	c.closeRoom(r)
	return nil
}

// keep takes over what was said in a room that is here now, or will be.
func (c *Rooms) keep(_ context.Context, _ *session.Session, k *Keepsake) error {
	if r := c.rooms[rules.Fold(k.Room)]; r != nil {
		r.remember(k.Recent)
		r.tell(pushRecent, Recent{r.recent})
	} else if len(c.kept) < maxRooms {
		c.kept[rules.Fold(k.Room)] = k.Recent
	}
	return nil
}

// partingTime is how long a backend that ends waits for its people to be somewhere else.
const partingTime = 3 * time.Second

// BeforeShutdown moves all rooms to other backends. It runs beside the scheduler, while messages
// are still served, so what it does with the rooms it does there.
func (c *Rooms) BeforeShutdown() {
	c.push(func() {
		c.ending = true
		for _, r := range c.rooms {
			c.all("chat.keep", &Keepsake{Room: r.title, Recent: r.recent})
			r.moved()
		}
		c.deserted()
	})
	select {
	case <-c.deserts:
	case <-time.After(partingTime):
	}
}

// deserted ends the wait of BeforeShutdown when nobody is left.
func (c *Rooms) deserted() {
	for _, r := range c.rooms {
		if len(r.seats) > 0 {
			return
		}
	}
	if c.ending && c.empty.CompareAndSwap(false, true) {
		close(c.deserts)
	}
}

// gone clears up after a client whose gate says that it has closed, or whose gate has died.
func (c *Rooms) gone(s *session.Session) { c.leave(s) }

func (c *Rooms) leave(s *session.Session) {
	p := personOf(s)
	if p == nil {
		return
	}
	p.room.leave(s, p)
	c.deserted()
}

// open makes a room, and says so to all backends.
func (c *Rooms) open(title string) (*room, error) {
	if len(c.rooms) >= maxRooms && !c.dropOne() {
		return nil, nano.Errorf(component.CodeExhausted, "there are %d rooms here, which is the limit", maxRooms)
	}
	r := newRoom(title)
	r.remember(c.kept[rules.Fold(title)])
	delete(c.kept, rules.Fold(title))
	c.rooms[rules.Fold(title)] = r
	c.all("chat.claim", &Claim{Room: title, Addr: c.addr})
	return r, nil
}

// dropOne forgets a room that nobody is in.
func (c *Rooms) dropOne() bool {
	for key, r := range c.rooms {
		if len(r.seats) == 0 {
			delete(c.rooms, key)
			return true
		}
	}
	return false
}

// closeRoom sends the people of a room after it.
func (c *Rooms) closeRoom(r *room) {
	r.moved()
	r.clear()
	delete(c.rooms, rules.Fold(r.title))
	c.deserted()
}

// sizes returns how many are in each room that somebody is in, the fullest first, and how many are
// in all.
func (c *Rooms) sizes() (list []Sized, users int) {
	for _, r := range c.rooms {
		if n := len(r.seats); n > 0 {
			list = append(list, Sized{r.title, n})
			users += n
		}
	}
	slices.SortFunc(list, func(a, b Sized) int { return cmp.Or(b.Users-a.Users, cmp.Compare(a.Name, b.Name)) })
	return list, users
}
