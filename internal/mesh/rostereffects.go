package mesh

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// What the machines of the roster ask for is carried out here, by the roster's goroutine; what may
// take time goes to the background.

// carryOut does what the list that this node has asks for, and then shows the list to readers.
func (r *roster) carryOut(effects []member.Effect) {
	for _, e := range effects {
		r.carryOutOne(e)
	}
	r.others.Store(r.known.Table())
	r.stale = false
	if len(effects) > 0 {
		r.news.tell()
	}
}

func (r *roster) carryOutOne(e member.Effect) {
	at := process{e.Peer.Addr, e.Peer.Epoch}
	switch e.Kind {
	case member.Added:
		r.add(e.Peer)
	case member.Removed:
		r.log.Info("node left", "peer", at.addr)
		p := r.peers.to(at)
		if p != nil {
			r.setPeer(at.addr, nil)
			p.lost.Store(true)
		}
		r.logins.directory.dropGate(at)
		in := r.links.of(at)
		r.background(func() { r.partWith(at, p, in) })
	case member.Changed:
		r.log.Info("node changed", "peer", at.addr, "services", e.Peer.Services, "state", e.Peer.State)
	case member.Unreachable:
		r.log.Warn("node cannot be reached", "peer", at.addr)
		if p := r.peers.to(at); p != nil {
			p.lost.Store(true)
			calls := p.calls.giveUp(unavailable(p.addr))
			r.sessions.failAt(p, false)
			p.withdraw()
			for _, id := range calls {
				p.callOff(id)
			}
		}
	case member.Forsaken:
		r.log.Warn("node cannot be reached for long: its sessions are closed here", "peer", at.addr)
		if p := r.peers.to(at); p != nil {
			r.beginAnew(p, 0)
		}
	case member.Reachable:
		r.log.Info("node can be reached again", "peer", at.addr)
		if p := r.peers.to(at); p != nil {
			p.lost.Store(false)
		}
	case member.Unlisted:
		r.log.Warn("node fell out of the list, and its link is up: its sessions stay, and it gets no new ones", "peer", at.addr)
	case member.Fetch:
		r.beatNow()
	}
}

// add makes the way to a node that has joined.
func (r *roster) add(m member.Member) {
	if r.leaving {
		return
	}
	r.log.Info("node joined", "peer", m.Addr, "label", m.Label, "services", m.Services, "link", m.Link)
	p, err := r.peers.connect(m, 0)
	if err != nil {
		r.log.Error("connection to a node failed", "peer", m.Addr, "err", err)
		return
	}
	r.setPeer(m.Addr, p)
	if p.link != nil {
		r.logins.tellAll(p)
	}
}

// setPeer makes p, which may be nil, the way to an address.
func (r *roster) setPeer(addr string, p *peer) {
	r.peers.set(addr, p)
	r.news.tell()
}

// partWith ends what there was with a process that has left. One that leaves in good order first
// takes what is queued for it, and answers what it was asked; p is the way to it, nil if there was
// none.
func (r *roster) partWith(gone process, p *peer, in *inboundLink) {
	ctx, cancel := context.WithTimeout(r.ctx, closeTimeout)
	defer cancel()
	if p == nil || p.drain(ctx) {
		r.links.idle(ctx, gone)
	}
	if p != nil {
		p.fail()
		p.served.abandon()
		r.sessions.failAt(p, true)
	}
	r.links.forget(gone, in)
	if p != nil {
		_ = p.way.Load().Close() // may take seconds, of one that hangs
	}
}

