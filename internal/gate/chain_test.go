package gate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

func testFrame(data string) *frame {
	return newFrame(codec.AppendPacket(nil, codec.Data, []byte(data)), manner{when: delayed})
}

// What a chain writes is what its frames would write one after the other, in each form; and each
// piece is made once, whoever asks for it at the same time.
func TestChainPieces(t *testing.T) {
	for _, row := range []struct{ sizes, starts []int }{
		{[]int{1}, []int{0}},
		{[]int{1, 2}, []int{0}},
		{[]int{40, 40, 40, 40, 40, 40, 40, 40, 40, 40}, []int{0}},
		{[]int{0, 130, 70_000}, []int{0, 2}},
		{[]int{70_000, 1, 1, 70_000, 70_000}, []int{0, 1, 3, 4}},
		{[]int{30_000, 30_000, 30_000, 30_000, 30_000}, []int{0, 2, 4}},
	} {
		var made extensions
		var q *chain
		var fs []*frame
		var pieces [][]*frame
		size := 0
		for i, n := range row.sizes {
			f := testFrame(strings.Repeat(fmt.Sprint(i), n))
			fs, size = append(fs, f), size+len(f.packet())
			if slices.Contains(row.starts, i) {
				pieces = append(pieces, nil)
			}
			last := len(pieces) - 1
			pieces[last] = append(pieces[last], f)
			if q == nil {
				q = &f.only
			} else {
				q = made.extend(q, f)
			}
		}
		for as := range forms { // these frames are not compressed
			var want []byte
			for _, piece := range pieces {
				var packets []byte
				for _, f := range piece {
					packets = append(packets, f.packet()...)
					if as.plain() == formMessage {
						want = wsframe.AppendFrame(want, wsframe.OpBinary, f.packet())
					}
				}
				switch as.plain() {
				case formPackets:
					want = append(want, packets...)
				case formBatch:
					want = wsframe.AppendFrame(want, wsframe.OpBinary, packets)
				}
			}
			got := make([]*outbuf, 8)
			var wg sync.WaitGroup
			for i := range got {
				got[i] = getOutbuf(false)
				wg.Go(func() { q.addTo(got[i], as) })
			}
			wg.Wait()
			for _, o := range got {
				o.finish()
				if b := bytes.Join(o.segs, nil); !bytes.Equal(b, want) || o.size != len(want) {
					t.Errorf("%v, form %d: %d bytes, want %d, or others", row.sizes, as, len(b), len(want))
				}
				if end := len(o.segs) - 1; &o.segs[end][0] != &got[0].segs[end][0] {
					t.Errorf("%v, form %d: made more than once", row.sizes, as)
				}
			}
		}
		if n := q.sizes[formPackets]; n != size || n != q.sizes[formBatch] || q.sizes[formMessage] <= n {
			t.Errorf("%v: sizes %v, want %d", row.sizes, q.sizes, size)
		}
		if fmt.Sprint(q.frames(nil)) != fmt.Sprint(fs) {
			t.Errorf("%v: the frames are not there one by one", row.sizes)
		}
	}
}

// hold makes a connection that queues and never writes.
func hold(w *world, websocket, merges bool) (*Conn, *session.Session) {
	c := bare(w, 1)[0]
	c.websocket, c.merges, c.held = websocket, merges, false
	return c, c.sess
}

