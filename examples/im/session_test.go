package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// way is a network between clients and a gate that can be cut, and lead elsewhere.
type way struct {
	l net.Listener

	mu    sync.Mutex
	to    string
	conns []net.Conn
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{l: l, to: to}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.join(from) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		all.Wait()
	})
	return w
}

func (w *way) join(from net.Conn) {
	defer from.Close()
	w.mu.Lock()
	at := w.to
	w.conns = append(w.conns, from)
	w.mu.Unlock()
	to, err := net.Dial("tcp", at)
	if err != nil {
		return
	}
	defer to.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, to)
		from.Close()
	})
	_, _ = io.Copy(to, from)
	to.Close()
	back.Wait()
}

// lead has new connections go to another gate.
func (w *way) lead(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// cut ends all connections.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// hold keeps the scheduler of a node from everything until goOn is called.
func hold(t *testing.T, app *nano.App) (goOn func()) {
	t.Helper()
	held, free := make(chan struct{}), make(chan struct{})
	app.Scheduler().PushTask(func() {
		close(held)
		<-free
	})
	<-held
	goOn = sync.OnceFunc(func() { close(free) })
	t.Cleanup(goOn)
	return goOn
}

// times returns how often a person has heard a text.
func (p *person) times(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		if m.Text == text {
			n++
		}
	}
	return n
}

// A connection that is lost costs nothing: what is said meanwhile arrives once, in order, and
// nobody is told that somebody was away.
func TestASessionOutlivesItsConnection(t *testing.T) {
	w := newWorld(t)
	bob := w.enter("Bob", "web")
	via := newWay(t, w.addr)
	ann := (&world{t: t, addr: via.l.Addr().String()}).enter("Ann", "web")
	for round := range 5 {
		via.cut()
		for i := range 4 {
			bob.say(channels.GlobalID, fmt.Sprint(round, "-", i))
		}
		ann.say(channels.GlobalID, fmt.Sprint(round, "-4"))
	}
	ann.heard("the last", func(m store.Message) bool { return m.Text == "4-4" })
	bob.heard("the last", func(m store.Message) bool { return m.Text == "4-4" })
	for _, p := range []*person{ann, bob} {
		p.mu.Lock()
		var ns []int64
		for _, m := range p.messages {
			ns = append(ns, m.N)
		}
		for _, x := range p.pushes {
			if x.route == protocol.PushAgain || x.route == protocol.PushPresence {
				t.Errorf("a push of %s: %s", x.route, x.data)
			}
		}
		p.mu.Unlock()
		if len(ns) != 25 || !slices.IsSorted(ns) || len(slices.Compact(ns)) != 25 {
			t.Errorf("somebody has heard %v", ns)
		}
	}
}