// beginAnew puts a new way in the place of p, and forgets what p's node has told: what was on its
// way between the two may be lost, so the sessions over their link are closed here, and there when
// the other node hears of it. pairedWith is the number of its new way, 0 if this node gives the
// other up. It is false when there can be no new way.
func (r *roster) beginAnew(p *peer, pairedWith uint64) bool {
	if r.leaving {
		return false
	}
	key := process{p.addr, p.epoch}
	q := p
	if p.link != nil { // what a node of the 0.5 series is told needs no way of its own
		var err error
		if q, err = r.peers.connect(member.Member{Addr: p.addr, Epoch: p.epoch, Link: p.version}, pairedWith); err != nil {
			r.log.Error("connection to a node failed", "peer", p.addr, "err", err)
			return false
		}
		q.lost.Store(p.lost.Load())
		r.setPeer(p.addr, q)
		p.lost.Store(true)
	}
	in := r.links.of(key)
	switch {
	case in == nil:
		r.links.dropTold(key)
	case in.dead.Swap(true): // somebody else has that in hand
		in = nil
	}
	if q != p {
		r.logins.tellAll(q)
	}
	r.background(func() {
		if in != nil {
			r.links.retire(key, in)
		}
		if q != p {
			p.discard()
			p.served.abandon()
			r.sessions.failAt(p, true)
		}
	})
	return true
}

// meetAnew puts a new way in the place of p because its node has begun anew, with a way of that
// number.
func (r *roster) meetAnew(p *peer, number uint64) (ok bool) {
	return r.do(func() { ok = r.peers.at(p.addr) != p || r.beginAnew(p, number) }) && ok
}

// renew begins anew with each node that has not been told what it has to know, because its link's
// queue was full, or that has forgotten it.
func (r *roster) renew() {
	for _, p := range r.peers.all() {
		if p.anew.Load() && !r.leaving {
			r.log.Warn("link to a node begins anew: its queue has overflowed, or the node has forgotten this one", "peer", p.addr)
			r.beginAnew(p, 0)
		}
	}
}

// carryOutMaster does what the list that the master keeps asks for.
func (r *roster) carryOutMaster(e member.Effects) {
	if e.Changed {
		r.carryOut(r.known.View(r.master.View()))
	}
	if e.Held > 0 {
		r.log.Warn("master lost most nodes at once: it takes none out of the list until some are back", "lost", e.Held)
	}
	if e.Freed {
		r.log.Info("master has enough nodes again: it takes out those that stay silent")
	}
	for _, gone := range e.Left {
		if r.cfg.Left != nil {
			r.sched.PushTask(func() { r.cfg.Left(gone) })
		}
	}
	for _, t := range e.Tells {
		r.background(func() { r.tell(t) })
	}
}

// tell makes the calls to one member, one after the other, in the background.
func (r *roster) tell(t member.Tell) {
	err := r.tellMember(t)
	if err != nil {
		r.log.Warn("member was not told of a change", "peer", t.To.Addr, "err", err)
	}
	r.do(func() { r.carryOutMaster(r.master.Told(t.To.Addr, t.Seq, err == nil, time.Now())) })
}

func (r *roster) tellMember(t member.Tell) error {
	var conn grpc.ClientConnInterface
	if p := r.peers.to(process{t.To.Addr, t.To.Epoch}); p != nil {
		conn = p.way.Load()
	} else { // who has just registered may not be a peer here
		c, err := r.peers.dial(t.To.Addr, false)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		conn = c
	}
	client := clusterpb.NewMemberClient(conn)
	for _, call := range t.Calls {
		if err := tellOne(r.ctx, client, call); err != nil {
			return err
		}
	}
	return nil
}

func tellOne(ctx context.Context, client clusterpb.MemberClient, call member.Call) (err error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	var version *clusterpb.Version
	if call.Version != (member.Version{}) {
		version = toVersion(call.Version)
	}
	if call.Del {
		_, err = client.DelMember(ctx, &clusterpb.DelMemberRequest{ServiceAddr: call.Member.Addr, Epoch: call.Member.Epoch, Version: version})
	} else {
		_, err = client.NewMember(ctx, &clusterpb.NewMemberRequest{MemberInfo: ToInfo(call.Member), Version: version})
	}
	return err
}
