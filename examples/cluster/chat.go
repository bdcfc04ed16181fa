package main

import (
	"cmp"
	"context"
	"math"
	"slices"
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
	pushHere    = "chat.here"    // JoinReply: the room has come to this backend, and the client with it
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
	N    int64  `json:"n"`  // grows in each room; two said while the room moves may have the same
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

// same tells whether two messages are one: sent again by its sender, or told by two backends.
func (m *Message) same(o *Message) bool {
	if m.From != o.From || m.Ref != o.Ref {
		return false
	}
	return m.Ref != "" || m.At == o.At && m.Text == o.Text
}

// Keepsake is what a backend has of a room, for the one that has it next.
type Keepsake struct {
	From   string // the address of the backend
	Room   string
	Recent []Message
	Seats  []Seat // whose sessions come to the next backend by themselves
}

// Seat is somebody's place in a room.
type Seat struct {
	Session int64 // its id is the same on all nodes
	Person  Person
	Came    int64 // nanoseconds since 1970
}

// Rooms is the backend's component. All of it runs on the node's scheduler, so nothing here has a
// lock.
//
// A room is on one backend: the gates see to that, as they choose by the room's name. When a
// backend comes or dies, some rooms belong elsewhere. The next who enters such a room opens it
// there; the new owner claims the room, the old one, if it lives, hands over what was said and
// sends its people after it. A backend that is drained does not wait for that: see move.
type Rooms struct {
	component.Base

	name, addr string
	all        func(route string, v any)           // calls a handler on all backends, this one too
	one        func(addr, route string, v any)     // calls a handler on one backend
	run        func(context.Context, func()) error // runs something on the scheduler, and waits for it

	rooms  map[string]*room           // by folded name
	kept   map[string]*room           // the same of rooms that are not open here: what other backends said of them
	unseen map[int64]*session.Session // opened here by a gate; nobody has said yet where they belong
	ending bool
}

func newRooms(name, addr string) *Rooms {
	return &Rooms{
		name: name, addr: addr,
		rooms: make(map[string]*room), kept: make(map[string]*room), unseen: make(map[int64]*session.Session),
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
	delete(c.unseen, s.ID())
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
		if other, _ := c.expected(s.ID()); other != nil {
			other.miss(s.ID())
		}
	}
	return c.reply(r, s), nil
}

// reply tells a client about the room that it is in.
func (c *Rooms) reply(r *room, s *session.Session) *JoinReply {
	return &JoinReply{
		Backend: c.name, Addr: c.addr, You: s.RemoteAddr().String(),
		Room: r.title, People: r.people(), Recent: slices.Clone(r.recent),
	}
}

// Say sends a message to the room.
func (c *Rooms) Say(_ context.Context, s *session.Session, req *SayRequest) (*SayReply, error) {
	p, err := c.seated(s)
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
	m := p.room.say(p, text, req.Ref)
	if c.ending { // the room is open elsewhere by now, or will be
		c.all("chat.keep", &Keepsake{From: c.addr, Room: p.room.title, Recent: []Message{m}})
	}
	return &SayReply{N: m.N}, nil
}

// Ping tells the client which backend it is on. A page asks now and then, to see when that has
// died.
func (c *Rooms) Ping(_ context.Context, s *session.Session, _ *Empty) (*Where, error) {
	p, err := c.seated(s)
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
	if r == nil || claim.Addr == c.addr || c.ending { // who ends has told everybody of its rooms already
		return nil
	}
	c.one(claim.Addr, "chat.keep", &Keepsake{From: c.addr, Room: r.title, Recent: r.recent})
	c.closeRoom(r)
	return nil
}

// keep takes over what another backend has of a room, which is here now, or will be.
func (c *Rooms) keep(_ context.Context, _ *session.Session, k *Keepsake) error {
	if k.From == c.addr {
		return nil
	}
	key := rules.Fold(k.Room)
	r := cmp.Or(c.rooms[key], c.kept[key])
	if r == nil {
		if len(c.kept) >= maxRooms && !c.dropKept() {
			return nil
		}
		r = newRoom(k.Room)
		c.kept[key] = r
	}
	r.remember(k.Recent)
	r.expect(k.Seats, time.Now())
	r.tell(pushRecent, Recent{r.recent})
	for _, seat := range k.Seats {
		if s := c.unseen[seat.Session]; s != nil && c.bring(s) {
			delete(c.unseen, seat.Session)
		}
	}
	return nil
}

// move is called when this backend is drained: it tells the others of its rooms and of who is in
// them. Then all sessions choose among these others (see App.Rebind), by their rooms, so that a
// room's people meet again. They notice nothing but the name of their backend.
func (c *Rooms) move(ctx context.Context) error {
	return c.run(ctx, func() {
		c.ending = true
		for _, r := range c.rooms {
			c.all("chat.keep", &Keepsake{From: c.addr, Room: r.title, Recent: r.recent, Seats: r.list()})
		}
	})
}

// arrive runs when a gate has opened a session here.
func (c *Rooms) arrive(s *session.Session) {
	if !c.bring(s) { // it is about to join, or a keepsake is slower than its session
		c.unseen[s.ID()] = s
	}
}

// bring gives a session its place in the room with which it comes along, and reports whether there
// is one. One that was known here before is not opened again: its first message brings it.
func (c *Rooms) bring(s *session.Session) bool {
	r, seat := c.expected(s.ID())
	if r == nil {
		return false
	}
	if c.rooms[rules.Fold(r.title)] == nil {
		if _, err := c.open(r.title); err != nil {
			return false // it is given up after a while
		}
	}
	if r.seat(s, seat.Person, seat.Came) == nil {
		_ = s.Push(pushHere, c.reply(r, s)) // who has closed meanwhile needs none
	}
	return true
}

// expected returns the room with which a session comes here, and its seat. The room is nil if there
// is none.
func (c *Rooms) expected(id int64) (*room, Seat) {
	for _, rooms := range []map[string]*room{c.rooms, c.kept} {
		for _, r := range rooms {
			if e, ok := r.coming[id]; ok {
				return r, e.Seat
			}
		}
	}
	return nil, Seat{}
}

// forget gives up those who should have come and have not: they have closed, say.
func (c *Rooms) forget(now time.Time) {
	for _, rooms := range []map[string]*room{c.rooms, c.kept} {
		for _, r := range rooms {
			r.forget(now)
		}
	}
}

// seated returns who calls, and refuses who is in no room.
func (c *Rooms) seated(s *session.Session) (*person, error) {
	if personOf(s) == nil {
		c.bring(s)
	}
	if p := personOf(s); p != nil {
		return p, nil
	}
	return nil, nano.Errorf(component.CodeNotFound, "you are in no room here: join one")
}

// gone clears up after a client whose gate says that it has closed, or whose gate has died.
func (c *Rooms) gone(s *session.Session) {
	delete(c.unseen, s.ID())
	if r, _ := c.expected(s.ID()); r != nil {
		r.miss(s.ID())
	}
	c.leave(s)
}

func (c *Rooms) leave(s *session.Session) {
	p := personOf(s)
	if p == nil {
		return
	}
	p.room.leave(s, p, c.ending)
}

// open makes a room, and says so to all backends.
func (c *Rooms) open(title string) (*room, error) {
	if len(c.rooms) >= maxRooms && !c.dropOne() {
		return nil, nano.Errorf(component.CodeExhausted, "there are %d rooms here, which is the limit", maxRooms)
	}
	key := rules.Fold(title)
	r := c.kept[key]
	if r == nil {
		r = newRoom(title)
	}
	delete(c.kept, key)
	c.rooms[key] = r
	c.all("chat.claim", &Claim{Room: title, Addr: c.addr})
	return r, nil
}

// dropOne forgets a room that nobody is in.
func (c *Rooms) dropOne() bool {
	for key, r := range c.rooms {
		if len(r.seats)+len(r.coming) == 0 {
			delete(c.rooms, key)
			return true
		}
	}
	return false
}

// dropKept forgets what was said in the room that was silent for longest, of those that were never
// opened here and with which nobody comes along.
func (c *Rooms) dropKept() bool {
	oldest, at := "", int64(math.MaxInt64)
	for key, r := range c.kept {
		if last := r.lastAt(); len(r.coming) == 0 && last < at {
			oldest, at = key, last
		}
	}
	delete(c.kept, oldest)
	return at < math.MaxInt64
}

// closeRoom sends the people of a room after it.
func (c *Rooms) closeRoom(r *room) {
	r.moved()
	r.clear()
	delete(c.rooms, rules.Fold(r.title))
}

// sizes returns how many are in each room that somebody is in, the fullest first, and how many are
// in all.
func (c *Rooms) sizes() (list []Sized, users int) {
	if c.ending { // they are elsewhere
		return nil, 0
	}
	for _, r := range c.rooms {
		if n := len(r.seats); n > 0 {
			list = append(list, Sized{r.title, n})
			users += n
		}
	}
	slices.SortFunc(list, func(a, b Sized) int { return cmp.Or(b.Users-a.Users, cmp.Compare(a.Name, b.Name)) })
	return list, users
}
