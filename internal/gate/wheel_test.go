package gate

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// bare makes connections of which only the wheel knows, with a gate of their own.
func bare(w *world, n int) []*Conn {
	all := make([]*Conn, n)
	for i := range all {
		all[i] = &Conn{gate: w.Gate, held: true, nc: nanotest.Nowhere{}}
		all[i].sess = w.cfg.NewSession(all[i])
	}
	return all
}

func queued(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.lone)
	if c.out != nil {
		n += c.out.size
	}
	return n / codec.HeadLength
}

// A client is beaten to once an interval, each on its own time; who is silent for two is gone, and who says anything
// is not.
func TestWheelBeatsAndSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cs := bare(w, 2)
		speaker, silent := cs[0], cs[1]
		w.wheel.add(speaker)
		time.Sleep(300 * time.Millisecond)
		w.wheel.add(silent)
		added := time.Now()
		for i := range 100 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			speaker.spoke.seen.Store(w.wheel.now.Load())
			gone := silent.isCut()
			if d := time.Since(added); gone && d < 2*time.Second || !gone && d > 2200*time.Millisecond {
				t.Fatalf("after %v, the silent one is gone: %v", d, gone)
			}
			total := 300*time.Millisecond + time.Duration(i+1)*100*time.Millisecond
			if got, want := queued(speaker), int(total/time.Second); total%time.Second > 100*time.Millisecond && got != want {
				t.Fatalf("after %v, %d heartbeats, want %d", total, got, want)
			}
		}
		w.wheel.remove(speaker)
		w.wheel.remove(speaker)
		before := queued(speaker)
		time.Sleep(5 * time.Second)
		if got := queued(speaker); got != before {
			t.Errorf("%d heartbeats after it was removed", got-before)
		}
		if count, turning := w.wheel.state(); count != 0 || turning {
			t.Errorf("the wheel turns for nobody: %d", count)
		}
		if got := w.counters.Silent.Load(); got != 1 {
			t.Errorf("%d counted as silent", got)
		}
	})
}

// A connection whose reader waits for a full scheduler has not fallen silent: what it said lies unread.
func TestWheelSparesTheBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := bare(w, 1)[0]
		w.wheel.add(c)
		c.busy.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if c.isCut() {
			t.Fatal("it was cut while its reader waited")
		}
		if got := queued(c); got != 10 && got != 9 {
			t.Errorf("%d heartbeats in 10 s", got)
		}
		c.busy.Store(false)
		began := time.Now()
		for !c.isCut() {
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
		}
		if d := time.Since(began); d < 1900*time.Millisecond || d > 2200*time.Millisecond {
			t.Errorf("gone %v after its reader was free again, want two intervals", d)
		}
	})
}

func (w *wheel) state() (count int, turning bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count, w.turning
}

func (c *Conn) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wasCut
}

// Thousands on one wheel: each its own heartbeats, none twice, none forgotten, whoever comes and goes meanwhile.
func TestWheelOfThousands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		w := newWorld(t)
		cs := bare(w, n)
		began := time.Now()
		for i, c := range cs {
			c.busy.Store(true)
			w.wheel.add(c)
			w.wheel.add(c) // again, which changes nothing
			if i%10 == 9 {
				time.Sleep(time.Millisecond)
			}
			if i%3 == 2 {
				w.wheel.remove(cs[i-1])
			}
		}
		time.Sleep(10500*time.Millisecond - time.Since(began))
		synctest.Wait()
		left := 0
		for i, c := range cs {
			if i%3 == 1 && i+1 < n {
				if got := queued(c); got != 0 {
					t.Fatalf("connection %d was removed at once and has %d heartbeats", i, got)
				}
				continue
			}
			left++
			at := time.Duration(i/10) * time.Millisecond
			lived := 10500*time.Millisecond - at
			if got, want := queued(c), int(lived/time.Second); got != want {
				t.Fatalf("connection %d lived for %v and has %d heartbeats, want %d", i, lived, got, want)
			}
		}
		if count, _ := w.wheel.state(); count != left {
			t.Errorf("%d on the wheel, want %d", count, left)
		}
		for _, c := range cs {
			w.wheel.remove(c)
		}
		w.wheel.mu.Lock()
		defer w.wheel.mu.Unlock()
		for _, head := range w.wheel.slots {
			if head != nil {
				t.Fatal("a connection is left in a slot")
			}
		}
	})
}

// A process that stood still (a paused machine) must not take its clients' silence for theirs: what they sent
// meanwhile lies unread.
func TestWheelAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *Config) { cfg.Log = slog.New(pause{cfg.Log.Handler()}) })
		cs := bare(w, 2)
		w.wheel.add(cs[0]) // its silence is what stops the wheel, after two intervals, for half a minute
		w.wheel.add(cs[1])
		time.Sleep(2 * time.Second)
		cs[1].spoke.seen.Store(w.wheel.now.Load())
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if !cs[0].isCut() || cs[1].isCut() {
			t.Errorf("the silent one is gone: %v; the one that could not be heard: %v", cs[0].isCut(), cs[1].isCut())
		}
		if got := queued(cs[1]); got > 4 {
			t.Errorf("%d heartbeats were made up at once", got)
		}
	})
}

// pause is a log that holds up who reports a silent connection.
type pause struct{ slog.Handler }

func (p pause) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "silent") {
		time.Sleep(30 * time.Second)
	}
	return p.Handler.Handle(ctx, r)
}

// The wheel of a gate without connections costs nothing, and starts again with the next.
func TestWheelRestsWhenEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 3 {
			c, _ := w.join(t, false, "{}")
			began := time.Now()
			if p := c.Packet(); p.Type != codec.Heartbeat || time.Since(began) > 1100*time.Millisecond {
				t.Fatalf("got %v after %v", p, time.Since(began))
			}
			c.Close()
			time.Sleep(time.Minute)
			if _, turning := w.wheel.state(); turning {
				t.Error("it turns for nobody")
			}
		}
	})
}
