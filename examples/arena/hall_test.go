package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// house is a hall in a bubble of time, with schedulers that run but no node. The bubble ends when
// all of its goroutines have: a room that leaves one behind hangs the test.
type house struct {
	*Hall
	t      *testing.T
	scheds []*scheduler.Scheduler // of all rooms that there were
	claims []*Claim
}

func inHouse(t *testing.T, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{Hall: newHall("here", "here:1", 3), t: t}
		h.sched = scheduler.New()
		h.Hall.make = func(name string) *scheduler.Scheduler {
			s := scheduler.New(scheduler.WithName(name))
			h.scheds = append(h.scheds, s)
			return s
		}
		h.claim = func(c *Claim) { h.claims = append(h.claims, c) }
		h.seed = func() uint64 { return 1 }
		h.sched.Start()
		test(t, h)
		h.BeforeShutdown()
		h.sched.Close()
		_ = h.sched.Wait(t.Context())
	})
}

// on runs something on the hall's scheduler, and waits for it.
func (h *house) on(what func()) {
	done := make(chan struct{})
	h.sched.PushTask(func() {
		defer close(done)
		what()
	})
	<-done
}

// guest is a person whose session is that of a node: welcomed, and closed as one.
func (h *house) guest() *person {
	p := newPerson()
	welcome(p.s, h.sched)
	return p
}

func (h *house) join(p *person, room string) (err error) {
	h.on(func() { p.reply, err = h.Join(p.s.Context(), p.s, &JoinRequest{Room: room, Name: "Ada"}) })
	return err
}

func (h *house) mustJoin(p *person, room string) *person {
	h.t.Helper()
	if err := h.join(p, room); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// hangUp is what a node does when a connection ends.
func (h *house) hangUp(p *person) {
	life := session.NewLifetime()
	life.OnClosed(h.gone)
	p.s.SetLifetime(life)
	h.on(func() { life.Close(p.s) })
}

func (h *house) rooms() (names map[string]int) {
	names = make(map[string]int)
	h.on(func() {
		for _, l := range h.list() {
			names[l.Name] = l.People
		}
	})
	return names
}

func (h *house) wantRooms(want map[string]int) {
	h.t.Helper()
	if got := h.rooms(); fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("rooms %v, want %v", got, want)
	}
}

// A room plays from the first who comes until the last has gone, and then there is nothing left of
// it.
func TestTheLifeOfARoom(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		ada := h.mustJoin(h.guest(), "Garden")
		ben := h.mustJoin(h.guest(), "garden") // the same one
		h.wantRooms(map[string]int{"Garden": 2})
		if ada.reply.Room != "Garden" || ben.reply.Room != "Garden" || len(h.claims) != 1 {
			t.Errorf("%+v, %+v, %d claims", ada.reply, ben.reply, len(h.claims))
		}
		time.Sleep(time.Second + tick/2)
		synctest.Wait()
		if n := len(pushes[[]byte](ada, pushState)); n != sim.Rate {
			t.Errorf("%d snapshots in a second, want %d", n, sim.Rate)
		}

		h.on(func() { _, _ = h.Leave(ada.s.Context(), ada.s, &Empty{}) })
		h.wantRooms(map[string]int{"Garden": 1})
		seen := len(ada.Pushes())
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(ada.Pushes()); n != seen {
			t.Errorf("after Leave has answered there came %d pushes", n-seen)
		}
		h.on(func() { _, _ = h.Leave(ben.s.Context(), ben.s, &Empty{}) })
		time.Sleep(2 * tick)
		synctest.Wait()
		h.wantRooms(map[string]int{})
		if st := h.scheds[0].Stats(); st.Timers != 0 || st.Queued != 0 {
			t.Errorf("its scheduler: %+v", st)
		}
		h.scheds[0].PushTask(func() { t.Error("it still runs") })
		if n := len(h.where) + len(h.busy); n != 0 {
			t.Errorf("%d sessions are still noted", n)
		}
	})
}

// Of those whose connections break the room keeps the places, but not for ever, and then it ends as
// well.
func TestEverybodyIsLost(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		ada := h.mustJoin(h.guest(), "garden")
		h.hangUp(ada)
		h.wantRooms(map[string]int{"garden": 0})
		time.Sleep(9 * time.Second)
		again := h.guest()
		h.on(func() {
			again.reply, _ = h.Join(again.s.Context(), again.s, &JoinRequest{Room: "garden", Name: "Ada", Token: ada.reply.Token})
		})
		if !again.reply.Back || again.reply.You != ada.reply.You {
			t.Fatalf("back she has %+v", again.reply)
		}
		h.hangUp(again)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		h.wantRooms(map[string]int{})
	})
}

