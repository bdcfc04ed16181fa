package dispatch

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnanswered is how many requests are watched at a time; more are not: one per route is enough.
const maxUnanswered = 1024

// unanswered holds the requests whose handlers have returned without an answer. Each route is
// logged once. Its methods are safe for concurrent use.
type unanswered struct {
	after time.Duration // 0: nothing is watched
	log   *slog.Logger
	count atomic.Int32 // len(all), for those who answer

	mu     sync.Mutex
	all    map[asked]watched
	timer  *time.Timer // not nil: something is watched
	closed bool
}

type asked struct {
	entity Entity
	mid    uint64
}

type watched struct {
	route *route
	until time.Time
}

// watch notes that a handler has returned without an answer.
func (u *unanswered) watch(p Entity, mid uint64, r *route) {
	a, ok := p.(Answerer)
	if u.after <= 0 || !ok || a.Answered() == mid || r.silent.Load() {
		return
	}
	u.mu.Lock()
	if u.closed || len(u.all) >= maxUnanswered {
		u.mu.Unlock()
		return
	}
	if u.all == nil {
		u.all = make(map[asked]watched)
	}
	u.all[asked{p, mid}] = watched{r, time.Now().Add(u.after)}
	u.count.Store(int32(len(u.all)))
	if u.timer == nil {
		u.timer = time.AfterFunc(u.after, u.overdue)
	}
	u.mu.Unlock()
	if a.Answered() == mid { // meanwhile
		u.answered(p, mid)
	}
}

// answered notes that request mid of p has its answer. It is called for each answer.
func (u *unanswered) answered(p Entity, mid uint64) {
	if u.count.Load() == 0 {
		return
	}
	u.mu.Lock()
	delete(u.all, asked{p, mid})
	u.count.Store(int32(len(u.all)))
	u.mu.Unlock()
}

// overdue logs the requests that nobody has answered in time.
func (u *unanswered) overdue() {
	now, next := time.Now(), time.Duration(0)
	u.mu.Lock()
	defer u.mu.Unlock()
	for a, w := range u.all {
		switch left := w.until.Sub(now); {
		case a.entity.Session().Closed():
			delete(u.all, a)
		case left > 0:
			if next == 0 || left < next {
				next = left
			}
		default:
			delete(u.all, a)
			if !w.route.silent.Swap(true) {
				u.log.Warn("request was not answered: its handler returned, and nobody called Response or ResponseMID since",
					"route", w.route.name, "session", a.entity.Session().ID(), "mid", a.mid, "after", u.after)
			}
		}
	}
	u.count.Store(int32(len(u.all)))
	u.timer = nil
	if len(u.all) > 0 && !u.closed {
		u.timer = time.AfterFunc(max(next, time.Millisecond), u.overdue)
	}
}

// close ends the watch over requests that have no answer.
func (u *unanswered) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	u.all = nil
	u.count.Store(0)
}
