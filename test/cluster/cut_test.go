package cluster_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// cuts are ways in which a gate and a backend lose each other.
var cuts = []struct {
	name      string
	cut, mend func(f *apptest.Cluster)
}{
	{"the gate stands still", func(f *apptest.Cluster) { f.Freeze("gate:1") }, func(f *apptest.Cluster) { f.Thaw("gate:1") }},
	{"the backend stands still", func(f *apptest.Cluster) { f.Freeze("back:1") }, func(f *apptest.Cluster) { f.Thaw("back:1") }},
	{"connections are reset", func(f *apptest.Cluster) {
		f.Block("gate:1", "back:1")
		f.Block("back:1", "gate:1")
	}, func(f *apptest.Cluster) {
		f.Allow("gate:1", "back:1")
		f.Allow("back:1", "gate:1")
	}},
	{"reset to the backend", func(f *apptest.Cluster) { f.Block("gate:1", "back:1") }, func(f *apptest.Cluster) { f.Allow("gate:1", "back:1") }},
	{"reset to the gate", func(f *apptest.Cluster) { f.Block("back:1", "gate:1") }, func(f *apptest.Cluster) { f.Allow("back:1", "gate:1") }},
	{"reset to the backend, silent to the gate", func(f *apptest.Cluster) {
		f.Silence("back:1", "gate:1")
		f.Block("gate:1", "back:1")
	}, func(f *apptest.Cluster) {
		f.Allow("gate:1", "back:1")
		f.Heal()
	}},
	{"silent cut", func(f *apptest.Cluster) {
		f.Silence("gate:1", "back:1")
		f.Silence("back:1", "gate:1")
	}, (*apptest.Cluster).Heal},
	{"silent to the backend", func(f *apptest.Cluster) { f.Silence("gate:1", "back:1") }, (*apptest.Cluster).Heal},
	{"silent to the gate", func(f *apptest.Cluster) { f.Silence("back:1", "gate:1") }, (*apptest.Cluster).Heal},
}

// A gate and a backend lose each other for a while, around the time after which one of them gives
// the other up. Either a player's session goes on, and then it has every push and every notify, in
// order; or the backend has closed it. No message runs as somebody else, and no request runs that
// the player was told had failed.
func TestCutLinkKeepsOrEndsASession(t *testing.T) {
	lasting := []int{1000, 2700, 3000, 3250, 4000, 6000} // milliseconds
	if !nanotest.Race {
		lasting = append(lasting, 2250, 3700, 4250)
	}
	for _, c := range cuts {
		t.Run(c.name, func(t *testing.T) {
			for _, ms := range lasting {
				d := time.Duration(ms) * time.Millisecond
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) { cutFor(t, f, d, func() { c.cut(f) }, func() { c.mend(f) }) })
			}
		})
	}
}

// witness is a backend that notes what runs there.
type witness struct {
	mu       sync.Mutex
	ids      map[*session.Session]uint64 // the sessions, in the order of their coming
	closed   map[uint64]bool
	ran      map[string]time.Time // requests
	notified map[uint64]uint64    // the last notify of each session
	pushed   map[uint64]uint64    // the last push of each session that was taken
	wrong    []string
}

func newWitness() *witness {
	return &witness{
		ids: map[*session.Session]uint64{}, closed: map[uint64]bool{}, ran: map[string]time.Time{},
		notified: map[uint64]uint64{}, pushed: map[uint64]uint64{},
	}
}

// meet returns the number of a session whose message runs. The lock is held.
func (w *witness) meet(s *session.Session) uint64 {
	if w.ids[s] == 0 {
		w.ids[s] = uint64(len(w.ids) + 1)
	}
	if who := fmt.Sprintf("%v/%d", s.Value("name"), s.UID()); who != "Ann/7" {
		w.wrong = append(w.wrong, "a message ran as "+who)
	}
	return w.ids[s]
}

func (w *witness) get(_ context.Context, s *session.Session, d []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meet(s)
	w.ran[string(d)] = time.Now()
	return s.Response(d)
}

func (w *witness) note(_ context.Context, s *session.Session, d []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	id, n := w.meet(s), binary.BigEndian.Uint64(d)
	if last := w.notified[id]; n <= last { // those between were refused, while the backend could not be reached
		w.wrong = append(w.wrong, fmt.Sprintf("notify %d after %d in session %d", n, last, id))
	}
	w.notified[id] = n
	return nil
}

// join pushes to the session from now on, each time its number and that of the push.
func (w *witness) join(_ context.Context, s *session.Session, _ []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.meet(s)
	go func() {
		for n := uint64(1); s.Push("n", binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id), n)) == nil; n++ {
			w.mu.Lock()
			w.pushed[id] = n
			w.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return s.Response([]byte("ok"))
}

// player is a client that sends all the time, and notes what it gets.
type player struct {
	*nanotest.Client
	requests int

	mu     sync.Mutex
	got    map[uint64]uint64 // the last push of each session
	failed map[string]time.Time
	wrong  []string
}

