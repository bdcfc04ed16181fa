package mesh

import (
	"context"
	"errors"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/scheduler"
)

// kickWait is how long KickUser waits for gates that may have a user of whom this node has not heard.
const kickWait = 250 * time.Millisecond

// KickUser kicks all sessions of a user, whichever gates they are at. Every gate looks for them itself, so the kick finds each
// session whose Bind was answered before, at its gate or on a backend. ErrOffline if there are none: where this node has heard
// of none, it waits for the gates to say so, at most 250 ms. Called by a handler, a task or a timer it does not wait:
// ErrOffline then says that this node has not heard of any, and the gates are told all the same.
func (n *Mesh) KickUser(uid int64, reason string) error {
	if uid == 0 {
		return ErrOffline
	}
	found, err := n.kickHere(uid, reason)
	errs := []error{err}
	at := make(map[process]bool)
	for _, key := range n.directory.of(uid) {
		at[process{key.gate, key.epoch}], found = true, true
	}
	wait := !found && scheduler.Current() == nil
	var asked []*question
	for _, p := range *n.peers.Load() {
		if p.link == nil {
			continue
		}
		f := &link.Frame{Kind: link.Kick, UID: uid, Text: []byte(reason)}
		if wait && !p.lost.Load() {
			q := p.ask()
			asked, f.ID = append(asked, q), q.id
		}
		if err := p.sendNow(f); err != nil && at[process{p.addr, p.epoch}] {
			errs = append(errs, err)
		}
	}
	if anyHas(asked) {
		found = true
	}
	if !found {
		return ErrOffline
	}
	return errors.Join(errs...)
}

// kickHere kicks the sessions of a user that are at this gate, now or when the Binds by backends that came before it have run.
func (n *Mesh) kickHere(uid int64, reason string) (found bool, err error) {
	found = n.directory.kickAwaited(uid, reason) // first: one that runs now is found either way
	for _, s := range n.users.Of(uid) {
		err, found = errors.Join(err, s.Kick(reason)), true
	}
	return found, err
}

// takeKickUser kicks a user's sessions at this gate, and says whether there are any.
func (n *Mesh) takeKickUser(from *origin, f *link.Frame) {
	found, err := n.kickHere(f.UID, string(f.Text))
	if err != nil {
		n.log.Debug("a kick was refused", "peer", from.addr, "uid", f.UID, "err", err)
	}
	p := n.peer(from.addr)
	if f.ID == 0 || p == nil || p.epoch != from.epoch {
		return
	}
	answer := &link.Frame{Kind: link.Reply, ID: f.ID}
	if found {
		answer.Data = []byte{1}
	}
	_ = p.send(answer) // one that cannot be sent is not waited for long
}

// question is a frame of which a Reply says whether there is what it asks for.
type question struct {
	peer *peer
	id   uint64
	call *pending
}

// ask notes a question to p, to be sent with its id.
func (p *peer) ask() *question {
	q := &question{peer: p, id: p.ids.Add(1), call: &pending{done: make(chan struct{})}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[q.id] = q.call
	return q
}

// anyHas waits for answers, but not for long, and tells whether one of them is yes.
func anyHas(asked []*question) (yes bool) {
	ctx, cancel := context.WithTimeout(context.Background(), kickWait)
	defer cancel()
	for _, q := range asked {
		select {
		case <-q.call.done:
			yes = yes || len(q.call.data) > 0
		case <-ctx.Done():
		}
		q.peer.mu.Lock()
		delete(q.peer.calls, q.id)
		q.peer.mu.Unlock()
	}
	return yes
}
