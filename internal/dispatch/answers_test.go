package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// A client gets one answer to a request: a handler that answers and then returns an error makes no
// second one, and the next request of the same id gets its own.
func TestOneAnswerPerRequest(t *testing.T) {
	var a Answers
	if a.LastMid() != 0 || a.Answered() != 0 || a.TakeAnswer(0) {
		t.Error("something is answered before anything has come")
	}
	for _, c := range []struct {
		what string
		do   func()
		mid  uint64 // fails then
		want bool   // it is answered with an error
	}{
		{"a handler returns an error", func() { a.Enter(7) }, 7, true},
		{"it fails twice", func() {}, 7, false},
		{"the id is used again", func() { a.Enter(7) }, 7, true},
		{"a handler has answered", func() { a.Enter(8); a.NoteAnswer(8) }, 8, false},
		{"an earlier request is answered late", func() { a.Enter(9); a.NoteAnswer(8) }, 9, true},
		{"an earlier request fails late", func() { a.Enter(10) }, 4, true},
		{"and that of the handler after it", func() {}, 10, true},
		{"a notify fails", func() { a.Enter(0) }, 0, false},
	} {
		c.do()
		if got := a.TakeAnswer(c.mid); got != c.want {
			t.Errorf("%s: an error is sent: %v", c.what, got)
		}
	}
}

// A handler that has let others run goes on with its own request, and knows whether that has its
// answer.
func TestReturnToARequest(t *testing.T) {
	for _, answered := range []bool{false, true} {
		var a Answers
		a.Enter(3)
		if answered {
			a.NoteAnswer(3)
		}
		was := a.Answered()
		a.Enter(4) // another handler of the session
		a.NoteAnswer(4)
		a.Return(3, was)
		if a.LastMid() != 3 {
			t.Errorf("the handler works on %d now", a.LastMid())
		}
		if got := a.TakeAnswer(3); got == answered {
			t.Errorf("answered before: %v; an error is sent: %v", answered, got)
		}
	}
}

// A request that fails in two places at the same moment gets one error.
func TestARequestFailsOnce(t *testing.T) {
	var a Answers
	for mid := uint64(1); mid <= 1000; mid++ {
		a.Enter(mid)
		var sent atomic.Int32
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if a.TakeAnswer(mid) {
					sent.Add(1)
				}
			})
		}
		both.Wait()
		if sent.Load() != 1 {
			t.Fatalf("%d errors were sent", sent.Load())
		}
	}
}

// A client changes the gate while its request waits here, or while the handler of it runs: it gets
// the one answer to that request.
func TestHandlerOfASessionThatMoves(t *testing.T) {
	for _, during := range []bool{false, true} {
		from, to := &answering{peer: newPeer()}, &answering{peer: newPeer()}
		s := session.NewWithID(from, 1)
		from.s, to.s = s, s
		handle := func(s *session.Session) error {
			if during {
				Rehome(s, to)
			}
			return s.ResponseMID(s.LastMid(), "by itself")
		}
		comps := raw("Room.Tell", func(_ context.Context, s *session.Session, _ []byte) error { return handle(s) })
		comps.Register(&Movers{handle: handle})
		b := newBench(t, comps)
		batch := b.Begin()
		batch.Add(from, request(9, "Room.Tell", "{}"))
		batch.Add(from, request(10, "Movers.Ask", "{}"))
		if batch.Submit(); !during {
			Rehome(s, to)
		}
		b.finish()
		if got := to.Responses(); len(got) != 2 || got[0].MID != 9 || got[1].MID != 10 || len(from.Responses()) > 0 {
			t.Errorf("while the handler runs: %v; answers %+v, and %+v at the gate before", during, got, from.Responses())
		}
	}
}

// Movers has a handler with a reply that answers by itself.
type Movers struct {
	component.Base
	handle func(*session.Session) error
}

func (m *Movers) Ask(s *session.Session, _ *Ask) (*Told, error) { return nil, m.handle(s) }
