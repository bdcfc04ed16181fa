package gate

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// inline is how many connections the scheduler flushes itself at the end of a batch; with more, it
// wakes others to share the work.
const inline = 4

// share is how many connections one who flushes takes at a time.
const share = 8

// Flusher has output that Flush writes, or hands to a goroutine that does. Flush must not block.
// Connections are flushers, and so are links to other nodes and sessions with changed values that
// other nodes need to know.
type Flusher interface{ Flush() }

// urgency says when a connection with output is flushed.
type urgency uint8

const (
	never urgency = iota // it is in a list already, or somebody writes
	delayed
	soon    // at the end of the batch of handlers, and at once if none runs
	atFirst // as soon, and before all that are only soon: somebody waits for an answer
)

// flushQueue has the connections that have output and sees that each is flushed once, by whoever
// is free.
//
// While a scheduler runs a batch of handlers, the connections they write to gather here. At the end
// of the batch the scheduler flushes them itself if they are few; else workers are woken. What is
// queued from outside any batch wakes a worker at once. Flushing never blocks: a client that does
// not keep up gets a goroutine of its own (see slowWriter).
//
// Answers have a list of their own, which is flushed first: the answer to one client does not wait
// until a broadcast to thousands is written. The scheduler helps with answers as long as no handler
// waits, and leaves broadcasts to the workers. With a delay, output that may wait gathers in a
// third list, which joins the others when the delay is over.
//
// A worker yields after every few connections: the runtime does not know of the system calls, and
// what is read meanwhile would wait until it takes the processor away, for up to 10 ms.
//
// There are workers for all processors but one, which is left to handlers and to what is read: with
// all of them busy a broadcast would hold up answers, though nobody waits for a lock.
//
// Lock order: a connection's lock, then the flush queue's.
type flushQueue struct {
	delay time.Duration
	round atomic.Uint32 // counts the delays, from 1; see output.round

	mu      sync.Mutex
	first   line
	rest    line
	later   []Flusher
	open    int  // batches now running: their ends will flush
	active  int  // workers awake
	armed   bool // the delay's timer runs
	stopped bool
	timer   *time.Timer
	wake    chan struct{}
	workers sync.WaitGroup
	limit   int
}

// line is a list from which is taken at the front.
type line struct {
	all   []Flusher
	taken int // all[:taken] were taken
}

func (l *line) len() int { return len(l.all) - l.taken }

// take moves as many as there is room for to the end of few.
func (l *line) take(few []Flusher, room int) []Flusher {
	n := min(room, l.len())
	few = append(few, l.all[l.taken:l.taken+n]...)
	clear(l.all[l.taken : l.taken+n])
	l.taken += n
	if l.taken == len(l.all) {
		l.all, l.taken = emptied(l.all), 0
	}
	return few
}

// emptied returns the memory of a list to use again, unless one broadcast has made it large.
func emptied(list []Flusher) []Flusher {
	if cap(list) > 1<<16 {
		return nil
	}
	return list[:0]
}

func newFlushQueue(delay time.Duration) *flushQueue {
	q := &flushQueue{delay: delay, limit: max(runtime.GOMAXPROCS(0)-1, 1)}
	q.round.Store(1)
	q.wake = make(chan struct{}, q.limit)
	for range q.limit {
		q.workers.Add(1)
		go q.work()
	}
	return q
}

// add takes connections that have output now, and were not in the list for that urgency.
func (q *flushQueue) add(u urgency, cs ...Flusher) {
	if u == never {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case u == delayed && q.delay > 0:
		q.later = append(q.later, cs...)
		q.armLocked()
		return
	case u == atFirst:
		q.first.all = append(q.first.all, cs...)
	default:
		q.rest.all = append(q.rest.all, cs...)
	}
	if q.open == 0 {
		q.rouseLocked()
	}
}

// armLocked starts the delay, unless it runs.
func (q *flushQueue) armLocked() {
	switch {
	case q.armed || q.stopped:
		return
	case q.timer == nil:
		q.timer = time.AfterFunc(q.delay, q.due)
	default:
		q.timer.Reset(q.delay)
	}
	q.armed = true
}

// due ends a delay.
func (q *flushQueue) due() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.armed = false
	q.round.Add(1) // before anybody is flushed: what is queued after that flush is in the next list
	if q.rest.len() == 0 {
		q.rest.all, q.later = q.later, emptied(q.rest.all)
	} else {
		q.rest.all = append(q.rest.all, q.later...)
		clear(q.later)
		q.later = emptied(q.later)
	}
	q.rouseLocked()
}

func (q *flushQueue) lenLocked() int { return q.first.len() + q.rest.len() }

// rouseLocked sees that somebody will flush what is in the lists.
func (q *flushQueue) rouseLocked() {
	if q.active == 0 && q.lenLocked() > 0 && !q.stopped {
		q.startLocked()
	}
}

// startLocked wakes a worker.
func (q *flushQueue) startLocked() {
	q.active++
	q.wake <- struct{}{} // has room: active never exceeds its capacity
}

// hurry flushes without waiting for a batch's end: some queue has become long, or the batch takes
// long.
func (q *flushQueue) hurry() {
	q.mu.Lock()
	q.rouseLocked()
	q.mu.Unlock()
}

func (q *flushQueue) begin() {
	q.mu.Lock()
	q.open++
	q.mu.Unlock()
}

// end is called by a scheduler after a batch. It flushes a few connections itself, answers before
// others, and wakes workers if there are more.
func (q *flushQueue) end() {
	var few [inline]Flusher
	q.mu.Lock()
	q.open--
	mine := q.first.take(few[:0], inline)
	if q.rest.len() <= inline-len(mine) && q.first.len() == 0 {
		mine = q.rest.take(mine, inline-len(mine))
	}
	q.rouseLocked()
	q.mu.Unlock()
	flushAll(mine)
}

// help flushes answers until more, or until there are none.
func (q *flushQueue) help(more func() bool) {
	var few [share]Flusher
	for !more() {
		q.mu.Lock()
		mine := q.first.take(few[:0], share)
		q.mu.Unlock()
		if len(mine) == 0 {
			return
		}
		flushAll(mine)
	}
}

func flushAll(cs []Flusher) {
	for _, c := range cs {
		c.Flush()
	}
}

// nextLocked takes some connections, answers before others.
func (q *flushQueue) nextLocked(few *[share]Flusher) []Flusher {
	mine := q.first.take(few[:0], share)
	return q.rest.take(mine, share-len(mine))
}

// work is a worker: parked, until there is something to flush.
func (q *flushQueue) work() {
	defer q.workers.Done()
	var few [share]Flusher
	for range q.wake {
		for {
			q.mu.Lock()
			mine := q.nextLocked(&few)
			if len(mine) == 0 {
				q.active--
				q.mu.Unlock()
				break
			}
			if q.lenLocked() > share && q.active < q.limit && !q.stopped {
				q.startLocked()
			}
			q.mu.Unlock()
			flushAll(mine)
			runtime.Gosched()
		}
		clear(few[:])
	}
}

// stop ends the workers, after the last connection is gone.
func (q *flushQueue) stop() {
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		return
	}
	q.stopped = true
	if q.timer != nil {
		q.timer.Stop()
	}
	close(q.wake)
	q.mu.Unlock()
	q.workers.Wait()
}