// A session comes to another gate when its client does, or when its gate is drained: the user is
// the same, what was said meanwhile is in the store, and from then on each message comes once.
func TestASessionGoesToAnotherGate(t *testing.T) {
	s := newSeveral(t)
	bob := s.at(s.gates[1]).enter("Bob", "web")
	via := newWay(t, s.gates[0].listener.Addr().String())
	ann := (&world{t: t, addr: via.l.Addr().String()}).enter("Ann", "web")
	group := call[protocol.Channel](ann, "im.create", object{"title": "both", "invite": []string{"bob"}}).ID
	bob.pushed(protocol.PushChannel, func(data string) bool { return strings.Contains(data, group) })
	call[protocol.Channel](bob, "im.accept", object{"channel": group})

	at := func(gate int, user string) bool {
		return slices.ContainsFunc(s.gates[gate].online.At(s.gates[gate].conf.listen), func(p online.Person) bool { return p.ID == user })
	}
	t.Cleanup(func() {
		if t.Failed() {
			ann.mu.Lock()
			defer ann.mu.Unlock()
			t.Logf("her client: %v; pushes %v", ann.c.Err(), ann.pushes)
		}
	})
	told := 0
	for round, to := range []int{1, 0, 1} { // there and back
		goOn := func() {}
		if to == 1 { // the gate before hears late that she has gone; Bob is at the other one
			goOn = hold(t, s.gates[0].app)
		}
		via.lead(s.gates[to].listener.Addr().String())
		via.cut()
		bob.say(group, fmt.Sprint("meanwhile ", round))
		told++
		until(t, "the client is not told that it is at another gate", func() bool {
			ann.mu.Lock()
			defer ann.mu.Unlock()
			n := 0
			for _, x := range ann.pushes {
				if x.route == protocol.PushAgain {
					n++
				}
			}
			return n >= told
		})
		goOn()
		start := call[protocol.StartReply](ann, "im.start", object{})
		i := slices.IndexFunc(start.Channels, func(c *protocol.Channel) bool { return c.ID == group })
		if start.Me.ID != "ann" || i < 0 {
			t.Fatalf("at the other gate, the session begins with %+v", start)
		}
		until(t, "the gate before still has the session", func() bool { return at(to, "ann") && !at(1-to, "ann") })
		bob.say(group, fmt.Sprint("after ", round))
		ann.say(group, fmt.Sprint("hers ", round))
		bob.heard("hers", func(m store.Message) bool { return m.Text == fmt.Sprint("hers ", round) })
		ann.heard("hers", func(m store.Message) bool { return m.Text == fmt.Sprint("hers ", round) })
		if n := ann.times(fmt.Sprint("after ", round)); n != 1 {
			t.Errorf("what was said after the move was heard %d times", n)
		}
	}
	synced := call[protocol.SyncReply](ann, "im.sync", object{"channel": group, "rev": 0})
	if len(synced.Messages) != 9 {
		t.Errorf("%d messages are stored", len(synced.Messages))
	}

	s.gates[1].stop() // it has no balancer to send its clients elsewhere: they are kicked
	until(t, "somebody is online at a gate that has ended", func() bool {
		n, _ := s.gates[0].online.Count()
		return n == 0
	})
}

// A gate that notices late that somebody has come and gone has neither the session nor its
// channels.
func TestASessionGoesBeforeItsGateHasNoticed(t *testing.T) {
	s := newSeveral(t)
	via := newWay(t, s.gates[0].listener.Addr().String())
	here := &world{t: t, addr: via.l.Addr().String()}
	token := s.at(s.gates[1]).token("Ann")
	goOn := hold(t, s.gates[0].app)
	before := s.gates[0].app.Snapshot().Gate.PacketsIn
	came := make(chan *person, 1)
	go func() {
		ann, err := here.connect(token, "web")
		if err != nil {
			t.Error(err)
		}
		came <- ann
	}()
	until(t, "the gate has neither her handshake nor im.start", func() bool { return s.gates[0].app.Snapshot().Gate.PacketsIn >= before+3 })
	via.lead(s.gates[1].listener.Addr().String())
	via.cut()
	until(t, "she is not at the other gate", func() bool { return s.gates[1].online.Online("ann", nil) })
	goOn()
	ann := <-came
	if t.Failed() {
		return
	}
	until(t, "she is not told that she is at another gate", func() bool {
		ann.mu.Lock()
		defer ann.mu.Unlock()
		return slices.ContainsFunc(ann.pushes, func(x push) bool { return x.route == protocol.PushAgain })
	})
	call[protocol.StartReply](ann, "im.start", object{})
	until(t, "the gate before has the session", func() bool { return len(s.gates[0].online.At(s.gates[0].conf.listen)) == 0 })
	cid := s.at(s.gates[0]).enter("Cid", "web")
	cid.say(channels.GlobalID, "once") // when he has heard it, that gate has told everybody
	cid.heard("once", func(m store.Message) bool { return m.Text == "once" })
	cid.say(channels.GlobalID, "then")
	ann.heard("then", func(m store.Message) bool { return m.Text == "then" })
	if n := ann.times("once"); n != 1 {
		t.Errorf("what was said was heard %d times", n)
	}
}