func (p *player) read() {
	for {
		m, err := p.NextMessage()
		if err != nil {
			return
		}
		p.mu.Lock()
		switch {
		case m.Err:
			p.failed[fmt.Sprint("request ", m.ID)] = time.Now()
		case m.Route == "n":
			id, n := binary.BigEndian.Uint64(m.Data), binary.BigEndian.Uint64(m.Data[8:])
			if n != p.got[id]+1 {
				p.wrong = append(p.wrong, fmt.Sprintf("push %d after %d of session %d", n, p.got[id], id))
			}
			p.got[id] = n
		}
		p.mu.Unlock()
	}
}

// play sends a notify and a request every 50 ms.
func (p *player) play(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		p.requests++
		n := uint64(p.requests)
		p.Notify("One.Note", binary.BigEndian.AppendUint64(nil, n))
		p.Request("One.Get", fmt.Append(nil, "request ", n+1)) // the call of One.Join was the first
	}
}

func cutFor(t *testing.T, f *apptest.Cluster, d time.Duration, cut, mend func()) {
	w := newWitness()
	m := f.Start(t, apptest.Master, apptest.Handlers(nil))
	b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"One.Get": w.get, "One.Note": w.note, "One.Join": w.join}))
	b.Lifetime().OnClosed(func(s *session.Session) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed[w.ids[s]] = true
	})
	g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("name"))
	apptest.Meet(t, m, g, b)
	c := &player{Client: g.TCP.Client(t), got: map[uint64]uint64{}, failed: map[string]time.Time{}}
	c.Beats = true
	c.Ready(apptest.AcceptErrors)
	synctest.Wait()
	s := g.Session(g.Opened()[0])
	s.Set("name", "Ann")
	if err := s.Bind(7); err != nil {
		t.Fatal(err)
	}
	apptest.Call(t, c.Client, "One.Join", "", "ok")
	var reading sync.WaitGroup
	reading.Go(c.read)
	c.play(time.Second)
	cut()
	c.play(d)
	mend()
	c.play(8 * time.Second)
	synctest.Wait()

	w.mu.Lock()
	c.mu.Lock()
	wrong := append(c.wrong, w.wrong...)
	for id, n := range w.pushed {
		if !w.closed[id] && c.got[id] < n {
			wrong = append(wrong, fmt.Sprintf("%d pushes of session %d were taken, and it has %d", n, id, c.got[id]))
		}
	}
	for r, at := range c.failed {
		if ran, ok := w.ran[r]; ok && ran.After(at) {
			wrong = append(wrong, fmt.Sprintf("%s ran %v after it had failed", r, ran.Sub(at)))
		}
	}
	last := fmt.Sprint("request ", c.requests+1)
	if _, ok := w.ran[last]; !ok {
		wrong = append(wrong, "the player is not served again")
	}
	w.mu.Unlock()
	c.mu.Unlock()
	c.Close()
	reading.Wait()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.closed) != len(w.ids) {
		wrong = append(wrong, fmt.Sprintf("the player has left, and of %d sessions %d are closed", len(w.ids), len(w.closed)))
	}
	for _, what := range wrong {
		t.Errorf("%v: %s", d, what)
	}
}

// A gate and a backend that lose each other without a word notice it within three heartbeats,
// whatever the limits of the transport are: what a player has asked has its error then, and what
// another node has called.
func TestSilentCutIsNoticed(t *testing.T) {
	for _, c := range cuts {
		for _, beat := range []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second} {
			if strings.Contains(c.name, "reset") || strings.Contains(c.name, "the gate stands") {
				continue
			}
			t.Run(fmt.Sprint(c.name, " ", beat), func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
					ran := map[string]int{}
					count := func(_ context.Context, s *session.Session, d []byte) error {
						ran[string(d)]++
						return s.Response(d)
					}
					opt := nano.WithHeartbeatInterval(beat)
					m := f.Start(t, apptest.Master, apptest.Handlers(nil), opt)
					b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"One.Get": count}), opt)
					g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), opt)
					apptest.Meet(t, m, g, b)
					time.Sleep(10 * beat) // idle
					p := g.TCP.Client(t)
					p.Beats = true
					p.Ready(apptest.AcceptErrors)
					apptest.Call(t, p, "One.Get", "a", "a")
					c.cut(f)
					defer c.mend(f)
					called := make(chan error, 1)
					go func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
						defer cancel()
						called <- g.Call(ctx, "One.Get", []byte("call"), nil)
					}()
					within := max(3*beat, time.Second)
					if !outcome(t, p, p.Request("One.Get", []byte("request")), within) {
						t.Error("the request has no error")
					}
					if err := <-called; err == nil {
						t.Error("the call has no error")
					}
					before := maps.Clone(ran)
					for range 10 {
						time.Sleep(time.Second)
						apptest.Pong(t, p)
					}
					c.mend(f)
					for range 10 {
						time.Sleep(time.Second)
						apptest.Pong(t, p)
					}
					if !maps.Equal(ran, before) {
						t.Errorf("what had failed ran when the cut was mended: %v, before %v", ran, before)
					}
					apptest.Call(t, p, "One.Get", "b", "b")
					p.Close()
				})
			})
		}
	}
}

