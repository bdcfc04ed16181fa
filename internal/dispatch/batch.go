package dispatch

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
)

// Batch gathers the calls of one read. It belongs to the goroutine that reads.
type Batch struct {
	table  *Table
	jobs   []scheduler.Job
	sched  *scheduler.Scheduler // whose jobs they are
	posts  bool                 // never waits for a scheduler
	lanes  []*scheduler.Lane    // of jobs, if it posts
	entity Entity               // who sent the message that is being added
	laned  Laned                // entity; nil if it has no lane
	lane   *scheduler.Lane      // its lane
	stop   func() <-chan struct{}
	meter  Meter // of the message that is being added, until its call has it
	cost   int
	trace  []byte // that came with it; borrowed
}

var batches = sync.Pool{New: func() any {
	b := new(Batch)
	b.stop = func() <-chan struct{} { return b.laned.Waiting() }
	return b
}}

// AddMetered is [Batch.Add] for a message that was counted. m is told its cost when it leaves the
// queue, which may be at once. trace is the carrier of the span that the message belongs to.
func (b *Batch) AddMetered(p Entity, v codec.View, m Meter, cost int, trace []byte) {
	b.meter, b.cost, b.trace = m, cost, trace
	defer func() { // also of code of the application's that panics
		b.trace = nil
		if b.meter != nil { // there was no call for it
			b.meter = nil
			m.Spent(cost)
		}
	}()
	b.Add(p, v)
}

// Add prepares the call that message v asks for. v is borrowed; Add keeps nothing of it. A message
// that no handler can serve is answered with an error. The messages of one session keep their
// order across schedulers: Add hands the calls for one over before it adds any for another.
func (b *Batch) Add(p Entity, v codec.View) {
	t := b.table
	switch v.Type {
	case codec.Request:
	case codec.Notify:
		v.ID = 0
	default:
		t.ignored.Add(1)
		t.cfg.Log.Debug("message ignored: only a server sends this type",
			"type", v.Type, "session", p.Session().ID())
		return
	}
	b.from(p)
	r, name := t.find(v)
	t.of(r).count(v.Type == codec.Request)
	data, err := t.payload(v)
	if s, ok := p.(Sanctioner); ok && errors.Is(err, errBomb) {
		s.Malformed(err)
		return
	}
	if err != nil {
		b.refuse(p, r, v.ID, name, err)
		return
	}
	if t.cfg.Debug {
		t.cfg.MessageLog.Info("message",
			"type", v.Type, "route", name, "mid", v.ID, "session", p.Session().ID(), "bytes", len(data))
	}
	filters, forwarded := t.inbound, r == nil && t.goesOn(p)
	if forwarded { // the filters of the node that has the handler see it there
		filters = t.forwarded
	}
	for !pipeline.Empty(filters) {
		m := &codec.Message{Type: v.Type, ID: v.ID, Route: name, Data: slices.Clone(data)}
		if err := Filter(filters, p.Session(), m); err != nil {
			b.refuse(p, r, v.ID, name, refusal(err))
			return
		}
		if data = m.Data; m.Route != name { // a filter may send a message elsewhere
			name, r = m.Route, t.routes[m.Route]
		}
		if !forwarded || r == nil {
			break
		}
		filters, forwarded = t.inbound, false // it is for this node after all
	}
	if r == nil {
		if !b.posts {
			b.hand() // the way to another node may have to wait; the calls that came before do not
		}
		m := &codec.Message{Type: v.Type, ID: v.ID, Route: name, Data: slices.Clone(data)}
		if trace, err := t.elsewhere(p, m); err != nil {
			b.end(p, nil, v.ID, name, err, trace)
		}
		return
	}
	b.add(p, r, v.ID, data)
}

// Refuse ends a message with an error, as a filter does.
func (b *Batch) Refuse(p Entity, v codec.View, err error) {
	b.from(p)
	r, name := b.table.find(v)
	if v.Type != codec.Request {
		v.ID = 0
	}
	b.refuse(p, r, v.ID, name, err)
}

// add makes the call and puts it where it will run.
func (b *Batch) add(p Entity, r *route, mid uint64, data []byte) {
	if err := r.check(p); err != nil {
		b.refuse(p, r, mid, r.name, err)
		return
	}
	c, err := b.table.prepare(p, r, mid, data)
	if err != nil {
		b.refuse(p, r, mid, r.name, err)
		return
	}
	c.traced(b.trace)
	b.put(c, r)
}