// Members of a room who get the same within the delay share what is queued and what is written: ten
// broadcasts to thousands of members cost ten frames and one merged buffer, not thousands of
// copies.
func TestMembersShareWhatIsMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.WriteDelay = time.Hour })
		defer w.flushes.due()
		for _, kind := range []struct {
			name              string
			websocket, merges bool
		}{{"tcp", false, false}, {"websocket", true, false}, {"websocket with batch", true, true}} {
			const members, messages = 200, 10
			var cs []*Conn
			var to []*session.Session
			for range members {
				c, s := hold(w, kind.websocket, kind.merges)
				cs, to = append(cs, c), append(to, s)
			}
			alone, s := hold(w, kind.websocket, kind.merges)
			for i := range messages {
				if err := w.Multicast("onIt", []byte(fmt.Sprint("message ", i)), to); err != nil {
					t.Fatal(err)
				}
				if i == messages/2 { // one of them gets something of its own, too
					if err := cs[0].Push("own", []byte("x")); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := w.Multicast("onIt", []byte("message 0"), []*session.Session{s}); err != nil {
				t.Fatal(err)
			}
			var shared []byte
			for i, c := range cs {
				c.mu.Lock()
				if c.round != w.flushes.round.Load() || c.listed || c.first {
					t.Errorf("%s: member %d does not wait for the delay", kind.name, i)
				}
				o := c.takeLocked()
				c.inFlight = weight{}
				c.mu.Unlock()
				c.ready(o)
				if len(o.segs) != 1 {
					t.Fatalf("%s: member %d gets %d writes, want 1", kind.name, i, len(o.segs))
				}
				b := o.segs[0]
				switch {
				case i == 0:
					if !bytes.Contains(b, []byte("own")) || bytes.Count(b, []byte("message")) != messages {
						t.Errorf("%s: the member with a push of its own gets %q", kind.name, b)
					}
				case shared == nil:
					shared = b
					if bytes.Count(b, []byte("message")) != messages {
						t.Errorf("%s: a member gets %q", kind.name, b)
					}
				case &b[0] != &shared[0]:
					t.Fatalf("%s: member %d has a copy of its own", kind.name, i)
				}
				o.release()
			}
			alone.dropLocked()
		}
	})
}

// With a write delay, pushes wait to go together. Answers, heartbeats, kicks and the routes that
// were named do not, and nothing overtakes what was queued before it.
func TestWriteDelay(t *testing.T) {
	const delay = 100 * time.Millisecond
	for _, row := range []struct {
		name  string
		do    func(t *testing.T, c *nanotest.Client, s *session.Session) error
		wait  time.Duration
		then  string // what comes after the first push
		route string
	}{
		{"a push waits", func(_ *testing.T, _ *nanotest.Client, s *session.Session) error { return s.Push("onIt", []byte("2")) }, delay, "push 2", "onIt"},
		{"a route that was named does not", func(_ *testing.T, _ *nanotest.Client, s *session.Session) error {
			return s.Push("now", []byte("2"))
		}, 0, "push 2", "now"},
		{"an answer does not", func(_ *testing.T, c *nanotest.Client, _ *session.Session) error {
			c.Request("T.Echo", []byte("2"))
			return nil
		}, 0, "response 2", ""},
		{"a kick does not", func(_ *testing.T, _ *nanotest.Client, s *session.Session) error { return s.Kick("2") }, 0, "kick", ""},
	} {
		for _, websocket := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, websocket %v", row.name, websocket), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(c *Config) {
						c.WriteDelay, c.NoDelay = delay, map[string]struct{}{"now": {}}
					})
					c, s := w.join(t, websocket, batch)
					time.Sleep(delay) // the handshake's answer may have begun one
					began := time.Now()
					if err := w.Multicast("onIt", []byte("1"), []*session.Session{s}); err != nil {
						t.Fatal(err)
					}
					if err := row.do(t, c, s); err != nil {
						t.Fatal(err)
					}
					if got := c.Push("onIt"); string(got) != "1" {
						t.Errorf("the first is %q", got)
					}
					if took := time.Since(began); took != row.wait {
						t.Errorf("it took %v, want %v", took, row.wait)
					}
					switch row.then {
					case "push 2":
						if got := c.Push(row.route); string(got) != "2" {
							t.Errorf("the second is %q", got)
						}
					case "response 2":
						if got := c.Response(1).Data; string(got) != "2" {
							t.Errorf("the second is %q", got)
						}
					case "kick":
						if got := c.Kicked(); got != "2" {
							t.Errorf("kicked: %q", got)
						}
					}
					if took := time.Since(began); took != row.wait {
						t.Errorf("the second took %v, want %v", took, row.wait)
					}
				})
			})
		}
	}
}
