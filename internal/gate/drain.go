package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
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

// BeginDrain has the gate take no new sessions from now on. Clients of sessions that are here may
// come back.
func (g *Gate) BeginDrain() { g.drains.Store(true) }

// takesNobody reports whether the gate is drained and no client can come back to it.
func (g *Gate) takesNobody() bool { return g.drains.Load() && g.cfg.Resume.Window == 0 }

// Drain asks the clients that can resume their sessions to come back elsewhere, evenly over a time,
// and returns when no session is left here. The error of ctx says how many are. It may be called
// more than once at a time: one of the calls asks.
func (g *Gate) Drain(ctx context.Context, spread time.Duration) error {
	g.BeginDrain()
	t := time.NewTicker(drainStep)
	defer t.Stop()
	r := drainRound{gate: g, spread: spread}
	for !g.deserted() {
		if r.mine = r.mine || g.asking.CompareAndSwap(false, true); r.mine {
			r.ask(time.Now())
		}
		select {
		case <-t.C:
			continue
		case <-ctx.Done():
		}
		if r.mine {
			g.asking.Store(false)
		}
		connected, away := g.sessions()
		return fmt.Errorf("sessions are left, %d connected and %d that wait for their clients: %w", connected, away, context.Cause(ctx))
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
	for ; r.asked < due; r.asked++ {
		r.all[r.asked].sendAway()
	}
}

// deserted reports whether no session is connected, and none waits for its client.
func (g *Gate) deserted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		if c.served() {
			return false
		}
	}
	g.resumer.mu.Lock()
	defer g.resumer.mu.Unlock()
	return len(g.resumer.away) == 0
}

// sessions counts the sessions that are connected, and those that wait for their clients.
func (g *Gate) sessions() (connected, away int) {
	for _, c := range g.snapshot() {
		if c.served() {
			connected++
		}
	}
	return connected, len(g.waitingFor())
}

// served reports whether the connection has a session: its handshake was answered, and it does not
// end.
func (c *Conn) served() bool {
	p := phase(c.phase.Load())
	return p == shaken || p == working
}

// sendAway asks the client to come back on another connection, if it can. A session that waits for
// its client is told nothing: that client comes back anyhow.
func (c *Conn) sendAway() {
	r := c.res.Load()
	if r == nil || phase(c.phase.Load()) != working {
		return
	}
	f := r.front
	f.mu.Lock()
	if r.carrier != c {
		f.mu.Unlock()
		return
	}
	list, err := f.pushKept(r, drainFrame, nil) // it gives the lock back
	if err != nil {
		return // the session ends
	}
	c.gate.hub.add(list, f)
}

// turnAway ends the connection of a client that wants a new session, or one that is not here, while
// the gate is drained, and of one whose session was not found yet. It has no answer to its
// handshake: to every client that is a connection that was lost, which is a reason to try
// elsewhere, and to keep a token.
func (c *Conn) turnAway(as refusal, why error) {
	c.gate.counters.Refused.add(as)
	c.gate.cfg.Log.Info("handshake refused", "session", c.sess.ID(), "remote", c.RemoteAddr(), "err", why)
	c.closeWith(wsframe.CloseTryLater)
	_ = c.shut(nil, session.CloseReason{Kind: session.CloseShutdown, Reason: why.Error()})
}

// isHere reports whether a session is at this gate for which a token holds.
func (c *Conn) isHere(token string) bool {
	t, err := c.gate.resumer.signer.Parse(token)
	return err == nil && c.gate.find(t) != nil
}
