package loop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/bots/loop"
	"github.com/lonng/nano/clients/nano-cli/internal/nodetest"
	"github.com/lonng/nano/internal/nanotest"
)

var ctx = context.Background()

type text = nodetest.Text

// newLoop runs a loop until the test ends.
func newLoop(t testing.TB, n int) *loop.Loop {
	lp := loop.New(n)
	t.Cleanup(lp.Close)
	return lp
}

func dial(t testing.TB, lp *loop.Loop, url string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(ctx, url, append([]client.Option{
		client.WithDialer(lp.Dial), client.WithSlog(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Shutdown(ctx) })
	return c
}

// eventually waits for a value.
func eventually[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("it did not come: %s", what)
		panic("unreachable")
	}
}

// descriptors counts those of this process; 0 where that cannot be told.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// A load test that leaves descriptors or goroutines behind at each run stops at the limit of a
// long-lived process; answers and pushes that get mixed up between the connections of a loop would
// make its figures worthless.
func TestManyClients(t *testing.T) {
	nanotest.Leaks(t)
	app := nodetest.Start(t)
	url := "tcp://" + app.Addr().String()
	lp := newLoop(t, 2)
	_ = dial(t, lp, url).Shutdown(ctx) // what is made once is there
	nodetest.Until(t, "the node closes the first", func() bool { return app.Stats().Closed == 1 })
	before := descriptors()
	const clients, each = 50, 40
	var wrong atomic.Int32
	var all sync.WaitGroup
	heard := make([]atomic.Int32, clients)
	cs := make([]*client.Client, clients)
	for i := range cs {
		c := dial(t, lp, url)
		cs[i] = c
		all.Add(each)
		client.On(c, "onSay", func(m *text) {
			if want := fmt.Sprint(heard[i].Add(1) - 1); m.Text != want {
				wrong.Add(1)
			}
			all.Done()
		})
		if _, err := client.Call[text](ctx, c, "Room.Join", &text{}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range each {
		if err := cs[0].Notify(ctx, "Room.Say", &text{Text: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cs {
		all.Add(each)
		left := each
		var next func()
		next = func() { // each from the function of the one before
			want := fmt.Sprintf(`{"text":"%d %d"}`, i, left)
			if err := c.Start("Room.Echo", []byte(want), func(data []byte, err error) {
				if err != nil || string(data) != want {
					wrong.Add(1)
				}
				if left--; left > 0 {
					next()
				}
				all.Done()
			}); err != nil {
				t.Error(err)
			}
		}
		next()
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	eventually(t, done, "all answers and pushes")
	if wrong.Load() > 0 {
		t.Errorf("%d answers and pushes are not what was to come", wrong.Load())
	}
	for _, c := range cs {
		_ = c.Shutdown(ctx)
	}
	nodetest.Until(t, "the node sees all closed", func() bool { return app.Stats().Closed == clients+1 })
	nodetest.Until(t, "the loop closes its descriptors", func() bool { return descriptors() <= before })
	lp.Close()
	lp.Close()
}

// The bots' clients must do over a loop what they do without: by TCP, and by WebSocket, below which
// the loop is a connection like others.
func TestEveryKindOfMessage(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			nanotest.Leaks(t)
			app := nodetest.Start(t, nano.WithIsWebsocket(scheme == "ws"), nano.WithHeartbeatInterval(50*time.Millisecond))
			c := dial(t, newLoop(t, 1), scheme+"://"+app.Addr().String())
			long := strings.Repeat("long ", 10_000)
			pushes, _ := client.Channel[text](c, "onSay", 10, client.Wait)
			for _, what := range []string{"hello", long} {
				if got, err := client.Call[text](ctx, c, "Room.Echo", &text{Text: what}); err != nil || got.Text != what {
					t.Errorf("echo: %.20v %v", got, err)
				}
			}
			if err := c.Request(ctx, "Room.Join", &text{}, nil); err != nil {
				t.Fatal(err)
			}
			if err := c.Notify(ctx, "Room.Say", &text{Text: long}); err != nil {
				t.Fatal(err)
			}
			if got := eventually(t, pushes, "a push"); got.Text != long {
				t.Errorf("a push of %d bytes", len(got.Text))
			}
			if got := client.CodeOf(c.Request(ctx, "Room.Fail", &text{Text: "ann"}, nil)); got != client.CodeRefused {
				t.Errorf("code %q", got)
			}
			if err := c.Notify(ctx, "Room.Leave", &text{Text: "as you wish"}); err != nil {
				t.Fatal(err)
			}
			eventually(t, c.Done(), "the kick")
			var kick *client.KickError
			if !errors.As(c.Err(), &kick) || kick.Reason != "as you wish" {
				t.Errorf("ended with %v", c.Err())
			}
		})
	}
}

// Close by what runs on the loop must not wait for the loop, or all its clients stand still.
func TestCloseInside(t *testing.T) {
	nanotest.Leaks(t)
	app := nodetest.Start(t)
	url := "tcp://" + app.Addr().String()
	lp := newLoop(t, 1)
	for _, where := range []string{"answer", "push", "answer of another"} {
		c, other := dial(t, lp, url), dial(t, lp, url)
		client.On(c, "onSay", func(*text) { _ = c.Close() })
		var err error
		switch where {
		case "answer":
			err = c.Start("Room.Echo", &text{}, func([]byte, error) { _ = c.Close() })
		case "push":
			if err = c.Request(ctx, "Room.Join", &text{}, nil); err == nil {
				err = c.Notify(ctx, "Room.Say", &text{})
			}
		case "answer of another":
			err = other.Start("Room.Echo", &text{}, func([]byte, error) { _ = c.Close() })
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, c.Done(), where)
		if err := other.Request(ctx, "Room.Echo", &text{}, nil); err != nil {
			t.Errorf("%s: the other client: %v", where, err)
		}
	}
}

// A loop that is closed too early must not leave its clients waiting: they hear of it, and come
// back without it.
func TestClosedFirst(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no loops")
	}
	nanotest.Leaks(t)
	app := nodetest.Start(t)
	url := "tcp://" + app.Addr().String()
	lp := newLoop(t, 1)
	ends := dial(t, lp, url)
	ready := make(chan struct{}, 10)
	back := dial(t, lp, url, client.WithReconnect(client.Reconnect{Min: time.Millisecond, Max: 10 * time.Millisecond}),
		client.WithStateHandler(func(ch client.Change) {
			if ch.State == client.Online {
				ready <- struct{}{}
			}
		}))
	eventually(t, ready, "the first connection")
	lp.Close()
	eventually(t, ends.Done(), "the end")
	if err := ends.Err(); !errors.Is(err, loop.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	eventually(t, ready, "the connection after the loop")
	if err := back.Request(ctx, "Room.Echo", &text{}, nil); err != nil {
		t.Error(err)
	}
}
