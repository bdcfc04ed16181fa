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
		c.Suspended, c.Resumed = func(*session.Session) {}, func(*session.Session) {}
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
	nanotest.Until(t, fmt.Sprintf("%d sessions wait", n), func() bool { return len(w.waitingFor()) == n })
}

// What was kept goes to a browser that compresses in messages of its own, whatever its size.
func TestComeBackCompressed(t *testing.T) {
	w := newResumingWorld(t, func(c *Config) { c.CompressMin = 100 })
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
