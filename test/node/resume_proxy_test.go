package node_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
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
	resumeClients = flag.Int("resume.clients", 40, "clients of TestResumeOnABadNetwork")
	resumeTime    = flag.Duration("resume.time", 3*time.Second, "for how long its network is bad")
	resumeCuts    = flag.Int("resume.cuts", 0, "cuts a second, of all connections together; 0: as many as there are")
)

// badNetwork is a proxy on which each connection comes to grief after some byte: all
// positions take turns.
type badNetwork struct {
	t      *testing.T
	to     string
	on     net.Listener
	bad    atomic.Bool
	count  atomic.Int64
	budget chan struct{} // nil: no limit

	running                   sync.WaitGroup
	cuts, stalls, halves, all atomic.Int64
}

func newBadNetwork(t *testing.T, to string) *badNetwork {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &badNetwork{t: t, to: to, on: on}
	b.bad.Store(true)
	b.running.Add(1)
	go func() {
		defer b.running.Done()
		for {
			nc, err := on.Accept()
			if err != nil {
				return
			}
			b.running.Add(1)
			go b.carry(nc.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		_ = on.Close()
		b.running.Wait()
	})
	return b
}

// positions is how many byte positions there are: more than a handshake and a few messages have.
const positions = 1500

// stride leads from one position to the next: all of them come, and short and long ones take turns.
const stride = 397

// carry carries one connection until it comes to grief.
func (b *badNetwork) carry(down *net.TCPConn) {
	defer b.running.Done()
	defer func() { _ = down.Close() }()
	nc, err := net.Dial("tcp", b.to)
	if err != nil {
		return
	}
	up := nc.(*net.TCPConn)
	defer func() { _ = up.Close() }()
	n := b.count.Add(1)
	at := n * stride % positions
	upwards := n/positions%2 == 0
	b.all.Add(1)

	ended := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(ended) }) }
	pipe := func(to, from *net.TCPConn, troubled bool) {
		defer b.running.Done()
		var err error
		if troubled {
			if _, err = io.CopyN(to, from, at); err == nil && b.strikes() {
				b.strike(n, to, from, ended, end)
				return
			}
		}
		if err == nil {
			_, _ = io.Copy(to, from)
		}
		end()
	}
	b.running.Add(2)
	go pipe(up, down, upwards)
	go pipe(down, up, !upwards)
	<-ended
}

// strikes reports whether there is to be trouble now.
func (b *badNetwork) strikes() bool {
	if !b.bad.Load() {
		return false
	}
	if b.budget == nil {
		return true
	}
	select {
	case <-b.budget:
		return true
	default:
		return false
	}
}

// strike is the trouble.
func (b *badNetwork) strike(n int64, to, from *net.TCPConn, ended chan struct{}, end func()) {
	switch n % 4 {
	case 0: // both sides hear of it
		b.cuts.Add(1)
		end()
	case 1: // with all that is under way
		b.cuts.Add(1)
		_ = to.SetLinger(0)
		_ = from.SetLinger(0)
		end()
	case 2: // one side hears that nothing more comes, and may still send
		b.halves.Add(1)
		_ = to.CloseWrite()
		_, _ = io.Copy(io.Discard, from)
		end()
	case 3: // nobody hears anything, until somebody gives up
		b.stalls.Add(1)
		if b.budget != nil {
			time.AfterFunc(4*time.Second, end)
		} else {
			time.AfterFunc(50*time.Millisecond, end)
		}
		<-ended
	}
}

// book is what one player's session has sent and received, as the server sees it.
type book struct {
	mu       sync.Mutex
	received uint64
	sent     uint64
	wrong    []string
	sess     *session.Session
	stop     chan struct{}
}

func (b *book) next(n uint64, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n != b.received+1 && len(b.wrong) < 5 {
		b.wrong = append(b.wrong, fmt.Sprintf("%s %d after %d", what, n, b.received))
	}
	b.received = n
}

// crowd is the server's side of the test.
type crowd struct {
	books sync.Map // user: *book
	ended atomic.Bool
	gone  atomic.Int64 // sessions that ended when all was over
}

