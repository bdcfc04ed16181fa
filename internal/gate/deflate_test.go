package gate

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// deflated is data as permessage-deflate sends it.
func deflated(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), syncTail)
}

// inflated is the reverse.
func inflated(t testing.TB, data []byte) []byte {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), bytes.NewReader(messageEnd))))
	if err != nil {
		t.Fatalf("a compressed message cannot be read: %v", err)
	}
	return b
}

// An upgrade is answered with the extension exactly where the offer can be taken: a client that is
// told another window than it asked for cannot read, and one that is not told does not compress.
func TestDeflateOffers(t *testing.T) {
	for offer, want := range map[string]bool{
		"":                   false,
		"permessage-deflate": true,
		"permessage-deflate; client_max_window_bits":                                                   true, // Chrome
		"permessage-deflate;client_max_window_bits=15":                                                 true,
		`permessage-deflate; client_max_window_bits="8"`:                                               true,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover":                   true, // gorilla
		"x-webkit-deflate-frame, permessage-deflate":                                                   true,
		"permessage-deflate; server_max_window_bits=10":                                                false,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":                            true,
		"permessage-deflate; server_no_context_takeover=1":                                             false,
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover":                   false,
		"permessage-deflate; client_max_window_bits=7":                                                 false,
		"permessage-deflate; client_max_window_bits=16":                                                false,
		"permessage-deflate; something":                                                                false,
		"permessage-deflated":                                                                          false,
		"permessage-bzip2; server_no_context_takeover, permessage-deflate; client_no_context_takeover": true,
	} {
		if got := offersDeflate(http.Header{"Sec-Websocket-Extensions": {offer}}); got != want {
			t.Errorf("%q: %v, want %v", offer, got, want)
		}
	}
	if !offersDeflate(http.Header{"Sec-Websocket-Extensions": {"x", "permessage-deflate"}}) {
		t.Error("an offer in a header of its own is not found")
	}
}

