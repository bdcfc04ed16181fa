package node_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// lives is a node whose sessions can be resumed, and what its hooks were told.
type lives struct {
	*apptest.Node
	told     nanotest.Record
	sessions chan *session.Session
	release  chan struct{} // lets Wait answer
}

const window = 30 * time.Second

func startResuming(t *testing.T, r nano.Resume, opts ...nano.Option) *lives {
	t.Helper()
	n := &lives{sessions: make(chan *session.Session, 100), release: make(chan struct{})}
	comps := apptest.Handlers(apptest.Funcs{
		"Life.Number": func(_ context.Context, s *session.Session, data []byte) error {
			n.told.Add("number " + string(data))
			return nil
		},
		"Life.Wait": func(_ context.Context, s *session.Session, data []byte) error {
			mid := s.LastMid()
			go func() {
				<-n.release
				_ = s.ResponseMID(mid, data)
			}()
			return nil
		},
	})
	n.Node = apptest.New(comps, append([]nano.Option{nano.WithResume(r)}, opts...)...)
	life := n.Lifetime()
	life.OnOpened(func(s *session.Session) { n.sessions <- s })
	life.OnSuspended(func(*session.Session) { n.told.Add("suspended") })
	life.OnResumed(func(*session.Session) { n.told.Add("resumed") })
	life.OnClosed(func(s *session.Session) { n.told.Add("closed: " + s.CloseReason().String()) })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop(t) })
	return n
}

// heard waits until the hooks were told of something.
func (n *lives) heard(t *testing.T, what string) {
	t.Helper()
	nanotest.Until(t, what, func() bool { return slices.Contains(n.told.List(), what) })
}

// player is a client that can come back.
type player struct {
	*nanotest.Client
	t         *testing.T
	n         *lives
	websocket bool

	token    string
	received int
	answer   resumeAnswer
}

type resumeAnswer struct {
	Token    string
	Window   int
	Resumed  *bool
	Received *int
	Reason   string
}

// come connects, with the token if there is one.
func (p *player) come() {
	p.t.Helper()
	if p.websocket {
		p.Client = p.n.WS.WebSocket(p.t)
	} else {
		p.Client = p.n.TCP.Client(p.t)
	}
	offer := ""
	if p.token != "" {
		offer = fmt.Sprintf(`,"resume":{"token":%q,"received":%d}`, p.token, p.received)
	}
	a := p.Handshake(`{"sys":{"accept":["error","resume"]` + offer + `}}`)
	var said struct {
		Sys struct{ Resume *resumeAnswer }
	}
	if err := json.Unmarshal(a.Body, &said); err != nil || said.Sys.Resume == nil || !slices.Contains(a.Sys.Accepted, "resume") {
		p.t.Fatalf("answer %s: %v", a.Body, err)
	}
	p.answer = *said.Sys.Resume
	if p.answer.Token == "" || p.answer.Token == p.token {
		p.t.Fatalf("no new token in %s", a.Body)
	}
	if p.token = p.answer.Token; p.answer.Resumed == nil || !*p.answer.Resumed {
		p.received = 0
	}
	p.Ack()
}

// resumed wants the session to go on, and the node to have got m messages.
func (p *player) resumed(m int) {
	p.t.Helper()
	if a := p.answer; a.Resumed == nil || !*a.Resumed || a.Received == nil || *a.Received != m || a.Reason != "" {
		p.t.Fatalf("answer %+v, want resumed with %d", a, m)
	}
}

// lost wants the session not to go on.
func (p *player) lost(reason string) {
	p.t.Helper()
	if a := p.answer; a.Resumed == nil || *a.Resumed || a.Reason != reason {
		p.t.Fatalf("answer %+v, want %s", a, reason)
	}
}

// pushes wants the numbered pushes from..to.
func (p *player) pushes(from, to int) {
	p.t.Helper()
	for i := from; i <= to; i++ {
		if got := p.Push("n"); string(got) != strconv.Itoa(i) {
			p.t.Fatalf("push %q, want %d", got, i)
		}
		p.received++
	}
}

// goodbye ends the session.
func (p *player) goodbye() {
	p.t.Helper()
	if p.websocket {
		p.WriteFrame(wsframe.OpClose, true, []byte{1000 >> 8, 1000 & 0xff})
	} else {
		p.WritePacket(codec.Kick, nil)
	}
}

func push(t *testing.T, s *session.Session, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := s.Push("n", []byte(strconv.Itoa(i))); err != nil {
			t.Fatalf("push %d: %v", i, err)
		}
	}
}

