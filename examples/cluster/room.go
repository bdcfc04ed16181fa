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
	recent []Message
	last   int64
}

// person is a client in a room.
type person struct {
	Person
	room *room
	came int64
	may  rules.Bucket
}

func newRoom(title string) *room {
	return &room{title: title, group: nano.NewGroup(title), seats: make(map[*session.Session]*person), recent: []Message{}}
}

func personOf(s *session.Session) *person {
	p, _ := s.Value("person").(*person)
	return p
}

// seated returns who calls, and refuses who is in no room.
func seated(s *session.Session) (*person, error) {
	if p := personOf(s); p != nil {
		return p, nil
	}
	return nil, nano.Errorf(component.CodeNotFound, "you are in no room here: join one")
}

func (r *room) join(s *session.Session, name string) error {
	if len(r.seats) >= maxPeople {
		return nano.Errorf(component.CodeExhausted, "#%s is full", r.title)
	}
	joined := name
	if r.holds(name) {
		joined = "" // the same person by another way; the old one's end may be on its way here
	}
	p := &person{Person: Person{Name: name, Gate: s.String("gate")}, room: r, came: time.Now().UnixNano()}
	s.Set("person", p)
	r.seats[s] = p
	r.tell(pushPeople, People{People: r.people(), Joined: joined}) // who joins is told by the answer
	if err := r.group.Add(s); err != nil {
		r.leave(s, p)
		return err
	}
	return nil
}

func (r *room) leave(s *session.Session, p *person) {
	s.Remove("person")
	delete(r.seats, s)
	_ = r.group.Leave(s) // a session that has closed has left already
	left := p.Name
	if r.holds(p.Name) {
		left = ""
	}
	r.tell(pushPeople, People{People: r.people(), Left: left})
}

// holds tells whether somebody of that name has a seat.
func (r *room) holds(name string) bool {
	for _, p := range r.seats {
		if rules.Fold(p.Name) == rules.Fold(name) {
			return true
		}
	}
	return false
}

// say adds a message and sends it to everybody in the room. One that its sender has sent before, by
// its mark, is not said again. A backend that had it and is gone cannot tell: the page looks at the
// mark, too.
func (r *room) say(p *person, text, ref string) int64 {
	for _, said := range r.recent {
		if ref != "" && said.Ref == ref && said.From == p.Name {
			return said.N
		}
	}
	r.last++
	m := Message{N: r.last, At: time.Now().UnixMilli(), From: p.Name, Gate: p.Gate, Text: text, Ref: ref}
	r.recent = append(r.recent[max(0, len(r.recent)-maxRecent+1):], m)
	r.tell(pushMessage, m)
	return m.N
}

// remember puts what was said elsewhere before what was said here. What was sent again here is said
// there already.
func (r *room) remember(before []Message) {
	if len(before) == 0 {
		return
	}
	r.recent = slices.DeleteFunc(r.recent, func(m Message) bool {
		return m.Ref != "" && slices.ContainsFunc(before, func(b Message) bool { return b.Ref == m.Ref && b.From == m.From })
	})
	offset := before[len(before)-1].N
	for i := range r.recent {
		r.recent[i].N += offset
	}
	r.last += offset
	all := append(slices.Clone(before), r.recent...)
	r.recent = all[max(0, len(all)-maxRecent):]
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

// people returns who is here, in the order of their coming.
func (r *room) people() []Person {
	all := make([]*person, 0, len(r.seats))
	for _, p := range r.seats {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *person) int { return cmp.Compare(a.came, b.came) })
	list := make([]Person, len(all))
	for i, p := range all {
		list[i] = p.Person
	}
	return list
}