// browser connects as a browser does: by a library of its own, which offers compression and
// compresses what it sends.
func (w *world) browser(t *testing.T, at net.Addr, compress bool) (*websocket.Conn, *session.Session) {
	t.Helper()
	dialer := websocket.Dialer{
		EnableCompression: compress,
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if at == nil {
				return w.ws.Dial()
			}
			return new(net.Dialer).DialContext(ctx, "tcp", at.String())
		},
	}
	ws, answer, err := dialer.DialContext(t.Context(), "ws://nano/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	t.Cleanup(func() { _ = ws.Close() })
	for _, p := range []codec.PacketType{codec.Handshake, codec.HandshakeAck} {
		if err := ws.WriteMessage(websocket.BinaryMessage, codec.AppendPacket(nil, p, nil)); err != nil {
			t.Fatal(err)
		}
		if p == codec.Handshake {
			if _, _, err := ws.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ws, <-w.opened
}

// next reads the next message of a client.
func next(t *testing.T, ws *websocket.Conn) *codec.Message {
	t.Helper()
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if codec.PacketType(b[0]) != codec.Data {
			continue
		}
		m, err := nanotest.Decode(b[codec.HeadLength:], nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// A browser and a gate that compress understand each other, both ways, for messages of every size
// and however they are made; and what a browser without compression gets is what it always got.
func TestDeflateWithBrowsers(t *testing.T) {
	for _, kind := range []string{"in memory", "by the system"} {
		t.Run(kind, func(t *testing.T) { testDeflateWithBrowsers(t, kind == "in memory") })
	}
}

func testDeflateWithBrowsers(t *testing.T, memory bool) {
	w := newWorld(t, func(c *Config) { c.CompressMin, c.Heartbeat = 100, time.Minute })
	var at net.Addr
	if !memory {
		_, at = w.sockets(t)
	}
	compressing, s := w.browser(t, at, true)
	plain, s2 := w.browser(t, at, false)
	for _, n := range []int{0, 1, 90, 100, 125, 1000, 5000, 60_000} {
		text := []byte(strings.Repeat("the same again, ", n/16+1))[:n]
		if err := w.Multicast("all", text, []*session.Session{s, s2}); err != nil {
			t.Fatal(err)
		}
		if err := s.Push("own", text); err != nil {
			t.Fatal(err)
		}
		request, err := codec.AppendData(nil, codec.Request, 1, "T.Echo", text, 0, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := compressing.WriteMessage(websocket.BinaryMessage, request); err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{"all", "own", ""} {
			if m := next(t, compressing); m.Route != what || !bytes.Equal(m.Data, text) {
				t.Errorf("%d bytes: instead of %q came %q with %d bytes", n, what, m.Route, len(m.Data))
			}
		}
		if m := next(t, plain); !bytes.Equal(m.Data, text) {
			t.Errorf("%d bytes: without compression came %d", n, len(m.Data))
		}
	}
	if in, out := w.counters.BytesIn.Load(), w.counters.BytesOut.Load(); in > 5000 || out > 90_000 {
		t.Errorf("%d bytes came in and %d went out: they were not compressed", in, out)
	}
}

// deflating connects a client that writes frames as they are, and has compression agreed.
func (w *world) deflating(t *testing.T) *nanotest.Client {
	t.Helper()
	nc, err := w.ws.Dial()
	if err != nil {
		t.Fatal(err)
	}
	c, err := nanotest.Upgrade(t, nc, "/", http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Ready()
	<-w.opened
	return c
}

const rsv1 = wsframe.Compressed

// sendFrame writes one, whether or not the other end still wants it.
func sendFrame(c *nanotest.Client, op byte, fin bool, payload []byte) {
	_ = c.SendRaw(wsframe.AppendMasked(nil, op, fin, [4]byte{1, 2, 3, 4}, payload))
}

// What RFC 7692 allows and forbids in a client's frames.
func TestDeflateConformance(t *testing.T) {
	request := func(n int) []byte {
		b, err := codec.AppendData(nil, codec.Request, 7, "T.Echo", bytes.Repeat([]byte("x"), n), 0, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	long := deflated(t, request(2000))
	for _, row := range []struct {
		name   string
		plain  bool // compression is not agreed
		frames func(c *nanotest.Client)
		code   int // with which the connection ends; 0: the request of that many bytes is answered
		answer int
	}{
		{name: "one frame", frames: func(c *nanotest.Client) { sendFrame(c, rsv1|wsframe.OpBinary, true, long) }, answer: 2000},
		{name: "text", frames: func(c *nanotest.Client) { sendFrame(c, rsv1|wsframe.OpText, true, long) }, answer: 2000},
		{name: "fragments, with control frames between", frames: func(c *nanotest.Client) {
			sendFrame(c, rsv1|wsframe.OpBinary, false, long[:1])
			sendFrame(c, wsframe.OpPing, true, []byte("p"))
			for _, b := range long[1 : len(long)-1] {
				sendFrame(c, wsframe.OpContinuation, false, []byte{b})
			}
			sendFrame(c, wsframe.OpContinuation, false, nil)
			sendFrame(c, wsframe.OpPong, true, nil)
			sendFrame(c, wsframe.OpContinuation, true, long[len(long)-1:])
		}, answer: 2000},
		{name: "an empty last fragment", frames: func(c *nanotest.Client) {
			sendFrame(c, rsv1|wsframe.OpBinary, false, long)
			sendFrame(c, wsframe.OpContinuation, true, nil)
		}, answer: 2000},
		{name: "an empty message before", frames: func(c *nanotest.Client) {
			sendFrame(c, rsv1|wsframe.OpBinary, true, deflated(t, nil))
			sendFrame(c, rsv1|wsframe.OpBinary, true, long)
		}, answer: 2000},
		{name: "a block that says it is the last", frames: func(c *nanotest.Client) {
			var b bytes.Buffer
			z, _ := flate.NewWriter(&b, flate.BestSpeed)
			_, _ = z.Write(request(30))
			_ = z.Close()
			sendFrame(c, rsv1|wsframe.OpBinary, true, append(b.Bytes(), 0))
		}, answer: 30},
		{name: "one plain, one compressed, one packet over both", frames: func(c *nanotest.Client) {
			b := request(500)
			sendFrame(c, wsframe.OpBinary, true, b[:200])
			sendFrame(c, rsv1|wsframe.OpBinary, true, deflated(t, b[200:]))
		}, answer: 500},
		{name: "a packet of the largest size", frames: func(c *nanotest.Client) {
			sendFrame(c, rsv1|wsframe.OpBinary, true, deflated(t, request(60_000)))
		}, answer: 60_000},
		{name: "not agreed", plain: true, frames: func(c *nanotest.Client) { sendFrame(c, rsv1|wsframe.OpBinary, true, long) }, code: wsframe.CloseProtocolError},
		{name: "the bit on a continuation", frames: func(c *nanotest.Client) {
			sendFrame(c, rsv1|wsframe.OpBinary, false, long[:5])
			sendFrame(c, rsv1|wsframe.OpContinuation, true, long[5:])
		}, code: wsframe.CloseProtocolError},
		{name: "the bit on a ping", frames: func(c *nanotest.Client) { sendFrame(c, rsv1|wsframe.OpPing, true, nil) }, code: wsframe.CloseProtocolError},
		{name: "another bit", frames: func(c *nanotest.Client) { sendFrame(c, 0x20|rsv1|wsframe.OpBinary, true, long) }, code: wsframe.CloseProtocolError},
		{name: "not even an empty block", frames: func(c *nanotest.Client) { sendFrame(c, rsv1|wsframe.OpBinary, true, nil) }, code: wsframe.CloseInvalidData},
		{name: "noise", frames: func(c *nanotest.Client) { sendFrame(c, rsv1|wsframe.OpBinary, true, []byte{7, 7, 7, 7, 7}) }, code: wsframe.CloseInvalidData},
		{name: "a bomb", frames: func(c *nanotest.Client) {
			sendFrame(c, rsv1|wsframe.OpBinary, true, deflated(t, bytes.Repeat(codec.AppendPacket(nil, codec.Heartbeat, nil), 1<<18)))
		}, code: wsframe.CloseTooBig},
		{name: "a message that never ends", frames: func(c *nanotest.Client) {
			op := rsv1 | wsframe.OpBinary
			for range 70 {
				if c.SendRaw(wsframe.AppendMasked(nil, op, false, [4]byte{}, make([]byte, 1000))) != nil {
					return
				}
				op = wsframe.OpContinuation
			}
		}, code: wsframe.CloseTooBig},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) {
					if !row.plain {
						c.CompressMin = 1 << 20
					}
				})
				c := w.deflating(t)
				go row.frames(c)
				if row.code == 0 {
					if m := c.Response(7); len(m.Data) != row.answer {
						t.Errorf("%d bytes came back, want %d", len(m.Data), row.answer)
					}
					return
				}
				var end *nanotest.ClosedError
				for {
					_, err := c.Next()
					if err == nil {
						continue
					}
					if !errors.As(err, &end) || end.Code != row.code {
						t.Errorf("the end: %v, want close code %d", err, row.code)
					}
					return
				}
			})
		})
	}
}

// A broadcast is compressed once, whoever gets it: alone, merged, or beside something of its own.
func TestBroadcastIsCompressedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, merges := range []bool{false, true} {
			w := newWorld(t, func(c *Config) { c.CompressMin = 50 })
			var cs []*Conn
			var to []*session.Session
			for range 20 {
				c, s := hold(w, true, merges)
				c.deflates = true
				stall(c, false)
				cs, to = append(cs, c), append(to, s)
			}
			texts := []string{strings.Repeat("first ", 50), "short", strings.Repeat("last ", 500)}
			for i, text := range texts {
				if err := w.Multicast("onIt", []byte(text), to); err != nil {
					t.Fatal(err)
				}
				if i == 1 {
					if err := cs[0].Push("own", []byte(strings.Repeat("own ", 100))); err != nil {
						t.Fatal(err)
					}
				}
			}
			var same []byte
			for i, c := range cs {
				c.mu.Lock()
				o := c.takeLocked()
				c.inFlight = weight{}
				c.mu.Unlock()
				c.ready(o)
				if i > 0 {
					if len(o.segs) != 1 || same != nil && &o.segs[0][0] != &same[0] {
						t.Fatalf("batch %v: member %d has bytes of its own", merges, i)
					}
					same = o.segs[0]
				}
				all := written(o, 1<<20)
				if o.size != len(all) {
					t.Errorf("batch %v: %d bytes are counted, %d written", merges, o.size, len(all))
				}
				o.release()
				if len(all) > 700 {
					t.Errorf("batch %v: member %d gets %d bytes", merges, i, len(all))
				}
				got := strings.Join(payloadsOf(t, all), "|")
				want := strings.Join(texts, "|")
				if i == 0 {
					want = texts[0] + "|" + texts[1] + "|" + strings.Repeat("own ", 100) + "|" + texts[2]
				}
				if got != want {
					t.Errorf("batch %v: member %d reads %.80q", merges, i, got)
				}
			}
		}
	})
}

