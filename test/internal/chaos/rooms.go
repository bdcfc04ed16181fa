//go:build linux

package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// rooms are what a node of a play of gates serves: at a gate the login, at a backend the rooms. All
// of it belongs to the node's scheduler. What is wrong is told to the parent.
type rooms struct {
	n     *nodeProcess
	byKey map[string]*room
	all   []*room

	every time.Duration // between two broadcasts; 0: there are none now
	since time.Time
	sent  int // broadcasts since then
	next  int // the room of the next one
	total int
}

// room is a group, and the number of its last broadcast.
type room struct {
	name  string
	group *nano.Group
	casts int64
}

// guest is what a backend knows of one client, and keeps in its session.
type guest struct {
	number string // of the client, and its user
	id     int64  // of the session
	room   *room
	got    int64 // the last request
	pushed int64 // the last push
	gaps   int
	jump   bool // requests may be missing before the next one
}

func newRooms(n *nodeProcess) *rooms { return &rooms{n: n, byKey: make(map[string]*room)} }

// travelling has the node tell of sessions that end, and of gaps.
func (n *nodeProcess) travelling() {
	n.app.Lifetime().OnClosed(func(s *session.Session) {
		// A node that ends forgets sessions that have gone elsewhere.
		if strings.HasPrefix(s.String("name"), "traveller ") && s.CloseReason().Kind != session.CloseShutdown {
			n.tell("lost", s.UID(), s.CloseReason())
		}
	})
	n.app.Lifetime().OnResumed(func(s *session.Session) {
		g, ok := s.Value("guest").(*guest)
		if !ok || !s.Gap() {
			return
		}
		g.gaps++
		g.jump = true
		n.tell("gap", g.number, g.gaps)
	})
	if n.rooms != nil {
		n.app.Scheduler().NewTimer(5*time.Millisecond, n.rooms.tick)
	}
}

// register adds the handlers. A client's payload begins with its number.
func (r *rooms) register(cs *component.Components, gate bool) {
	if gate {
		component.HandleRaw(cs, "Door.Enter", func(_ context.Context, s *session.Session, data []byte) error {
			uid, err := strconv.ParseInt(string(data), 10, 64)
			if err != nil {
				return err
			}
			s.Set("name", "traveller "+string(data))
			if err := s.Bind(uid); err != nil {
				return err
			}
			return s.Response(data)
		})
		return
	}
	component.HandleRaw(cs, "Room.Join", r.join)
	component.HandleRaw(cs, "Room.Do", r.do)
	component.HandleRaw(cs, "Room.Last", r.last)
}

// join takes "client room", and answers with the number of the last broadcast.
func (r *rooms) join(_ context.Context, s *session.Session, data []byte) error {
	number, name, _ := strings.Cut(string(data), " ")
	in := r.byKey[name]
	if in == nil {
		in = &room{name: name, group: nano.NewGroup(name)}
		r.byKey[name] = in
		r.all = append(r.all, in)
	}
	s.Set("guest", &guest{number: number, id: s.ID(), room: in})
	if err := in.group.Add(s); err != nil {
		return err
	}
	return s.Response(strconv.AppendInt(nil, in.casts, 10))
}

// fault tells the parent of a fault that concerns a client.
func (r *rooms) fault(kind, number, format string, a ...any) {
	r.n.tell("fault", kind, number, fmt.Sprintf(format, a...))
}

// known returns the guest whose session this is, if the message is from the client that it says.
func (r *rooms) known(s *session.Session, number string) (*guest, error) {
	g, ok := s.Value("guest").(*guest)
	switch {
	case !ok:
		r.fault("identity", number, "a message in a session that is new at %s", r.n.name)
	case g.number != number || strconv.FormatInt(s.UID(), 10) != number || s.String("name") != "traveller "+number || s.ID() != g.id:
		r.fault("identity", number, "a message in the session %d of client %s, as user %d, %q", s.ID(), g.number, s.UID(), s.String("name"))
	default:
		return g, nil
	}
	return nil, fmt.Errorf("client %s is somebody else here", number)
}

// do takes "client number": each request once, and in order. It pushes the next number, and answers
// with what it was asked.
func (r *rooms) do(_ context.Context, s *session.Session, data []byte) error {
	number, of, _ := strings.Cut(string(data), " ")
	g, err := r.known(s, number)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(of, 10, 64)
	if err != nil {
		return err
	}
	switch {
	case n == g.got+1:
	case n > g.got && g.jump:
		g.jump = false
	default:
		r.fault("request", number, "request %d ran after %d", n, g.got)
	}
	g.got = max(g.got, n)
	if err := s.Push("onSelf", fmt.Appendf(nil, "%s %d", number, g.pushed+1)); err == nil {
		g.pushed++
	}
	return s.Response(data)
}

// last answers with the numbers of the last push and the last broadcast.
func (r *rooms) last(_ context.Context, s *session.Session, data []byte) error {
	g, err := r.known(s, string(data))
	if err != nil {
		return err
	}
	return s.Response(fmt.Appendf(nil, "%d %d", g.pushed, g.room.casts))
}

// cast begins n broadcasts a second, or ends them, and returns how many there were.
func (r *rooms) cast(n int) int {
	total := make(chan int)
	r.n.app.Scheduler().PushTask(func() {
		r.every, r.since, r.sent = 0, time.Now(), 0
		if n > 0 {
			r.every = time.Second / time.Duration(n)
		}
		total <- r.total
	})
	return <-total
}

// tick makes the broadcasts that are due, to one room after the other.
func (r *rooms) tick() {
	for r.every > 0 && len(r.all) > 0 && r.sent < int(time.Since(r.since)/r.every) {
		in := r.all[r.next%len(r.all)]
		r.next++
		r.sent++
		r.total++
		in.casts++
		if err := in.group.Broadcast("onRoom", fmt.Appendf(nil, "%s %d", in.name, in.casts)); err != nil {
			r.fault("broadcast", "-", "%v", err)
		}
	}
}
