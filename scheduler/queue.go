package scheduler

import (
	"math"
	"sync/atomic"
	"time"
)

// keep is the capacity, in jobs, below which a buffer is never given back.
const keep = 1024

// backlog is what waits for a scheduler: a queue, and the lanes, which take turns to add to it
// (see lane.go). Scheduler.mu guards all of it but pending, so that most of its methods are called
// under that lock.
type backlog struct {
	pending atomic.Bool   // something waits that may run: for those without the lock
	ending  bool          // the scheduler ends: lanes are held back no more
	queue   []Job         // what waits, but for lanes
	oldest  time.Duration // when the first of queue came
	taken   time.Duration // when the last batch was taken
	room    chan struct{} // closed when the queue was taken; nil: nobody waits
	lanes   lanes

	limit  int // see WithLimit; changes only when the loop does not run
	awaits int // see WithAwaiting; changes as limit does
}

// stamp reads the clock for the one who will find that nothing waits, before the lock is taken;
// all others need no time.
func (b *backlog) stamp() time.Duration {
	if b.pending.Load() {
		return 0
	}
	return now()
}

// stampOf is stamp for jobs that may know when they came.
func (b *backlog) stampOf(jobs []Job) time.Duration {
	if b.pending.Load() || len(jobs) == 0 {
		return 0
	}
	if j, ok := jobs[0].(Stamped); ok {
		return j.Came()
	}
	return now()
}

// push queues jobs that have no lane behind all that waits, in lanes too. came is what stamp
// returned.
func (b *backlog) push(came time.Duration, jobs ...Job) {
	if b.lanes.count > 0 {
		b.addBehind(jobs...)
	} else {
		b.add(came, jobs...)
	}
}

// pushOne is push for one job.
func (b *backlog) pushOne(came time.Duration, j Job) {
	if b.lanes.count > 0 {
		b.addBehind(j)
	} else {
		b.addOne(came, j)
	}
}

// addOne is add for one job.
func (b *backlog) addOne(came time.Duration, j Job) {
	if len(b.queue) == 0 {
		b.first(came)
	}
	b.queue = append(b.queue, j)
}

// add queues jobs that have no lane before what waits in lanes.
func (b *backlog) add(came time.Duration, jobs ...Job) {
	if len(b.queue) == 0 {
		b.first(came)
	}
	b.queue = append(b.queue, jobs...)
}

// first notes that the queue is no longer empty.
func (b *backlog) first(came time.Duration) {
	if came == 0 {
		came = now()
	}
	b.oldest = came
	b.pending.Store(true)
}

// full reports whether Submit has to wait for room.
func (b *backlog) full(limit int) bool { return len(b.queue) >= limit }

// len is how many jobs wait.
func (b *backlog) len() int { return len(b.queue) + b.lanes.jobs + len(b.lanes.tasks) }

// since is when the first of what waits came; the past, if nothing does.
func (b *backlog) since() time.Duration {
	oldest := time.Duration(math.MaxInt64)
	if len(b.queue) > 0 {
		oldest = b.oldest
	}
	if b.lanes.count > 0 {
		oldest = min(oldest, b.lanes.oldest)
	}
	if oldest == math.MaxInt64 {
		return math.MinInt64
	}
	return oldest
}

// take returns the queue, as gather has left it, as the batch that runs from now on. last is the
// batch before: its memory is for what comes next.
func (b *backlog) take(last []Job, at time.Duration) (next []Job) {
	next = b.queue
	if cap(last) > keep && len(next) <= cap(last)/4 {
		last = nil
	}
	b.queue = last[:0]
	b.taken = at
	b.pending.Store(b.lanes.count > 0)
	b.letIn()
	return next
}

// roomToCome returns what is closed when the queue was taken.
func (b *backlog) roomToCome() <-chan struct{} {
	if b.room == nil {
		b.room = make(chan struct{})
	}
	return b.room
}

// letIn lets those go on who wait in Submit.
func (b *backlog) letIn() {
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// close lets all go on who wait for room, and holds no lane back any more.
func (b *backlog) close() {
	b.ending = true
	b.letIn()
	b.releaseLanes()
}

// drop forgets all that waits, and returns how much that was.
func (b *backlog) drop() int {
	n := b.len()
	b.queue = nil
	b.dropLanes()
	b.pending.Store(false)
	b.letIn()
	return n
}

// reset gives the memory back at the end of a run, when nothing waits.
func (b *backlog) reset() {
	b.ending = false
	b.queue, b.lanes.spare, b.lanes.tasks = nil, nil, nil
}
