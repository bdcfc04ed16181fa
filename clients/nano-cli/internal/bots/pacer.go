package bots

import (
	"math/rand/v2"
	"sync"
	"time"
)

// pacer wakes workers when they are due: one goroutine for very many of them. A timer each would
// need a goroutine for each message.
type pacer struct {
	epoch  time.Time // from when on times are counted
	mu     sync.Mutex
	queue  queue
	sleeps time.Duration // until then; it looks by itself after that
	wake   chan struct{} // there is one that is due before
	dueNow []*worker     // of run
}

// tick is how long a pacer sleeps at least: to be woken for each message costs more than to send
// it. What is sent is measured from when it is sent.
const tick = time.Millisecond

// newPacers returns n, and what ends them. Workers that wait then are forgotten.
func newPacers(n int) (all []*pacer, end func()) {
	over := make(chan struct{})
	var running sync.WaitGroup
	for range n {
		p := &pacer{epoch: time.Now(), wake: make(chan struct{}, 1)}
		all = append(all, p)
		running.Go(func() { p.run(over) })
	}
	return all, func() {
		close(over)
		running.Wait()
	}
}

func (p *pacer) run(over <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Since(p.epoch)
		wait := time.Hour
		p.mu.Lock()
		for len(p.queue) > 0 {
			if wait = p.queue[0].at - now; wait > 0 {
				break
			}
			if w := p.queue.pop(); w.waits {
				w.waits = false
				p.dueNow = append(p.dueNow, w)
			}
			wait = time.Hour
		}
		p.sleeps = now + max(wait, tick)
		p.mu.Unlock()
		for i, w := range p.dueNow {
			p.dueNow[i] = nil
			w.send()
		}
		p.dueNow = p.dueNow[:0]
		timer.Reset(p.sleeps - time.Since(p.epoch))
		select {
		case <-timer.C:
		case <-p.wake:
		case <-over:
			return
		}
	}
}

// sleep has w.send called in d; false: w was stopped.
func (p *pacer) sleep(w *worker, d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.stopped {
		return false
	}
	at := time.Since(p.epoch) + d
	w.waits = true
	p.queue.push(entry{at, w})
	if at < p.sleeps-tick {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// stop has w sleep no more, and tells whether it did.
func (p *pacer) stop(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	waits := w.waits
	w.stopped, w.waits = true, false // it stays in the queue until then, and is passed over
	return waits
}

func (p *pacer) isStopped(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.stopped
}

func anyOf(all []*pacer) *pacer { return all[rand.IntN(len(all))] }

// queue is a heap of workers, those that are due first before the others. The times lie in it:
// there are thousands of workers, and to look into each that is passed takes longer than all else.
type queue []entry

type entry struct {
	at time.Duration // since pacer.epoch
	w  *worker
}

func (q *queue) push(e entry) {
	h := append(*q, e)
	*q = h
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up].at <= e.at {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
}

// pop takes the first one; there is one.
func (q *queue) pop() *worker {
	h := *q
	first, last := h[0].w, len(h)-1
	e := h[last]
	h[last] = entry{}
	h = h[:last]
	*q = h
	i := 0
	for next := 1; next < last; next = 2*i + 1 {
		if next+1 < last && h[next+1].at < h[next].at {
			next++
		}
		if e.at <= h[next].at {
			break
		}
		h[i] = h[next]
		i = next
	}
	if last > 0 {
		h[i] = e
	}
	return first
}
