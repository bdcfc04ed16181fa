package cluster_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

var (
	wanderers  = flag.Int("handover.clients", 20, "clients of TestNothingIsLostBetweenGates")
	wanderTime = flag.Duration("handover.time", 2*time.Second, "for how long they go from gate to gate")
)

// seat is what the room knows of one client, and keeps in the session.
type seat struct {
	mu     sync.Mutex
	sess   *session.Session
	pushed uint64
	got    uint64
	wrong  []string
}

func (s *seat) next(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != s.got+1 && len(s.wrong) < 5 {
		s.wrong = append(s.wrong, fmt.Sprintf("message %d after %d", n, s.got))
	}
	s.got = n
}

// wanderer is a client that goes from gate to gate.
type wanderer struct {
	*client.Client
	pushes, casts atomic.Uint64 // the last of each
	moves, gaps   atomic.Int64

	mu    sync.Mutex
	nc    net.Conn
	wrong []string
}

func (w *wanderer) fault(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 5 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, a...))
	}
}

func newWanderer(gates []*apptest.Node) *wanderer {
	w := new(wanderer)
	dial := func(context.Context, string, string) (net.Conn, error) {
		nc, err := gates[rand.IntN(len(gates))].TCP.Dial()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.nc = nc
		return nc, err
	}
	w.Client = client.New("tcp://gate:1", client.WithDialer(dial), client.WithRequestTimeout(time.Minute), client.WithSlog(nil),
		client.WithReconnect(client.Reconnect{Min: time.Millisecond, Max: 5 * time.Millisecond}),
		client.WithStateHandler(func(ch client.Change) {
			switch {
			case ch.Lost != "":
				w.fault("session lost: %s", ch.Lost)
			case ch.Gap: // a node did not answer in time, and it was said: what it sent may be lost
				w.gaps.Add(1)
			case ch.Resumed:
				w.moves.Add(1)
			}
		}))
	in := func(last *atomic.Uint64, what string) func([]byte) {
		return func(data []byte) {
			n, before := binary.BigEndian.Uint64(data), last.Load()
			if n != before+1 && before != 0 { // it may have joined late
				w.fault("%s %d after %d", what, n, before)
			}
			last.Store(n)
		}
	}
	w.On("push", in(&w.pushes, "push"))
	w.On("cast", in(&w.casts, "broadcast"))
	return w
}

// cut ends the connection; half of the time the gate does not notice before the client is
// elsewhere.
func (w *wanderer) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nc != nil {
		_ = w.nc.Close()
	}
}

// run sends numbered requests and notifies until stop is closed, and returns how many.
func (w *wanderer) run(stop <-chan struct{}) (sent uint64) {
	answered := make(chan struct{}, 1<<16)
	asked := 0
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			for range asked {
				<-answered
			}
			return sent
		case <-tick.C:
		}
		data := binary.BigEndian.AppendUint64(nil, sent+1)
		var err error
		if sent%3 == 0 {
			err = w.Notify(context.Background(), "Hall.Tell", data)
		} else if err = w.Start("Hall.Ask", data, func(got []byte, err error) {
			if err != nil || string(got) != string(data) {
				w.fault("answer % x to % x: %v", got, data, err)
			}
			answered <- struct{}{}
		}); err == nil {
			asked++
		}
		if err != nil {
			w.fault("send %d: %v", sent+1, err)
			continue
		}
		sent++
	}
}

// Clients that change the gate all the time, while requests, notifies, pushes and broadcasts are
// under way, notice nothing: nothing is lost, doubled or out of order, each request has one answer,
// and no session ends.
func TestNothingIsLostBetweenGates(t *testing.T) {
	for _, serving := range []bool{false, true} {
		t.Run(fmt.Sprintf("gates serve %v", serving), func(t *testing.T) { testWanderers(t, serving) })
	}
}

// hall is a cluster whose members are in one group, each in a seat, at one of three gates.
type hall struct {
	group   *nano.Group
	seats   []*seat
	over    atomic.Bool // sessions may end
	joining sync.Mutex
	gates   []*apptest.Node
}

func (h *hall) handlers() *component.Components {
	return apptest.Handlers(apptest.Funcs{
		"Hall.Join": func(_ context.Context, s *session.Session, data []byte) error {
			seat := h.seats[binary.BigEndian.Uint64(data)]
			h.joining.Lock()
			defer h.joining.Unlock()
			seat.mu.Lock()
			defer seat.mu.Unlock()
			if seat.sess != nil {
				seat.wrong = append(seat.wrong, "joined twice")
			}
			seat.sess = s
			s.Set("seat", seat)
			if err := s.Bind(int64(binary.BigEndian.Uint64(data)) + 1); err != nil {
				return err
			}
			if err := h.group.Add(s); err != nil {
				return err
			}
			return s.Response([]byte("in"))
		},
		"Hall.Open": func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) },
		"Hall.Ask": func(_ context.Context, s *session.Session, data []byte) error {
			s.Value("seat").(*seat).next(binary.BigEndian.Uint64(data))
			return s.Response(data)
		},
		"Hall.Tell": func(_ context.Context, s *session.Session, data []byte) error {
			s.Value("seat").(*seat).next(binary.BigEndian.Uint64(data))
			return nil
		},
	})
}

