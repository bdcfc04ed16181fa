package mesh

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// inbound is the one router of what other nodes send: it hands each frame to its owner. Messages
// and calls go to this node's handlers, output to this gate's clients, and what is said of sessions
// and users to those who keep it. The frames come from links (linkservice.go) or are made of the
// calls of the 0.5 series (legacyserver.go). The methods may be called concurrently, but frames of
// one sender come one after the other.
type inbound struct {
	*node
	peers    *peers
	roster   *roster
	sessions *gateSessions
	remotes  *remoteSessions
	logins   *logins
	calls    *calls

	departures *departures
	arrivals   *arrivals
}

// helpRounds bounds how long a link's goroutine flushes to clients between two batches.
const helpRounds = 64

// handleBatch handles one batch of frames. What goes out to clients is written once after it, and
// calls of handlers are handed over at its end.
func (in *inbound) handleBatch(from *sender, frames *link.Reader) error {
	calls := in.table.BeginMetered()
	in.gate.BatchBegin()
	var err error
	for {
		var ok bool
		if ok, err = frames.Next(&from.frame); !ok {
			break
		}
		in.handle(from, &from.frame, calls)
	}
	in.gate.BatchEnd()
	rounds := 0
	in.gate.Help(func() bool { rounds++; return rounds > helpRounds }) // others flush too: the next batch is not kept waiting
	calls.Submit()
	if err != nil {
		return fmt.Errorf("cluster: frames of node %s: %w", from.addr, err)
	}
	return nil
}

