package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/transport"
)

// bare makes connections of which only the wheel knows, with a gate of their own.
func bare(w *world, n int) []*Conn {
	all := make([]*Conn, n)
	for i := range all {
		all[i] = newConn(w.Gate, transport.Portable(nanotest.Nowhere{}))
		all[i].held = true
		all[i].sess = w.cfg.NewSession(all[i])
	}
	return all
}

func queued(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitingLocked() / codec.HeadLength
}

// Each client gets a heartbeat once an interval, on its own phase. One that is silent for three
// intervals is gone, and one that says anything is not.
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
			speaker.spoke.see(w.wheel.now.Load())
			gone := silent.isCut()
			if d := time.Since(added); gone && d < 3*time.Second || !gone && d > 3200*time.Millisecond {
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

// A connection whose reader waits for a full scheduler has not fallen silent: what it said lies
// unread.
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
		if d := time.Since(began); d < 2900*time.Millisecond || d > 3200*time.Millisecond {
			t.Errorf("gone %v after its reader was free again, want three intervals", d)
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

// Thousands on one wheel: each its own heartbeats, none twice, none forgotten, whoever comes and
// goes meanwhile.
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

// A process that stood still (a paused machine) must not take its clients' silence for theirs: what
// they sent meanwhile lies unread.
func TestWheelAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *Config) { cfg.Log = slog.New(pause{cfg.Log.Handler()}) })
		cs := bare(w, 2)
		w.wheel.add(cs[0]) // its silence is what stops the wheel, after three intervals, for half a minute
		w.wheel.add(cs[1])
		time.Sleep(time.Second)
		cs[1].spoke.see(w.wheel.now.Load()) // and then two intervals of silence, as many clients in use keep
		time.Sleep(33 * time.Second)
		synctest.Wait()
		if !cs[0].isCut() || cs[1].isCut() {
			t.Errorf("the silent one is gone: %v; the one that could not be heard: %v", cs[0].isCut(), cs[1].isCut())
		}
		if got := queued(cs[1]); got > 5 { // three before the pause, two in the second after it
			t.Errorf("%d heartbeats were made up at once", got)
		}
	})
}

// pause is a log that holds up who reports a silent connection.
type pause struct{ slog.Handler }

func (p pause) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "no sign of life") {
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

// Clients in use answer a heartbeat one interval after it came, and send nothing else. They must
// live at any round trip below the interval, whatever the interval is. Clients are told whole
// seconds, so they count in those.
func TestWheelSparesThoseWhoAnswerLate(t *testing.T) {
	for _, row := range []struct{ interval, told, late time.Duration }{
		{30 * time.Second, 30 * time.Second, 2 * time.Second},
		{30 * time.Second, 30 * time.Second, 29 * time.Second},
		{time.Second, time.Second, 500 * time.Millisecond},
		{time.Second, time.Second, 900 * time.Millisecond},
		{2 * time.Second, 2 * time.Second, 500 * time.Millisecond},
		{3 * time.Second, 3 * time.Second, 500 * time.Millisecond},
		{500 * time.Millisecond, time.Second, 500 * time.Millisecond},
		{1200 * time.Millisecond, 2 * time.Second, 500 * time.Millisecond},
		{1500 * time.Millisecond, 2 * time.Second, 500 * time.Millisecond},
		{10 * time.Millisecond, time.Second, 500 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%v+%v", row.interval, row.late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.Heartbeat = row.interval })
				c, _ := w.join(t, false, "{}")
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					var pending atomic.Bool // a client that is about to answer ignores what comes meanwhile
					for {
						p, err := c.Next()
						if errors.Is(err, os.ErrDeadlineExceeded) { // the test's own, which is as long as an interval
							continue
						}
						if err != nil {
							return
						}
						if p.Type == codec.Heartbeat && pending.CompareAndSwap(false, true) {
							time.AfterFunc(row.told+row.late, func() {
								pending.Store(false)
								_ = c.SendPacket(codec.Heartbeat, nil)
							})
						}
					}
				}()
				time.Sleep(20 * row.told)
				if w.counters.Silent.Load() > 0 {
					t.Error("a client that answers each heartbeat was cut")
				}
				c.Close()
				<-ended
			})
		})
	}
}

// A client that says nothing at all is gone when the allowed number of intervals is over, in the
// whole seconds that it was told, and not earlier.
func TestWheelAllowsWhatIsSet(t *testing.T) {
	for _, row := range []struct {
		interval time.Duration
		missed   int
		gone     time.Duration
	}{
		{time.Second, 3, 3 * time.Second},
		{time.Second, 1, time.Second},
		{500 * time.Millisecond, 3, 3 * time.Second},
		{1200 * time.Millisecond, 2, 4 * time.Second},
		{10 * time.Second, 100, 1000 * time.Second},
	} {
		t.Run(fmt.Sprintf("%v*%d", row.interval, row.missed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) { cfg.Heartbeat, cfg.MissedBeats = row.interval, row.missed })
				c, _ := w.join(t, false, "{}")
				began := time.Now()
				for {
					if _, err := c.Next(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						break
					}
				}
				if d := time.Since(began); d < row.gone || d > row.gone+row.interval/8 {
					t.Errorf("gone after %v, want %v", d, row.gone)
				}
			})
		})
	}
}
