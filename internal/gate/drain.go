package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
)

// DrainRoute is the route of the push that asks a client to come back on another connection,
// because this gate is drained. Only clients get it that can resume their sessions.
const DrainRoute = "nano.drain"

const (
	drainStep  = 50 * time.Millisecond // so often, some clients are told, and the gate looks who is left
	drainAgain = 5 * time.Second       // after which a client that is still here, or is here again, is told again
)

// drainFrame is the same for everybody. Its payload is an object without keys, so that later
// versions can say more.
var drainFrame = newFrame(codec.AppendPacket(nil, codec.Data, slices.Concat(
	[]byte{byte(codec.Push) << 1, byte(len(DrainRoute))}, []byte(DrainRoute+"{}"),
)), manner{when: soon})

// Why a client was turned away.
var (
	errDraining = errors.New("the node is drained and takes no new sessions")
	errLater    = errors.New("the gate that has the session does not answer, and may be alive")
)

// drain sends the clients of a gate to other gates.
type drain struct {
	gate   *Gate
	begun  atomic.Bool // the gate takes no new sessions
	asking atomic.Bool // one run asks the clients
}

// begin is Gate.BeginDrain.
func (d *drain) begin() { d.begun.Store(true) }

// takesNobody reports whether the gate is drained and no client can come back to it.
func (d *drain) takesNobody() bool { return d.begun.Load() && d.gate.cfg.Resume.Window == 0 }

// run is Gate.Drain.
func (d *drain) run(ctx context.Context, spread time.Duration) error {
	d.begin()
	t := time.NewTicker(drainStep)
	defer t.Stop()
	r := drainRound{gate: d.gate, spread: spread}
	for !d.deserted() {
		if r.mine = r.mine || d.asking.CompareAndSwap(false, true); r.mine {
			r.ask(time.Now())
		}
		select {
		case <-t.C:
			continue
		case <-ctx.Done():
		}
		if r.mine {
			d.asking.Store(false)
		}
		connected, away := d.sessions()
		return fmt.Errorf("sessions are left, %d connected, %d that wait for their clients and %d on their way between gates: %w",
			connected, away, d.gate.resumer.moving.Load(), context.Cause(ctx))
	}
	return nil
}

// drainRound is the asking of all clients that are connected at one time. The next round begins
// when it is over: a client that is here then has not heard it, or came back to this gate.
type drainRound struct {
	gate   *Gate
	spread time.Duration
	mine   bool // no other Drain asks
	began  time.Time
	all    []*Conn
	asked  int // of them
}

// ask asks those who are due by now.
func (r *drainRound) ask(now time.Time) {
	if r.asked == len(r.all) && now.Sub(r.began) >= max(r.spread, drainAgain) {
		r.began, r.all, r.asked = now, r.gate.snapshot(), 0
	}
	due := len(r.all)
	if since := now.Sub(r.began); since < r.spread {
		due = int(float64(due) * float64(since) / float64(r.spread))
	}
	var made extensions
	for ; r.asked < due; r.asked++ {
		r.sendAway(r.all[r.asked], &made)
	}
}

// deserted reports whether no session is connected, none waits for its client, and none is on its
// way here or to another gate.
func (d *drain) deserted() bool {
	z := &d.gate.resumer
	d.gate.mu.Lock()
	defer d.gate.mu.Unlock()
	z.mu.Lock() // before it looks at the first one: a session that comes back is there or here
	defer z.mu.Unlock()
	for c := range d.gate.conns {
		if phase(c.phase.Load()).served() {
			return false
		}
	}
	return len(z.away) == 0 && z.moving.Load() == 0
}

// sessions counts the sessions that are connected, and those that wait for their clients.
func (d *drain) sessions() (connected, away int) {
	for _, c := range d.gate.snapshot() {
		if phase(c.phase.Load()).served() {
			connected++
		}
	}
	return connected, d.gate.resumer.waiting()
}

// sendAway asks the client to come back on another connection, if it can. A session that waits for
// its client is told nothing: that client comes back anyhow. made are the chains that this has made
// for others.
func (r *drainRound) sendAway(c *Conn, made *extensions) {
	res := c.res.Load()
	if res == nil || phase(c.phase.Load()) != working {
		return
	}
	f := res.front
	f.mu.Lock()
	if res.carrier != c {
		f.mu.Unlock()
		return
	}
	list, err := res.push(f, drainFrame, made) // it gives the lock back
	if err != nil {
		return // the session ends
	}
	c.gate.flushes.add(list, f)
}
