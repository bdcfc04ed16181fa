package cluster_test

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// moves is a cluster of gates and a backend with a room, whose clients go from gate to gate.
type moves struct {
	t     *testing.T
	f     *apptest.Cluster
	back  *apptest.Node
	gates map[string]*apptest.Node
	told  nanotest.Record // what the hooks of all nodes were told
	room  *nano.Group
	in    chan *session.Session // who has joined
	got   nanotest.Record       // what clients have sent
	free  chan struct{}         // lets Room.Wait answer
}

// handlers are those of the room.
func (m *moves) handlers() *component.Components {
	return apptest.Handlers(apptest.Funcs{
		"Room.Join": func(_ context.Context, s *session.Session, data []byte) error {
			if uid, _ := strconv.Atoi(string(data)); uid > 0 {
				if err := s.Bind(int64(uid)); err != nil {
					return err
				}
			}
			if err := m.room.Add(s); err != nil {
				return err
			}
			m.in <- s
			return s.Response([]byte("in"))
		},
		"Room.Say": func(_ context.Context, s *session.Session, data []byte) error {
			m.got.Add(string(data))
			return nil
		},
		"Room.Wait": func(_ context.Context, s *session.Session, data []byte) error {
			mid := s.LastMid()
			go func() {
				<-m.free
				_ = s.ResponseMID(mid, data)
			}()
			return nil
		},
	})
}

// watch notes what the hooks of a node are told.
func (m *moves) watch(n *apptest.Node, name string) *apptest.Node {
	life := n.Lifetime()
	life.OnSuspended(func(*session.Session) { m.told.Add(name + " suspended") })
	life.OnResumed(func(s *session.Session) {
		if s.Gap() {
			m.told.Add(name + " resumed with a gap")
		} else {
			m.told.Add(name + " resumed")
		}
	})
	life.OnClosed(func(s *session.Session) { m.told.Add(name + " closed: " + s.CloseReason().String()) })
	return n
}

// startMoves starts the backend, which is the master, and gates; those in serving have the room's
// handlers, too.
func startMoves(t *testing.T, f *apptest.Cluster, backend bool, serving ...string) *moves {
	return startMovesWith(t, f, backend, time.Second, serving)
}

// startMovesWith starts nodes with heartbeats, and gates with options, of their own.
func startMovesWith(t *testing.T, f *apptest.Cluster, backend bool, beat time.Duration, serving []string, opts ...nano.Option) *moves {
	m := &moves{t: t, f: f, gates: make(map[string]*apptest.Node), room: nano.NewGroup("room"), in: make(chan *session.Session, 100), free: make(chan struct{})}
	comps := new(component.Components)
	if backend {
		comps = m.handlers()
	}
	m.back = m.watch(f.Start(t, apptest.Master, comps, nano.WithHeartbeatInterval(beat)), "back")
	nodes := []*apptest.Node{m.back}
	opts = append(opts, nano.WithHeartbeatInterval(beat), nano.WithResume(nano.Resume{Window: 30 * time.Second}))
	for _, addr := range []string{"gate:1", "gate:2", "gate:3"} {
		comps := new(component.Components)
		if slices.Contains(serving, addr) {
			comps = m.handlers()
		}
		m.gates[addr] = m.watch(f.Start(t, addr, comps, opts...), addr)
		nodes = append(nodes, m.gates[addr])
	}
	apptest.Meet(t, nodes...)
	return m
}

// traveller is a client that goes from gate to gate.
type traveller struct {
	*nanotest.Client
	m        *moves
	token    string
	received int
	said     struct {
		Token    string
		Resumed  *bool
		Received *int
		Reason   string
		Gap      bool
	}
}

// come connects to a gate, with the token if there is one, and returns whether the session goes on.
func (tr *traveller) come(gate string) (resumed bool) {
	tr.m.t.Helper()
	answered, resumed := tr.try(gate)
	if !answered {
		tr.m.t.Fatalf("%s does not answer", gate)
	}
	return resumed
}

