package dispatch

import (
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/tally"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/scheduler"
)

// messages counts what was asked for. Safe for concurrent use.
type messages struct {
	requests, notifies atomic.Uint64
	errors             tally.Codes
}

func (m *messages) snapshot() metrics.Messages {
	return metrics.Messages{Requests: m.requests.Load(), Notifies: m.notifies.Load(), Errors: m.errors.Snapshot()}
}

// figures are those of a route. Safe for concurrent use.
type figures struct {
	messages
	panics atomic.Uint64
	_      [64]byte // readers write what stands above, schedulers what stands below

	// main is of the calls on the node's scheduler and on the application's own. Others have one of
	// spread, so that schedulers on different processors seldom write to the same.
	main   times
	spread [spreadOver]atomic.Pointer[times]

	unsummed sums // of main; whoever has the turn of the node's scheduler writes it
}

// sums are times that were counted, and are not in the sums of their histograms yet: those of one
// batch, which are added at its end.
type sums struct {
	wait, handler time.Duration
	listed        bool // in the table's unsummed
}

// spreadOver is a power of two.
const spreadOver = 8

// times are how long calls have waited and run.
type times struct{ wait, handler tally.Histogram }

// on returns where the times of calls on a scheduler are counted.
func (f *figures) on(s, main *scheduler.Scheduler) *times {
	if s == nil || s == main {
		return &f.main
	}
	at := &f.spread[s.Spread()%spreadOver]
	if t := at.Load(); t != nil {
		return t
	}
	at.CompareAndSwap(nil, new(times))
	return at.Load()
}

// count counts a message.
func (m *messages) count(request bool) {
	if request {
		m.requests.Add(1)
	} else {
		m.notifies.Add(1)
	}
}

func (f *figures) snapshot(name string) metrics.Route {
	r := metrics.Route{Name: name, Messages: f.messages.snapshot(), Panics: f.panics.Load()}
	// Those that have ended first: what ends meanwhile counts as running, not the other way round.
	r.Handler = f.main.handler.Snapshot()
	for i := range f.spread {
		if t := f.spread[i].Load(); t != nil {
			r.Handler = r.Handler.Add(t.handler.Snapshot())
		}
	}
	r.Wait = f.main.wait.Snapshot()
	for i := range f.spread {
		if t := f.spread[i].Load(); t != nil {
			r.Wait = r.Wait.Add(t.wait.Snapshot())
		}
	}
	if r.Wait.Count > r.Handler.Count {
		r.Running = int(r.Wait.Count - r.Handler.Count)
	}
	return r
}

// startClock notes that the call's handler is about to begin.
func (c *call) startClock() {
	if c.sched != nil {
		c.began = c.sched.JobBegan()
	} else {
		c.began = scheduler.Clock()
	}
	f, waited := c.route.figures, c.began-c.came
	c.times = f.on(c.sched, c.table.cfg.Scheduler)
	if !c.settled() {
		c.times.wait.Record(waited)
		return
	}
	c.times.wait.RecordWithoutSum(waited)
	c.table.unsummed.of(f).wait += max(waited, 0)
}

// settled tells whether the call's times are added up at the end of its batch.
func (c *call) settled() bool { return c.sched != nil && c.sched == c.table.unsummed.by }

// stopClock notes that the call's handler has ended, if it has begun.
func (c *call) stopClock() {
	if c.times == nil {
		return
	}
	var now time.Duration
	if c.sched != nil {
		now = c.sched.JobEnded()
	} else {
		now = scheduler.Clock()
	}
	took := now - c.began
	if !c.settled() {
		c.times.handler.Record(took)
		return
	}
	c.times.handler.RecordWithoutSum(took)
	c.table.unsummed.of(c.route.figures).handler += max(took, 0)
}

// unsummed are the routes whose times are not all in the sums. It belongs to whoever has the turn
// of the node's scheduler.
type unsummed struct {
	by     *scheduler.Scheduler // whose batches are settled at their end; nil: nobody's are
	routes []*figures
}

// of returns where the times of a route are added up until the end of the batch.
func (u *unsummed) of(f *figures) *sums {
	if !f.unsummed.listed {
		f.unsummed.listed = true
		u.routes = append(u.routes, f)
	}
	return &f.unsummed
}

// settle is Table.Settle.
func (u *unsummed) settle() {
	for _, f := range u.routes {
		f.main.wait.AddSum(f.unsummed.wait)
		f.main.handler.AddSum(f.unsummed.handler)
		f.unsummed = sums{}
	}
	u.routes = u.routes[:0]
}