// handle handles one frame. A panic, in code of the application's that it comes to, costs that
// frame.
func (in *inbound) handle(from *sender, f *link.Frame, calls *dispatch.Batch) {
	defer func() {
		if v := recover(); v != nil {
			in.log.Error("handling of another node's frame panicked", "peer", from.addr, "kind", f.Kind, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if from.unheard() {
		return
	}
	key := sessionKey{from.addr, from.epoch, f.Session}
	switch f.Kind {
	case link.Request, link.Notify:
		in.handleMessage(from, f, calls.AddMetered)
	case link.Call, link.Cast:
		in.calls.handleCall(from, f, calls.AddMetered)
	case link.Reply:
		if p := from.back(); p != nil {
			in.calls.handleReply(p, f)
		}
	case link.Credit:
		in.handleCredit(from, f)
	case link.Refused:
		if len(f.Text) > 0 { // this node has spoken in the name of another gate's session
			in.remotes.handleRefused(from.way, f)
		} else {
			in.sessions.handleRefused(from.way, f)
		}
	case link.SessionOpened:
		calls.Hand() // after the messages that came before
		in.handleOpened(from, key, f)
	case link.SessionChanged:
		calls.Hand()
		in.remotes.handleChanged(key, f)
	case link.SessionClosed:
		calls.Hand()
		in.remotes.handleClosed(key, f)
	case link.Bound:
		in.logins.handleBound(key, f)
	case link.Multicast:
		in.handleMulticast(from, f)
	case link.Claim:
		in.departures.handleClaim(from, f)
	case link.Moved:
		calls.Hand()
		in.remotes.handleMoved(from, f)
	case link.Adopt:
		calls.Hand()
		in.remotes.handleAdopt(from, f)
	case link.Leaving:
		in.roster.post(func() { in.roster.carryOut(in.roster.known.LinkLeaves(from.addr, from.epoch)) })
	case link.Kick:
		if f.Session == 0 {
			in.logins.handleKick(from.addr, from.back(), f)
			return
		}
		in.handleForClient(from, f)
	default:
		in.handleForClient(from, f)
	}
}

// handleForClient handles a frame for one client of this gate. One that is on its way here gets it
// when it is.
func (in *inbound) handleForClient(from *sender, f *link.Frame) {
	if f.Kind == link.Push && in.departures.tooLate(from.way, f.Session) {
		return
	}
	if !in.arrivals.hold(from.addr, f) {
		in.deliver(from.addr, f)
	}
}

// handleOpened handles the introduction of a session by its gate, or what a backend says instead of
// it.
func (in *inbound) handleOpened(from *sender, key sessionKey, f *link.Frame) {
	switch {
	case f.Flags&flagHold != 0: // a backend has a session of this gate's
		if !in.arrivals.hold(from.addr, f) { // else that is known when the session is here
			in.handleHold(from.addr, f)
		}
	case f.Flags&flagVouch != 0: // a backend speaks for a gate
		in.remotes.handleVouch(f)
	default:
		in.remotes.handleOpened(key, from.way, f)
	}
}

// handleHold handles the word of a backend that it has a session of this gate's.
func (in *inbound) handleHold(from string, f *link.Frame) {
	if p := in.peers.at(from); p != nil {
		in.sessions.handleHold(p, f.Session)
	}
}

// handleMessage handles a client's message that is for this node's handlers. A session that nobody
// has introduced has no user and no values: what comes of it is refused. Only gates of the 0.5
// series, and who calls as they do, introduce nobody.
func (in *inbound) handleMessage(from *sender, f *link.Frame, add addCall) {
	if string(f.Text) == in.addr && !in.isElsewhere(f) { // a node speaks in the name of a session of this gate's
		switch c, _ := in.client(f.Session); {
		case in.arrivals.hold(from.addr, f):
			from.Spent(costOf(f))
		case c != nil:
			add(c, messageOf(f), from, costOf(f), f.Trace)
		default:
			in.ignore(from.addr, f)
			from.Spent(costOf(f))
		}
		return
	}
	key, way := in.keyOf(from, f)
	r := in.remotes.get(key)
	if r == nil && len(f.Text) > 0 {
		r = in.remotes.byID(f.Session, f.UID)
	}
	if r == nil && way != nil && way.link == nil {
		r, _ = in.remotes.open(key, way, nil)
	}
	if r == nil {
		in.refuse(from, f)
		return
	}
	if change := r.change.Load(); change != nil { // what waits to be done before the call of a message
		r.all.table.Before(r, f.Route, *change)
	}
	var m dispatch.Meter = r
	if len(f.Text) > 0 { // a backend sends it, in the session's name
		m = from
	}
	add(r, messageOf(f), m, costOf(f), f.Trace)
}

// isElsewhere tells whether the session of a message is known here as a client of another gate: it
// has just gone there, or has not come from there.
func (in *inbound) isElsewhere(f *link.Frame) bool { return in.remotes.byID(f.Session, f.UID) != nil }

// isMessage tells whether a frame is a message for handlers.
func isMessage(f *link.Frame) bool { return f.Kind == link.Request || f.Kind == link.Notify }

// deliverMessage has a handler here called with a message that another node has sent in the name of
// a client of this gate.
func (in *inbound) deliverMessage(c *gate.Conn, from string, f *link.Frame) {
	if c == nil {
		in.ignore(from, f)
		return
	}
	calls := in.table.BeginMetered()
	calls.Add(c, messageOf(f))
	calls.Submit()
}

// ignore drops a message in the name of a session that this gate does not have any more.
func (in *inbound) ignore(from string, f *link.Frame) {
	in.refusals.Unknown.Add(1)
	in.log.Debug("a message in the name of an unknown session was dropped", "peer", from, "session", f.Session, "kind", f.Kind)
}

// keyOf names the session of a message, and the way to its gate: that is the sender, or the one
// that it names.
func (in *inbound) keyOf(from *sender, f *link.Frame) (key sessionKey, way *peer) {
	if len(f.Text) == 0 || string(f.Text) == from.addr {
		return sessionKey{from.addr, from.epoch, f.Session}, from.way
	}
	if way = in.peers.at(string(f.Text)); way != nil {
		key = sessionKey{way.addr, way.epoch, f.Session}
	}
	return key, way
}

// refuse tells the sender of a message that its session is not known here.
func (in *inbound) refuse(from *sender, f *link.Frame) {
	in.refusals.Unknown.Add(1)
	in.log.Debug("a message of an unknown session was refused", "peer", from.addr, "gate", string(f.Text), "session", f.Session, "kind", f.Kind)
	if len(f.Text) > 0 {
		from.Spent(costOf(f))
	}
	if from.in == nil {
		return // of a unary call, which has its own answer
	}
	no := link.Frame{Kind: link.Refused, Session: f.Session, Text: f.Text}
	if f.Kind == link.Request {
		no.ID = f.ID
	}
	if from.way.version < answersFrom {
		if no.ID == 0 {
			in.log.Warn("a notify of an unknown session was dropped, and its gate is too old to be told", "peer", from.addr, "session", f.Session)
			return
		}
		no.Kind, no.Flags = link.Response, flagError
		no.Data, _ = json.Marshal(dispatch.DefaultShape(unavailable(in.addr))) // two strings can be encoded
	}
	_ = from.way.send(&no) // with the link gone, its requests fail
}

// handleCredit takes the word of a node that messages have left its queue.
func (in *inbound) handleCredit(from *sender, f *link.Frame) {
	p := from.back()
	if p == nil {
		return
	}
	cost := int(min(f.ID, 1<<40))
	if f.Session == 0 {
		p.window.leave(cost)
	} else if g := in.sessions.find(in.users.Session(f.Session)); g != nil {
		g.credit(p, cost)
	}
}

// deliver gives a frame from a node to one client of this gate.
func (in *inbound) deliver(from string, f *link.Frame) {
	if f.Kind == link.SessionOpened {
		in.handleHold(from, f)
		return
	}
	c, s := in.client(f.Session)
	if isMessage(f) { // it has waited for the session
		in.deliverMessage(c, from, f)
		return
	}
	if c == nil {
		if in.departures.sendOn(f) {
			return
		}
		if p := in.peers.at(from); p != nil && f.Kind != link.Close {
			_ = p.send(&link.Frame{Kind: link.SessionClosed, Session: f.Session})
		}
		return
	}
	var err error
	switch f.Kind {
	case link.Push:
		err = in.push(c, f)
	case link.Response:
		err = in.sessions.handleResponse(c, s, f, in.own(f.Data))
	case link.Kick:
		err = c.Kick(string(f.Text))
	case link.Close:
		err = c.Close()
	case link.Bind:
		in.logins.handleBind(s, f.UID)
	default:
		in.log.Debug("frame ignored", "peer", from, "kind", f.Kind)
	}
	if err != nil {
		in.log.Debug("output for a client was refused", "peer", from, "session", f.Session, "kind", f.Kind, "err", err)
	}
}

// push pushes what another node sends to a client. Without a class of delivery, the gate has its
// own.
func (in *inbound) push(c *gate.Conn, f *link.Frame) error {
	if class, key := classOf(f); class != session.DeliverAll {
		return c.PushAs(string(f.Route), in.own(f.Data), class, key)
	}
	return c.Push(string(f.Route), in.own(f.Data))
}

// handleMulticast pushes one payload to many of this gate's clients, encoded once.
func (in *inbound) handleMulticast(from *sender, f *link.Frame) {
	if in.departures.late.Load() > 0 {
		f.Sessions = slices.DeleteFunc(f.Sessions, func(id int64) bool { return in.departures.tooLate(from.way, id) })
	}
	if in.arrivals.count.Load() > 0 {
		in.holdMulticast(from, f)
	}
	from.to = in.users.Sessions(f.Sessions, from.to[:0])
	if len(from.to) < len(f.Sessions) {
		in.multicastOn(f)
	}
	var err error
	if class, key := classOf(f); class != session.DeliverAll {
		err = in.gate.MulticastAs(string(f.Route), in.own(f.Data), class, key, from.to)
	} else {
		err = in.gate.Multicast(string(f.Route), in.own(f.Data), from.to)
	}
	if err != nil {
		in.log.Debug("a multicast did not reach everybody", "peer", from.addr, "err", err)
	}
	clear(from.to)
}

// holdMulticast keeps a multicast for those of its sessions that are on their way here, and takes
// them out of it.
func (in *inbound) holdMulticast(from *sender, f *link.Frame) {
	one := *f
	one.Kind, one.Sessions = link.Push, nil
	f.Sessions = slices.DeleteFunc(f.Sessions, func(id int64) bool {
		one.Session = id
		return in.arrivals.hold(from.addr, &one)
	})
}

// multicastOn sends a multicast on to those of its sessions that have gone to other gates.
func (in *inbound) multicastOn(f *link.Frame) {
	one := *f
	one.Kind, one.Sessions = link.Push, nil
	for _, id := range f.Sessions {
		if in.users.Session(id) == nil {
			one.Session = id
			in.departures.sendOn(&one)
		}
	}
}

// own makes a copy of borrowed bytes if a filter might keep them.
func (in *inbound) own(b []byte) []byte {
	if in.cfg.Filters {
		return append([]byte(nil), b...)
	}
	return b
}