func (c *crowd) book(user uint64) *book {
	b, _ := c.books.LoadOrStore(user, &book{stop: make(chan struct{})})
	return b.(*book)
}

func (c *crowd) handlers() *component.Components {
	return apptest.Handlers(apptest.Funcs{
		"Crowd.Join": func(_ context.Context, s *session.Session, data []byte) error {
			b := c.book(binary.BigEndian.Uint64(data))
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.sess != nil {
				b.wrong = append(b.wrong, "joined twice")
			}
			b.sess = s
			s.Set("book", b)
			return s.Response([]byte("in"))
		},
		"Crowd.Ask": func(_ context.Context, s *session.Session, data []byte) error {
			b := s.Value("book").(*book)
			b.next(binary.BigEndian.Uint64(data), "request")
			return s.Response(data)
		},
		"Crowd.Tell": func(_ context.Context, s *session.Session, data []byte) error {
			b := s.Value("book").(*book)
			b.next(binary.BigEndian.Uint64(data), "notify")
			return nil
		},
	})
}

// pushAll pushes the next number to everybody.
func (c *crowd) pushAll(t *testing.T) {
	c.books.Range(func(_, v any) bool {
		b := v.(*book)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.sess == nil {
			return true
		}
		if err := b.sess.Push("n", binary.BigEndian.AppendUint64(nil, b.sent+1)); err != nil {
			t.Errorf("push %d: %v", b.sent+1, err)
			return true
		}
		b.sent++
		return true
	})
}

// visitor is one client of the crowd.
type visitor struct {
	*client.Client
	received atomic.Uint64
	resumed  atomic.Int64
	mu       sync.Mutex
	wrong    []string
}

func (v *visitor) fault(format string, a ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.wrong) < 5 {
		v.wrong = append(v.wrong, fmt.Sprintf(format, a...))
	}
}

func newVisitor(url string) *visitor {
	v := new(visitor)
	v.Client = client.New(url, client.WithRequestTimeout(time.Minute), client.WithSlog(nil),
		client.WithReconnect(client.Reconnect{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond}),
		client.WithStateHandler(func(ch client.Change) {
			switch {
			case ch.Lost != "":
				v.fault("session lost: %s", ch.Lost)
			case ch.Resumed:
				v.resumed.Add(1)
			}
		}))
	v.On("n", func(data []byte) {
		n := binary.BigEndian.Uint64(data)
		if last := v.received.Load(); n != last+1 {
			v.fault("push %d after %d", n, last)
		}
		v.received.Store(n)
	})
	return v
}

// pace is how often each client sends, and is sent, a message: of all together, 2,000 a second
// each.
func pace() time.Duration { return time.Duration(*resumeClients) * time.Second / 2000 }

// run sends numbered requests and notifies until stop is closed, and returns how many there were.
func (v *visitor) run(stop <-chan struct{}) (sent uint64) {
	answered := make(chan struct{}, 1<<16)
	asked := 0
	tick := time.NewTicker(pace())
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
			err = v.Notify(context.Background(), "Crowd.Tell", data)
		} else {
			err = v.Start("Crowd.Ask", data, func(got []byte, err error) {
				if err != nil || string(got) != string(data) {
					v.fault("answer % x to % x: %v", got, data, err)
				}
				answered <- struct{}{}
			})
			if err == nil {
				asked++
			}
		}
		if err != nil {
			v.fault("send %d: %v", sent+1, err)
			continue
		}
		sent++
	}
}

// On a network that cuts, resets, stalls and half-closes connections after every byte, players
// notice nothing: no message is lost, doubled or out of order, in either direction, each request
// has one answer, and no session ends.
func TestResumeOnABadNetwork(t *testing.T) {
	for _, kind := range []string{"tcp", "ws"} {
		t.Run(kind, func(t *testing.T) { testBadNetwork(t, kind) })
	}
}

