package mesh

import (
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// What a node keeps for a client that says nothing, field by field. A million of them have each of
// these bytes a million times, so one that is added here has to be worth that.
func TestWhatAQuietSessionHolds(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are those of 64 bits")
	}
	for _, c := range []struct {
		of   any
		want string
	}{
		{session.Session{}, "id 8, entity 16, life 8, uid 8, phase 4, since 4, extra 8, mu 8, all 64"},
		{scheduler.Lane{}, "home 8, latest 8, queue 8, waiting 4, ended 4, all 32"}, // a part of gate.Conn and remoteSession
		{gateSession{}, "node 8, sess 8, mu 8, closed 1, queued 1, peers 32, requests 48, values 8, changed 8, all 128"},
		{remoteSession{}, "all 8, at 8, sess 8, lane 32, from 8, mu 8, uid 8, asked 1, ended 1, vouched 1, sent 1, waiting 4, window 4, values 8, " +
			"told 8, over 8, orphan 8, change 8, addr 8, taken 8, Answers 16, all 168"},
	} {
		typ := reflect.TypeOf(c.of)
		got := strings.Join(strings.Split(strings.TrimSpace(nanotest.Layout(typ)), "\n"), ", ")
		if got != c.want {
			t.Errorf("%v has\n\t%s\nand not\n\t%s", typ, got, c.want)
		}
	}
	if spoke, ok := reflect.TypeFor[gate.Conn]().FieldByName("spoke"); !ok || spoke.Type.Size() > 24 {
		t.Error("a place on the wheel takes more than 24 bytes")
	}
}

// What all parts of a session take on the heap, without its connection.
func TestHeapOfAQuietSession(t *testing.T) {
	const n = 20_000
	e := mock.NewNetworkEntity()
	p := &peer{node: &node{}, addr: "127.0.0.1:1", epoch: 1}
	var sum float64
	for _, c := range []struct {
		what string
		most float64 // bytes of one
		less float64 // bytes of one that the test needs beside it
		make func() (keep any)
	}{
		{"session", 64, 8, func() any {
			all := make([]*session.Session, n)
			for i := range all {
				all[i] = session.NewWithID(e, int64(i))
			}
			return all
		}},
		{"its place in the register", 40, 64, func() any {
			r := users.New(session.BindKeepBoth)
			for i := range n {
				r.Add(session.NewWithID(e, int64(i)))
			}
			return r
		}},
		{"what other nodes know of it", 208, 64, func() any {
			gs := &gateSessions{node: p.node}
			for i := range n {
				g := gs.of(session.NewWithID(e, int64(i)))
				g.peers.introduced(p)
				g.peers.enter(p, 100)
				g.requests.begin(1, p)
				g.requests.answer(1)
			}
			return gs
		}},
		{"on another node: the session there", 240, 8, func() any {
			rs := newRemoteSessions(&node{sched: scheduler.New()}, nil, nil, nil)
			all := make([]*remoteSession, n)
			for i := range all {
				all[i] = newRemoteSession(rs, sessionKey{"127.0.0.1:1", 1, int64(i)}, p)
			}
			return all
		}},
	} {
		each := math.Inf(1)
		for range 5 { // what earlier tests have left running may allocate meanwhile
			before := heap()
			kept := c.make()
			each = min(each, float64(heap()-before)/n-c.less)
			runtime.KeepAlive(kept)
			if each <= c.most+1 {
				break
			}
		}
		t.Logf("%-40s %6.1f bytes", c.what, each)
		if each > c.most+1 {
			t.Errorf("%s takes %.1f bytes, and %.0f are allowed", c.what, each, c.most)
		}
		sum += each
	}
	t.Logf("%-40s %6.1f bytes, and the connection %d", "all of them", sum, reflect.TypeFor[gate.Conn]().Size())
}

// heap returns the bytes that live on the heap.
func heap() int64 {
	var m runtime.MemStats
	for range 2 { // sync.Pool gives up what it holds at the second one
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