// eachKind runs a test for both kinds of connections, on the bubble's clock.
func eachKind(t *testing.T, test func(t *testing.T, websocket bool)) {
	for _, websocket := range []bool{false, true} {
		t.Run(fmt.Sprintf("websocket %v", websocket), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, websocket) })
		})
	}
}

// A player whose network changes loses nothing: not the session, not a push, not an answer that
// came meanwhile.
func TestResume(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{Window: window, Buffer: 64 << 10})
		p := &player{t: t, n: n, websocket: websocket}
		p.come()
		if p.answer.Window != 30 || p.answer.Resumed != nil || p.answer.Received != nil || p.answer.Reason != "" {
			t.Fatalf("first answer %+v", p.answer)
		}
		s := <-n.sessions
		group := nano.NewGroup("all")
		if err := group.Add(s); err != nil {
			t.Fatal(err)
		}
		push(t, s, 1, 3)
		p.pushes(1, 3)
		mid := p.Request("Life.Wait", []byte("later"))
		p.Notify("Life.Number", []byte("1"))
		n.heard(t, "number 1")
		push(t, s, 4, 5) // may be on the way or not when the connection ends
		p.Close()
		n.heard(t, "suspended")
		push(t, s, 6, 6)
		close(n.release) // the answer, while the player is away
		synctest.Wait()
		if err := group.Broadcast("n", []byte("7")); err != nil || group.Count() != 1 {
			t.Fatal("the group has dropped it:", err)
		}
		time.Sleep(window - time.Second)
		p.websocket = !websocket // by another way
		p.come()
		p.resumed(2)
		p.pushes(4, 6)
		if m := p.Response(mid); string(m.Data) != "later" {
			t.Fatalf("answer %q", m.Data)
		}
		p.received++
		p.pushes(7, 7)
		n.heard(t, "resumed")
		apptest.Pong(t, p.Client)
		p.received++
		if s.RemoteAddr() == nil || s.Closed() {
			t.Error("the session is not whole")
		}
		push(t, s, 8, 8)
		p.pushes(8, 8)
		p.goodbye()
		n.heard(t, "closed: closed by the client")
		if got, want := n.told.List(), []string{"number 1", "suspended", "resumed", "closed: closed by the client"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// A connection that the node still believes in is replaced, and what the client has sent on it
// counts once.
func TestResumeReplacesAnOpenConnection(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{Window: window})
		p := &player{t: t, n: n, websocket: websocket}
		p.come()
		s := <-n.sessions
		before := p.Client
		p.Notify("Life.Number", []byte("1"))
		n.heard(t, "number 1")
		for i := 1; i <= 5; i++ {
			p.come()
			p.resumed(i)
			before.Ended()
			before = p.Client
			p.Notify("Life.Number", []byte(strconv.Itoa(i+1)))
			push(t, s, i, i)
			p.pushes(i, i)
			n.heard(t, "number "+strconv.Itoa(i+1)) // else it may be on the way, and would have to be sent again
		}
		if slices.Contains(n.told.List(), "suspended") {
			t.Error("told that it was suspended, and it never was")
		}
		time.Sleep(time.Minute) // the player says nothing: it is suspended, and gone after the window
		n.heard(t, "closed: network: the client did not come back")
		if n.Stats().Sessions != 0 {
			t.Error("a session is left")
		}
	})
}

// What ends a session at once, and what does not.
func TestGoodbyes(t *testing.T) {
	for name, c := range map[string]struct {
		websocket bool
		end       func(p *player)
		closed    bool
	}{
		"kick packet":              {false, func(p *player) { p.WritePacket(codec.Kick, nil) }, true},
		"end of the stream":        {false, func(p *player) { p.Close() }, false},
		"malformed":                {false, func(p *player) { p.Write([]byte{9, 9, 9, 9}) }, true},
		"impossible count":         {false, func(p *player) { p.WritePacket(codec.Heartbeat, []byte{77}) }, true},
		"close frame 1000":         {true, func(p *player) { p.WriteFrame(wsframe.OpClose, true, []byte{3, 232}) }, true},
		"close frame 1001":         {true, func(p *player) { p.WriteFrame(wsframe.OpClose, true, []byte{3, 233}) }, true},
		"close frame 1006":         {true, func(p *player) { p.WriteFrame(wsframe.OpClose, true, []byte{15, 160}) }, false},
		"close frame with no code": {true, func(p *player) { p.WriteFrame(wsframe.OpClose, true, nil) }, false},
		"connection reset":         {true, func(p *player) { p.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := startResuming(t, nano.Resume{})
				p := &player{t: t, n: n, websocket: c.websocket}
				p.come()
				apptest.Pong(t, p.Client)
				p.received++
				c.end(p)
				synctest.Wait()
				told := n.told.List()
				if len(told) != 1 || (told[0] == "suspended") == c.closed {
					t.Fatalf("told %q", told)
				}
				if !c.closed {
					p.come()
					p.resumed(1)
				}
			})
		})
	}
}