// payloadsOf reads what a client gets: payloads of the packets in compressed and plain messages.
func payloadsOf(t *testing.T, b []byte) (all []string) {
	t.Helper()
	var p wsframe.Parser
	p.InitClient(0)
	p.AllowCompressed()
	var message []byte
	d := codec.NewDecoder(0)
	for {
		ev, rest, err := p.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == wsframe.None {
			break
		}
		message = append(message, ev.Payload...)
		if ev.Compressed {
			message = inflated(t, message)
		}
		d.Feed(message)
		message = nil
		for {
			p, ok, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			m, err := nanotest.Decode(p.Body, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(m.Data))
		}
		b = rest
	}
	return all
}

// Who sends to a client does not wait while what it got before is compressed.
func TestNobodyWaitsForCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.CompressMin = 50 })
		var c *Conn
		var to []*session.Session
		for range 2 {
			var s *session.Session
			c, s = hold(w, true, true)
			c.deflates = true
			stall(c, false)
			to = append(to, s)
		}
		for range 100 {
			if err := w.Multicast("onIt", make([]byte, 4<<10), to); err != nil {
				t.Fatal(err)
			}
		}
		slots := w.encoder.zip.slots
		for range cap(slots) {
			slots <- struct{}{} // as if others compressed
		}
		go c.Flush()
		synctest.Wait()
		if c.mu.TryLock() {
			c.mu.Unlock()
		} else {
			t.Error("the connection is locked while its queue waits to be compressed")
		}
		for range cap(slots) {
			<-slots
		}
		synctest.Wait()
	})
}

