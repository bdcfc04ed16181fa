package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// world is a messenger in this process.
type world struct {
	t    testing.TB
	addr string
	node *local
	stop func()
}

// newWorld starts a messenger on a folder of its own, and ends it with the test.
func newWorld(t testing.TB, change ...func(*config)) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), change...)
}

func newWorldIn(t testing.TB, data string, change ...func(*config)) *world {
	t.Helper()
	conf := config{addr: "127.0.0.1:0", data: data, apiKeys: []string{"secret"}, names: true, liveTick: 100 * time.Millisecond}
	for _, f := range change {
		f(&conf)
	}
	n, err := newLocal(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx, io.Discard) }()
	var once sync.Once
	w := &world{t: t, addr: n.listener.Addr().String(), node: n}
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("the messenger ended with %v", err)
			}
			n.close()
		})
	}
	t.Cleanup(w.stop)
	until(t, "the messenger does not answer", func() bool {
		resp, err := http.Get("http://" + w.addr + "/auth/ways")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return w
}

// until waits for something.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatal(what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// post sends JSON and decodes the answer into reply, whatever its status.
func (w *world) post(path string, body, reply any, headers ...string) int {
	w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(http.MethodPost, path, bytes.NewReader(b), reply, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (w *world) do(method, path string, body io.Reader, reply any, headers ...string) int {
	w.t.Helper()
	req, err := http.NewRequest(method, "http://"+w.addr+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	switch to := reply.(type) {
	case nil:
	case *[]byte:
		*to = b
	default:
		if err := json.Unmarshal(b, reply); err != nil {
			w.t.Fatalf("%s %s answers %d %q: %v", method, path, resp.StatusCode, b, err)
		}
	}
	return resp.StatusCode
}

// token signs somebody in by name.
func (w *world) token(name string) string {
	w.t.Helper()
	var reply struct{ Token string }
	if status := w.post("/auth/name", map[string]string{"name": name, "want": "token"}, &reply); status != http.StatusOK {
		w.t.Fatalf("sign in: %d", status)
	}
	return reply.Token
}

// person is a client with what it was told.
type person struct {
	t     testing.TB
	c     *client.Client
	start *protocol.StartReply

	mu       sync.Mutex
	messages []store.Message
	pushes   []push
}

type push struct {
	route string
	data  string
}

// enter connects somebody, who hears of all channels when it returns.
func (w *world) enter(name, platform string) *person {
	w.t.Helper()
	p, err := w.connect(w.token(name), platform)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) connect(token, platform string, options ...client.Option) (*person, error) {
	p := &person{t: w.t}
	p.c = client.New("ws://"+w.addr+"/nano", append(options, client.WithUser(map[string]string{"platform": platform, "token": token}))...)
	client.On(p.c, protocol.PushMessage, func(m *store.Message) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.messages = append(p.messages, *m)
	})
	p.c.OnOther(func(route string, data []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pushes = append(p.pushes, push{route, string(data)})
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.c.Connect(ctx); err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { p.c.Close() })
	var err error
	p.start, err = insist[protocol.StartReply](p, "im.start", struct{}{})
	return p, err
}

// call sends a request that must succeed.
func call[Resp any](p *person, route string, req any) *Resp {
	p.t.Helper()
	r, err := insist[Resp](p, route, req)
	if err != nil {
		p.t.Fatalf("%s: %v", route, err)
	}
	return r
}

// insist tries again what is unavailable, as clients do: on a busy machine, nodes fall silent for a
// moment.
func insist[Resp any](p *person, route string, req any) (r *Resp, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if r, err = try[Resp](p, route, req); client.CodeOf(err) != client.CodeUnavailable || time.Now().After(end) {
			return r, err
		}
	}
}

func try[Resp any](p *person, route string, req any) (*Resp, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return client.Call[Resp](ctx, p.c, route, req)
}

// object is a request, as a client writes it.
type object = map[string]any

var said struct {
	sync.Mutex
	n int
}

// say sends a text with a fresh id.
func (p *person) say(channel, text string) *store.Message {
	p.t.Helper()
	said.Lock()
	said.n++
	cid := fmt.Sprint("t", said.n)
	said.Unlock()
	return call[store.Message](p, "im.send", object{"channel": channel, "cid": cid, "text": text})
}

// heard waits until the person was told of a message.
func (p *person) heard(what string, is func(store.Message) bool) {
	p.t.Helper()
	until(p.t, "nobody told "+what, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, m := range p.messages {
			if is(m) {
				return true
			}
		}
		return false
	})
}

// pushed waits for a push.
func (p *person) pushed(route string, is func(data string) bool) {
	p.t.Helper()
	until(p.t, "no push of "+route, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, x := range p.pushes {
			if x.route == route && is(x.data) {
				return true
			}
		}
		return false
	})
}

func asKick(err error, to **client.KickError) bool { return errors.As(err, to) }
