package mesh

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// departures are the sessions of this gate whose clients come back to other gates. One that is
// claimed goes in this order:
//
//  1. The gate serves its client no more, and keeps what is sent to it.
//  2. All nodes that know the session, or its user, are told where it goes (Moved). Each of them
//     sends to the new gate from then on, and says that it knows behind all that it has sent here.
//  3. When all have said so, or are gone, the session goes to the new gate: the answer to the
//     claim. A node is waited for as long as its link lives, and no longer than half the window:
//     then the client hears of a gap.
//  4. Here, it is a session of another gate from then on. What still comes for it is sent on, but
//     for the pushes of a node that was not waited for: they are older than what that sends to the
//     new gate.
//
// The methods may be called concurrently.
type departures struct {
	*node
	peers    *peers
	sessions *gateSessions
	remotes  *remoteSessions
	logins   *logins
	arrivals *arrivals

	late    atomic.Int64 // as lags has it
	mu      sync.Mutex
	moves   resume.Moves // where sessions have gone, as far as this node knows
	leaving map[int64]*departure
	lags    resume.Lags[*peer]
}

// departure is a session that may be on its way to another gate.
type departure struct {
	over chan struct{}  // closed when it has gone, or stays
	as   *remoteSession // carries it there; nil: it has not left yet
}

// busyTime is after how long a gate answers a claim that looks for the session itself.
const busyTime = time.Second

// claim is what a gate says that wants a session.
type claim struct {
	Token    string
	Received uint64
	Dict     string // version of its dictionary: what is kept is encoded with the owner's
}

// claimed is the answer.
type claimed struct {
	Said    resume.Claimed
	Why     resume.Reason
	To      resume.Place
	Session departing

	released bool // by this gate, see gate.Gate.Gone
}

// departing is a session on its way to another gate.
type departing struct {
	gate.Handed
	UID      int64
	Since    uint64            // when it became the user's
	Values   encodedValues     // all that can be encoded
	Router   map[string]string // who serves it
	Known    []resume.Place    // who knows it
	Requests map[uint64]string // without an answer, and who has them
	Failed   []uint64          // requests that have an error for an answer, and may get another one
	Behind   []resume.Place    // nodes that had not said that they know where it goes
}

// placeOf returns the run of a node that p leads to.
func placeOf(p *peer) resume.Place { return resume.Place{Addr: p.addr, Epoch: p.epoch} }

func (n *node) place() resume.Place { return resume.Place{Addr: n.addr, Epoch: n.epoch} }

// to returns where a session has gone.
func (d *departures) to(id int64) (resume.Place, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.moves.Find(id, time.Now())
}

// note notes where a session has gone.
func (d *departures) note(id int64, to resume.Place) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.moves.Add(id, to, now, now.Add(max(d.gate.Window(), time.Minute)))
}

// forget notes that a session has come here.
func (d *departures) forget(id int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.moves.Forget(id)
}

// settled waits until a session that is on its way is gone, and returns where.
func (d *departures) settled(ctx context.Context, id int64) (to resume.Place, gone bool) {
	for {
		d.mu.Lock()
		leaving := d.leaving[id]
		if leaving == nil {
			to, gone = d.moves.Find(id, time.Now())
			d.mu.Unlock()
			return to, gone
		}
		d.mu.Unlock()
		select {
		case <-leaving.over:
		case <-ctx.Done():
			return to, false
		}
	}
}

// begin is true for one who may give a session away. The others learn where it has gone.
func (d *departures) begin(ctx context.Context, id int64) (to resume.Place, gone, ok bool) {
	for {
		if to, gone = d.settled(ctx, id); gone || ctx.Err() != nil {
			return to, gone, false
		}
		d.mu.Lock()
		if d.leaving[id] == nil {
			if d.leaving == nil {
				d.leaving = make(map[int64]*departure)
			}
			d.leaving[id] = &departure{over: make(chan struct{})}
			d.mu.Unlock()
			return to, false, true
		}
		d.mu.Unlock()
	}
}

func (d *departures) end(id int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.leaving[id].over)
	delete(d.leaving, id)
}

// carrier returns what carries a session that is on its way to another gate, or there; nil if it is
// here.
func (d *departures) carrier(s *session.Session) *remoteSession {
	if r, ok := s.NetworkEntity().(*remoteSession); ok {
		return r
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.leaving[s.ID()]; l != nil {
		return l.as
	}
	return nil
}

// carry notes what carries a session from now on.
func (d *departures) carry(r *remoteSession) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaving[r.sess.ID()].as = r
}