// from notes who sent the message that is being added.
func (b *Batch) from(p Entity) {
	if b.entity == p {
		return
	}
	if !b.posts {
		b.hand()
	}
	b.entity, b.lane = p, nil
	if b.laned, _ = p.(Laned); b.laned != nil {
		b.lane = b.laned.Lane()
	}
}

// put gives a call to the scheduler of a route.
func (b *Batch) put(c *call, r *route) {
	main := r.main
	if r.sched == nil { // a session's own is one of ours, most often
		main, _ = c.entity.Session().Value(r.byName).(*scheduler.Scheduler)
	}
	if main != nil {
		b.putOn(main, c)
		return
	}
	b.hand()
	// The meter stays here: an application's scheduler may drop the call without a word.
	p, mid, refused := c.entity, c.mid, c.err
	if err := c.schedule(); err != nil {
		b.refuse(p, nil, mid, r.name, cmp.Or(refused, err))
	}
}

// putOn gives a call to a scheduler.
func (b *Batch) putOn(s *scheduler.Scheduler, c *call) {
	if b.sched != s {
		b.hand()
		b.sched = s
	}
	c.sched = s
	c.meter, c.cost, b.meter = b.meter, b.cost, nil
	b.jobs = append(b.jobs, c)
	if b.posts {
		b.lanes = append(b.lanes, b.lane)
	}
}

// refuse ends a message with an error. Its answer comes after those of the messages before it, so
// it takes their way. r is nil if there is no route, or no scheduler for it.
func (b *Batch) refuse(p Entity, r *route, mid uint64, name string, err error) {
	b.end(p, r, mid, name, err, nil)
}

// end is refuse for a message with a trace; nil begins one.
func (b *Batch) end(p Entity, r *route, mid uint64, name string, err error, trace *callTrace) {
	c := calls.Get().(*call)
	*c = call{table: b.table, route: r, entity: p, mid: mid, err: err, name: name}
	if c.trace = trace; trace == nil {
		c.traced(b.trace)
	}
	switch {
	case mid == 0 || b.lane == nil:
		c.refuse()
		c.free()
	case r != nil:
		b.put(c, r)
	default:
		b.hand() // Latest has the messages before this one then
		b.putOn(cmp.Or(b.lane.Latest(), b.table.cfg.Scheduler), c)
	}
}

// hand submits what has gathered so far.
func (b *Batch) hand() {
	if len(b.jobs) == 0 {
		return
	}
	came := scheduler.Clock()
	for _, j := range b.jobs {
		j.(*call).came = came
	}
	if n, err := b.give(b.sched, b.lanes, b.jobs); err != nil {
		for i, j := range b.jobs[n:] {
			c := j.(*call)
			switch {
			case errors.Is(err, scheduler.ErrStopped): // its session has ended: nobody is to be told
				c.free()
			case b.posts:
				b.giveBack(c, b.lanes[i], err)
			default:
				b.giveBack(c, b.lane, err)
			}
		}
	}
	clear(b.jobs)
	clear(b.lanes)
	b.jobs, b.lanes = b.jobs[:0], b.lanes[:0]
}

// give gives calls to a scheduler, and returns how many it has taken: all or none if the batch
// posts.
func (b *Batch) give(s *scheduler.Scheduler, lanes []*scheduler.Lane, jobs []scheduler.Job) (n int, err error) {
	switch {
	case b.posts:
		err = s.PostTo(lanes, jobs)
	case b.lane == nil:
		err = s.Submit(jobs, nil)
	default:
		return s.SubmitTo(b.lane, jobs, b.stop)
	}
	return 0, err
}

// giveBack refuses a call that its scheduler has not taken, because that is closed. The answer comes
// after those of the messages before it, unless these are for the closed scheduler, too.
func (b *Batch) giveBack(c *call, lane *scheduler.Lane, err error) {
	if c.err == nil {
		c.err = b.table.closed(c.route, b.sched, err)
	}
	if c.mid != 0 && lane != nil {
		for _, s := range []*scheduler.Scheduler{lane.Latest(), b.table.cfg.Scheduler} {
			if s == nil || s == b.sched {
				continue
			}
			c.sched = s
			if _, err := b.give(s, []*scheduler.Lane{lane}, []scheduler.Job{c}); err == nil {
				return
			}
		}
	}
	c.refuse()
	c.free()
}

// Hand hands over the calls that were added so far: tasks that are pushed afterwards run after
// them.
func (b *Batch) Hand() { b.hand() }

// Submit hands the calls over, waits for room in full schedulers, and gives the batch back.
func (b *Batch) Submit() {
	b.hand()
	b.table, b.sched, b.posts = nil, nil, false
	b.entity, b.laned, b.lane = nil, nil, nil
	batches.Put(b)
}
