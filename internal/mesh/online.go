package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// What can be done for a user, whichever gates they are at. The directory says which these are: a
// push goes to each of them, and a kick to all gates, each of which looks for the user itself.

// ErrOffline is returned for a user who has no session anywhere.
var ErrOffline = fault.New(fault.NotFound, "cluster: the user is not online")

// Online tells whether a user is at any gate of the cluster, as far as this node knows.
func (l *logins) Online(uid int64) bool {
	return len(l.users.Of(uid)) > 0 || l.directory.elsewhere(uid, sessionKey{})
}

// OnlineUIDs returns the users who are at any gate, in no order.
func (l *logins) OnlineUIDs() []int64 {
	set := make(map[int64]struct{})
	for _, uid := range l.users.UIDs() {
		set[uid] = struct{}{}
	}
	l.directory.add(set)
	uids := make([]int64, 0, len(set))
	for uid := range set {
		uids = append(uids, uid)
	}
	return uids
}

// PushTo pushes to all sessions of a user. It finds their gates in the directory. ErrOffline if
// there are none.
func (l *logins) PushTo(uid int64, route string, v any) error {
	data, err := l.serialize(v)
	if err != nil {
		return err
	}
	ended := l.arrivals.ended.Load()
	local, away := l.users.Of(uid), l.directory.of(uid)
	if l.arrivals.count.Load() > 0 || l.arrivals.ended.Load() != ended { // it may have come here in between
		for _, s := range l.users.Of(uid) {
			if !slices.Contains(local, s) {
				local = append(local, s)
			}
		}
	}
	var errs []error
	for _, s := range local {
		errs = append(errs, l.pushHere(s, route, v, data))
		away = slices.DeleteFunc(away, func(key sessionKey) bool { return key.id == s.ID() }) // it comes, or goes
	}
	for _, key := range away {
		f, err := l.pushFrame(link.Push, route, v, data)
		if err == nil {
			var online bool
			f.Session = key.id
			if online, err = l.pushAway(uid, key, f); !online {
				continue
			}
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return ErrOffline
	}
	return errors.Join(errs...)
}

// pushAway sends a push to the gate that has a session of a user, or where that goes. While it is
// queued, the session goes nowhere else, as in remoteSession.send. It is false for a session that
// has ended meanwhile.
func (l *logins) pushAway(uid int64, key sessionKey, f *link.Frame) (online bool, err error) {
	for {
		if key.gate == l.addr && key.epoch == l.epoch { // it comes here, or has come
			if !l.arrivals.hold(l.addr, f) {
				l.arrivals.inbound.deliver(l.addr, f)
			}
			return true, nil
		}
		p := l.peers.to(process{key.gate, key.epoch})
		if p == nil {
			return false, nil
		}
		p.moves.RLock()
		now, ok := l.directory.find(uid, key)
		if ok && now == key {
			err = p.send(f)
		}
		p.moves.RUnlock()
		switch {
		case !ok && l.users.Session(key.id) != nil: // it has come here
			now = sessionKey{l.addr, l.epoch, key.id}
		case !ok:
			return false, nil
		case now == key:
			return true, err
		}
		key = now
	}
}

// pushHere pushes data, the payload of v, to a client of this gate. What was pushed to it on its
// way here goes before.
func (l *logins) pushHere(s *session.Session, route string, v any, data []byte) error {
	if l.arrivals.count.Load() > 0 {
		f, err := l.pushFrame(link.Push, route, v, data)
		if err != nil {
			return err
		}
		if f.Session = s.ID(); l.arrivals.hold(l.addr, f) {
			return nil
		}
	}
	class, key := l.cfg.Deliveries[route].Of(v)
	if c, ok := s.NetworkEntity().(*gate.Conn); ok && class != session.DeliverAll {
		return c.PushAs(route, data, class, key)
	}
	return s.Push(route, data)
}

// kickWait is how long Kick waits for gates that may have a user of whom this node has not heard: a
// gate whose machine is busy answers within it, too.
const kickWait = time.Second

// errNoWord is Kick's where it cannot tell whether there was anybody to kick.
var errNoWord error = component.Errorf(component.CodeUnavailable, "a gate that may have the user does not answer, so it may kick them or not")

// Kick kicks all sessions of a user. Every gate looks for them itself, so it finds each session
// whose Bind was answered before. ErrOffline if there are none: where this node has heard of none,
// it waits for the gates to say so, but not when it is called by a handler, a task or a timer. A
// node that says nothing makes it errNoWord, and so does a gate that cannot be reached.
func (l *logins) Kick(uid int64, reason string) error {
	if uid == 0 {
		return ErrOffline
	}
	found, err := l.kickHere(uid, reason)
	errs := []error{err}
	at := make(map[process]bool)
	for _, key := range l.directory.of(uid) {
		at[process{key.gate, key.epoch}], found = true, true
	}
	wait, mute := !found && scheduler.Current() == nil, false
	var asked []question
	for _, p := range l.peers.all() {
		if p.link == nil {
			continue
		}
		f := &link.Frame{Kind: link.Kick, UID: uid, Text: []byte(reason)}
		known := at[process{p.addr, p.epoch}]
		if !known { // or it would kick who signs in when the gate can be reached again
			f.Left = kickWait
		}
		q := question{p, newPendingCall()}
		switch {
		case !wait:
		case p.lost.Load():
			mute = mute || p.hasUsers.Load()
		case p.calls.begin(q.call):
			f.ID = q.call.id
		}
		err := p.sendNow(f)
		switch {
		case err != nil && known:
			errs = append(errs, err)
		case err != nil:
			p.calls.remove(f.ID)
		case f.ID != 0:
			asked = append(asked, q)
		}
	}
	yes, silent := anyYes(asked)
	switch {
	case found || yes:
		return errors.Join(errs...)
	case silent || mute:
		return errNoWord
	}
	return ErrOffline
}

// kickHere kicks the sessions of a user that are at this gate, now or when the Binds by backends
// that came before it have run, and those that are on their way here.
func (l *logins) kickHere(uid int64, reason string) (found bool, err error) {
	found = l.arrivals.kick(uid, reason)
	found = l.directory.kickAwaited(uid, reason) || found // before the others: one that runs now is found either way
	for _, s := range l.users.Of(uid) {
		err, found = errors.Join(err, s.Kick(reason)), true
	}
	return found, err
}

// handleKick kicks a user's sessions at this gate, and tells the node that asks, p, whether there
// are any.
func (l *logins) handleKick(from string, p *peer, f *link.Frame) {
	found, err := l.kickHere(f.UID, string(f.Text))
	if err != nil {
		l.log.Debug("a kick was refused", "peer", from, "uid", f.UID, "err", err)
	}
	if f.ID == 0 || p == nil {
		return
	}
	answer := &link.Frame{Kind: link.Reply, ID: f.ID}
	if found {
		answer.Data = []byte{1}
	}
	_ = p.send(answer) // one that cannot be sent is not waited for long
}

// question is a frame to a node whose Reply says yes or no.
type question struct {
	peer *peer
	call *pendingCall
}

// anyYes waits for a yes, but not for long, and tells whether there was one, and else whether any
// of them has said nothing.
func anyYes(asked []question) (yes, silent bool) {
	ctx, cancel := context.WithTimeout(context.Background(), kickWait)
	type answer struct{ yes, silent bool }
	answers := make(chan answer, len(asked))
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	for _, q := range asked {
		waiting.Go(func() {
			a := answer{silent: true}
			select {
			case <-q.call.done:
				a = answer{yes: len(q.call.data) > 0, silent: q.call.err != nil}
			case <-ctx.Done():
			}
			q.peer.calls.remove(q.call.id)
			answers <- a
		})
	}
	for range asked {
		a := <-answers
		if a.yes {
			return true, false
		}
		silent = silent || a.silent
	}
	return false, silent
}
