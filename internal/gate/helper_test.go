package gate

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// world is a gate with a scheduler and one component, T.
type world struct {
	*Gate
	sched   *scheduler.Scheduler
	log     *nanotest.Log
	tcp, ws *nanotest.Listener
	opened  chan *session.Session
	closed  atomic.Int32
	slow    *Slow
}

// Echoes is what the gate serves as T.
type Echoes struct{ component.Base }

// Echo answers with what it got.
func (*Echoes) Echo(s *session.Session, data []byte) error { return s.Response(data) }

// Typed answers with what it got.
func (*Echoes) Typed(s *session.Session, text *string) error { return s.Response(text) }

// Slow is what the gate serves as W, on a scheduler of its own.
type Slow struct {
	component.Base
	sched         *scheduler.Scheduler
	waits, goesOn chan struct{}
	served        atomic.Int32
}

// Wait holds the scheduler up until it may go on.
func (w *Slow) Wait(*session.Session, []byte) error {
	w.waits <- struct{}{}
	<-w.goesOn
	return nil
}

// Count counts.
func (w *Slow) Count(*session.Session, []byte) error {
	w.served.Add(1)
	return nil
}

// newWorld makes a gate with an endpoint of each kind in memory, until the test ends.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{sched: scheduler.New(), tcp: nanotest.NewListener(), ws: nanotest.NewListener(), opened: make(chan *session.Session, 100_000)}
	var logger *slog.Logger
	logger, w.log = nanotest.NewLog()
	var ids atomic.Int64
	cfg := Config{
		Portable: nanotest.Portable(), MaxPacket: 64 << 10, MaxHeader: 16 << 10, Heartbeat: time.Second, MissedBeats: 3, HandshakeTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		FlushTimeout: 2 * time.Second, SendQueue: 4 << 20, Serializer: json.NewSerializer(), Log: logger,
		InitLane:   func(l *scheduler.Lane) { w.sched.InitLane(l, 256) },
		NewSession: func(e session.NetworkEntity) *session.Session { return session.NewWithID(e, ids.Add(1)) },
		Opened:     func(s *session.Session) { w.opened <- s },
		Closed:     func(*session.Session) { w.closed.Add(1) },
		Bind:       func(*session.Session, int64) error { return nil },
		Unbind:     func(*session.Session, int64) {},
	}
	for _, c := range change {
		c(&cfg)
	}
	cs := &component.Components{}
	cs.Register(&Echoes{}, component.WithName("T"))
	w.slow = &Slow{sched: scheduler.New(), waits: make(chan struct{}), goesOn: make(chan struct{})}
	cs.Register(w.slow, component.WithName("W"), component.WithScheduler(w.slow.sched))
	services, err := cs.Services()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Table, err = dispatch.New(dispatch.Config{
		Services: services, Scheduler: w.sched, Serializer: cfg.Serializer, Pipeline: cfg.Pipeline,
		Dictionary: cfg.Dictionary, MaxPayload: cfg.MaxPacket, Log: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.Gate, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := w.sched.Configure(scheduler.WithBatch(w.BatchBegin, w.BatchEnd), scheduler.WithIdle(w.Help), scheduler.WithStall(time.Millisecond, w.Stalled)); err != nil {
		t.Fatal(err)
	}
	w.sched.Start()
	w.slow.sched.Start()
	w.ServeTCP(w.tcp, nil)
	w.ServeWebSocket(w.ws, "/", nil)
	t.Cleanup(func() {
		w.StopAccepting()
		w.KickAll("over")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		w.slow.sched.Close()
		if err := w.slow.sched.Wait(ctx); err != nil {
			t.Error(err)
		}
		w.sched.Close()
		if err := w.sched.Wait(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

// dial connects by either kind.
func (w *world) dial(t *testing.T, websocket bool) *nanotest.Client {
	t.Helper()
	if websocket {
		return w.ws.WebSocket(t)
	}
	return w.tcp.Client(t)
}

// join connects, shakes hands with body, and returns the session too.
func (w *world) join(t *testing.T, websocket bool, body string) (*nanotest.Client, *session.Session) {
	t.Helper()
	c := w.dial(t, websocket)
	c.Ready(body)
	return c, <-w.opened
}