// Rooms do not wait for each other, nor does the hall for one: that is why each has a scheduler.
func TestARoomThatHangsHoldsUpNobodyElse(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		ada := h.mustJoin(h.guest(), "stuck")
		ben := h.mustJoin(h.guest(), "lively")
		release := make(chan struct{})
		h.scheds[0].PushTask(func() { <-release })
		before := len(pushes[[]byte](ben, pushState))
		waits := h.guest()
		joined := make(chan struct{})
		h.sched.PushTask(func() {
			defer close(joined)
			waits.reply, _ = h.Join(waits.s.Context(), waits.s, &JoinRequest{Room: "stuck", Name: "Chiara"})
		})
		time.Sleep(time.Second + tick/2)
		h.mustJoin(h.guest(), "another")
		synctest.Wait()
		if n := len(pushes[[]byte](ben, pushState)) - before; n != sim.Rate {
			t.Errorf("meanwhile the other room had %d ticks, want %d", n, sim.Rate)
		}
		if waits.reply != nil {
			t.Error("somebody got into the room that hangs")
		}
		// Somebody is on the way into it: that it was empty a moment ago is no reason to end it.
		h.on(func() { _ = h.take(ada.s); h.deserted(h.Hall.rooms["stuck"]) })
		h.wantRooms(map[string]int{"another": 1, "lively": 1, "stuck": 1})
		close(release)
		<-joined
		if waits.reply == nil || waits.reply.You == ada.reply.You {
			t.Errorf("then she has %+v", waits.reply)
		}
	})
}

// One session is in one room, whatever it asks for at once.
func TestChangingRooms(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		ada := h.mustJoin(h.guest(), "one")
		first := ada.s.Value(keyScheduler)
		h.mustJoin(ada, "two")
		time.Sleep(2 * tick)
		h.wantRooms(map[string]int{"two": 1})
		if second := ada.s.Value(keyScheduler); second == first || second != h.scheds[1] {
			t.Error("her messages do not go to the second room")
		}
		h.mustJoin(ada, "two")
		h.wantRooms(map[string]int{"two": 1})

		// She is in no other room before the old one has let her go: or it might still tell her of
		// its game.
		release := make(chan struct{})
		h.scheds[1].PushTask(func() { <-release })
		var reply *JoinReply
		h.sched.PushTask(func() { reply, _ = h.Join(ada.s.Context(), ada.s, &JoinRequest{Room: "three", Name: "Ada"}) })
		synctest.Wait()
		if reply != nil {
			t.Error("she is in a room, and the old one has not let her go")
		}
		close(release)
		synctest.Wait()
		if reply == nil || reply.Room != "three" {
			t.Fatalf("then she has %+v", reply)
		}

		// Two requests that do not wait for each other's answers.
		var errs [2]error
		h.on(func() {
			for i := range errs {
				h.sched.PushTask(func() {
					_, errs[i] = h.Join(ada.s.Context(), ada.s, &JoinRequest{Room: fmt.Sprint("room ", i), Name: "Ada"})
				})
			}
		})
		time.Sleep(tick)
		synctest.Wait()
		if errs[0] != nil {
			t.Error(errs[0])
		}
		wantCode(t, errs[1], component.CodeExhausted)
		h.wantRooms(map[string]int{"room 0": 1})
	})
}

// A message that was given to a room before its client changed rooms must not touch the new one.
func TestAMessageOfTheOldRoom(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		ada := h.mustJoin(h.guest(), "one")
		old := h.scheds[0]
		h.mustJoin(h.guest(), "one") // it stays open
		h.mustJoin(ada, "two")
		play, errs := &Play{}, make(chan error, 3)
		ping := func() {
			_, err := play.Ping(context.Background(), ada.s, &Ping{})
			errs <- err
		}
		for _, on := range []*scheduler.Scheduler{old, h.sched, h.scheds[1]} {
			on.PushTask(ping)
			err := <-errs
			if on == h.scheds[1] && err != nil {
				t.Errorf("on the room's own scheduler: %v", err)
			} else if on != h.scheds[1] {
				wantCode(t, err, component.CodeNotFound)
			}
		}
	})
}

