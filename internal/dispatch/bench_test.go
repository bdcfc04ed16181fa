package dispatch

import (
	"context"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
)

// mute is a client whose answers go nowhere and cost nothing.
type mute struct {
	mock.NetworkEntity
	s *session.Session
}

func (m *mute) Session() *session.Session           { return m.s }
func (m *mute) Enter(uint64)                        {}
func (m *mute) Fail(uint64, []byte)                 {}
func (m *mute) Response(any) error                  { return nil }
func (m *mute) ResponseMid(mid uint64, v any) error { return nil }

// flat is a serializer that costs nothing, so that what is measured is ours.
type flat struct{ serialize.Serializer }

func (flat) Unmarshal([]byte, any) error { return nil }

// Quiet has a handler of each form, and answers without a word.
type Quiet struct{ component.Base }

func (*Quiet) Raw(*session.Session, []byte) error                         { return nil }
func (*Quiet) RawContext(context.Context, *session.Session, []byte) error { return nil }
func (*Quiet) RawReply(_ *session.Session, b []byte) ([]byte, error)      { return b, nil }
func (*Quiet) Typed(*session.Session, *Ask) error                         { return nil }
func (*Quiet) TypedContext(context.Context, *session.Session, *Ask) error { return nil }
func (*Quiet) TypedReply(_ *session.Session, a *Ask) (*Ask, error)        { return a, nil }
func (*Quiet) TypedContextReply(_ context.Context, _ *session.Session, a *Ask) (*Ask, error) {
	return a, nil
}
func (*Quiet) ValueReply(_ *session.Session, a *Ask) (Ask, error) { return *a, nil }

type quietTable struct {
	*Table
	peer  *mute
	sched *scheduler.Scheduler
	done  chan struct{}
}

func newQuiet(tb testing.TB) *quietTable {
	cs := new(component.Components)
	cs.Register(new(Quiet))
	component.Handle(cs, "Quiet.Generic", func(_ context.Context, _ *session.Session, a *Ask) (*Ask, error) { return a, nil })
	component.HandleNotify(cs, "Quiet.GenericNotify", func(context.Context, *session.Session, *Ask) error { return nil })
	component.HandleRaw(cs, "Quiet.GenericRaw", func(context.Context, *session.Session, []byte) error { return nil })
	services, err := cs.Services()
	if err != nil {
		tb.Fatal(err)
	}
	q := &quietTable{peer: new(mute), done: make(chan struct{})}
	q.sched = scheduler.New(scheduler.WithBatch(nil, func() { q.Settle() }))
	q.peer.s = session.NewWithID(q.peer, 1)
	q.peer.s.Context() // made on demand, once a session
	if q.Table, err = New(Config{
		Services: services, Scheduler: q.sched, Serializer: flat{}, MaxPayload: codec.DefaultMaxPacket, Log: discardLog(),
	}); err != nil {
		tb.Fatal(err)
	}
	q.SettlesAtEndOfBatch()
	q.sched.Start()
	tb.Cleanup(q.sched.Close)
	return q
}

// run takes in n messages, 16 a read, and waits until their handlers have run.
func (q *quietTable) run(v codec.View, n int) {
	for n > 0 {
		k := min(n, 16)
		b := q.Begin()
		for range k {
			b.Add(q.peer, v)
		}
		b.Submit()
		n -= k
	}
	q.sched.PushTask(func() { q.done <- struct{}{} })
	<-q.done
}

var quietForms = []struct {
	name string
	most float64 // allocations a message: the payload's copy or the argument, and what the form cannot do without
}{
	{"Raw", 1},
	{"RawContext", 2}, // the context
	{"RawReply", 2},   // the reply in an interface
	{"Typed", 1},
	{"TypedContext", 2},
	{"TypedReply", 1},
	{"TypedContextReply", 2},
	{"ValueReply", 5}, // by reflection
	{"Generic", 2},
	{"GenericNotify", 2},
	{"GenericRaw", 2},
}

func quietView(name string) codec.View {
	return codec.View{Type: codec.Request, ID: 7, Route: []byte("Quiet." + name), Data: []byte("0123456789abcdef")}
}

// Garbage of the framework's is what makes a busy server pause: a raw handler costs its message and
// nothing else.
func TestAllocationsOfEachForm(t *testing.T) {
	if nanotest.Race {
		t.Skip("the race detector makes sync.Pool drop things")
	}
	const messages = 1600
	for _, f := range quietForms {
		q := newQuiet(t)
		v := quietView(f.name)
		q.run(v, messages) // pools and queues have their size now
		got := testing.AllocsPerRun(5, func() { q.run(v, messages) }) / messages
		if got > f.most+0.1 {
			t.Errorf("%s: %.2f allocations a message, want at most %.0f", f.name, got, f.most)
		}
	}
}

func BenchmarkDispatch(b *testing.B) {
	for _, f := range quietForms {
		b.Run(f.name, func(b *testing.B) {
			q := newQuiet(b)
			v := quietView(f.name)
			q.run(v, 1600)
			b.ReportAllocs()
			b.ResetTimer()
			q.run(v, b.N)
		})
	}
}
