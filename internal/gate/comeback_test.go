package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// newResumingWorld is a world whose sessions can be resumed.
func newResumingWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	var all sync.Map
	return newWorld(t, append([]func(*Config){func(c *Config) {
		made := c.NewSession
		c.NewSession = func(e session.NetworkEntity) *session.Session {
			s := made(e)
			all.Store(s.ID(), s)
			return s
		}
		c.Find = func(id int64) *session.Session {
			s, _ := all.Load(id)
			found, _ := s.(*session.Session)
			return found
		}
		c.Discard = func(s *session.Session) { all.Delete(s.ID()) }
		c.Suspended, c.Resumed = func(*session.Session) {}, func(*session.Session, bool) {}
		c.Resume = ResumeConfig{Window: time.Minute, Buffer: 1 << 20}
	}}, change...)...)
}

// greetingOf returns a handshake of a client that can resume, and comes back if it has a token.
func greetingOf(token string, received int, accept ...string) string {
	offer := ""
	if token != "" {
		offer = fmt.Sprintf(`,"resume":{"token":%q,"received":%d}`, token, received)
	}
	words, _ := json.Marshal(append(accept, "resume"))
	return fmt.Sprintf(`{"sys":{"accept":%s%s}}`, words, offer)
}

// answered reads what an answer to a handshake says of resuming.
func answered(t *testing.T, body []byte) resume.Answer {
	t.Helper()
	var said struct {
		Sys struct{ Resume *resume.Answer }
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Sys.Resume == nil || said.Sys.Resume.Token == "" {
		t.Fatalf("answer %s: %v", body, err)
	}
	return *said.Sys.Resume
}

// away waits until so many sessions wait for their clients.
func (w *world) away(t *testing.T, n int) {
	t.Helper()
	nanotest.Until(t, fmt.Sprintf("%d sessions wait", n), func() bool { return len(w.resumer.waitingFor()) == n })
}

// What was kept goes to a browser that compresses in messages of its own, whatever its size.
func TestComeBackCompressed(t *testing.T) {
	w := newResumingWorld(t, func(c *Config) { c.CompressMin, c.Heartbeat = 100, time.Minute })
	c := w.tcp.Client(t)
	a := answered(t, c.Ready(greetingOf("", 0)).Body)
	s := <-w.opened
	c.Close()
	w.away(t, 1)
	var texts [][]byte
	for _, n := range []int{0, 1, 90, 125, 1000, 5000} {
		text := []byte(strings.Repeat("the same again, ", n/16+1))[:n]
		texts = append(texts, text)
		if err := s.Push("n", text); err != nil {
			t.Fatal(err)
		}
		if err := w.Multicast("n", text, []*session.Session{s}); err != nil {
			t.Fatal(err)
		}
	}

	dialer := websocket.Dialer{EnableCompression: true, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return w.ws.Dial() }}
	ws, upgraded, err := dialer.DialContext(t.Context(), "ws://nano/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = upgraded.Body.Close()
	defer func() { _ = ws.Close() }()
	if err := ws.WriteMessage(websocket.BinaryMessage, codec.AppendPacket(nil, codec.Handshake, []byte(greetingOf(a.Token, 0)))); err != nil {
		t.Fatal(err)
	}
	_, b, err := ws.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if a = answered(t, b[codec.HeadLength:]); a.Resumed == nil || !*a.Resumed {
		t.Fatalf("answer %s", b)
	}
	for _, text := range texts {
		for _, kind := range []string{"push", "multicast"} {
			if m := next(t, ws); m.Route != "n" || !bytes.Equal(m.Data, text) {
				t.Errorf("%s of %d bytes: came %q with %d", kind, len(text), m.Route, len(m.Data))
			}
		}
	}
}

// What is no frame is left as it is: the goroutine that compresses writes for many.
func TestCompressorLeavesWhatIsNoFrame(t *testing.T) {
	z := newCompressor(1)
	for _, seg := range [][]byte{{0x82}, {0x82, 5, 1}, {0x82, 126, 1}, {0x82, 127, 0, 0, 0, 0, 0, 0, 0}, append([]byte{0x82, 127}, bytes.Repeat([]byte{0xff}, 8)...), {4, 0, 0, 1, 2}} {
		if b, ok := z.segment(seg); ok {
			t.Errorf("% x became % x", seg, b)
		}
	}
}

// What is sent to a client that is away, and to nobody else, counts for the cap of all.
func TestKeptForOneCounts(t *testing.T) {
	w := newResumingWorld(t)
	c := w.tcp.Client(t)
	c.Ready(greetingOf("", 0))
	s := <-w.opened
	c.Close()
	w.away(t, 1)
	if err := s.Push("n", bytes.Repeat([]byte("x"), 100_000)); err != nil {
		t.Fatal(err)
	}
	if n := w.resumer.kept.Load(); n < 100_000 {
		t.Errorf("%d bytes count", n)
	}
}

// goesAway has a client of a session that can be resumed join and go away without a word.
func (w *world) goesAway(t *testing.T) (token string, s *session.Session) {
	t.Helper()
	c := w.tcp.Client(t)
	a := answered(t, c.Ready(greetingOf("", 0)).Body)
	s = <-w.opened
	c.Close()
	w.away(t, 1)
	return a.Token, s
}

// stranger connects, and returns the gate's side of a connection that has said nothing.
func (w *world) stranger(t *testing.T) *Conn {
	t.Helper()
	w.tcp.Client(t)
	var c *Conn
	nanotest.Until(t, "it is connected", func() bool {
		for _, each := range w.snapshot() {
			if phase(each.phase.Load()) == waiting {
				c = each
			}
		}
		return c != nil
	})
	return c
}

// comingBack is a handshake with a token.
func comingBack(c *Conn, token string) *handshake {
	return &handshake{conn: c, said: greeting{offer: &resume.Offer{Token: token}}}
}

// A connection that is cut while its client comes back leaves the session waiting for the next.
func TestComeBackCutBefore(t *testing.T) {
	w := newResumingWorld(t)
	token, s := w.goesAway(t)
	c := w.stranger(t)
	c.cut()
	if why, err := comingBack(c, token).comeBack(); err == nil || why != "" {
		t.Fatalf("a connection that is closed carries on: %q, %v", why, err)
	}
	f := s.NetworkEntity().(*Conn)
	f.mu.Lock()
	r := f.res.Load()
	_, waits := r.Suspended()
	timed := r.roamed.timer != nil
	f.mu.Unlock()
	if !waits || !timed {
		t.Error("the session never ends")
	}
	again := w.tcp.Client(t)
	if a := answered(t, again.Ready(greetingOf(token, 0)).Body); a.Resumed == nil || !*a.Resumed {
		t.Errorf("answer %+v", a)
	}
}

// A connection that is cut as soon as its client has come back leaves a session that waits and
// counts as such.
func TestComeBackCutBehind(t *testing.T) {
	var first *session.Session
	w := newResumingWorld(t, func(c *Config) {
		c.Discard = func(*session.Session) {
			f := first.NetworkEntity().(*Conn)
			f.mu.Lock()
			carrier := f.res.Load().carrier
			f.mu.Unlock()
			carrier.cut()
		}
	})
	var token string
	token, first = w.goesAway(t)
	c := w.tcp.Client(t)
	c.WritePacket(codec.Handshake, []byte(greetingOf(token, 0)))
	nanotest.Until(t, "it has come back", func() bool { return w.counters.Resumed.Load() == 1 })
	w.away(t, 1)
	if n := w.counters.Suspended.Load(); n != 2 {
		t.Errorf("suspended %d times", n)
	}
}

// A client comes back at the very moment at which another gate claims its session: it is told where
// that goes, or to come again, and not that there is none.
func TestComeBackWhileAnotherGateClaims(t *testing.T) {
	asked := 0
	w := newResumingWorld(t, func(c *Config) {
		c.Claim = func(Claim) resume.Reason { asked++; return resume.Later }
	})
	token, s := w.goesAway(t)
	c := w.stranger(t)
	f := s.NetworkEntity().(*Conn)
	r := f.res.Load()
	r.serving.Lock()
	why := make(chan resume.Reason)
	go func() {
		said, _ := comingBack(c, token).comeBack()
		why <- said
	}()
	nanotest.Until(t, "the session is found", c.busy.Load)
	leaves := func(yes bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		r.leaving = yes
	}
	leaves(true)
	r.serving.Unlock()
	if got := <-why; got != resume.Later || asked != 1 {
		t.Errorf("the client hears %q, and other gates were asked %d times", got, asked)
	}
	leaves(false)
}

// The end of a session is told once, whoever else ends it.
func TestEndIsToldOnce(t *testing.T) {
	w := newWorld(t)
	_, s := w.join(t, false, "{}")
	c := s.NetworkEntity().(*Conn)
	ended := c.Waiting()
	s.Close()
	<-ended
	c.tellEnd()
	if n := w.closed.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// The deadline of a handshake that was not finished does not end a session that has come back on
// another connection.
func TestLateAfterComeBack(t *testing.T) {
	w := newResumingWorld(t)
	c := w.tcp.Client(t)
	a := answered(t, c.Handshake(greetingOf("", 0)).Body)
	s := <-w.opened
	again := w.tcp.Client(t)
	if a = answered(t, again.Ready(greetingOf(a.Token, 0)).Body); a.Resumed == nil || !*a.Resumed {
		t.Fatalf("answer %+v", a)
	}
	c.Ended()
	f := s.NetworkEntity().(*Conn)
	for _, p := range []phase{shaken, leaving} { // as it is just before and behind its end
		f.phase.Store(uint32(p))
		late(f)
	}
	if m := again.Call("T.Echo", []byte("x")); string(m.Data) != "x" || s.Closed() {
		t.Errorf("answer %q", m.Data)
	}
}

// Wrong tokens of one client do not keep another out that has the same address, and old ones are
// not taken for forged.
func TestWrongTokensOfAnAddress(t *testing.T) {
	w := newResumingWorld(t)
	token, _ := w.goesAway(t)
	c := w.stranger(t)
	void := w.resumer.signer.Text(resume.Token{Key: resume.NewKey(), Turn: 1, Session: 77})
	w.resumer.end(77, resume.Expired)
	for range 100 {
		if f, _, why := comingBack(c, void).named(time.Time{}); f != nil || why != resume.Expired {
			t.Fatalf("an old token: %v, %q", f, why)
		}
	}
	for range 100 {
		if f, _, why := comingBack(c, token[1:]).named(time.Time{}); f != nil || why != resume.Unknown {
			t.Fatalf("a forged token: %v, %q", f, why)
		}
	}
	if f, _, why := comingBack(c, void).named(time.Time{}); f != nil || why != resume.Unknown {
		t.Errorf("an old token after forged ones: %v, %q", f, why)
	}
	if f, _, why := comingBack(c, token).named(time.Time{}); f == nil {
		t.Errorf("a good token: %q", why)
	}
}

// What the session has agreed on with its client stays, whatever the client says when it comes
// back.
func TestComeBackKeepsWhatWasAgreed(t *testing.T) {
	w := newResumingWorld(t, func(c *Config) { c.GzipMin = 10 })
	for _, words := range [][2]string{{"error gzip", ""}, {"", "error gzip"}, {"gzip", "error"}} {
		c := w.tcp.Client(t)
		a := c.Ready(greetingOf("", 0, strings.Fields(words[0])...))
		c.Close()
		w.away(t, 1)
		again := w.tcp.Client(t)
		b := again.Ready(greetingOf(answered(t, a.Body).Token, 0, strings.Fields(words[1])...))
		if got, want := strings.Join(b.Sys.Accepted, " "), strings.Join(a.Sys.Accepted, " "); got != want {
			t.Errorf("%q became %q", want, got)
		}
	}
}