// A connection may break at any moment: also while the room is being asked.
func TestClosedWhileJoining(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		h.mustJoin(h.guest(), "garden")
		release := make(chan struct{})
		h.scheds[0].PushTask(func() { <-release })
		ada := h.guest()
		var err error
		joined := make(chan struct{})
		h.sched.PushTask(func() {
			defer close(joined)
			ada.reply, err = h.Join(ada.s.Context(), ada.s, &JoinRequest{Room: "garden", Name: "Ada"})
		})
		synctest.Wait()
		h.hangUp(ada)
		<-joined
		if !errors.Is(err, session.ErrClosed) {
			t.Errorf("%+v, %v", ada.reply, err)
		}
		close(release)
		time.Sleep(11 * time.Second) // until her place, if she has one, is given up
		synctest.Wait()
		h.wantRooms(map[string]int{"garden": 1})
		if n := len(h.busy); n != 0 {
			t.Errorf("%d sessions are still busy", n)
		}
	})
}

// What clients may not do.
func TestRefusals(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		for _, c := range []struct {
			name string
			req  JoinRequest
		}{
			{"a room without a name", JoinRequest{Name: "Ada"}},
			{"a person without a name", JoinRequest{Room: "garden"}},
			{"a name that is too long", JoinRequest{Room: "garden", Name: "abcdefghijklmnopq"}},
			{"a token that is none", JoinRequest{Room: "garden", Name: "Ada", Token: string(make([]byte, maxToken+1))}},
		} {
			p := h.guest()
			var err error
			h.on(func() { _, err = h.Join(p.s.Context(), p.s, &c.req) })
			if err == nil {
				t.Error(c.name)
			}
			wantCode(t, err, component.CodeInvalid)
		}
		wantCode(t, h.Claim(h.guest().s, &Claim{Room: "garden"}), component.CodeRefused)
		h.wantRooms(map[string]int{})

		for i := range maxRooms {
			h.mustJoin(h.guest(), fmt.Sprint("room ", i))
		}
		wantCode(t, h.join(h.guest(), "one more"), codeFull)
		h.mustJoin(h.guest(), "room 7") // one that there is

		eve, refused := h.guest(), 0
		for range 2 * callBurst {
			if h.join(eve, "room 8") != nil {
				refused++
			}
		}
		if refused != callBurst {
			t.Errorf("of %d requests at once %d were refused, want %d", 2*callBurst, refused, callBurst)
		}
		time.Sleep(callEvery)
		h.mustJoin(eve, "room 8")
	})
}

// A room that another backend has as well is that one's.
func TestClaim(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		ada := h.mustJoin(h.guest(), "garden")
		h.mustJoin(h.guest(), "attic")
		node := session.NewWithID(mock.NewNetworkEntity(), 0)
		claim := func(room, addr string) {
			h.on(func() {
				if err := h.Hall.Claim(node, &Claim{room, addr}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		claim("garden", "here:1") // its own word
		claim("cellar", "there:1")
		h.wantRooms(map[string]int{"attic": 1, "garden": 1})

		// Somebody who is just being let in has to go as well.
		release := make(chan struct{})
		h.scheds[0].PushTask(func() { <-release })
		late, joined := h.guest(), make(chan struct{})
		var err error
		h.sched.PushTask(func() {
			defer close(joined)
			late.reply, err = h.Join(late.s.Context(), late.s, &JoinRequest{Room: "garden", Name: "Late"})
		})
		synctest.Wait()
		claim("GARDEN", "there:1")
		close(release)
		<-joined
		synctest.Wait() // until the room has told its people
		wantCode(t, err, component.CodeUnavailable)
		h.wantRooms(map[string]int{"attic": 1})
		if n := len(pushes[*Empty](ada, pushMoved)); n != 1 {
			t.Errorf("she was told %d times to go there", n)
		}
		if ada.s.Value(keyScheduler) != h.sched || ada.s.HasKey(keyRoom) {
			t.Error("her messages still go to the room")
		}
	})
}

// A backend that ends sends everybody away and leaves nothing running.
func TestTheEndOfABackend(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		people := []*person{h.mustJoin(h.guest(), "one"), h.mustJoin(h.guest(), "one"), h.mustJoin(h.guest(), "two")}
		h.BeforeShutdown()
		for _, p := range people {
			if n := len(pushes[*Empty](p, pushMoved)); n != 1 {
				t.Errorf("somebody was told %d times to go elsewhere", n)
			}
		}
		h.wantRooms(map[string]int{})
		wantCode(t, h.join(h.guest(), "three"), component.CodeUnavailable)
	})
}
