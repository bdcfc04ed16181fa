package bots

import (
	"os"
	"runtime"
	"sync"
	"time"
)

// How the number of processors follows the load.
const (
	lookEvery = 100 * time.Millisecond
	fullAt    = 0.6 // of the time of those in use: one more then
	shrinkAt  = 10  // looks in a row that fewer would have been enough
)

// fewProcessors has Go run on no more processors than the work takes, from one up to what it was,
// until the function is called. One that has nothing to do is woken for each answer, in case there
// are more, and put to sleep again, which is a fifth of what the bots cost; and the server may be
// on the same machine. Who sets GOMAXPROCS has chosen.
func fewProcessors() (end func()) {
	most := runtime.GOMAXPROCS(0)
	if most == 1 || os.Getenv("GOMAXPROCS") != "" || cpuTime() == 0 {
		return func() {}
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		p := processors{now: most, most: most}
		at, spent := time.Now(), cpuTime()
		for {
			select {
			case <-tick.C:
			case <-over:
				runtime.GOMAXPROCS(most)
				return
			}
			t, s := time.Now(), cpuTime()
			if n := p.now; p.next((s-spent).Seconds()/t.Sub(at).Seconds()) != n {
				runtime.GOMAXPROCS(p.now)
			}
			at, spent = t, s
		}
	})
	return func() {
		close(over)
		watching.Wait()
	}
}

// processors decides how many are in use.
type processors struct {
	now, most int
	idle      int // looks in a row that fewer would have been enough
}

// next returns how many are to be used after busy of them were.
func (p *processors) next(busy float64) int {
	switch {
	case busy > fullAt*float64(p.now):
		p.idle = 0
		p.now = min(2*p.now, p.most)
	case p.now > 1 && busy < fullAt*float64(p.now-1)*0.9:
		if p.idle++; p.idle == shrinkAt {
			p.idle = 0
			p.now--
		}
	default:
		p.idle = 0
	}
	return p.now
}
