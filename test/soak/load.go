//go:build linux

package main

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/test/internal/judge"
)

// load is the crowd, and what it has seen.
type load struct {
	length, think, visitTime time.Duration
	clients                  int
	ways                     []way
	seed                     uint64
	addrs                    [2]string // of the TCP and the WebSocket endpoint

	begun    time.Time
	ctx      context.Context // until the end of the load
	cancel   context.CancelFunc
	all      sync.WaitGroup
	slots    chan struct{} // connections being made at the same time
	faults   judge.Judge
	latency  latency
	visits   atomic.Int64
	present  atomic.Int64
	requests atomic.Int64
	answers  atomic.Int64
	pushes   atomic.Int64

	reconnects, attacks atomic.Int64
}

func (l *load) hostiles() int { return max(1, l.clients/50) }

// begin lets all clients come.
func (l *load) begin() {
	l.ways = ways()
	l.begun, l.slots = time.Now(), make(chan struct{}, 64)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for i := range l.clients {
		p := &player{load: l, n: i, rng: rand.New(rand.NewPCG(l.seed, uint64(i)))}
		l.all.Go(p.play)
	}
	for i := range l.hostiles() {
		h := &hostile{load: l, rng: rand.New(rand.NewPCG(l.seed, 1<<32+uint64(i)))}
		l.all.Go(h.attack)
	}
}

// end has all clients leave, and waits for them.
func (l *load) end() {
	l.cancel()
	l.all.Wait()
}

func (l *load) running() bool { return l.ctx.Err() == nil }

// pause waits; false at the end of the load.
func (l *load) pause(d time.Duration) bool {
	select {
	case <-l.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// full tells whether nearly all players are there.
func (l *load) full() bool { return l.present.Load() > int64(l.clients)*9/10 }

func (l *load) addr(webSocket bool) string {
	if webSocket {
		return l.addrs[1]
	}
	return l.addrs[0]
}

// stay is how long a visit takes.
func (l *load) stay(rng *rand.Rand) time.Duration {
	return time.Duration(rng.ExpFloat64() * float64(l.visitTime))
}

func (l *load) fail(kind, format string, a ...any) { l.faults.Fail(kind, format, a...) }

func (l *load) found() int { return l.faults.Found() }

// latency counts times by their binary magnitude, in eighths of it.
type latency struct{ counts [64 * 8]atomic.Int64 }

func (l *latency) add(d time.Duration) {
	n := uint64(max(d, 8))
	top := bits.Len64(n) - 1
	l.counts[top*8+int(n>>(top-3)&7)].Add(1)
}

// at returns the time within which this share of all was.
func (l *latency) at(share float64) time.Duration {
	var all, sum int64
	for i := range l.counts {
		all += l.counts[i].Load()
	}
	for i := range l.counts {
		if sum += l.counts[i].Load(); sum > 0 && float64(sum) >= share*float64(all) {
			return time.Duration((8 + i%8 + 1) << (i / 8) / 8).Round(time.Microsecond)
		}
	}
	return 0
}