// What the client has received is not kept any longer, and the node tells how much it has received.
func TestCountsTravelInHeartbeats(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{Buffer: 8 << 10})
		p := &player{t: t, n: n, websocket: websocket}
		p.come()
		s := <-n.sessions
		for i := 1; i <= 1000; i++ { // far more than is kept
			push(t, s, i, i)
			p.pushes(i, i)
			if i%50 == 0 {
				p.WritePacket(codec.Heartbeat, codecUvarint(p.received))
			}
		}
		synctest.Wait()
		p.Close()
		n.heard(t, "suspended")
		p.come()
		p.resumed(0)
		for range 400 {
			p.Notify("Life.Number", bytes.Repeat([]byte("x"), 100))
		}
		beat := p.Packet()
		if n, k := uvarint(beat.Body); beat.Type != codec.Heartbeat || k != len(beat.Body) || n < 50 || n > 400 {
			t.Errorf("%v % x after 40 KB", beat.Type, beat.Body)
		}
	})
}

// A handshake that is repeated is answered again, and does not count as a message.
func TestRepeatedHandshakesDoNotCount(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{})
		p := &player{t: t, n: n, websocket: websocket}
		p.come()
		s := <-n.sessions
		p.Handshake("{}")
		push(t, s, 1, 2)
		p.pushes(1, 2)
		p.come()
		p.resumed(0)
		p.Handshake("{}")
		push(t, s, 3, 3)
		p.pushes(3, 3)
		p.come()
		p.resumed(0)
		push(t, s, 4, 4)
		p.pushes(4, 4)
	})
}

// What may be left out for a client that does not keep up is left out for one that is away; all
// else counts, whatever its class, so nothing of it is replaced.
func TestResumeWithClassesOfDelivery(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{}, nano.WithDelivery(nano.Latest(), "n"), nano.WithDelivery(nano.DropWhenBusy(), "busy"),
			nano.WithWriteDelay(5*time.Millisecond))
		p := &player{t: t, n: n, websocket: websocket}
		p.come()
		s := <-n.sessions
		group := nano.NewGroup("all")
		if err := group.Add(s); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 10; i += 2 { // in one write
			push(t, s, i, i)
			if err := group.Broadcast("n", []byte(strconv.Itoa(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		mid := p.Request("Ping.Pong", nil)
		answered := false
		for range 11 {
			m := p.Message()
			if p.received++; m.Type == codec.Response && m.ID == mid {
				answered = true
			}
		}
		if !answered {
			t.Error("no answer")
		}
		p.Close()
		n.heard(t, "suspended")
		push(t, s, 11, 12)
		if err := s.Push("busy", []byte("x")); err != nil {
			t.Error(err)
		}
		if err := group.Broadcast("busy", []byte("x")); err != nil {
			t.Error(err)
		}
		p.come()
		p.resumed(1)
		p.pushes(11, 12)
		apptest.Pong(t, p.Client)
	})
}

// A node that ends tells the clients that are there, and ends the sessions of those that are away.
func TestShutdownEndsSuspendedSessions(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{})
		here, away := &player{t: t, n: n, websocket: websocket}, &player{t: t, n: n, websocket: websocket}
		here.come()
		away.come()
		away.Close()
		n.heard(t, "suspended")
		moved := &player{t: t, n: n, websocket: websocket}
		moved.come()
		moved.come()
		moved.resumed(0)
		go func() {
			for range here.Rest() {
			}
		}()
		began := time.Now()
		n.Stop(t)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		closed := 0
		for _, what := range n.told.List() {
			if what == "closed: shutdown: server shutdown" {
				closed++
			}
		}
		if closed != 3 {
			t.Errorf("told %q", n.told.List())
		}
	})
}

func codecUvarint(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func uvarint(b []byte) (n, size int) {
	v, size := binary.Uvarint(b)
	return int(v), size
}
