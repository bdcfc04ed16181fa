package fuzz

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// node is a node with three doors and the model's route. The handler pushes what it got, so that
// its calls can be counted, and answers.
type node struct {
	pipe    *nanotest.Listener
	tcp, ws net.Addr
}

func start(tb testing.TB) *node {
	tb.Helper()
	n := &node{pipe: nanotest.NewListener()}
	cs := &component.Components{}
	component.HandleRaw(cs, "M.Echo", func(ctx context.Context, s *session.Session, data []byte) error {
		_ = s.Push("ran", data) // the client may be gone
		if nano.MessageID(ctx) != 0 {
			_ = s.Response(data)
		}
		return nil
	})
	app := nano.New("",
		nano.WithComponents(cs),
		nano.WithDictionary(map[string]uint16{"M.Echo": 1}),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true}),
		nano.WithEndpoint(nano.Endpoint{Listener: n.pipe}),
		nano.WithHeartbeatInterval(time.Hour),
		nano.WithHandshakeTimeout(time.Hour),
		nano.WithSlog(slog.New(slog.DiscardHandler)),
	)
	if err := app.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
		defer cancel()
		if err := app.Shutdown(ctx); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
	})
	n.tcp, n.ws = app.Addrs()[0], app.Addrs()[1]
	return n
}

// What a client sends, however it is cut, over whichever transport, has to lead to what the model
// says: the same calls in the same order, the same answers, and an end or none.
func FuzzConnection(f *testing.F) {
	n := start(f)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, form uint8) {
		if len(stream) > 1<<17 {
			return
		}
		want := run(stream)
		if want.gzip {
			return
		}
		c := n.connect(t, form)
		if want.ended {
			go func() { _ = send(c, stream, cuts, form) }() // it may end before all is written
			wantPrefix(t, want, collect(t, c, func(seen) bool { return false }))
			return
		}
		tail, done := want.sentinel()
		sent := make(chan error, 1)
		go func() {
			err := send(c, stream, cuts, form)
			if err == nil && tail != nil {
				err = c.Send(tail)
			}
			sent <- err
		}()
		got := collect(t, c, done)
		if err := <-sent; err != nil {
			t.Fatalf("write: %v", err)
		}
		if got.over != nil {
			t.Fatalf("the node ended the connection (%v) of %q; before that came %+v, want %+v", got.over, stream, got, want)
		}
		if tail != nil && want.working {
			got.ran, got.answers = got.ran[:len(got.ran)-1], got.answers[:len(got.answers)-1]
		} else if tail != nil {
			got.handshakes--
		}
		wantExactly(t, want, got)
	})
}

// connect opens one of the doors.
func (n *node) connect(t *testing.T, form uint8) *nanotest.Client {
	switch form % 3 {
	case 0:
		return n.pipe.Client(t)
	case 1:
		return nanotest.Dial(t, n.tcp)
	default:
		return nanotest.DialWebSocket(t, n.ws)
	}
}

// send writes the stream in pieces; each byte of cuts is the length of one, in turn. To a WebSocket
// each piece is a frame, of binary or text, a fragment or whole, with a ping before it or none.
func send(c *nanotest.Client, stream, cuts []byte, form uint8) error {
	const websocket = 2
	open := false
	for i := 0; len(stream) > 0; i++ {
		size := len(stream)
		if i < 4*len(cuts) {
			size = min(size, int(cuts[i%len(cuts)])+1)
		}
		piece := stream[:size]
		stream = stream[size:]
		if form%3 != websocket {
			if err := c.SendRaw(piece); err != nil {
				return err
			}
			continue
		}
		key := [4]byte{byte(i), form, byte(size), 7}
		var b []byte
		if form&64 != 0 {
			b = wsframe.AppendMasked(b, wsframe.OpPing, true, key, nil)
		}
		op := wsframe.OpBinary
		switch {
		case open:
			op = wsframe.OpContinuation
		case form&32 != 0:
			op = wsframe.OpText
		}
		open = form&128 != 0 && len(stream) > 0
		if err := c.SendRaw(wsframe.AppendMasked(b, op, !open, key, piece)); err != nil {
			return err
		}
	}
	return nil
}

// sentinel returns what to send behind all else to see that everything was served, nil behind half
// a packet, and what tells whether it was.
func (o outcome) sentinel() (tail []byte, done func(seen) bool) {
	if o.partial {
		return nil, func(s seen) bool {
			return s.handshakes >= o.handshakes && len(s.ran) >= len(o.ran) && len(s.answers) >= len(o.answers)
		}
	}
	if !o.working {
		return codec.AppendPacket(nil, codec.Handshake, nil), func(s seen) bool { return s.handshakes > o.handshakes }
	}
	id := uint64(1) << 40
	for slices.ContainsFunc(o.answers, func(a answer) bool { return a.id == id }) {
		id++
	}
	tail, err := codec.AppendData(nil, codec.Request, id, "M.Echo", nil, 0, nil, 0)
	if err != nil {
		panic(err)
	}
	return tail, func(s seen) bool { return len(s.answers) > 0 && s.answers[len(s.answers)-1].id == id }
}

// seen is what the client gets.
type seen struct {
	handshakes int
	ran        []string
	answers    []answer
	over       error // the connection ended
}

// collect reads until done, or the end of the connection.
func collect(t *testing.T, c *nanotest.Client, done func(seen) bool) (s seen) {
	t.Helper()
	for !done(s) {
		p, err := c.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("nothing more comes, and the connection does not end: %+v", s)
		}
		if err != nil {
			s.over = err
			return s
		}
		switch p.Type {
		case codec.Handshake:
			var a struct{ Code int }
			if err := json.Unmarshal(p.Body, &a); err != nil || a.Code != 200 {
				t.Fatalf("a handshake is answered with %q", p.Body)
			}
			s.handshakes++
		case codec.Data:
			v, err := codec.ParseMessage(p.Body)
			switch {
			case err != nil:
				t.Fatalf("the node sent %q: %v", p.Body, err)
			case v.Type == codec.Push && string(v.Route) == "ran":
				s.ran = append(s.ran, string(v.Data))
			case v.Type == codec.Response && v.Err:
				s.answers = append(s.answers, answer{id: v.ID, error: true})
			case v.Type == codec.Response:
				s.answers = append(s.answers, answer{id: v.ID, data: string(v.Data)})
			default:
				t.Fatalf("the node sent a %v %q", v.Type, p.Body)
			}
		default:
			t.Fatalf("the node sent a %v", p.Type)
		}
	}
	return s
}

func wantExactly(t *testing.T, want outcome, got seen) {
	t.Helper()
	if got.handshakes != want.handshakes || !slices.Equal(got.ran, want.ran) || !slices.Equal(got.answers, want.answers) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// wantPrefix allows for what was lost when the node ended the connection.
func wantPrefix(t *testing.T, want outcome, got seen) {
	t.Helper()
	if got.handshakes > want.handshakes || !isPrefix(got.ran, want.ran) || !isPrefix(got.answers, want.answers) {
		t.Fatalf("got %+v, want no more than %+v", got, want)
	}
}

func isPrefix[T comparable](a, b []T) bool { return len(a) <= len(b) && slices.Equal(a, b[:len(a)]) }
