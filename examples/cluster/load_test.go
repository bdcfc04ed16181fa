//go:build unix

package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// load is what clients do all the time: they ask their backend, one request after the other, and go
// where their room is when it has moved.
type load struct {
	within time.Duration // for each answer
	quit   chan struct{}
	done   sync.WaitGroup

	mu       sync.Mutex
	since    time.Time // of what follows
	requests int
	failures []failure
	slowest  time.Duration
	slow     int           // answers that took longer than slowAnswer
	waited   time.Duration // for answers that took longer than answerWithin
	clients  []*client
}

// failure is a request without a good answer.
type failure struct {
	at      time.Time // of the answer
	backend string
	err     error
}

// every is the pause between two requests of one client.
const every = 10 * time.Millisecond

// answerWithin is how long a client waits for an answer, where what is lost is to be noticed soon.
const answerWithin = time.Second

// answerAtAll is how long it waits where nothing may be lost: a busy machine may take its time.
const answerAtAll = 15 * time.Second

// slowAnswer is more than an answer takes on a machine that has other things to do as well. A few
// are slower all the same; many are not, unless they wait for what they should not wait for.
const slowAnswer = 200 * time.Millisecond

// wantQuick wants that answers came quickly.
func (l *load) wantQuick(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slow*20 > l.requests {
		t.Errorf("%d of %d answers took more than %v, the slowest %v", l.slow, l.requests, slowAnswer, l.slowest)
	}
}

// load starts clients, in turn at each gate, each in a room of its own or, with shared set, all in
// that room.
func (w *world) load(n int, gates []*process, shared string) *load {
	w.t.Helper()
	return w.loadWithin(answerWithin, n, gates, shared)
}

// loadWithin is load with clients that wait for each answer so long.
func (w *world) loadWithin(within time.Duration, n int, gates []*process, shared string) *load {
	w.t.Helper()
	l := &load{within: within, quit: make(chan struct{})}
	for i := range n {
		c, err := dial(gates[i%len(gates)].tcp, w.t)
		if err != nil {
			w.t.Fatal(err)
		}
		c.name, c.room = fmt.Sprint("c", i), shared
		if shared == "" {
			c.room = fmt.Sprint("room ", i)
		}
		if err := c.join(5 * time.Second); err != nil {
			w.t.Fatalf("join: %v", err)
		}
		l.clients = append(l.clients, c)
		l.done.Go(func() { l.run(c) })
	}
	w.t.Cleanup(l.end)
	return l
}

func (l *load) run(c *client) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-c.gone:
			return
		case <-t.C:
		}
		if c.moved.Load() {
			if c.join(10*time.Second) != nil {
				return
			}
		}
		begin, backend := time.Now(), c.backend
		var where Where
		err := c.call("chat.ping", Empty{}, &where, l.within)
		if errors.Is(err, errGone) {
			return
		}
		took := time.Since(begin)
		var e *callError
		again := errors.As(err, &e) && e.Code == "not_found" // another backend answers: that is how one learns of it
		l.mu.Lock()
		l.requests++
		if err != nil {
			l.failures = append(l.failures, failure{time.Now(), backend, err})
		} else {
			l.slowest = max(l.slowest, took)
			if took > slowAnswer {
				l.slow++
			}
			if took > answerWithin {
				l.waited += took
			}
		}
		l.mu.Unlock()
		if err == nil {
			c.backend = where.Addr
		} else if again && c.join(10*time.Second) != nil {
			return
		}
	}
}

// stop has clients ask no more.
func (l *load) stop() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
}

func (l *load) end() {
	l.stop()
	for _, c := range l.clients {
		c.Close()
	}
	l.done.Wait()
}

// mark begins to count anew.
func (l *load) mark() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.requests, l.failures, l.slowest, l.slow, l.waited = time.Now(), 0, nil, 0, 0, 0
	return l.since
}

// failed returns the failures since mark, without those whose room had moved: these have an answer
// that says so.
func (l *load) failed() (lost []failure, moved, requests int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failures {
		var e *callError
		if errors.As(f.err, &e) && e.Code == "not_found" {
			moved++
		} else {
			lost = append(lost, f)
		}
	}
	return lost, moved, l.requests
}

// report says what was measured.
func (l *load) report(t *testing.T, what string, since time.Time) {
	t.Helper()
	lost, moved, requests := l.failed()
	l.mu.Lock()
	slowest := l.slowest
	l.mu.Unlock()
	var last time.Duration
	kinds := make(map[string]int)
	for _, f := range lost {
		last = max(last, f.at.Sub(since))
		var e *callError
		if errors.As(f.err, &e) {
			kinds[e.Code]++
		} else {
			kinds["no answer"]++
		}
	}
	t.Logf("%s: %d clients, %d requests in %v; %d failed %v, the last after %v; %d told to join again; slowest answer %v",
		what, len(l.clients), requests, time.Since(since).Round(10*time.Millisecond), len(lost), kinds, last.Round(time.Millisecond), moved, slowest.Round(time.Millisecond))
}
