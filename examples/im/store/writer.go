package store

import (
	"context"
	"sync"
	"time"
)

// Bounds of the writer's queue.
const (
	maxWaiting = 50_000 // changes that wait; more are refused with ErrBusy
	maxBatch   = 2_000  // changes of one transaction
)

// Many small commits take a busy machine's time from all else: at 1,000 messages a second, one
// costs four times what it costs at 8,000. So a commit follows the last one after some time for
// each job that the last one had besides its first. Who writes alone does not wait.
const (
	gatherEach = 2 * time.Millisecond
	gatherMost = 20 * time.Millisecond
)

// job is one thing to write: a change, how far somebody has read, or a function.
type job struct {
	change *Change
	mark   *mark
	run    func(context.Context, queries) error
	answer chan<- error // of mark and run; it takes one without waiting
}

// mark is how far somebody has read.
type mark struct{ key, uid, n int64 }

// result is what has become of a change: Done is called with it after the commit. Of other jobs it
// is the error.
type result struct {
	change *Change
	stored Message
	again  bool
	err    error
}

// writer gathers what is to be written, so that many messages share one commit. One goroutine
// writes; another one calls Done, so that the next commit does not wait for what callers do with
// the last.
type writer struct {
	apply func(batch []job) []result // returns what has become of the changes

	mu     sync.Mutex
	queue  []job
	closed bool
	wake   chan struct{}
	ending chan struct{} // closed with closed

	done   chan []result
	ended  sync.WaitGroup
	onStop func()
}

func newWriter(apply func([]job) []result, onStop func()) *writer {
	w := &writer{apply: apply, wake: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan []result, 2), onStop: onStop}
	w.ended.Add(2)
	go w.write()
	go w.tell()
	return w
}

// put queues a job.
func (w *writer) put(j job) error {
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return ErrClosed
	case len(w.queue) >= maxWaiting:
		w.mu.Unlock()
		return ErrBusy
	}
	w.queue = append(w.queue, j)
	w.mu.Unlock()
	w.signal()
	return nil
}

// wait queues a job that is no change, and waits until it is written.
func (w *writer) wait(j job) error {
	answer := make(chan error, 1)
	j.answer = answer
	if err := w.put(j); err != nil {
		return err
	}
	return <-answer
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// close takes no more, and returns when what was queued is written.
func (w *writer) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.ending)
	}
	w.mu.Unlock()
	w.signal()
	w.ended.Wait()
}

func (w *writer) write() {
	defer w.ended.Done()
	defer close(w.done)
	defer w.onStop()
	for {
		w.mu.Lock()
		n := min(len(w.queue), maxBatch)
		batch := w.queue[:n:n]
		w.queue = w.queue[n:]
		if len(w.queue) == 0 {
			w.queue = nil
		}
		closed := w.closed
		w.mu.Unlock()
		if n > 0 {
			next := time.Now().Add(min(gatherMost, time.Duration(n-1)*gatherEach))
			if results := w.apply(batch); len(results) > 0 {
				w.done <- results
			}
			w.gather(time.Until(next))
			continue
		}
		if closed {
			return
		}
		<-w.wake
	}
}

// gather waits for what shares the next commit, unless the writer ends.
func (w *writer) gather(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ending:
	}
}

func (w *writer) tell() {
	defer w.ended.Done()
	for results := range w.done {
		for _, r := range results {
			r.change.Done(r.stored, r.again, r.err)
		}
	}
}
