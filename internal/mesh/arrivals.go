package mesh

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// arrivals are the sessions that clients come back for at this gate, and that others have. Other
// nodes may send to one of them before it is here: that waits for it. One that was asked for comes
// also if its client has left meanwhile: it may have left the other gate already. The methods may
// be called concurrently.
type arrivals struct {
	*node
	peers      *peers
	sessions   *gateSessions
	remotes    *remoteSessions
	logins     *logins
	departures *departures
	inbound    *inbound

	count    atomic.Int32  // of all
	ended    atomic.Uint64 // how many have been
	mu       sync.Mutex
	all      map[int64]*arrival
	searches resume.Searches // those that go on
}

// arrival is a session that was asked for.
type arrival struct {
	claim gate.Claim    // of the client that has come first
	conn  *gate.Conn    // what carries it here; nil: it is not here yet. For who has begun it
	why   resume.Reason // there is none; set before done is closed

	// arrivals.mu guards the rest.
	until  time.Time // until when a client waits for it
	uid    int64     // whose it is in the directory, at this gate already; 0: nobody's
	frames []waitingFrame
	bytes  int
	missed map[resume.Place]struct{} // nodes of which something was too late, that may have been new
	done   chan struct{}             // closed when it is here, or there is none
}

// waitingFrame is a frame that waits for a session.
type waitingFrame struct {
	from string
	link.Frame
}

// maxWaiting is how many bytes may wait for one session, or twice what the gate keeps for a client,
// if that is more; more is dropped, and counted as lost.
const maxWaiting = 4 << 20

// hold keeps a frame for a session that is on its way here. It is false if it is not.
func (a *arrivals) hold(from string, f *link.Frame) bool {
	if a.count.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ar := a.all[f.Session]
	if ar == nil {
		return false
	}
	size := costOf(f) + len(f.Text)
	if ar.bytes+size > max(maxWaiting, 2*a.gate.Buffer()) {
		a.refusals.Lost.Add(1)
		return true
	}
	ar.bytes += size
	ar.frames = append(ar.frames, waitingFrame{from, ownFrame(f)})
	return true
}

// dropped notes that something of a node for a session was dropped, which was too late, or is new
// if the session is on its way here.
func (a *arrivals) dropped(from *peer, id int64) {
	if a.count.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ar := a.all[id]
	if ar == nil {
		return
	}
	if ar.missed == nil {
		ar.missed = make(map[resume.Place]struct{})
	}
	ar.missed[placeOf(from)] = struct{}{}
}

// leftBehind has the client of a session that arrives, and the nodes themselves, hear of a gap
// where these do not know yet that it has left this gate before: what they send is dropped until
// they do, or was on its way here.
func (a *arrivals) leftBehind(ar *arrival, d *departing) {
	t := ar.claim.Token
	for _, at := range d.Known {
		p := a.peers.to(process{at.Addr, at.Epoch})
		late := p != nil && a.departures.behind(p, t.Session) // before it says that it knows, nothing of it is taken
		a.mu.Lock()
		_, missed := ar.missed[at]
		a.mu.Unlock()
		if late || missed {
			d.Behind = append(d.Behind, at)
			d.Loss.Tell(t, d.State)
		}
	}
}

// ownFrame returns a copy of a frame for one session.
func ownFrame(f *link.Frame) link.Frame {
	own := *f
	own.Route, own.Text, own.Data, own.Sessions = bytes.Clone(f.Route), bytes.Clone(f.Text), bytes.Clone(f.Data), nil
	own.Trace = bytes.Clone(f.Trace)
	return own
}

// begin notes that a session was asked for. It is false if somebody has done so before.
func (a *arrivals) begin(c gate.Claim) (ar *arrival, first bool) {
	id := c.Token.Session
	a.mu.Lock()
	defer a.mu.Unlock()
	if ar = a.all[id]; ar != nil {
		if c.Until.After(ar.until) {
			ar.until = c.Until
		}
		return ar, false
	}
	if a.all == nil {
		a.all = make(map[int64]*arrival)
	}
	ar = &arrival{claim: c, until: c.Until, done: make(chan struct{})}
	a.all[id] = ar
	a.count.Add(1)
	return ar, true
}