// handleClaim answers a gate that wants a session of this one's. It takes a while.
func (d *departures) handleClaim(from *sender, f *link.Frame) {
	p, id, answer, left := from.back(), f.Session, f.ID, f.Left
	var q claim
	if err := decodeGob(f.Data, &q); err != nil || p == nil {
		return
	}
	d.background(func() {
		ctx, cancel := context.WithTimeout(d.ctx, left/2)
		defer cancel()
		a := d.give(ctx, p, id, q)
		if a.released {
			defer d.gate.Gone()
		}
		data, err := encodeGob(a)
		if err != nil {
			d.log.Error("a session could not be given away", "session", id, "peer", p.addr, "err", err)
			return
		}
		if err := p.sendNow(&link.Frame{Kind: link.Reply, ID: answer, Data: data}); err != nil {
			d.log.Warn("a session was given to a gate that cannot be reached", "session", id, "peer", p.addr, "err", err)
		}
	})
}

// give gives a session to the gate that p leads to, if its client has come there. ctx ends when it
// is too late to begin with that.
func (d *departures) give(ctx context.Context, p *peer, id int64, q claim) claimed {
	t, err := d.gate.ReadToken(q.Token)
	if err != nil || t.Session != id {
		return claimed{Said: resume.No, Why: resume.Unknown}
	}
	soon, cancel := context.WithTimeout(ctx, busyTime) // the two may wait for each other
	defer cancel()
	if !d.arrivals.settled(soon, id) { // what has waited for it here goes before what comes there
		return claimed{Said: resume.Busy}
	}
	to, gone, ok := d.begin(ctx, id)
	switch {
	case gone:
		return claimed{Said: resume.Gone, To: to}
	case !ok:
		return claimed{Said: resume.Busy}
	}
	defer d.end(id)
	if q.Dict != d.gate.Dict() || !d.canMove(id) {
		d.log.Info("session not given away: its nodes are of another version", "session", id, "peer", p.addr)
		return claimed{Said: resume.No, Why: resume.Unknown}
	}
	deadline, _ := ctx.Deadline()
	conn, why := d.gate.Release(t, q.Received, deadline)
	switch {
	case why == "":
	case why == resume.Later:
		return claimed{Said: resume.Busy}
	case d.users.Session(id) == nil:
		return claimed{Said: resume.Nowhere, Why: why}
	default:
		return claimed{Said: resume.No, Why: why}
	}
	return claimed{Session: d.depart(conn, t, p), released: true}
}

// canMove tells whether all nodes that know a session can be told that it goes elsewhere.
func (d *departures) canMove(id int64) bool {
	g := d.sessions.find(d.users.Session(id))
	return g == nil || !slices.ContainsFunc(g.known(), func(p *peer) bool { return p.version < handsOverFrom })
}

// depart gives a session away that the gate has released, to a client with a token.
func (d *departures) depart(conn *gate.Conn, t resume.Token, p *peer) departing {
	s := conn.Session()
	key := sessionKey{p.addr, p.epoch, s.ID()}
	values := d.encodeAll(s)
	r := d.remotes.depart(s, conn.Lane(), key, p)
	d.carry(r)
	d.note(s.ID(), placeOf(p)) // before it is gone: what comes for it behind that is sent on
	known := d.sessions.depart(s, r)
	uid := s.UID()
	told := slices.Clone(known)
	for _, q := range d.peers.all() {
		switch {
		case uid == 0 || q.version < handsOverFrom || slices.Contains(known, q):
		case q.lost.Load() || !q.link.Stats().Connected:
			_ = q.send(movedFrame(s.ID(), uid, placeOf(p)))
		default: // everybody knows where the user is
			told = append(told, q)
		}
	}
	late := d.tell(told, s.ID(), uid, placeOf(p))
	requests, failed := d.sessions.outstanding(s, conn, late)

	out := departing{Handed: d.gate.Hand(conn, r), UID: s.UID(), Since: d.users.Since(s), Values: values, Requests: requests, Failed: failed}
	out.Router = s.Router().All()
	out.Known = []resume.Place{d.place()}
	for _, q := range known {
		if q != p {
			out.Known = append(out.Known, placeOf(q))
		}
	}
	if len(late) > 0 {
		for _, q := range late {
			out.Behind = append(out.Behind, placeOf(q))
		}
		d.log.Warn("a session went to another gate before all nodes had said that they know", "session", s.ID(), "peer", p.addr, "missing", len(late), "one", late[0].addr)
		out.Loss.Tell(t, out.State)
	}
	if out.UID != 0 {
		d.logins.directory.enter(out.UID, login{key, out.Since})
	}
	d.users.Remove(s)
	d.sessions.departed(s)
	if out.UID != uid && out.UID != 0 { // bound on its way
		d.logins.tell(s, out.UID, true)
	}
	d.sched.PushTaskTo(conn.Lane(), func() { d.life.Resume(s) })
	return out
}

