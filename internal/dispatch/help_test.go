package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// peer is a client that accepts errors, without a network.
type peer struct {
	*mock.NetworkEntity
	s *session.Session

	mu     sync.Mutex
	fails  map[uint64][]string
	refuse error // of ResponseMid
}

func newPeer() *peer {
	p := &peer{NetworkEntity: mock.NewNetworkEntity(), fails: map[uint64][]string{}}
	p.s = session.NewWithID(p, 1)
	return p
}

func (p *peer) Session() *session.Session { return p.s }
func (p *peer) Enter(mid uint64)          { p.SetLastMid(mid) }

func (p *peer) ResponseMid(mid uint64, v any) error {
	if p.refuse != nil {
		return p.refuse
	}
	return p.NetworkEntity.ResponseMid(mid, v)
}

func (p *peer) Fail(mid uint64, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails[mid] = append(p.fails[mid], string(payload))
}

// failure is the one error that request mid was answered with.
func (p *peer) failure(t *testing.T, mid uint64) *Failure {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fails[mid]) != 1 {
		t.Fatalf("request %d has %d error answers, want 1", mid, len(p.fails[mid]))
	}
	f := new(Failure)
	if err := json.NewSerializer().Unmarshal([]byte(p.fails[mid][0]), f); err != nil {
		t.Fatalf("the error's payload is %q: %v", p.fails[mid][0], err)
	}
	return f
}

// bench is a table with all around it.
type bench struct {
	*Table
	sched *scheduler.Scheduler
	log   *nanotest.Log
	peer  *peer
}

// newBench makes one of components; conf may change the configuration.
func newBench(t testing.TB, comps *component.Components, conf ...func(*Config)) *bench {
	t.Helper()
	services, err := comps.Services()
	if err != nil {
		t.Fatal(err)
	}
	logger, log := nanotest.NewLog()
	b := &bench{sched: scheduler.New(), log: log, peer: newPeer()}
	cfg := Config{
		Services: services, Scheduler: b.sched, Serializer: json.NewSerializer(), MaxPayload: codec.DefaultMaxPacket, Log: logger,
	}
	for _, f := range conf {
		f(&cfg)
	}
	if b.Table, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) start() { b.sched.Start() }

// add takes one message in, as one read.
func (b *bench) add(v codec.View) {
	batch := b.Begin()
	batch.Add(b.peer, v)
	batch.Submit()
}

// finish runs everything that was taken in.
func (b *bench) finish() {
	b.sched.Start()
	b.end()
}

// end waits until the scheduler has run what it has.
func (b *bench) end() { finish(b.sched) }

// finish ends a scheduler, and waits until it has run what it has.
func finish(s *scheduler.Scheduler) {
	s.Close()
	_ = s.Wait(context.Background())
}

func request(mid uint64, route, data string) codec.View {
	return codec.View{Type: codec.Request, ID: mid, Route: []byte(route), Data: []byte(data)}
}

func notify(route, data string) codec.View {
	return codec.View{Type: codec.Notify, Route: []byte(route), Data: []byte(data)}
}

// seen is a list that several goroutines write.
type seen[T any] struct {
	mu  sync.Mutex
	all []T
}

func (s *seen[T]) add(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, v)
}

func (s *seen[T]) list() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// raw registers one raw handler.
func raw(route string, fn func(ctx context.Context, s *session.Session, data []byte) error, opts ...component.Option) *component.Components {
	cs := new(component.Components)
	component.HandleRaw(cs, route, fn, opts...)
	return cs
}

// keeper is a serializer that keeps what it is given, as flat formats do.
type keeper struct{ serialize.Serializer }

type kept struct{ Data []byte }

func (keeper) Unmarshal(data []byte, v any) error {
	v.(*kept).Data = data
	return nil
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