// settled waits until a session that was asked for is here, with all that has waited for it, or
// there is none. It is false if ctx ends before.
func (a *arrivals) settled(ctx context.Context, id int64) bool {
	a.mu.Lock()
	ar := a.all[id]
	a.mu.Unlock()
	if ar == nil {
		return true
	}
	select {
	case <-ar.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// expect notes that a user's session is on its way here: what is pushed to the user waits for it.
// If it is not, its gate has the user.
func (a *arrivals) expect(uid, id int64, from process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ar := a.all[id]; ar != nil && uid != 0 {
		ar.uid = uid
		a.logins.directory.move(uid, id, from, process{a.addr, a.epoch})
	}
}

// kick has those of a user's sessions kicked that are on their way here, when they have come, and
// tells whether there are any.
func (a *arrivals) kick(uid int64, reason string) (found bool) {
	if a.count.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, ar := range a.all {
		if ar.uid == uid {
			found = true
			ar.frames = append(ar.frames, waitingFrame{a.addr, link.Frame{Kind: link.Kick, Session: id, Text: []byte(reason)}})
		}
	}
	return found
}

// end hands over what has waited, in order, until nothing waits. Handlers of this node that have
// the session wait with the others until then: what they push later does not overtake that.
func (a *arrivals) end(id int64, ar *arrival) {
	for {
		a.mu.Lock()
		frames := ar.frames
		ar.frames = nil
		if len(frames) == 0 {
			if ar.conn != nil {
				dispatch.Rehome(ar.conn.Session(), ar.conn)
			}
			if ar.uid != 0 {
				a.logins.directory.leave(ar.uid, sessionKey{a.addr, a.epoch, id})
			}
			delete(a.all, id)
			a.ended.Add(1)
			a.count.Add(-1)
			close(ar.done)
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		for i := range frames {
			switch f := &frames[i].Frame; {
			case ar.why != resume.Later || isMessage(f):
				a.inbound.deliver(frames[i].from, f)
			case !a.departures.sendOn(f): // it is not over: its client comes again, and hears of a gap
				a.refusals.Lost.Add(1)
			}
		}
	}
}

// Claim fetches the session of a client that has come back here. It is for the gate, which finds it
// then. A reason says why there is none; Later that it may come yet.
func (a *arrivals) Claim(c gate.Claim) resume.Reason {
	ctx, cancel := context.WithDeadline(a.ctx, c.Until)
	defer cancel()
	for {
		// While it leaves, what comes for it is to go with it, and not to wait here.
		switch here := a.isHere(ctx, c.Token.Session); {
		case ctx.Err() != nil:
			return resume.Later
		case here: // and the token does not hold, or it has come this moment
			return ""
		}
		ar, first := a.begin(c)
		if first {
			a.gate.Coming()
			a.background(func() { a.fetch(ar) })
		}
		select {
		case <-ar.done:
		case <-ctx.Done():
			return resume.Later
		}
		if ar.why == "" || ar.claim.Text == c.Text {
			return ar.why
		} // else it was looked for with another token, which may be an old one
	}
}

// fetch fetches a session.
func (a *arrivals) fetch(ar *arrival) {
	defer a.gate.Came()
	id := ar.claim.Token.Session
	defer a.end(id, ar)
	if a.users.Session(id) == nil {
		ar.why = a.search(ar)
	}
}

// search looks for a session at other gates. It asks again for as long as a client waits.
func (a *arrivals) search(ar *arrival) resume.Reason {
	c := ar.claim
	search, step := resume.NewSearch(a.place(), c.Token, c.Until)
	lasts := false
	defer func() {
		if lasts {
			a.lasted(c.Remote)
		}
	}()
	for {
		if step.Wait > 0 {
			if lasts = lasts || a.lasts(c.Remote); !lasts {
				return resume.Later
			}
			wait := time.NewTimer(step.Wait)
			select {
			case <-wait.C:
			case <-a.ctx.Done():
				wait.Stop()
				return resume.Later
			}
		}
		switch step.Kind {
		case resume.Here:
			to, gone := a.departures.settled(a.ctx, c.Token.Session)
			switch {
			case gone:
				step = search.Asked(resume.Gone, to, "")
			case a.users.Session(c.Token.Session) != nil:
				return ""
			default:
				step = search.Missing(a.gate.Ended(c.Token.Session))
			}
		case resume.Ask:
			step = search.Asked(a.ask(step.At, ar))
		case resume.Look:
			found := a.look(step, search.Gone(), c.Token.Session)
			search.Wait(a.until(ar))
			step = search.Looked(found, time.Now())
		case resume.Adopt:
			found := a.adopt(step, search.Gone(), ar)
			search.Wait(a.until(ar))
			step = search.Adopted(found, time.Now())
		default:
			return step.Why
		}
	}
}

// until is until when a client waits for a session.
func (a *arrivals) until(ar *arrival) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ar.until
}

// lasts reports whether a search for a client at an address may go on after its first answers.
// lasted ends that.
func (a *arrivals) lasts(at net.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.searches.Begin(hostOf(at))
}

func (a *arrivals) lasted(at net.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.searches.End(hostOf(at))
}

// hostOf returns the host of a client's address; the zero value for one that has none.
func hostOf(at net.Addr) netip.Addr {
	ap, _ := netip.ParseAddrPort(at.String())
	return ap.Addr()
}

// isHere reports whether this gate has a session, and does not give it away. It waits for what is
// under way with it, but not for longer than ctx.
func (a *arrivals) isHere(ctx context.Context, id int64) bool {
	if a.users.Session(id) != nil {
		a.settled(ctx, id)
	}
	_, gone := a.departures.settled(ctx, id)
	return !gone && a.users.Session(id) != nil
}

// ask asks a gate for a session. One that is dead is known by its link. The last bound is for a
// gate that lives and does not answer: it is well behind the time that it has for the answer.
func (a *arrivals) ask(at resume.Place, ar *arrival) (resume.Claimed, resume.Place, resume.Reason) {
	nowhere, c := resume.Place{}, ar.claim
	p := a.peers.to(process{at.Addr, at.Epoch})
	switch {
	case p == nil:
		return resume.Silent, nowhere, ""
	case p.version < handsOverFrom:
		return resume.No, nowhere, resume.Unknown
	}
	data, err := encodeGob(claim{Token: c.Text, Received: c.Received, Dict: c.Dict})
	if err != nil {
		return resume.No, nowhere, resume.Unknown
	}
	window := a.gate.Window()
	ctx, cancel := context.WithTimeout(a.ctx, 2*window)
	defer cancel()
	data, err = p.ask(ctx, &link.Frame{Kind: link.Claim, Session: c.Token.Session, Data: data, Left: window})
	if err != nil {
		a.log.Info("a gate did not give a session away", "session", c.Token.Session, "peer", at.Addr, "err", err)
		return resume.Silent, nowhere, ""
	}
	var said claimed
	if err := decodeGob(data, &said); err != nil {
		a.log.Error("the answer to a claim cannot be read", "session", c.Token.Session, "peer", at.Addr, "err", err)
		return resume.No, nowhere, resume.Unknown
	}
	if said.Said != resume.Given {
		return said.Said, said.To, said.Why
	}
	if err := a.arrive(at, ar, said.Session); err != nil {
		a.log.Warn("a session that came from another gate was lost", "session", c.Token.Session, "peer", at.Addr, "err", err)
		return resume.No, nowhere, resume.Unknown
	}
	return resume.Given, nowhere, ""
}

// arrive makes a session of this gate of what has come. One that handlers of this node have keeps
// its entity until end: what they push waits, as what other nodes push does.
func (a *arrivals) arrive(from resume.Place, ar *arrival, d departing) error {
	id := ar.claim.Token.Session
	a.leftBehind(ar, &d)
	r := a.remotes.take(sessionKey{from.Addr, from.Epoch, id})
	var s *session.Session
	lane := laneOfRemote(r)
	err := a.gate.Adopt(d.Handed, ar.claim.Remote, lane, func(conn *gate.Conn) *session.Session {
		if r != nil {
			s = r.sess
			r.goTo(&whereabouts{gate: process{a.addr, a.epoch}, home: true, conn: conn})
		} else {
			s = session.NewWithID(conn, id)
			s.SetLifetime(a.life)
		}
		ar.conn = conn
		a.users.Add(s)
		return s
	})
	if s == nil {
		if r != nil {
			r.end(session.CloseReason{Kind: session.CloseNetwork, Reason: "what came from its gate cannot be read"})
		}
		return err
	}
	a.cfg.Connections.Increment()
	a.departures.forget(id)
	if r == nil {
		a.restore(s, d.Values)
	}
	a.signIn(s, d.UID, d.Since, r == nil)
	if d.UID != 0 {
		a.logins.directory.leave(d.UID, sessionKey{from.Addr, from.Epoch, id})
	}
	for service, addr := range d.Router {
		s.Router().Bind(service, addr)
	}
	a.sessions.arrive(s, &d)
	return err
}

// restore sets the values with which a session has come.
func (a *arrivals) restore(s *session.Session, values encodedValues) {
	for key, b := range values {
		v, err := decodeValue(b)
		if err != nil {
			a.log.Warn("a value of a session that came from another gate cannot be read: register its type with encoding/gob here, too",
				"session", s.ID(), "key", key, "err", err)
			continue
		}
		s.Set(key, v)
	}
}

// signIn makes a session that has come the user's that it was before, 0 for none, and runs the
// hooks: OnOpened, if this node has not known the session, sees its user.
func (a *arrivals) signIn(s *session.Session, uid int64, since uint64, opens bool) {
	var old []*session.Session
	var refused error
	bound := false
	if uid != 0 {
		if since == 0 {
			since = uint64(time.Now().UnixNano())
		}
		if old, refused = a.users.Bind(s, uid, since); refused == nil {
			bound = s.Adopt(uid)
		}
	}
	if opens {
		a.sched.PushTaskTo(laneOf(s), func() { a.life.Open(s) })
	}
	if bound {
		a.sched.PushTaskTo(laneOf(s), func() { a.life.Bound(s) })
	}
	if refused != nil {
		a.logins.tell(s, uid, true) // nodes that know where it went have the user here
		a.log.Info("a session that came from another gate is not its user's any more", "session", s.ID(), "uid", uid, "err", refused)
		_ = s.Kick("already signed in")
		return
	}
	if uid != 0 {
		a.logins.tell(s, uid, false)
	}
	for _, o := range old {
		a.logins.tell(o, uid, true)
		_ = o.Kick("signed in elsewhere")
	}
}
