package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/session"
)

// What is allowed. Lengths are counted in runes.
const (
	maxName   = 24
	maxText   = 500
	maxRef    = 40  // bytes of a client's own mark on a message
	maxRecent = 20  // messages kept for a room
	maxRooms  = 200 // on one backend
	maxPeople = 500 // in one room

	talkBurst, talkEvery = 8, 500 * time.Millisecond
)

// room is one room.
type room struct {
	title  string
	group  *nano.Group // its members may be behind any gate: each gate gets one frame of a broadcast
	seats  map[*session.Session]*person
	coming map[int64]expected // who comes along with the room, by session
	recent []Message
	last   int64
}

// comesWithin is how long a room waits for those who come along with it.
const comesWithin = 10 * time.Second

// expected is somebody who comes along, and until when that is expected.
type expected struct {
	Seat

	until time.Time
}

// person is a client in a room.
type person struct {
	Person
	room *room
	came int64
	may  rules.Bucket
}

func newRoom(title string) *room {
	return &room{
		title: title, group: nano.NewGroup(title), recent: []Message{},
		seats: make(map[*session.Session]*person), coming: make(map[int64]expected),
	}
}

func personOf(s *session.Session) *person {
	p, _ := s.Value("person").(*person)
	return p
}

// join gives a place to somebody who wants one.
func (r *room) join(s *session.Session, name string) error {
	return r.seat(s, Person{Name: name, Gate: s.String("gate")}, time.Now().UnixNano())
}

// seat gives somebody a place. Who comes along with the room has not joined it, and neither has the
// same person by another way: the end of the old one may be on its way here.
func (r *room) seat(s *session.Session, who Person, came int64) error {
	joined := who.Name
	if r.holds(who.Name) {
		joined = ""
	}
	delete(r.coming, s.ID())
	if len(r.seats)+len(r.coming) >= maxPeople {
		return nano.Errorf(component.CodeExhausted, "#%s is full", r.title)
	}
	p := &person{Person: who, room: r, came: came}
	s.Set("person", p)
	r.seats[s] = p
	r.tell(pushPeople, People{People: r.people(), Joined: joined}) // who joins is told by the answer
	if err := r.group.Add(s); err != nil {
		r.leave(s, p, false)
		return err
	}
	return nil
}

// leave takes somebody's place. Of a room that has moved, nobody is told.
func (r *room) leave(s *session.Session, p *person, moved bool) {
	s.Remove("person")
	delete(r.seats, s)
	_ = r.group.Leave(s) // a session that has closed has left already
	if !moved {
		r.tellLeft(p.Name)
	}
}

// expect notes who comes along with the room.
func (r *room) expect(seats []Seat, now time.Time) {
	if len(seats) == 0 {
		return
	}
	for _, seat := range seats {
		r.coming[seat.Session] = expected{seat, now.Add(comesWithin)}
	}
	for s := range r.seats { // who has been faster
		delete(r.coming, s.ID())
	}
	r.tell(pushPeople, People{People: r.people()})
}

// miss gives up somebody who should have come along.
func (r *room) miss(id int64) {
	name := r.coming[id].Person.Name
	delete(r.coming, id)
	r.tellLeft(name)
}

// forget gives up those who should have come by now.
func (r *room) forget(now time.Time) {
	for id, e := range r.coming {
		if now.After(e.until) {
			r.miss(id)
		}
	}
}

// tellLeft tells that somebody has left, unless the same person is here by another way.
func (r *room) tellLeft(name string) {
	left := name
	if r.holds(name) {
		left = ""
	}
	r.tell(pushPeople, People{People: r.people(), Left: left})
}

// holds tells whether somebody of that name is here, or comes along.
func (r *room) holds(name string) bool {
	for _, p := range r.seats {
		if rules.Fold(p.Name) == rules.Fold(name) {
			return true
		}
	}
	for _, e := range r.coming {
		if rules.Fold(e.Person.Name) == rules.Fold(name) {
			return true
		}
	}
	return false
}

// say adds a message and sends it to everybody in the room. One that its sender has sent before, by
// its mark, is not said again. A backend that had it and is gone cannot tell: the page looks at the
// mark, too.
func (r *room) say(p *person, text, ref string) Message {
	for _, said := range r.recent {
		if ref != "" && said.Ref == ref && said.From == p.Name {
			return said
		}
	}
	r.last++
	m := Message{N: r.last, At: time.Now().UnixMilli(), From: p.Name, Gate: p.Gate, Text: text, Ref: ref}
	r.recent = append(r.recent[max(0, len(r.recent)-maxRecent+1):], m)
	r.tell(pushMessage, m)
	return m
}

// remember adds what was said elsewhere. What was sent again here is said there already.
func (r *room) remember(there []Message) {
	here := slices.DeleteFunc(r.recent, func(m Message) bool {
		return slices.ContainsFunc(there, func(t Message) bool { return t.same(&m) })
	})
	all := append(slices.Clone(there), here...)
	slices.SortStableFunc(all, func(a, b Message) int { return cmp.Compare(a.At, b.At) })
	r.recent = all[max(0, len(all)-maxRecent):]
	for _, m := range there {
		r.last = max(r.last, m.N)
	}
}

// lastAt returns when something was said last, in milliseconds since 1970.
func (r *room) lastAt() int64 {
	if len(r.recent) == 0 {
		return 0
	}
	return r.recent[len(r.recent)-1].At
}

// moved has the people of the room enter it again, where it is then.
func (r *room) moved() { r.tell(pushMoved, Empty{}) }

func (r *room) clear() {
	for s := range r.seats {
		s.Remove("person")
	}
	clear(r.seats)
	_ = r.group.Close()
}

// tell pushes to everybody in the room. Who cannot be reached any more is told nothing, and soon
// leaves.
func (r *room) tell(route string, v any) { _ = r.group.Broadcast(route, v) }

// people returns who is here, or comes along, in the order of their coming.
func (r *room) people() []Person {
	seats := r.list()
	for _, e := range r.coming {
		seats = append(seats, e.Seat)
	}
	slices.SortFunc(seats, func(a, b Seat) int { return cmp.Compare(a.Came, b.Came) })
	list := make([]Person, len(seats))
	for i, seat := range seats {
		list[i] = seat.Person
	}
	return list
}

// list returns the seats of those who are here, in no order.
func (r *room) list() []Seat {
	all := make([]Seat, 0, len(r.seats)+len(r.coming))
	for s, p := range r.seats {
		all = append(all, Seat{Session: s.ID(), Person: p.Person, Came: p.came})
	}
	return all
}