// try is come to a gate that may end the connection instead of an answer.
func (tr *traveller) try(gate string) (answered, resumed bool) {
	tr.m.t.Helper()
	tr.Client = tr.m.gates[gate].TCP.Client(tr.m.t)
	offer := ""
	if tr.token != "" {
		offer = fmt.Sprintf(`,"resume":{"token":%q,"received":%d,"gap":true}`, tr.token, tr.received)
	}
	tr.WritePacket(codec.Handshake, []byte(`{"sys":{"accept":["error","resume"]`+offer+`}}`))
	a, err := tr.Next()
	if err != nil {
		return false, false
	}
	said := struct{ Sys struct{ Resume any } }{}
	tr.said.Token, tr.said.Resumed, tr.said.Received, tr.said.Reason, tr.said.Gap = "", nil, nil, "", false
	said.Sys.Resume = &tr.said
	if err := json.Unmarshal(a.Body, &said); err != nil || tr.said.Token == "" {
		tr.m.t.Fatalf("answer %s: %v", a.Body, err)
	}
	tr.token = tr.said.Token
	resumed = tr.said.Resumed != nil && *tr.said.Resumed
	if !resumed || tr.said.Received == nil {
		tr.received = 0
	}
	tr.Ack()
	return true, resumed
}

// wants reads numbered pushes.
func (tr *traveller) wants(from, to int) {
	tr.m.t.Helper()
	for i := from; i <= to; i++ {
		if got := tr.Push("n"); string(got) != strconv.Itoa(i) {
			tr.m.t.Fatalf("push %q, want %d", got, i)
		}
		tr.received++
	}
}

// call makes a request and wants its payload back.
func (tr *traveller) call(route, data, want string) {
	tr.m.t.Helper()
	apptest.Call(tr.m.t, tr.Client, route, data, want)
	tr.received++
}

// push pushes and broadcasts numbers to a session, in turn.
func (m *moves) push(s *session.Session, from, to int) {
	m.t.Helper()
	for i := from; i <= to; i++ {
		var err error
		if i%2 == 0 {
			err = s.Push("n", []byte(strconv.Itoa(i)))
		} else {
			err = m.room.Broadcast("n", []byte(strconv.Itoa(i)))
		}
		if err != nil {
			m.t.Fatalf("push %d: %v", i, err)
		}
	}
}

// A player changes the network and comes to another gate: the session is the same on the backend,
// with its id, user and room; what was pushed, broadcast and answered meanwhile arrives once and in
// order, and nobody is told of an end.
func TestClientComesBackToAnotherGate(t *testing.T) {
	for _, row := range []struct {
		name    string
		backend bool
		serving []string
		open    bool // the connection to the first gate is not known to be lost
	}{
		{"gates without components", true, nil, false},
		{"the old connection is open", true, nil, true},
		{"the first gate has the room", false, []string{"gate:1"}, false},
		{"the first gate has the room and is connected", false, []string{"gate:1"}, true},
		{"the second gate has the room", false, []string{"gate:2"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := startMoves(t, f, row.backend, row.serving...)
				tr := &traveller{m: m}
				tr.come("gate:1")
				tr.call("Room.Join", "7", "in")
				s := <-m.in
				id := s.ID()
				mid := tr.Request("Room.Wait", []byte("later"))
				tr.Notify("Room.Say", []byte("one"))
				synctest.Wait()
				first := tr.Client
				if !row.open {
					first.Close()
					synctest.Wait()
				}
				m.push(s, 1, 20)
				synctest.Wait()
				if row.open {
					tr.wants(1, 10) // and the other ten are lost on their way
				}
				if !tr.come("gate:2") || tr.said.Gap || *tr.said.Received != 3 {
					t.Fatalf("at the second gate: %+v", tr.said)
				}
				m.push(s, 21, 40)
				close(m.free)
				if row.open {
					tr.wants(11, 40)
				} else {
					tr.wants(1, 40)
				}
				if r := tr.Response(mid); string(r.Data) != "later" {
					t.Fatalf("answer %q", r.Data)
				}
				tr.received++
				tr.Notify("Room.Say", []byte("two"))
				tr.call("Ping.Pong", "here", "here")
				if got := m.got.List(); !slices.Equal(got, []string{"one", "two"}) {
					t.Errorf("the room got %q", got)
				}
				if s.ID() != id || s.UID() != 7 || s.Closed() || m.room.Count() != 1 {
					t.Errorf("session %d of user %d, closed %v, %d in the room", s.ID(), s.UID(), s.Closed(), m.room.Count())
				}
				for _, addr := range []string{apptest.Master, "gate:1", "gate:2", "gate:3"} {
					n := m.gates[addr]
					if n == nil {
						n = m.back
					}
					if !n.Online(7) {
						t.Errorf("user 7 is not online at %s", addr)
					}
					if err := n.PushTo(7, "n", []byte("41")); err != nil {
						t.Errorf("PushTo at %s: %v", addr, err)
					}
					tr.wants(41, 41)
				}
				if err := s.Kick("enough"); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				for _, line := range m.told.List() {
					if slices.Contains([]string{"gate:1 suspended", "gate:1 resumed", "gate:2 resumed"}, line) {
						continue
					}
					if line != "back closed: kicked: enough" && line != "gate:1 closed: kicked: enough" && line != "gate:2 closed: kicked: enough" {
						t.Errorf("a hook was told %q", line)
					}
				}
				if m.room.Count() != 0 {
					t.Error("still in the room")
				}
			})
		})
	}
}