// serve starts a node for the crowd, and a bad network before it.
func (c *crowd) serve(t *testing.T, kind string) *badNetwork {
	t.Helper()
	n := apptest.New(c.handlers(), apptest.Quiet(), nano.WithResume(nano.Resume{Window: time.Minute, Buffer: 1 << 20}),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: kind == "ws"}))
	n.Lifetime().OnClosed(func(s *session.Session) {
		b, joined := s.Value("book").(*book)
		switch {
		case !joined: // the client's first connection came to grief before it had heard of its session
		case c.ended.Load():
			c.gone.Add(1)
		default:
			b.mu.Lock()
			b.wrong = append(b.wrong, "closed: "+s.CloseReason().String())
			b.mu.Unlock()
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var addr string
	for _, a := range n.Addrs() {
		if strings.HasPrefix(a.String(), "127.") {
			addr = a.String()
		}
	}
	bad := newBadNetwork(t, addr)
	t.Cleanup(func() { n.Stop(t) }) // before the network, which waits for its connections
	if *resumeCuts > 0 {
		bad.budget = make(chan struct{}, 1)
		tick := time.NewTicker(time.Second / time.Duration(*resumeCuts))
		t.Cleanup(tick.Stop)
		go func() {
			for range tick.C {
				select {
				case bad.budget <- struct{}{}:
				default:
				}
			}
		}()
	}
	return bad
}

// compare waits until everything that was sent is there, and tells what is wrong with it.
func (c *crowd) compare(t *testing.T, visitors []*visitor, sent []uint64) (total uint64, resumed int64) {
	t.Helper()
	for i, v := range visitors {
		b := c.book(uint64(i))
		nanotest.Until(t, "everything is there", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.received == sent[i] && v.received.Load() == b.sent || len(b.wrong) > 0
		})
		b.mu.Lock()
		v.mu.Lock()
		if len(b.wrong)+len(v.wrong) > 0 {
			t.Errorf("client %d: at the server %q, at the client %q", i, b.wrong, v.wrong)
		}
		total += b.received + b.sent
		v.mu.Unlock()
		b.mu.Unlock()
		resumed += v.resumed.Load()
	}
	return total, resumed
}

func testBadNetwork(t *testing.T, kind string) {
	c := new(crowd)
	bad := c.serve(t, kind)
	stop := make(chan struct{})
	var running sync.WaitGroup
	visitors := make([]*visitor, *resumeClients)
	sent := make([]uint64, len(visitors))
	for i := range visitors {
		v := newVisitor(kind + "://" + bad.on.Addr().String())
		visitors[i] = v
		running.Add(1)
		go func() {
			defer running.Done()
			for v.Connect(t.Context()) != nil { // the first connection comes to grief, too
				if t.Context().Err() != nil {
					return
				}
			}
			var in []byte
			if err := v.Request(t.Context(), "Crowd.Join", binary.BigEndian.AppendUint64(nil, uint64(i)), &in); err != nil {
				v.fault("join: %v", err)
				return
			}
			sent[i] = v.run(stop)
		}()
	}
	pushes := time.NewTicker(pace())
	for until := time.Now().Add(*resumeTime); time.Now().Before(until); <-pushes.C {
		c.pushAll(t)
	}
	pushes.Stop()
	bad.bad.Store(false)
	close(stop)
	running.Wait()
	total, resumed := c.compare(t, visitors, sent)
	c.ended.Store(true)
	if resumed == 0 || bad.cuts.Load() == 0 || bad.stalls.Load() == 0 || bad.halves.Load() == 0 {
		t.Errorf("the network was too good: %d resumed", resumed)
	}
	t.Logf("%d messages of %d clients; %d connections, %d cut, %d stalled, %d half-closed; %d resumed", total, len(visitors),
		bad.all.Load(), bad.cuts.Load(), bad.stalls.Load(), bad.halves.Load(), resumed)
	var closing sync.WaitGroup
	for _, v := range visitors {
		closing.Add(1)
		go func() {
			defer closing.Done()
			// Its connection may stand still since before. A goodbye needs one that holds.
			if err := v.Request(t.Context(), "Ping.Pong", nil, nil); err != nil {
				t.Error(err)
			}
			_ = v.Close()
		}()
	}
	closing.Wait()
	nanotest.Until(t, "the sessions end with a goodbye", func() bool { return c.gone.Load() == int64(len(visitors)) })
}
