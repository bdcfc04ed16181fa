package mesh

import (
	"encoding/gob"
	"runtime"
	"testing"
	"weak"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// A session on a backend outlives many other backends that it was made known to. Each of them has
// up to the whole bound of a link's queue in memory, which a long session would keep.
func TestRemoteSessionKeepsNoDeadPeers(t *testing.T) {
	ps := newPeers(&node{})
	r := &remoteSession{all: &remoteSessions{peers: ps}, sess: session.NewWithID(mock.NewNetworkEntity(), 1)}
	r.at.Store(&whereabouts{gate: process{"gate:1", 1}})
	live := func(peers ...*peer) {
		all := make(map[string]*peer)
		for _, p := range peers {
			all[p.addr] = p
		}
		ps.byAddr.Store(&all)
	}
	meet := func(addr string) *peer {
		p := &peer{node: ps.node, peers: ps, addr: addr, number: ps.numbers.Add(1), legacy: &legacyClient{}}
		live(p)
		for range 2 {
			r.introduce(p)
		}
		if got := p.sessions.Load(); got != 1 {
			t.Errorf("%s counts %d sessions", addr, got)
		}
		return p
	}
	var dead []weak.Pointer[peer]
	for range 10 {
		dead = append(dead, weak.Make(meet("back:1")))
	}
	if len(r.told) != 1 {
		t.Errorf("%d nodes are remembered", len(r.told))
	}
	live()
	runtime.GC()
	for i, p := range dead {
		if p.Value() != nil {
			t.Errorf("node %d is still in memory", i)
		}
	}
	runtime.KeepAlive(r)
}

// slowValue is read when the test lets it.
type slowValue struct{ Name string }

var slowly = make(chan func(), 1)

func (v *slowValue) GobEncode() ([]byte, error) { return []byte(v.Name), nil }

func (v *slowValue) GobDecode(b []byte) error {
	(<-slowly)()
	v.Name = string(b)
	return nil
}

// A program greets its player in OnOpened, by the name and the user that the gate forwards: they
// are there, however long they take to be read.
func TestOpenedSessionHasItsValues(t *testing.T) {
	gob.Register(&slowValue{})
	var opened seenValue
	m, _ := newMesh(t, nil)
	m.life.OnOpened(func(s *session.Session) { opened.note(s) })
	m.sched.Start()
	defer m.sched.Close()
	meet(m, other("gate:1"))
	p := m.peers.at("gate:1")
	value, err := encodeValue(&slowValue{"Ann"})
	if err != nil {
		t.Fatal(err)
	}
	slowly <- func() { // whatever is queued runs before the value is there
		ran := make(chan struct{})
		m.sched.PushTask(func() { close(ran) })
		<-ran
	}
	f := &link.Frame{Kind: link.SessionOpened, Session: 5, UID: 7, Data: encodedValues{"name": value}.encode()}
	m.remotes.handleOpened(sessionKey{"gate:1", 1, 5}, p, f)
	ran := make(chan struct{})
	m.sched.PushTask(func() { close(ran) })
	<-ran
	if opened != (seenValue{"Ann", 7, 1}) {
		t.Errorf("OnOpened has seen %+v", opened)
	}
}

// seenValue is what a hook has seen; the scheduler's goroutine writes it.
type seenValue struct {
	name  string
	uid   int64
	times int
}

func (v *seenValue) note(s *session.Session) {
	v.times++
	v.uid = s.UID()
	if name, ok := s.Value("name").(*slowValue); ok {
		v.name = name.Name
	}
}