// lateValue is read when the test lets it.
type lateValue struct{ Name string }

var beforeRead = make(chan func(), 1)

func (v *lateValue) GobEncode() ([]byte, error) { return []byte(v.Name), nil }

func (v *lateValue) GobDecode(b []byte) error {
	(<-beforeRead)()
	v.Name = string(b)
	return nil
}

// A gate greets who comes in OnOpened, and knows the user and the values of one who comes from
// another gate, however long they take to be read.
func TestWhoComesFromAnotherGateIsKnown(t *testing.T) {
	gob.Register(&lateValue{})
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMoves(t, f, true)
		m.gates["gate:1"].Lifetime().OnOpened(func(s *session.Session) { s.Set("name", &lateValue{"Ann"}) })
		greeted := make(chan string, 1)
		second := m.gates["gate:2"]
		second.Lifetime().OnOpened(func(s *session.Session) {
			v, _ := s.Value("name").(*lateValue)
			greeted <- fmt.Sprint(v, s.UID())
		})
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		beforeRead <- func() { // what is queued there runs first
			ran := make(chan struct{})
			second.Scheduler().PushTask(func() { close(ran) })
			<-ran
		}
		if !tr.come("gate:2") {
			t.Fatalf("at the second gate: %+v", tr.said)
		}
		if got, want := <-greeted, fmt.Sprint(&lateValue{"Ann"}, 7); got != want {
			t.Errorf("greeted %s, want %s", got, want)
		}
	})
}

// A phone may be quicker than its old connection's end, twice, and come with a token that it has
// used: the last connection has the session, wherever it is, and each of its messages arrives once.
func TestClientGoesRoundTheGates(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMoves(t, f, true)
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		s := <-m.in
		next := 1
		for round := range 12 {
			gate := []string{"gate:2", "gate:3", "gate:1", "gate:1", "gate:2"}[round%5]
			m.push(s, next, next+9)
			if round%3 == 1 { // an answer that does not arrive: the token from before is still good
				token, received := tr.token, tr.received
				lost := &traveller{m: m, token: token, received: received}
				if !lost.comeSilently(gate) {
					t.Fatalf("round %d: %+v", round, lost.said)
				}
				lost.Close()
				gate = []string{"gate:1", "gate:2", "gate:3"}[round%3]
			}
			if !tr.come(gate) || tr.said.Gap {
				t.Fatalf("round %d at %s: %+v", round, gate, tr.said)
			}
			tr.wants(next, next+9)
			next += 10
			tr.Notify("Room.Say", []byte(strconv.Itoa(round)))
			tr.call("Ping.Pong", "here", "here")
		}
		if got := m.got.List(); len(got) != 12 {
			t.Errorf("the room got %q", got)
		}
		if s.Closed() || s.UID() != 7 || m.room.Count() != 1 {
			t.Error("the session has ended")
		}
	})
}