// watch has no session of a node end while the test runs.
func (h *hall) watch(n *apptest.Node) *apptest.Node {
	n.Lifetime().OnClosed(func(s *session.Session) {
		if seat, ok := s.Value("seat").(*seat); ok && !h.over.Load() {
			seat.mu.Lock()
			defer seat.mu.Unlock()
			seat.wrong = append(seat.wrong, n.Addr+" closed: "+s.CloseReason().String())
		}
	})
	return n
}

// start starts the nodes: the handlers are at the master, or at the first gate.
func (h *hall) start(t *testing.T, f *apptest.Cluster, serving bool) {
	t.Helper()
	back := new(component.Components)
	if !serving {
		back = h.handlers()
	}
	// A node that gets no processor for a while is not dead: this is no test of that.
	patient := nano.WithHeartbeatInterval(20 * time.Second)
	nodes := []*apptest.Node{h.watch(f.Start(t, apptest.Master, back, apptest.Quiet(), patient))}
	for i := range 3 {
		comps := new(component.Components)
		if serving && i == 0 {
			comps = h.handlers()
		}
		g := h.watch(f.Start(t, fmt.Sprintf("gate:%d", i+1), comps, apptest.Quiet(), patient, nano.WithResume(nano.Resume{Window: time.Minute, Buffer: 4 << 20})))
		h.gates, nodes = append(h.gates, g), append(nodes, g)
	}
	for _, n := range nodes {
		nanotest.Until(t, n.Addr+" knows all others", func() bool { return len(n.Members()) == len(nodes)-1 })
	}
	for _, g := range h.gates {
		nanotest.Until(t, g.Addr+" reaches the hall", func() bool {
			return g.Call(t.Context(), "Hall.Open", []byte{}, nil) == nil
		})
	}
}

// wander has the clients change their gates for a time, while they are pushed to. It returns how
// many broadcasts there were.
func (h *hall) wander(t *testing.T, all []*wanderer) (cast uint64) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(*wanderTime); time.Now().Before(until); <-tick.C {
		for _, seat := range h.seats {
			if err := seat.sess.Push("push", binary.BigEndian.AppendUint64(nil, seat.pushed+1)); err != nil {
				t.Errorf("push: %v", err)
			}
			seat.pushed++
		}
		if err := h.group.Broadcast("cast", binary.BigEndian.AppendUint64(nil, cast+1)); err != nil {
			t.Errorf("broadcast: %v", err)
		}
		cast++
		all[rand.IntN(len(all))].cut()
	}
	return cast
}

func testWanderers(t *testing.T, serving bool) {
	h := &hall{group: nano.NewGroup("hall"), seats: make([]*seat, *wanderers)}
	h.start(t, &apptest.Cluster{Fabric: nanotest.NewFabric()}, serving)
	stop := make(chan struct{})
	var running sync.WaitGroup
	all := make([]*wanderer, *wanderers)
	sent := make([]uint64, len(all))
	for i := range all {
		h.seats[i], all[i] = new(seat), newWanderer(h.gates)
	}
	for i, w := range all {
		if err := w.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		var in []byte
		if err := w.Request(t.Context(), "Hall.Join", binary.BigEndian.AppendUint64(nil, uint64(i)), &in); err != nil {
			t.Fatal(err)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			sent[i] = w.run(stop)
		}()
	}
	cast := h.wander(t, all)
	close(stop)
	running.Wait()
	moves := int64(0)
	for i, w := range all {
		seat := h.seats[i]
		if w.gaps.Load() > 0 {
			t.Logf("client %d: the machine was too slow, and a gap was said", i)
			continue
		}
		nanotest.Until(t, fmt.Sprintf("client %d has everything", i), func() bool {
			return w.pushes.Load() == seat.pushed && w.casts.Load() == cast && seat.last() == sent[i] || len(w.faults()) > 0
		})
		for _, wrong := range append(w.faults(), seat.faults()...) {
			t.Errorf("client %d: %s", i, wrong)
		}
		moves += w.moves.Load()
	}
	h.over.Store(true)
	if h.group.Count() != len(all) {
		t.Errorf("%d in the hall", h.group.Count())
	}
	if moves == 0 {
		t.Error("nobody has moved")
	}
	t.Logf("%d comebacks, %d pushes and broadcasts for each", moves, 2*cast)
}

func (s *seat) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func (s *seat) faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.wrong...)
}

func (w *wanderer) faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.wrong...)
}
