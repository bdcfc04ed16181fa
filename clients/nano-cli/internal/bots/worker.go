package bots

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/clients/client"
)

// retryAfter is when a request is sent again that found the connection full.
const retryAfter = time.Millisecond

// worker sends one request of one bot again and again, one at a time. With a rate, each has its
// time, and one whose time came while the one before was not answered yet is measured from there: a
// server that stalls is not measured once but as often as it would have been asked.
//
// It has no goroutine. A pacer has it send what is due, and the client's reader tells the answer:
// thousands of bots run beside the server that they load, and should leave the machine to it.
type worker struct {
	run  *run
	c    *client.Client
	task *task
	bot  int
	n    *atomic.Int64 // of the messages of all the bot's workers for the task

	pacer *pacer
	ended func() // called once, when nothing of the worker goes on any more

	onAnswer func(data []byte, err error) // answered, bound once

	// What stands here belongs to whoever handles the worker: the pacer, the reader, and start
	// before both.
	due   time.Time
	late  bool      // the one before was not answered when it was due
	begin time.Time // from when on what is in flight is measured
	data  []byte    // what is to be sent again; nil: the next

	// What stands here is guarded by pacer.mu.
	waits   bool // in the pacer's queue
	stopped bool
}

// start begins.
func (w *worker) start() {
	w.onAnswer = w.answered
	var first time.Duration
	if w.task.interval > 0 {
		first = rand.N(w.task.interval) // so that bots do not step together
	}
	w.due = time.Now().Add(first)
	w.sleep(first)
}

// stop has it send no more. What is in flight is waited for.
func (w *worker) stop() {
	if w.pacer.stop(w) {
		w.ended()
	}
}

// sleep goes on in d.
func (w *worker) sleep(d time.Duration) {
	if !w.pacer.sleep(w, d) {
		w.ended()
	}
}

// send sends the next request, or sleeps until it can.
func (w *worker) send() {
	if w.pacer.isStopped(w) {
		w.ended()
		return
	}
	if w.data == nil {
		if w.begin = w.due; !w.late {
			w.begin = time.Now()
		}
		var err error
		if w.data, err = w.task.payload.bytes(Vars{Bot: w.bot, Bots: w.run.Connections, N: int(w.n.Add(1) - 1)}); err != nil {
			w.run.failures.add(w.task.route, err)
			w.failed()
			return
		}
	}
	switch err := w.c.Start(w.task.route, w.data, w.onAnswer); {
	case err == nil:
	case errors.Is(err, client.ErrBusy):
		w.sleep(retryAfter)
	default:
		w.run.count(w.task, w.bot, w.begin, err)
		w.failed()
	}
}

// failed goes on after something that no answer will follow; not at once, as nothing slows it down.
func (w *worker) failed() {
	w.data = nil
	if w.c.State() == client.Closed {
		w.ended()
		return
	}
	w.sleep(max(retryAfter, w.next()))
}

// answered is what the client calls with the outcome.
func (w *worker) answered(_ []byte, err error) {
	w.data = nil
	w.run.count(w.task, w.bot, w.begin, err)
	if errors.Is(err, client.ErrClosed) {
		w.ended()
		return
	}
	if d := w.next(); d > 0 {
		w.sleep(d)
	} else {
		w.send()
	}
}

// next returns how long it is until the next message; 0 if it is late, or there is no rate.
func (w *worker) next() time.Duration {
	if w.task.interval == 0 {
		return 0
	}
	w.due = w.due.Add(w.task.interval)
	d := time.Until(w.due)
	w.late = d <= 0
	return max(d, 0)
}

// notifier sends one notify again and again.
func (r *run) notifier(ctx context.Context, c *client.Client, t *task, i int, n *atomic.Int64) {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	if t.interval > 0 {
		due = due.Add(rand.N(t.interval))
	}
	for {
		if d := time.Until(due); t.interval > 0 && d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		due = due.Add(t.interval)
		if ctx.Err() != nil {
			return
		}
		if r.send(c, t, i, int(n.Add(1)-1), time.Now()) != nil && c.State() == client.Closed {
			return
		}
	}
}
