package cluster_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/test/internal/apptest"
)

// One of the two gates of a handover dies before each of its frames in turn: the client is back in
// its session, at the gate where it has come or at the third, hears of a gap if there may be one,
// and what comes after that arrives once and in order. Nobody is left behind on the backend.
func TestGateDiesAtEachStepOfAHandover(t *testing.T) {
	steps := map[link.Kind]bool{link.Claim: true, link.Moved: true, link.Reply: true, link.SessionOpened: true, link.Adopt: true}
	for _, victim := range []string{"gate:1", "gate:2"} {
		died := true
		for step := int32(1); died; step++ {
			if step == 100 {
				t.Fatal("a handover has no end")
			}
			name := fmt.Sprintf("%s before frame %d", victim, step)
			t.Run(name, func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) { died = dieAt(t, f, steps, victim, step) })
			})
		}
	}
}

// dieAt has a client go from gate:1 to gate:2 while one of them dies. It reports whether it died
// before the client was in.
func dieAt(t *testing.T, f *apptest.Cluster, steps map[link.Kind]bool, victim string, step int32) bool {
	m := startMoves(t, f, true)
	tr := &traveller{m: m}
	tr.come("gate:1")
	tr.call("Room.Join", "7", "in")
	s := <-m.in
	id := s.ID()
	m.push(s, 1, 3)
	tr.wants(1, 3)
	synctest.Wait()
	var sent atomic.Int32
	dead := make(chan struct{})
	f.Watch(func(kind link.Kind) {
		if steps[kind] && sent.Add(1) == step {
			f.Kill(victim)
			close(dead)
		}
	})
	at2 := &traveller{m: m, token: tr.token, received: tr.received}
	type outcome struct{ answered, resumed bool }
	came := make(chan outcome, 1)
	go func() {
		answered, resumed := at2.try("gate:2")
		came <- outcome{answered, resumed}
	}()
	var got outcome
	died := false
	select {
	case got = <-came:
	case <-dead:
		if victim == "gate:1" {
			got = <-came
		}
	}
	f.Watch(nil)
	synctest.Wait() // it may have been about to die as the client was answered
	select {
	case <-dead:
		died = true
	default:
	}
	if died && victim == "gate:2" { // whatever it has said has not arrived
		got = outcome{}
	} else {
		tr = at2
	}
	for try := 0; !got.answered && try < 10; try++ {
		got.answered, got.resumed = tr.try("gate:3")
	}
	if !got.resumed {
		t.Fatalf("the client is answered %v, and hears %+v", got.answered, tr.said)
	}
	if tr.said.Gap && !died {
		t.Error("a gap, and nobody has died")
	}
	m.push(s, 4, 9)
	tr.wants(4, 9)
	tr.call("Ping.Pong", "here", "here")
	tr.Notify("Room.Say", []byte("still here"))
	synctest.Wait()
	if got := m.got.List(); len(got) != 1 {
		t.Errorf("the room got %q", got)
	}
	if s.Closed() || s.ID() != id || s.UID() != 7 || m.room.Count() != 1 {
		t.Errorf("session %d of user %d, closed %v, %d in the room", s.ID(), s.UID(), s.Closed(), m.room.Count())
	}
	tr.Close()
	time.Sleep(65 * time.Second) // two windows: of the gate, and of the backend when that gate is gone
	closed := 0
	for _, line := range m.told.List() {
		if strings.HasPrefix(line, "back closed") {
			closed++
		}
	}
	if opened := len(m.back.Opened()); opened != closed {
		t.Errorf("the backend has opened %d sessions, and closed %d: %q", opened, closed, m.told.List())
	}
	return died
}

// The machine of a gate loses its power: no connection is reset, and for a while everybody takes it
// for alive. Its clients try elsewhere until their sessions are found, and never hear that nobody
// knows them.
func TestClientOfAMachineWithoutPower(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMovesWith(t, f, true, 20*time.Second, nil)
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		s := <-m.in
		synctest.Wait()
		f.Freeze("gate:1")
		tr.Close()
		began, tries := time.Now(), 0
		for {
			tries++
			answered, resumed := tr.try("gate:2")
			if !answered {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			if !resumed || !tr.said.Gap {
				t.Fatalf("after %v: %+v", time.Since(began), tr.said)
			}
			break
		}
		if took := time.Since(began); tries < 2 || took > 80*time.Second {
			t.Errorf("it took %v and %d connections", took, tries)
		}
		m.push(s, 1, 4)
		tr.wants(1, 4)
		if s.Closed() || m.room.Count() != 1 {
			t.Error("the session has ended")
		}
		f.Thaw("gate:1")
	})
}
