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

// hub knows the connections that have output and sees that each is flushed once, by whoever is
// free.
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
// Lock order: a connection's lock, then the hub's.
type hub struct {
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

func newHub(delay time.Duration) *hub {
	h := &hub{delay: delay, limit: max(runtime.GOMAXPROCS(0)-1, 1)}
	h.round.Store(1)
	h.wake = make(chan struct{}, h.limit)
	for range h.limit {
		h.workers.Add(1)
		go h.work()
	}
	return h
}

// add takes connections that have output now, and were not in the list for that urgency.
func (h *hub) add(u urgency, cs ...Flusher) {
	if u == never {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case u == delayed && h.delay > 0:
		h.later = append(h.later, cs...)
		h.armLocked()
		return
	case u == atFirst:
		h.first.all = append(h.first.all, cs...)
	default:
		h.rest.all = append(h.rest.all, cs...)
	}
	if h.open == 0 {
		h.rouseLocked()
	}
}

// armLocked starts the delay, unless it runs.
func (h *hub) armLocked() {
	switch {
	case h.armed || h.stopped:
		return
	case h.timer == nil:
		h.timer = time.AfterFunc(h.delay, h.due)
	default:
		h.timer.Reset(h.delay)
	}
	h.armed = true
}

// due ends a delay.
func (h *hub) due() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	h.round.Add(1) // before anybody is flushed: what is queued after that flush is in the next list
	if h.rest.len() == 0 {
		h.rest.all, h.later = h.later, emptied(h.rest.all)
	} else {
		h.rest.all = append(h.rest.all, h.later...)
		clear(h.later)
		h.later = emptied(h.later)
	}
	h.rouseLocked()
}

func (h *hub) lenLocked() int { return h.first.len() + h.rest.len() }

// rouseLocked sees that somebody will flush what is in the lists.
func (h *hub) rouseLocked() {
	if h.active == 0 && h.lenLocked() > 0 && !h.stopped {
		h.startLocked()
	}
}

// startLocked wakes a worker.
func (h *hub) startLocked() {
	h.active++
	h.wake <- struct{}{} // has room: active never exceeds its capacity
}

// hurry flushes without waiting for a batch's end: some queue has become long, or the batch takes
// long.
func (h *hub) hurry() {
	h.mu.Lock()
	h.rouseLocked()
	h.mu.Unlock()
}

func (h *hub) begin() {
	h.mu.Lock()
	h.open++
	h.mu.Unlock()
}

// end is called by a scheduler after a batch. It flushes a few connections itself, answers before
// others, and wakes workers if there are more.
func (h *hub) end() {
	var few [inline]Flusher
	h.mu.Lock()
	h.open--
	mine := h.first.take(few[:0], inline)
	if h.rest.len() <= inline-len(mine) && h.first.len() == 0 {
		mine = h.rest.take(mine, inline-len(mine))
	}
	h.rouseLocked()
	h.mu.Unlock()
	flushAll(mine)
}

// help flushes answers until more, or until there are none.
func (h *hub) help(more func() bool) {
	var few [share]Flusher
	for !more() {
		h.mu.Lock()
		mine := h.first.take(few[:0], share)
		h.mu.Unlock()
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
func (h *hub) nextLocked(few *[share]Flusher) []Flusher {
	mine := h.first.take(few[:0], share)
	return h.rest.take(mine, share-len(mine))
}

// work is a worker: parked, until there is something to flush.
func (h *hub) work() {
	defer h.workers.Done()
	var few [share]Flusher
	for range h.wake {
		for {
			h.mu.Lock()
			mine := h.nextLocked(&few)
			if len(mine) == 0 {
				h.active--
				h.mu.Unlock()
				break
			}
			if h.lenLocked() > share && h.active < h.limit && !h.stopped {
				h.startLocked()
			}
			h.mu.Unlock()
			flushAll(mine)
			runtime.Gosched()
		}
		clear(few[:])
	}
}

// stop ends the workers, after the last connection is gone.
func (h *hub) stop() {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return
	}
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
	close(h.wake)
	h.mu.Unlock()
	h.workers.Wait()
}