// A master that reaches nobody for a while drops everybody. The players of gates and backends that
// have each other all the time are none of its business.
func TestLonelyMasterEndsNoSession(t *testing.T) {
	for _, d := range []time.Duration{3 * time.Second, 5 * time.Second, 20 * time.Second} {
		for name, how := range map[string]struct {
			off, on func(*apptest.Cluster, string)
		}{
			"cut off": {(*apptest.Cluster).Freeze, (*apptest.Cluster).Thaw},
			"reset":   {func(f *apptest.Cluster, a string) { f.Kill(a) }, (*apptest.Cluster).Revive},
		} {
			t.Run(fmt.Sprint(name, " ", d), func(t *testing.T) {
				apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
					m := f.Start(t, apptest.Master, apptest.Handlers(nil))
					b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
					g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()))
					closed := watch(b)
					apptest.Meet(t, m, g, b)
					c := g.TCP.Client(t)
					c.Beats = true
					c.Ready(apptest.AcceptErrors)
					apptest.Bind(t, c, "7", "<nil>")
					apptest.Call(t, c, "Back.Echo", "x", "x")
					play := func(d time.Duration) {
						for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(time.Second) {
							apptest.Call(t, c, "Back.Echo", "y", "y")
						}
					}
					how.off(f, apptest.Master)
					play(d)
					how.on(f, apptest.Master)
					play(15 * time.Second)
					if got := closed.list(); len(got) > 0 || !b.Online(7) || len(b.Members()) != 2 {
						t.Errorf("closed: %q; the user is online: %v; the backend knows %v", got, b.Online(7), b.Members())
					}
					c.Close()
				})
			})
		}
	}
}

// without is a stream of a link on which frames of one kind get lost while lose says so.
type without struct {
	grpc.ClientStream
	kind link.Kind
	lose *atomic.Bool
}

func (s *without) SendMsg(m any) error {
	b, ok := m.(*clusterpb.Batch)
	if !ok || !s.lose.Load() {
		return s.ClientStream.SendMsg(m)
	}
	kept := &clusterpb.Batch{Seq: b.GetSeq()}
	var f link.Frame
	r := link.NewReader(b.GetFrames())
	for ok, _ := r.Next(&f); ok; ok, _ = r.Next(&f) {
		if f.Kind != s.kind {
			kept.Frames = link.AppendFrame(kept.Frames, &f)
		}
	}
	return s.ClientStream.SendMsg(kept)
}

// Messages of a session of which a backend was not told have no user there. Their sender hears that
// at once, and no handler runs; then it introduces the session.
func TestUnknownSessionIsIntroduced(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		var lose atomic.Bool
		w := newWitness()
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"One.Get": w.get, "One.Note": w.note}))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("name"), nano.WithGrpcOptions(grpc.WithChainStreamInterceptor(
			func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				s, err := open(ctx, d, cc, method, opts...)
				return &without{s, link.SessionOpened, &lose}, err
			})))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		s := g.Session(g.Opened()[0])
		s.Set("name", "Ann")
		if err := s.Bind(7); err != nil {
			t.Fatal(err)
		}
		lose.Store(true)
		began := time.Now()
		for range 2 {
			if m := c.Call("One.Get", []byte("early")); !m.Err || !strings.Contains(string(m.Data), "unavailable") {
				t.Errorf("the answer is %q", m.Data)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the errors came after %v", took)
		}
		c.Notify("One.Note", binary.BigEndian.AppendUint64(nil, 1))
		synctest.Wait()
		lose.Store(false)
		apptest.Call(t, c, "One.Get", "late", "late")
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.wrong) > 0 || len(w.ran) != 1 || len(w.notified) != 0 || b.Stats().Unknown != 3 {
			t.Errorf("wrong: %q; ran %v and %v; %d were refused", w.wrong, w.ran, w.notified, b.Stats().Unknown)
		}
		c.Close()
	})
}

// A backend of the 0.5 series speaks in the name of a session that it does not introduce. Its gate
// can, and is asked first.
func TestOldBackendSpeaksForASession(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		w := newWitness()
		f.Start(t, apptest.Master, apptest.Handlers(nil))
		f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"One.Note": w.note}))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithForwardedValues("name"))
		o := newOld(t, f, "old:1", "Old")
		o.register()
		synctest.Wait()
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		synctest.Wait()
		s := g.Session(g.Opened()[0])
		s.Set("name", "Ann")
		if err := s.Bind(7); err != nil {
			t.Fatal(err)
		}
		note := func(id int64) error {
			_, err := o.member("back:1").HandleNotify(t.Context(), &clusterpb.NotifyMessage{
				GateAddr: "gate:1", SessionId: id, Route: "One.Note", Data: binary.BigEndian.AppendUint64(nil, 1)})
			synctest.Wait()
			return err
		}
		if err := note(s.ID()); err != nil {
			t.Error(err)
		}
		if err := note(s.ID() + 1); err == nil {
			t.Error("a message of a session that is not there was taken")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.wrong) > 0 || len(w.notified) != 1 {
			t.Errorf("wrong: %q; %d sessions were heard", w.wrong, len(w.notified))
		}
		c.Close()
	})
}
