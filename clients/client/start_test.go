package client_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// Each request that was started must have exactly one outcome, whatever happens to its connection:
// who counts on it waits for ever otherwise.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := client.New("tcp://h:1", client.WithDialer(s.dial), quiet(), client.WithReconnect(fast), client.WithRequestTimeout(3*time.Second))
		var mu sync.Mutex
		var got []string
		add := func(route string, data []byte, err error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%s %s %v", route, data, err))
		}
		start := func(route string, v any) error {
			return c.Start(route, v, func(data []byte, err error) { add(route, data, err) })
		}
		if err := start("a.early", nil); !errors.Is(err, client.ErrNotConnected) {
			t.Errorf("before Connect: %v", err)
		}
		p := s.join(c, silent)
		for _, r := range []string{"a.one", "a.gzip", "a.refused", "a.panic", "a.slow"} {
			fail := r == "a.panic"
			if err := c.Start(r, nil, func(data []byte, err error) {
				add(r, data, err)
				if fail {
					panic("oops")
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		ids := make(map[string]uint64)
		for range 5 {
			m := p.message()
			ids[m.Route] = m.ID
		}
		p.respond(ids["a.one"], "1")
		p.send(&codec.Message{Type: codec.Response, ID: ids["a.gzip"], Data: zip("2"), Gzip: true})
		p.send(&codec.Message{Type: codec.Response, ID: ids["a.refused"], Data: []byte(`{"code":"full","error":"no"}`), Err: true})
		p.respond(ids["a.panic"], "3")
		time.Sleep(4 * time.Second)
		p.respond(ids["a.slow"], "late")
		if err := start("a.big", make([]byte, 70_000)); !errors.Is(err, codec.ErrPacketTooLarge) {
			t.Errorf("too much: %v", err)
		}
		if err := start("a.lost", nil); err != nil {
			t.Error(err)
		}
		p.request("a.lost")
		_ = p.nc.Close()
		synctest.Wait()
		if err := start("a.away", nil); !errors.Is(err, client.ErrAway) {
			t.Errorf("away: %v", err)
		}
		p = s.accept()
		p.welcome(silent)
		synctest.Wait()
		if err := start("a.last", nil); err != nil {
			t.Error(err)
		}
		p.request("a.last")
		p.drain()
		_ = c.Close()
		if err := start("a.closed", nil); !errors.Is(err, client.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		want := []string{
			"a.one 1 <nil>", "a.gzip 2 <nil>", "a.refused  client: request a.refused: full: no", "a.panic 3 <nil>",
			"a.slow  client: request a.slow: client: no answer in time: context deadline exceeded",
			"a.lost  client: request a.lost: client: connection lost:", "a.last  client: request a.last: client: closed",
		}
		for i, w := range want {
			if i >= len(got) || !strings.HasPrefix(got[i], w) {
				t.Fatalf("outcomes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if len(got) != len(want) {
			t.Errorf("outcomes\n%s", strings.Join(got, "\n"))
		}
	})
}

// A server that reads nothing must not hold up whoever starts requests, nor fill the memory with
// them.
func TestStartDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent, client.WithWriteTimeout(time.Hour), client.WithRequestTimeout(-1))
		ended := 0
		started := 0
		var err error
		for err == nil && started < 1000 {
			if err = c.Start("a.b", make([]byte, 50_000), func([]byte, error) { ended++ }); err == nil {
				started++
			}
		}
		if !errors.Is(err, client.ErrBusy) || started > 50 {
			t.Errorf("after %d of them: %v", started, err)
		}
		_ = p.nc.Close()
		<-c.Done()
		if ended != started {
			t.Errorf("%d of %d have ended", ended, started)
		}
	})
}

// With a node, over real sockets: many at once, each with its own answer, and others between them.
func TestStartManyWithANode(t *testing.T) {
	nanotest.Leaks(t)
	app, _ := startNode(t, "127.0.0.1:0")
	c := dial(t, "tcp://"+app.Addr().String())
	const n = 2000
	var wrong, ended atomic.Int32
	all := make(chan struct{})
	for i := range n {
		want := fmt.Sprintf(`{"Text":"%d"}`, i)
		if err := c.Start("Room.Echo", []byte(want), func(data []byte, err error) {
			if err != nil || string(data) != want {
				wrong.Add(1)
			}
			if ended.Add(1) == n {
				close(all)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if got, err := client.Call[text](ctx, c, "Room.Echo", &text{"between"}); err != nil || got.Text != "between" {
				t.Errorf("%v, %v", got, err)
			}
		}
	}
	eventually(t, all, "all answers")
	if wrong.Load() > 0 {
		t.Errorf("%d answers are not theirs", wrong.Load())
	}
	_ = c.Close()
}
