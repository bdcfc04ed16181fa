package gate

import (
	"runtime"
	"sync"
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

// hub knows the connections that have output and sees that each is flushed once, by whoever is
// free.
//
// While a scheduler runs a batch of handlers, the connections they write to gather here. At the end
// of the batch the scheduler flushes them itself if they are few; else workers are woken, and the
// scheduler helps as long as no handler waits. What is queued from outside any batch wakes a worker
// at once. Flushing never blocks: a client that does not keep up gets a goroutine of its own (see
// Conn.drain).
//
// There are workers for half of the processors: the others are for whoever helps, for handlers and
// for the kernel's part.
//
// Lock order: a connection's lock, then the hub's.
type hub struct {
	delay time.Duration

	mu      sync.Mutex
	dirty   []Flusher
	first   int  // dirty[:first] were taken
	open    int  // batches now running: their ends will flush
	active  int  // workers awake
	armed   bool // the delay's timer runs
	stopped bool
	timer   *time.Timer
	wake    chan struct{}
	workers sync.WaitGroup
	limit   int
}

func newHub(delay time.Duration) *hub {
	h := &hub{delay: delay, limit: (runtime.GOMAXPROCS(0) + 1) / 2}
	h.wake = make(chan struct{}, h.limit)
	for range h.limit {
		h.workers.Add(1)
		go h.work()
	}
	return h
}

// add takes connections that have output now and are not in the list.
func (h *hub) add(cs ...Flusher) {
	h.mu.Lock()
	h.dirty = append(h.dirty, cs...)
	h.rouseLocked(false)
	h.mu.Unlock()
}

// rouseLocked sees that somebody will flush what is in the list.
func (h *hub) rouseLocked(now bool) {
	if h.first == len(h.dirty) || h.stopped {
		return
	}
	switch {
	case now:
	case h.delay > 0:
		if !h.armed {
			h.armed = true
			if h.timer == nil {
				h.timer = time.AfterFunc(h.delay, h.due)
			} else {
				h.timer.Reset(h.delay)
			}
		}
		return
	case h.open > 0:
		return
	}
	if h.active == 0 {
		h.startLocked()
	}
}

// startLocked wakes a worker.
func (h *hub) startLocked() {
	h.active++
	h.wake <- struct{}{} // has room: active never exceeds its capacity
}

// due ends a delay.
func (h *hub) due() {
	h.mu.Lock()
	h.armed = false
	h.rouseLocked(true)
	h.mu.Unlock()
}

// wakeOne starts flushing now, whatever runs.
func (h *hub) wakeOne() {
	h.mu.Lock()
	if h.delay == 0 {
		h.rouseLocked(true)
	}
	h.mu.Unlock()
}

// hurry flushes without waiting for a batch's end or the delay: some queue has become long.
func (h *hub) hurry() {
	h.mu.Lock()
	h.rouseLocked(true)
	h.mu.Unlock()
}

func (h *hub) begin() {
	h.mu.Lock()
	h.open++
	h.mu.Unlock()
}

// end is called by a scheduler after a batch.
func (h *hub) end() {
	h.mu.Lock()
	h.open--
	n := len(h.dirty) - h.first
	if n == 0 {
		h.mu.Unlock()
		return
	}
	if h.delay > 0 || n > inline {
		h.rouseLocked(false)
		h.mu.Unlock()
		return
	}
	var few [inline]Flusher
	copy(few[:], h.dirty[h.first:])
	h.resetLocked()
	h.mu.Unlock()
	flushAll(few[:n])
}

// help flushes one connection after the other until more, or until there is nothing to do.
func (h *hub) help(more func() bool) {
	if h.delay > 0 {
		return
	}
	var few [share]Flusher
	for !more() {
		h.mu.Lock()
		n := h.nextLocked(&few)
		h.mu.Unlock()
		if n == 0 {
			return
		}
		flushAll(few[:n])
	}
}

func flushAll(cs []Flusher) {
	for _, c := range cs {
		c.Flush()
	}
}

// nextLocked takes some connections from the list.
func (h *hub) nextLocked(few *[share]Flusher) int {
	n := copy(few[:], h.dirty[h.first:])
	clear(h.dirty[h.first : h.first+n])
	h.first += n
	if h.first == len(h.dirty) {
		h.resetLocked()
	}
	return n
}

// resetLocked empties the list, and keeps its memory unless one broadcast has made it large.
func (h *hub) resetLocked() {
	clear(h.dirty)
	h.dirty, h.first = h.dirty[:0], 0
	if cap(h.dirty) > 1<<16 {
		h.dirty = nil
	}
}

// work is a worker: parked, until there is something to flush.
func (h *hub) work() {
	defer h.workers.Done()
	var few [share]Flusher
	for range h.wake {
		for {
			h.mu.Lock()
			n := h.nextLocked(&few)
			if n == 0 {
				h.active--
				h.mu.Unlock()
				break
			}
			if len(h.dirty)-h.first > share && h.active < h.limit && !h.stopped {
				h.startLocked()
			}
			h.mu.Unlock()
			flushAll(few[:n])
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