// tell tells nodes where a session goes, and waits until all know, or their links are down for
// long. It returns those that may not.
func (d *departures) tell(nodes []*peer, id, uid int64, to resume.Place) (late []*peer) {
	places := make([]resume.Place, 0, len(nodes))
	for _, p := range nodes {
		places = append(places, placeOf(p))
	}
	h := resume.NewHandover(places)
	ctx, cancel := context.WithTimeout(d.ctx, d.gate.Window()/2)
	defer cancel()
	type word struct {
		of resume.Place
		ok bool
	}
	words := make(chan word, len(nodes))
	for _, p := range nodes {
		d.lag(func(l *resume.Lags[*peer]) { l.Tell(id, p) })
		d.background(func() {
			err := p.tellFor(ctx, movedFrame(id, uid, to), func() { d.lag(func(l *resume.Lags[*peer]) { l.Knows(id, p) }) })
			// Of one that has left, nothing comes any more.
			words <- word{placeOf(p), err == nil || d.peers.to(process{p.addr, p.epoch}) == nil}
		})
	}
	for !h.Ready() {
		w := <-words // each comes when ctx ends, at the latest
		h.Told(w.of, w.ok)
	}
	for _, p := range nodes {
		if slices.Contains(h.Late(), placeOf(p)) {
			late = append(late, p)
			d.lag(func(l *resume.Lags[*peer]) { l.Leave(id, p) })
		}
	}
	return late
}

// lag changes what is known of nodes that may not know where sessions go.
func (d *departures) lag(change func(l *resume.Lags[*peer])) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.lags)
	d.late.Store(int64(d.lags.Late()))
}

// tooLate reports whether what a node pushes to a session is to be dropped, and counts it: it is
// older than what that sends to the gate where the session has gone, whose client has heard of a
// gap. Where the session is on its way back, that hears of it.
func (d *departures) tooLate(from *peer, id int64) bool {
	if !d.behind(from, id) {
		return false
	}
	d.arrivals.dropped(from, id)
	d.refusals.Lost.Add(1)
	return true
}

// behind reports whether what a node pushes to a session is too late.
func (d *departures) behind(from *peer, id int64) bool {
	if d.late.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lags.TooLate(id, from)
}

// movedFrame says where a session goes.
func movedFrame(id, uid int64, to resume.Place) *link.Frame {
	b, _ := encodeGob(to) // a string and a number can be encoded
	return &link.Frame{Kind: link.Moved, Session: id, UID: uid, Data: b}
}

// encodeAll encodes the values of a session that can be: others stay on the nodes that have them.
func (d *departures) encodeAll(s *session.Session) encodedValues {
	all := make(encodedValues)
	for key, v := range s.State() {
		b, err := encodeValue(v)
		if err != nil {
			d.log.Debug("a session value does not go to another gate: encoding/gob does not know its type", "session", s.ID(), "key", key, "err", err)
			continue
		}
		if _, ok := all.fits(key, b); ok {
			all[key] = b
		}
	}
	return all
}

// sendOn sends a frame for a client of this gate's to the gate where it has gone.
func (d *departures) sendOn(f *link.Frame) bool {
	to, gone := d.to(f.Session)
	if !gone {
		return false
	}
	p := d.peers.to(process{to.Addr, to.Epoch})
	return p != nil && p.send(f) == nil
}

// ask sends a frame that a Reply answers, and waits for that as long as the link lives.
func (p *peer) ask(ctx context.Context, f *link.Frame) ([]byte, error) {
	call := newPendingCall()
	if p.link == nil || p.version < handsOverFrom || !p.calls.begin(call) {
		return nil, unavailable(p.addr)
	}
	err := unavailable(p.addr)
	if f.ID = call.id; !p.lost.Load() { // else nobody may end the call
		err = p.sendNow(f)
	}
	if err == nil {
		select {
		case <-call.done:
			return call.data, call.err
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	p.calls.remove(call.id)
	return nil, err
}

// tellFor is ask for a frame that the node gets also if its link is down, when that is up again.
// answered is called when the Reply comes, even after tellFor has returned, or can come no more.
func (p *peer) tellFor(ctx context.Context, f *link.Frame, answered func()) error {
	call := newPendingCall()
	call.answered = answered
	if p.link == nil || p.version < handsOverFrom || !p.calls.begin(call) {
		answered()
		return unavailable(p.addr)
	}
	f.ID = call.id
	if err := p.sendNow(f); err != nil {
		if p.calls.remove(call.id) != nil { // else the link has ended, and it was called
			answered()
		}
		return err
	}
	if p.lost.Load() { // nobody may end the call
		if p.calls.remove(call.id) != nil {
			answered()
		}
		return unavailable(p.addr)
	}
	select {
	case <-call.done:
		return call.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