// comeSilently comes to a gate and does not acknowledge.
func (tr *traveller) comeSilently(gate string) bool {
	tr.m.t.Helper()
	tr.Client = tr.m.gates[gate].TCP.Client(tr.m.t)
	a := tr.Handshake(fmt.Sprintf(`{"sys":{"accept":["error","resume"],"resume":{"token":%q,"received":%d}}}`, tr.token, tr.received))
	said := struct{ Sys struct{ Resume any } }{}
	said.Sys.Resume = &tr.said
	if err := json.Unmarshal(a.Body, &said); err != nil {
		tr.m.t.Fatal(err)
	}
	return tr.said.Resumed != nil && *tr.said.Resumed
}

// Two gates get the same token at once, as when a page is open twice with a copied session: one of
// them has the session in the end, and the other client's connection ends.
func TestTwoGatesClaimAtOnce(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMoves(t, f, true)
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		s := <-m.in
		tr.Close()
		synctest.Wait()
		m.push(s, 1, 10)
		both := []*traveller{{m: m, token: tr.token, received: tr.received}, {m: m, token: tr.token, received: tr.received}}
		for i, gate := range []string{"gate:2", "gate:3"} {
			both[i].Client = m.gates[gate].TCP.Client(t)
			go func() {
				_ = both[i].SendPacket(codec.Handshake, fmt.Appendf(nil, `{"sys":{"accept":["resume"],"resume":{"token":%q,"received":%d}}}`, tr.token, tr.received))
			}()
		}
		time.Sleep(5 * time.Second)
		has := 0
		for _, gate := range m.gates {
			if gate.Stats().Connections > 0 {
				has++
			}
		}
		if has != 1 || s.Closed() || m.room.Count() != 1 {
			t.Errorf("%d gates have a connection, closed: %v", has, s.Closed())
		}
	})
}

// A gate is killed: its clients come to another one, are told that messages were lost, and go on in
// the same session of the backend, with the same user and room.
func TestClientOfADeadGateComesBack(t *testing.T) {
	for _, early := range []bool{true, false} { // before the list has lost the gate, or after
		t.Run(fmt.Sprintf("early %v", early), func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := startMoves(t, f, true)
				tr := &traveller{m: m}
				tr.come("gate:1")
				tr.call("Room.Join", "7", "in")
				s := <-m.in
				id := s.ID()
				f.Kill("gate:1")
				tr.Close()
				if !early {
					time.Sleep(10 * time.Second)
					if !slices.Contains(m.told.List(), "back suspended") {
						t.Errorf("the backend was told %q", m.told.List())
					}
				}
				began := time.Now()
				if !tr.come("gate:2") || !tr.said.Gap || tr.said.Received != nil {
					t.Fatalf("at the second gate: %+v", tr.said)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
				m.push(s, 1, 10)
				tr.wants(1, 10)
				tr.call("Ping.Pong", "here", "here")
				if s.ID() != id || s.UID() != 7 || s.Closed() || m.room.Count() != 1 {
					t.Errorf("session %d of user %d, closed %v", s.ID(), s.UID(), s.Closed())
				}
				if !slices.Contains(m.told.List(), "back resumed with a gap") || !slices.Contains(m.told.List(), "gate:2 resumed with a gap") {
					t.Errorf("hooks were told %q", m.told.List())
				}
				if err := m.gates["gate:3"].PushTo(7, "n", []byte("11")); err != nil {
					t.Error(err)
				}
				tr.wants(11, 11)
				tr.Close() // and once more, to a living gate: whole
				if !tr.come("gate:3") || tr.said.Gap {
					t.Fatalf("at the third gate: %+v", tr.said)
				}
				m.push(s, 12, 14)
				tr.wants(12, 14)
				tr.Close()
				time.Sleep(31 * time.Second)
				if !s.Closed() || m.room.Count() != 0 {
					t.Error("nobody ends the session of a client that stays away")
				}
			})
		})
	}
}
