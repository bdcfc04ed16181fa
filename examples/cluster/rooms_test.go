//go:build unix

package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// A client that names one room to the gate and another to the backend must not open the second room
// elsewhere: its new owner would claim it, and everybody in the real one would lose their place.
func TestARoomIsOpenedOnItsBackendOnly(t *testing.T) {
	w := newWorld(t, 2, 1)
	dialed := func(name, room string) *client {
		c, err := dial(w.gates[0].tcp, t)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.close)
		c.name, c.room = name, room
		return c
	}
	ada := dialed("Ada", "plaza")
	if err := ada.join(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	elsewhere := dialed("scout", "")
	until(t, 5*time.Second, "no room is on the other backend", func() bool {
		elsewhere.room += "x"
		return elsewhere.join(time.Second) == nil && elsewhere.backend != ada.backend
	})

	bob := dialed("Bob", "plaza")
	enter := map[string]string{"room": elsewhere.room, "name": "Bob"}
	if err := bob.call("gate.enter", enter, &EnterReply{}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	var reply JoinReply
	if err := bob.call("chat.join", JoinRequest{Room: "plaza", Name: "Bob"}, &reply, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if reply.Addr != ada.backend || len(reply.People) != 2 {
		t.Errorf("Bob is in #plaza at %s with %v; Ada is at %s", reply.Addr, reply.People, ada.backend)
	}

	// Nor when the two come at once: the gate's handler and its reader run beside each other.
	for i := range 200 {
		go func() { _ = bob.call("gate.enter", enter, &EnterReply{}, 5*time.Second) }()
		if err := bob.call("chat.join", JoinRequest{Room: "plaza", Name: fmt.Sprint("Bob ", i)}, &reply, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if reply.Addr != ada.backend {
			t.Fatalf("Bob is in #plaza at %s; Ada is at %s", reply.Addr, ada.backend)
		}
	}
	if err := ada.call("chat.say", SayRequest{Text: "still here"}, &SayReply{}, 5*time.Second); err != nil {
		t.Errorf("Ada has lost her place: %v", err)
	}
	if ada.moved.Load() {
		t.Error("Ada was told that the room has moved")
	}
}

// joined connects a client to a gate, and has it join the room "room".
func (w *world) joined(t *testing.T, gate int, name string) *client {
	t.Helper()
	c, err := dial(w.gates[gate].tcp, t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.name, c.room = name, "room"
	if err := c.join(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	return c
}

// insist has a client say something until it was said: it may be held back, or told to join again.
func (c *client) insist(t *testing.T, text, ref string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := c.call("chat.say", SayRequest{Text: text, Ref: ref}, &SayReply{}, 5*time.Second)
		if err == nil {
			return
		}
		var e *callError
		if errors.As(err, &e) && e.Code == component.CodeNotFound {
			err = c.join(5 * time.Second)
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%s was not said: %v", text, err)
		}
	}
}

// heardAll returns what a client has heard, once each as a page shows it, in the order of said.
func (c *client) heardAll(said []string) (heard []string) {
	for _, m := range c.here[0].Recent {
		c.heard = append(c.heard, m.Text)
	}
	for _, text := range c.heard {
		if !slices.Contains(heard, text) {
			heard = append(heard, text)
		}
	}
	slices.SortFunc(heard, func(a, b string) int { return slices.Index(said, a) - slices.Index(said, b) })
	return heard
}

// A backend that is drained hands its rooms over with the people in them: no request fails, nobody
// is said to have come or gone, and nothing that was said is missing.
func TestADrainedBackendMovesItsRoomsWithTheirPeople(t *testing.T) {
	w := newWorld(t, 2, 2)
	quiet := w.joined(t, 0, "quiet") // who says nothing hears of it all the same
	speaker := w.joined(t, 1, "speaker")
	l := w.loadWithin(answerAtAll, clients, w.gates, "room")
	var said []string
	say := func() {
		said = append(said, fmt.Sprint("line ", len(said)+1))
		speaker.insist(t, said[len(said)-1], fmt.Sprint("ref ", len(said)))
	}
	until(t, 10*time.Second, "not everybody was said to have joined", func() bool {
		quiet.mu.Lock()
		defer quiet.mu.Unlock()
		return len(quiet.joined) == clients+1
	})
	say()
	began := l.mark()
	old := slices.IndexFunc(w.chats, func(p *process) bool { return p.addr == quiet.backend })
	w.signal(w.chats[old], syscall.SIGTERM)
	for moved := false; !moved && time.Since(began) < 20*time.Second; {
		say()
		quiet.mu.Lock()
		moved = len(quiet.here) > 0
		quiet.mu.Unlock()
	}
	select {
	case err := <-w.chats[old].ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the backend does not end")
	}
	say()
	l.report(t, "drain of a backend", began)
	wantNoFailure(t, l)

	until(t, 10*time.Second, "the last message was not heard", func() bool {
		quiet.mu.Lock()
		defer quiet.mu.Unlock()
		return slices.Contains(quiet.heard, said[len(said)-1])
	})

	quiet.mu.Lock()
	defer quiet.mu.Unlock()
	if len(quiet.here) != 1 {
		t.Fatalf("who says nothing heard of the room's move %d times", len(quiet.here))
	}
	if here := quiet.here[0]; here.Addr == quiet.backend || len(here.People) != clients+2 {
		t.Errorf("the room has moved to %s with %v", here.Addr, here.People)
	}
	if len(quiet.joined) != clients+1 || len(quiet.left) > 0 {
		t.Errorf("it was said that %v joined and %v left", quiet.joined, quiet.left)
	}
	if heard := quiet.heardAll(said); !slices.Equal(heard, said) {
		t.Errorf("heard %q, want %q", heard, said)
	}
}

// A session may be opened at the room's next backend before that has heard of the room, and who
// comes along may have closed on the way.
func TestSeatsOfARoomThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRooms("backend 2", "b:2")
		claims := 0
		c.all = func(string, any) { claims++ }
		ada, ben := mock.NewNetworkEntity(), mock.NewNetworkEntity()
		first, late := session.New(ada), session.New(ben)
		kept := &Keepsake{From: "b:1", Room: "Garden", Recent: []Message{{N: 7, At: 1, From: "Ada", Text: "hello"}}, Seats: []Seat{
			{first.ID(), Person{"Ada", "gate 1"}, 1}, {late.ID(), Person{"Ben", "gate 2"}, 2}, {-1, Person{"Cleo", "gate 2"}, 3},
		}}
		names := func(s *session.Session) (names []string) {
			for _, p := range personOf(s).room.people() {
				names = append(names, p.Name)
			}
			return names
		}
		here := func(e *mock.NetworkEntity) (n int) {
			for _, p := range e.Pushes() {
				if p.Route == pushHere {
					n++
				}
			}
			return n
		}
		c.arrive(first)
		if _, err := c.Ping(t.Context(), first, &Empty{}); err == nil || claims > 0 {
			t.Errorf("before anything is known of the room: %v", err)
		}
		if err := c.keep(t.Context(), nil, kept); err != nil {
			t.Fatal(err)
		}
		if here(ada) != 1 || claims != 1 || !slices.Equal(names(first), []string{"Ada", "Ben", "Cleo"}) {
			t.Fatalf("Ada was told %d times, with %v; %d claims", here(ada), names(first), claims)
		}
		c.arrive(late)
		if here(ben) != 1 || claims != 1 || !slices.Equal(names(late), []string{"Ada", "Ben", "Cleo"}) {
			t.Errorf("Ben was told %d times, with %v; %d claims", here(ben), names(late), claims)
		}
		for _, more := range [][]Message{{{N: 8, At: 2, From: "Ben", Text: "on the way"}}, {{N: 8, At: 2, From: "Ben", Text: "on the way"}}} {
			if err := c.keep(t.Context(), nil, &Keepsake{From: "b:1", Room: "garden", Recent: more}); err != nil {
				t.Fatal(err)
			}
		}
		if recent := personOf(late).room.recent; len(recent) != 2 || recent[1].Text != "on the way" {
			t.Errorf("what was said: %v", recent)
		}
		time.Sleep(comesWithin + time.Second)
		c.forget(time.Now())
		pushes := ada.Pushes()
		if last, ok := pushes[len(pushes)-1].Value.(People); !ok || last.Left != "Cleo" || len(last.People) != 2 {
			t.Errorf("of who has not come: %v", pushes[len(pushes)-1])
		}
	})
}

// A backend that has lived through many drains of others still takes over what was said in a room:
// it forgets rooms of long ago, and none with which people are on their way.
func TestOldRoomsMakePlaceForThoseThatMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRooms("backend 2", "b:2")
		c.all = func(string, any) {}
		keep := func(i int, seats ...Seat) {
			t.Helper()
			said := []Message{{N: 1, At: int64(i), From: "Ada", Text: "hello"}}
			if err := c.keep(t.Context(), nil, &Keepsake{From: "b:1", Room: fmt.Sprint("room ", i), Recent: said, Seats: seats}); err != nil {
				t.Fatal(err)
			}
		}
		keep(0, Seat{Session: -1, Person: Person{Name: "Cleo"}})
		for i := 1; i <= 2*maxRooms; i++ {
			keep(i)
		}
		for name, want := range map[string]bool{
			"room 0": true, "room 1": false, fmt.Sprint("room ", maxRooms): false, fmt.Sprint("room ", maxRooms+2): true, fmt.Sprint("room ", 2*maxRooms): true,
		} {
			if got := c.kept[name] != nil; got != want {
				t.Errorf("%s is known: %v", name, got)
			}
		}
		if len(c.kept) != maxRooms {
			t.Errorf("%d rooms are known, want %d", len(c.kept), maxRooms)
		}
	})
}