// Memory for compression is that of what is compressed at this moment, however many connections
// there are and goroutines want it.
func TestCompressionMemoryIsBounded(t *testing.T) {
	z := newCompressor(1)
	data := bytes.Repeat([]byte("some text of a message "), 40)
	var wg sync.WaitGroup
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	most := 0
	var mu sync.Mutex
	for range 1000 {
		wg.Go(func() {
			b := z.appendMessage(nil, data)
			mu.Lock()
			defer mu.Unlock()
			most = max(most, len(z.slots))
			if got := inflated(t, b[2:]); b[0]&rsv1 == 0 || !bytes.Equal(got, data) {
				t.Errorf("%d bytes came out", len(got))
			}
		})
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	if most > runtime.GOMAXPROCS(0) {
		t.Errorf("%d compress at a time", most)
	}
	if n := after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc); n > 64<<20 {
		t.Errorf("1,000 messages of 1 KB hold %d MiB", n>>20)
	}
	if testing.Short() {
		return
	}
	// A connection that compresses and says nothing holds nothing for it.
	w := newWorld(t, func(c *Config) { c.CompressMin = 50; c.Heartbeat = time.Hour })
	ws, s := w.browser(t, nil, true)
	for range 3 {
		if err := s.Push("on", data); err != nil {
			t.Fatal(err)
		}
		if m := next(t, ws); !bytes.Equal(m.Data, data) {
			t.Fatal(fmt.Sprint("got ", len(m.Data)))
		}
	}
	c := s.NetworkEntity().(*Conn)
	nanotest.Until(t, "the connection is quiet", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.out == nil && c.chain == nil && !c.writing
	})
}

// BenchmarkCompress measures the compression of one message of JSON; a broadcast needs one,
// whatever the number of members.
func BenchmarkCompress(b *testing.B) {
	z := newCompressor(1)
	var data []byte
	for i := range 20 {
		data = fmt.Appendf(data, `{"player":%d,"x":%d,"y":%d,"state":"walking"},`, i, i*17%300, i*29%200)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var n int
	for range b.N {
		n = len(z.appendMessage(nil, data))
	}
	b.ReportMetric(float64(n)/float64(len(data)), "size-ratio")
}