// Signing out ends the token, for a page and for a client, at all gates and for good. Other tokens
// of the user stay.
func TestSigningOutRevokesTheToken(t *testing.T) {
	for name, gates := range map[string]func(t *testing.T) []*world{
		"one process": func(t *testing.T) []*world { w := newWorld(t); return []*world{w, w} },
		"two gates":   func(t *testing.T) []*world { s := newSeveral(t); return []*world{s.at(s.gates[0]), s.at(s.gates[1])} },
	} {
		t.Run(name, func(t *testing.T) {
			w := gates(t)
			type kind struct {
				header [2]string
				enter  func(at *world, platform string) (*person, error)
			}
			token, other := w[0].token("Ann"), w[0].token("Ann")
			_, cookie := w[0].cookie("Ann")
			bearer := func(token string) kind {
				return kind{[2]string{"Authorization", "Bearer " + token}, func(at *world, platform string) (*person, error) { return at.connect(token, platform) }}
			}
			page := kind{[2]string{"Cookie", cookie}, func(at *world, platform string) (*person, error) {
				return at.connect("", platform, client.WithHeader(http.Header{"Cookie": {cookie}}))
			}}
			enter := func(k kind, at *world, platform string) *person {
				t.Helper()
				p, err := k.enter(at, platform)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			stays := enter(bearer(other), w[1], "desktop")
			for what, k := range map[string]kind{"a client": bearer(token), "a page": page} {
				here, there := enter(k, w[0], "web"), enter(k, w[1], "app")
				if s := w[0].post("/auth/logout", object{}, nil, k.header[:]...); s != http.StatusOK {
					t.Fatalf("%s is answered %d", what, s)
				}
				for _, p := range []*person{here, there} {
					<-p.c.Done()
					var kick *client.KickError
					if !asKick(p.c.Err(), &kick) || kick.Reason != protocol.KickSignedOut {
						t.Errorf("%s: a connection ended with %v", what, p.c.Err())
					}
				}
				for _, at := range w {
					if _, err := k.enter(at, "web"); err == nil {
						t.Errorf("%s that has signed out is let in", what)
					}
					if s := at.do(http.MethodGet, "/pictures/i-none", nil, nil, k.header[:]...); s != http.StatusUnauthorized {
						t.Errorf("%s that has signed out asks for a picture: %d", what, s)
					}
					var ways struct{ Me *store.User }
					if at.do(http.MethodGet, "/auth/ways", nil, &ways, k.header[:]...); ways.Me != nil {
						t.Errorf("%s that has signed out is %v", what, ways.Me)
					}
				}
				if s := w[1].post("/auth/logout", object{}, nil, k.header[:]...); s != http.StatusOK {
					t.Errorf("%s signs out twice: %d", what, s)
				}
			}
			stays.say(channels.GlobalID, "still here")
			enter(bearer(other), w[0], "web")
		})
	}
}

// One idempotency key at two nodes at one moment is one push: one node does it, and the other says
// that it is being done, or what the answer was.
func TestOneKeyAtTwoNodes(t *testing.T) {
	s := newSeveral(t)
	ann := s.at(s.gates[0]).enter("Ann", "web")
	nodes := []*world{s.at(s.gates[0]), s.at(s.gates[1]), s.at(s.master), s.at(s.logics[0])}
	const pushes = 20
	for i := range pushes {
		with := append([]string{"Idempotency-Key", fmt.Sprint("k", i)}, key...)
		body := object{"to": object{"users": []any{"ann"}}, "route": "onNotice", "data": i}
		var all sync.WaitGroup
		ids := make([]string, len(nodes))
		for j, at := range nodes {
			all.Go(func() {
				until(t, "the request gets no answer", func() bool {
					var reply pushReply
					status := at.post("/api/v1/push", body, &reply, with...)
					if status != http.StatusOK && status != http.StatusConflict {
						t.Errorf("answer %d", status)
					}
					ids[j] = reply.ID
					return status != http.StatusConflict
				})
			})
		}
		all.Wait()
		if slices.Sort(ids); ids[0] == "" || ids[0] != ids[len(ids)-1] {
			t.Errorf("one request has the ids %v", ids)
		}
	}
	for _, at := range nodes { // what each of them has sent has come when these have
		if status := at.post("/api/v1/push", object{"to": object{"users": []any{"ann"}}, "route": "onEnd", "data": at.addr}, nil, key...); status != http.StatusOK {
			t.Fatalf("answer %d", status)
		}
		ann.pushed("onEnd", func(data string) bool { return strings.Contains(data, at.addr) })
	}
	ann.mu.Lock()
	defer ann.mu.Unlock()
	heard := make(map[string]int)
	for _, x := range ann.pushes {
		if x.route == "onNotice" {
			heard[x.data]++
		}
	}
	for i := range pushes {
		if n := heard[fmt.Sprint(i)]; n != 1 {
			t.Errorf("push %d came %d times", i, n)
		}
	}
}
