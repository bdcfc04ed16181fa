package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(hello)
		type result struct {
			reply *text
			err   error
		}
		call := func(route string) <-chan result {
			ch := make(chan result, 1)
			go func() {
				r, err := client.Call[text](ctx, c, route, &text{"q"})
				ch <- result{r, err}
			}()
			return ch
		}
		// Answers in another order than the requests.
		one := call("a.one")
		m1 := p.request("a.one")
		two := call("a.two")
		m2 := p.request("a.two")
		if string(m1.Data) != `{"Text":"q"}` {
			t.Errorf("payload %s", m1.Data)
		}
		p.respond(m2.ID, `{"Text":"2"}`)
		p.respond(m1.ID, `{"Text":"1"}`)
		if r := <-one; r.err != nil || r.reply.Text != "1" {
			t.Errorf("one: %+v %v", r.reply, r.err)
		}
		if r := <-two; r.err != nil || r.reply.Text != "2" {
			t.Errorf("two: %+v %v", r.reply, r.err)
		}

		// An answer that does not decode, one nobody waits for, a raw one, a compressed one.
		bad := call("a.bad")
		p.respond(p.request("a.bad").ID, "not JSON")
		if r := <-bad; r.err == nil || !strings.Contains(r.err.Error(), "a.bad") {
			t.Errorf("bad: %v", r.err)
		}
		p.respond(999, "{}")
		var raw []byte
		done := ask(c, ctx, "a.raw", []byte("as it is"), &raw)
		m := p.request("a.raw")
		if string(m.Data) != "as it is" {
			t.Errorf("payload %s", m.Data)
		}
		p.send(&codec.Message{Type: codec.Response, ID: m.ID, Data: zip("small"), Gzip: true})
		if err := <-done; err != nil || string(raw) != "small" {
			t.Errorf("raw: %q %v", raw, err)
		}

		// What cannot be sent costs nothing but itself.
		if err := c.Request(ctx, "a.big", make([]byte, 70_000), nil); !errors.Is(err, codec.ErrPacketTooLarge) {
			t.Errorf("too much: %v", err)
		}
		if err := c.Notify(ctx, strings.Repeat("r", 300), nil); !errors.Is(err, codec.ErrRouteTooLong) {
			t.Errorf("long route: %v", err)
		}
		if err := c.Request(ctx, "a.func", func() {}, nil); err == nil {
			t.Error("a function was sent")
		}
		done = ask(c, ctx, "a.last")
		p.respond(p.request("a.last").ID, "")
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.drain()
	})
}

func zip(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.Bytes()
}

func TestErrorResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(hello)
		for _, tc := range []struct{ payload, code, message string }{
			{`{"code":"not_found","error":"no such room"}`, "not_found", "no such room"},
			{`teapot`, "", ""},
		} {
			done := ask(c, ctx, "a.b", nil, &text{})
			p.send(&codec.Message{Type: codec.Response, ID: p.request("a.b").ID, Data: []byte(tc.payload), Err: true})
			err := <-done
			var e *client.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Message != tc.message || string(e.Payload) != tc.payload || client.CodeOf(err) != tc.code {
				t.Errorf("%s gives %v", tc.payload, err)
			}
		}
		if got := client.CodeOf(io.EOF); got != "" {
			t.Errorf("code %q", got)
		}
		p.drain()
	})
}

// Without this, a bot would wait for ever for the answers that a v0.5 server does not send.
func TestRequestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent, client.WithRequestTimeout(10*time.Second))
		begin := time.Now()
		first := ask(c, ctx, "a.first")
		late := p.request("a.first").ID
		time.Sleep(4 * time.Second)
		second := ask(c, ctx, "a.second")
		p.request("a.second")
		patient, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		third := ask(c, patient, "a.third")
		p.request("a.third")
		hasty, cancel2 := context.WithTimeout(ctx, time.Second)
		defer cancel2()
		fourth := ask(c, hasty, "a.fourth")
		p.request("a.fourth")
		for _, w := range []struct {
			name  string
			done  <-chan error
			after time.Duration
			want  error
		}{
			{"its context's deadline", fourth, 5 * time.Second, context.DeadlineExceeded},
			{"first", first, 10 * time.Second, client.ErrTimeout},
			{"second", second, 14 * time.Second, client.ErrTimeout},
			{"a longer deadline of its own", third, 64 * time.Second, context.DeadlineExceeded},
		} {
			err := <-w.done
			if got := time.Since(begin); !errors.Is(err, w.want) || !errors.Is(err, context.DeadlineExceeded) || got != w.after {
				t.Errorf("%s: %v after %v", w.name, err, got)
			}
		}
		// The answer that comes too late is nobody's, and least of all the next request's.
		next := ask(c, ctx, "a.next", nil, new([]byte))
		id := p.request("a.next").ID
		p.respond(late, "late")
		p.respond(id, "")
		if err := <-next; err != nil {
			t.Error(err)
		}
		p.drain()
	})
}
