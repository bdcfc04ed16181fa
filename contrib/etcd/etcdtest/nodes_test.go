package etcdtest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/cluster/keeper"
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

// keptAll fails if a node has lost another than those.
func (w *world) keptAll(but ...string) {
	w.Helper()
	for _, n := range w.nodes {
		for _, line := range slices.Concat(n.log.Lines("node left"), n.log.Lines("node fell out of the list")) {
			if !slices.ContainsFunc(but, func(addr string) bool { return strings.Contains(line, addr) }) {
				w.Errorf("%s: %s", n.addr(), line)
			}
		}
	}
}

// ghost enters a node in the list that is nothing but an entry, and returns its death.
func (w *world) ghost(addr string, epoch uint64) (die func()) {
	w.Helper()
	k, _ := newKeeper(w.T, w.etcd.Endpoints())
	ctx, cancel := context.WithCancel(w.Context())
	if _, err := k.Join(ctx, keeper.Member{Addr: addr, Epoch: epoch}); err != nil {
		w.Fatal(err)
	}
	w.knows(addr, true)
	return cancel
}

// knows waits until all nodes know one with this address, or do not.
func (w *world) knows(addr string, known bool) {
	w.Helper()
	nanotest.Until(w.T, fmt.Sprintf("all know %s: %v", addr, known), func() bool {
		for _, n := range w.nodes {
			if n.addr() != addr && slices.Contains(n.app.Members(), addr) != known {
				return false
			}
		}
		return true
	})
}

// Members of etcd are killed, hang, and are cut off, one at a time. While a majority lives, no
// player notices, nodes come, and the dead are dropped.
func TestMembersOfEtcdDieUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	w := newWorld(t)
	var ghosts []string
	for i, trouble := range []struct {
		name       string
		begin, end func(member int)
	}{
		{"killed", w.etcd.Kill, func(m int) { w.etcd.Restart(m) }},
		{"hung", func(m int) { w.etcd.Hang(m, true) }, func(m int) { w.etcd.Hang(m, false) }},
		{"cut off", func(m int) { w.etcd.Cut(m, true) }, func(m int) { w.etcd.Cut(m, false) }},
	} {
		leader := w.etcd.Leader()
		ghost := fmt.Sprintf("127.0.0.1:%d", i+1)
		ghosts = append(ghosts, ghost)
		die := w.ghost(ghost, uint64(i+1))
		began := time.Now()
		trouble.begin(leader)
		n := w.start(room())
		w.knows(n.addr(), true)
		t.Logf("etcd's leader was %s: a node has joined %v later", trouble.name, time.Since(began).Round(time.Millisecond))
		die()
		w.knows(ghost, false)
		w.playOn()
		trouble.end(leader)
	}
	w.keptAll(ghosts...)
}

// etcd is away entirely: no player notices, nobody is dropped, and a node that would join waits. It
// is in when etcd is back.
func TestEtcdIsAwayUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
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

// cut cuts all nodes off from etcd, or lets them reach it again.
func (w *world) cut(cut bool, more ...*node) {
	for _, n := range append(more, w.nodes...) {
		n.way.Cut(cut)
	}
}
