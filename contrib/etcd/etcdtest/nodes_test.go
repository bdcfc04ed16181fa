package etcdtest

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// Room counts the requests of each session: one that was lost, and is another now, begins at 1.
type Room struct {
	component.Base
	counts map[int64]int
}

type Counted struct{ N int }

func (r *Room) Count(s *session.Session, _ *struct{}) error {
	r.counts[s.ID()]++
	return s.Response(Counted{r.counts[s.ID()]})
}

// world is a game on etcd: two gates, two backends, and players who ask all the time.
type world struct {
	*testing.T
	etcd    *Cluster
	nodes   []*node
	players sync.WaitGroup
	stop    chan struct{}
	answers atomic.Int64
}

type node struct {
	app *nano.App
	way *Proxies
	log *nanotest.Log
}

func (n *node) addr() string { return n.app.ServiceAddr().String() }

// beat is the nodes' heartbeat: four of them are more than a time to live, and etcd's second.
const beat = time.Second

// make makes a node; a gate has no components.
func (w *world) make(comps *component.Components) *node {
	w.Helper()
	n := &node{way: w.etcd.Proxies(w.T)}
	logger, log := nanotest.NewLog()
	n.log = log
	k, _ := newKeeper(w.T, n.way.Endpoints())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	options := []nano.Option{
		nano.WithKeeper(k), nano.WithServiceListener(l), nano.WithHeartbeatInterval(beat), nano.WithSerializer(json.NewSerializer()),
		nano.WithSlog(logger), nano.WithClusterToken("a token of the tests"),
	}
	if comps != nil {
		options = append(options, nano.WithComponents(comps))
	} else {
		options = append(options, nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}))
	}
	n.app = nano.New(l.Addr().String(), options...)
	return n
}

func room() *component.Components {
	cs := &component.Components{}
	cs.Register(&Room{counts: make(map[int64]int)})
	return cs
}

func (w *world) start(comps *component.Components) *node {
	w.Helper()
	n := w.make(comps)
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	if err := n.app.Start(ctx); err != nil {
		w.Fatal(err)
	}
	w.started(n)
	return n
}

func (w *world) started(n *node) {
	w.nodes = append(w.nodes, n)
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.app.Shutdown(ctx); err != nil {
			w.Errorf("shutdown: %v", err)
		}
		if w.Failed() {
			w.Logf("the log of %s: %q", n.addr(), n.log.Lines())
		}
	})
}

// newWorld starts the nodes, and players at both gates who play until the world ends.
func newWorld(t *testing.T) *world {
	w := &world{T: t, etcd: Start(t, 3, nil), stop: make(chan struct{})}
	gates := []*node{w.start(nil), w.start(nil)}
	w.start(room())
	w.start(room())
	w.meet(w.nodes...)
	for i := range 8 {
		w.play(gates[i%2])
	}
	t.Cleanup(func() {
		close(w.stop)
		w.players.Wait()
		t.Logf("%d requests were answered", w.answers.Load())
	})
	w.playOn()
	return w
}

// meet waits until each of these nodes knows just the others.
func (w *world) meet(nodes ...*node) {
	w.Helper()
	nanotest.Until(w.T, "all nodes know each other", func() bool {
		for _, n := range nodes {
			if len(n.app.Members()) != len(nodes)-1 {
				return false
			}
		}
		return true
	})
}

// play has one player ask until the world ends. Each answer counts one more, or a session was lost.
func (w *world) play(gate *node) {
	w.Helper()
	c, err := client.Dial(w.Context(), "tcp://"+gate.app.Addr().String())
	if err != nil {
		w.Fatal(err)
	}
	w.players.Go(func() {
		defer c.Close()
		for n := 1; ; n++ {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			got, err := client.Call[Counted](ctx, c, "Room.Count", struct{}{})
			cancel()
			if err != nil || got.N != n {
				w.Errorf("request %d of a player: %+v, %v", n, got, err)
				return
			}
			w.answers.Add(1)
			select {
			case <-w.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
}

// playOn waits until the players have got some more answers.
func (w *world) playOn() {
	w.Helper()
	enough := w.answers.Load() + 200
	nanotest.Until(w.T, "the players get answers", func() bool { return w.Failed() || w.answers.Load() >= enough })
}

// playFor lets the players play for some time: what happens in it must not be noticed.
func (w *world) playFor(d time.Duration) {
	w.Helper()
	for end := time.Now().Add(d); time.Now().Before(end) && !w.Failed(); {
		w.playOn()
	}
}

// keptAll fails if a node has lost another.
func (w *world) keptAll() {
	w.Helper()
	for _, n := range w.nodes {
		for _, line := range slices.Concat(n.log.Lines("node left"), n.log.Lines("node fell out of the list")) {
			w.Errorf("%s: %s", n.addr(), line)
		}
	}
}

// etcd is away entirely: no player notices, nobody is dropped, and a node that would join waits. It
// is in when etcd is back.
func TestEtcdIsAwayUnderLoad(t *testing.T) {
	for _, how := range []string{"killed", "cut off from the nodes"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			late := w.make(room())
			begin, end := func() { w.cut(true, late) }, func() { w.cut(false, late) }
			if how == "killed" {
				begin = func() {
					for i := range 3 {
						w.etcd.Kill(i)
					}
				}
				end = func() { w.etcd.Restart(0, 1, 2) }
			}
			begin()
			started := make(chan error, 1)
			go func() { started <- late.app.Start(t.Context()) }()
			w.playFor(4 * ttl)
			select {
			case err := <-started:
				t.Errorf("a node has joined without etcd: %v", err)
			default:
			}
			end()
			if err := <-started; err != nil {
				t.Fatal(err)
			}
			w.started(late)
			w.meet(w.nodes...)
			w.playFor(2 * ttl)
			w.keptAll()
			w.meet(w.nodes...)
		})
	}
}

// The leader of etcd is cut off from the other members, and the next one dies: while a majority
// lives, no player notices, and nodes join. On a slow machine a node may be too late for its time
// to live and fall out of the list for a moment: its sessions stay.
func TestAMemberOfEtcdIsLostUnderLoad(t *testing.T) {
	w := newWorld(t)
	lost := w.etcd.Leader()
	w.etcd.Cut(lost, true)
	w.playFor(ttl)
	w.etcd.Cut(lost, false)
	w.etcd.Kill(w.etcd.Leader())
	w.start(room())
	w.playFor(ttl)
	w.meet(w.nodes...)
}

// cut cuts all nodes off from etcd, or lets them reach it again.
func (w *world) cut(cut bool, more ...*node) {
	for _, n := range append(more, w.nodes...) {
		n.way.Cut(cut)
	}
}
