package node_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Why a session does not go on, as the client is told.
func TestResumeRefused(t *testing.T) {
	for _, c := range []struct {
		reason string
		closed string
		resume nano.Resume
		do     func(t *testing.T, n *lives, p *player, s *session.Session)
	}{
		{"expired", "closed: network: the client did not come back", nano.Resume{}, func(*testing.T, *lives, *player, *session.Session) {
			time.Sleep(window)
		}},
		{"overflow", "closed: slow: more was sent than is kept for a client that is away", nano.Resume{Buffer: 4 << 10}, func(t *testing.T, n *lives, p *player, s *session.Session) {
			refused := false
			for range 1000 {
				refused = refused || s.Push("n", bytes.Repeat([]byte("x"), 100)) != nil
			}
			if !refused {
				t.Error("it takes everything")
			}
		}},
		{"unknown", "closed: kicked: enough", nano.Resume{}, func(t *testing.T, n *lives, p *player, s *session.Session) {
			if err := s.Kick("enough"); err != nil {
				t.Error(err)
			}
		}},
		{"unknown", "closed: closed by the server", nano.Resume{}, func(t *testing.T, n *lives, p *player, s *session.Session) {
			s.Close()
		}},
		{"unknown", "", nano.Resume{}, func(t *testing.T, n *lives, p *player, s *session.Session) {
			p.token = p.token[:len(p.token)-2] + "AA"
		}},
		{"unknown", "", nano.Resume{}, func(t *testing.T, n *lives, p *player, s *session.Session) {
			used := p.token
			p.come()
			p.resumed(0)
			apptest.Pong(t, p.Client)
			p.token = used
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := startResuming(t, c.resume)
				p := &player{t: t, n: n}
				p.come()
				s := <-n.sessions
				p.Close()
				n.heard(t, "suspended")
				c.do(t, n, p, s)
				if c.closed != "" { // at once, and not when the window is over
					synctest.Wait()
					n.heard(t, c.closed)
				}
				p.come()
				p.lost(c.reason)
				if other := <-n.sessions; other == s {
					t.Error("the session goes on")
				}
				apptest.Pong(t, p.Client)
			})
		})
	}
}

// Many wrong tokens of an address keep no client out that has a good one. For a while, none is told
// why its session has ended.
func TestWrongTokensAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startResuming(t, nano.Resume{Window: 10 * time.Minute})
		late := &player{t: t, n: n}
		late.come()
		over := late.token
		late.Close()
		n.heard(t, "suspended")
		time.Sleep(10 * time.Minute)
		p := &player{t: t, n: n}
		p.come()
		good := p.token
		p.Close()
		nanotest.Until(t, "it is suspended", func() bool { return n.Stats().Suspended == 2 })
		guesser := &player{t: t, n: n}
		for i := range 30 {
			guesser.token = strconv.Itoa(i)
			guesser.come()
			guesser.lost("unknown")
			guesser.goodbye()
		}
		p.come()
		p.resumed(0)
		late.come()
		late.lost("unknown")
		late.goodbye()
		time.Sleep(2 * time.Minute)
		late.token = over
		late.come()
		late.lost("expired")
		for _, line := range n.Log.Lines() {
			if strings.Contains(line, good) {
				t.Errorf("a token in the log: %s", line)
			}
		}
	})
}

// Whoever says nothing of resuming sees what v0.5 sent, and its session ends with its connection.
func TestOldClientsDoNotResume(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{})
		for _, body := range []string{"", `{"sys":{"type":"js-websocket"}}`, `{"sys":{"accept":["error"]}}`, `{"sys":{"resume":{"token":"x","received":1}}}`} {
			c := n.TCP.Client(t)
			if websocket {
				c = n.WS.WebSocket(t)
			}
			a := c.Ready(body)
			if bytes.Contains(a.Body, []byte("resume")) {
				t.Errorf("%s: answer %s", body, a.Body)
			}
			<-n.sessions
			time.Sleep(time.Second + time.Millisecond)
			if p := c.Packet(); p.Type != codec.Heartbeat || len(p.Body) != 0 {
				t.Errorf("%s: %v with a body of %d bytes", body, p.Type, len(p.Body))
			}
			c.WritePacket(codec.Kick, nil) // means nothing from such a client
			apptest.Pong(t, c)
			c.Close()
			synctest.Wait()
		}
		for _, what := range n.told.List() {
			if what == "suspended" {
				t.Errorf("told %q", n.told.List())
				break
			}
		}
	})
}
