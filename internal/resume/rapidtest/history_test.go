package rapidtest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lonng/nano/internal/resume"
)

// Whatever happens to the connections, each packet arrives once and in order, in both directions,
// and a session is only lost for one of the reasons.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		rt.Repeat(w.events())
		w.settle()
	})
}

// With a client that is never away for the whole window, and a node that sends less than it keeps,
// no session is ever lost: a player notices nothing.
func TestNothingIsLostInTheWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.settle()
		events := w.events()
		events["time passes"] = func(t *rapid.T) {
			if w.served == nil {
				t.Skip("the session waits")
			}
			w.pass(rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(t, "time"))
		}
		push := events["the node sends"]
		events["the node sends"] = func(t *rapid.T) {
			if w.session.Out.Bytes() > buffer/2 {
				t.Skip("enough is kept")
			}
			push(t)
		}
		rt.Repeat(events)
		w.settle()
		if w.lost > 0 || w.life != 1 {
			rt.Fatalf("%d sessions lost, %d in all", w.lost, w.life)
		}
	})
}

func newWorld(rt *rapid.T) *world {
	return &world{T: rt, now: time.Unix(1_800_000_000, 0), signer: resume.NewSigner(nil)}
}

func (w *world) events() map[string]func(*rapid.T) {
	sizes := rapid.SampledFrom([]int{0, 1, 100, 500, 1000})
	someConn := func(t *rapid.T) *conn {
		if len(w.open) == 0 {
			t.Skip("no connection")
		}
		last := w.open[max(0, len(w.open)-4):]
		return rapid.SampledFrom(last).Draw(t, "connection")
	}
	return map[string]func(*rapid.T){
		"the node sends": func(t *rapid.T) {
			w.pushes(sizes.Draw(t, "size"), rapid.Bool().Draw(t, "shared"))
		},
		"the client sends": func(t *rapid.T) { w.asks(sizes.Draw(t, "size")) },
		"the client comes": func(*rapid.T) { w.dial() },
		"the wire delivers": func(t *rapid.T) {
			w.deliver(someConn(t), rapid.SampledFrom([]int{1, 1, 2, 5, 100}).Draw(t, "items"))
		},
		"a connection breaks": func(t *rapid.T) {
			c := someConn(t)
			w.breakUp(c, rapid.Bool().Draw(t, "node hears"), rapid.Bool().Draw(t, "client hears"))
		},
		"the node beats": func(*rapid.T) {
			if c := w.served; c != nil {
				c.down = append(c.down, item{isBeat: true, beat: resume.AppendCount(nil, w.session.Received())})
			}
		},
		"the client beats": func(*rapid.T) {
			if c := w.dialed; c != nil && c.shaken {
				c.up = append(c.up, item{isBeat: true, beat: resume.AppendCount(nil, w.client.Received())})
			}
		},
		"time passes": func(t *rapid.T) {
			w.pass(rapid.SampledFrom([]time.Duration{time.Second, window / 2, window}).Draw(t, "time"))
		},
		"a stranger comes": func(t *rapid.T) {
			if len(w.issued) == 0 {
				t.Skip("no token yet")
			}
			token := rapid.SampledFrom(w.issued).Draw(t, "token")
			if w.good(token) {
				t.Skip("it is good")
			}
			w.stranger(token, rapid.Uint64Range(0, w.toClient.sent).Draw(t, "received"))
		},
	}
}

// good reports whether the client may still have to come back with token.
func (w *world) good(token string) bool {
	t, err := w.signer.Parse(token)
	return err == nil && w.session != nil && uint64(t.Session) == w.life && w.session.Holds(t)
}
