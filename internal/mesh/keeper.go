package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/service"
)

var errNoSelf = errors.New("the first view does not hold this node")

// joinList enters the list of a Keeper. ctx ends the attempt.
func (n *Mesh) joinList(ctx context.Context) (err error) {
	life, cancel := context.WithCancel(n.ctx)
	stop := context.AfterFunc(ctx, cancel)
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			cancel()
			err = fmt.Errorf("join the list of members: %w", err)
		}
	}()
	n.members.mu.Lock()
	self := n.members.self
	n.members.mu.Unlock()
	views, err := n.cfg.Keeper.Join(life, self)
	if err != nil {
		return err
	}
	n.members.mu.Lock()
	n.members.kept = true
	n.members.mu.Unlock()
	select {
	case v := <-views:
		if !n.takeView(v) {
			return errNoSelf
		}
	case <-life.Done():
		return context.Cause(life)
	}
	n.background(func() {
		defer cancel()
		n.followViews(life, views)
	})
	n.background(func() { n.updateList(life) })
	return nil
}

// followViews takes the list as it changes, until ctx or the views end.
func (n *Mesh) followViews(ctx context.Context, views <-chan keeper.View) {
	for listed := true; ; {
		select {
		case <-ctx.Done():
			return
		case v, more := <-views:
			if !more {
				return
			}
			was := listed
			listed = n.takeView(v)
			switch {
			case was && !listed:
				n.log.Warn("the list does not have this node any more, and the others may take it for dead")
			case !was && listed:
				n.log.Warn("the list has this node again: the others are told its users")
				for _, p := range *n.peers.Load() {
					n.tellAllBound(p)
				}
			}
		}
	}
}

// takeView tells whether this process is in the list.
func (n *Mesh) takeView(v keeper.View) (listed bool) {
	v.Members = newestOf(v.Members)
	for _, m := range v.Members {
		if m.Addr != n.addr || m.Epoch != n.epoch {
			continue
		}
		listed = true
		if m.NodeID > service.MaxNodeID {
			n.log.Error("the node id of the list cannot be used", "id", m.NodeID)
			continue
		}
		n.leased(uint32(m.NodeID))
	}
	n.change(func(p *member.Peers) []member.Effect { return p.View(v) })
	return listed
}

// newestOf leaves out who has been replaced by a later process at its address.
func newestOf(all []keeper.Member) []keeper.Member {
	newest := make(map[string]uint64, len(all))
	for _, m := range all {
		newest[m.Addr] = max(newest[m.Addr], m.Epoch)
	}
	if len(newest) == len(all) {
		return all
	}
	var kept []keeper.Member
	for _, m := range all {
		if m.Epoch == newest[m.Addr] {
			kept = append(kept, m)
		}
	}
	return kept
}

// updateList tells the list what has changed of this node, until ctx ends.
func (n *Mesh) updateList(ctx context.Context) {
	said := keeper.Starting
	for {
		var again <-chan time.Time
		if !n.update(ctx, &said) {
			again = time.After(n.cfg.RetryInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.members.beat:
		case <-again:
		}
	}
}

func (n *Mesh) update(ctx context.Context, said *keeper.State) (ok bool) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	n.members.beating.Lock()
	defer n.members.beating.Unlock()
	n.members.mu.Lock()
	self, leaving := n.members.self, n.members.leaving
	n.members.mu.Unlock()
	if leaving || self.State == *said {
		return true
	}
	if err := n.cfg.Keeper.Update(ctx, self); err != nil {
		n.log.Warn("the list of members was not told of this node's state; trying again", "state", self.State, "err", err)
		return false
	}
	*said = self.State
	return true
}

// leaveList takes the node out of the list. An update that came after that might put it in again, so one that is on
// its way is waited for, and there are no more.
func (n *Mesh) leaveList(ctx context.Context) {
	if Within(ctx, "wait for an update of the list", n.members.beating.Lock) != nil {
		return
	}
	defer n.members.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := n.cfg.Keeper.Leave(ctx); err != nil {
		n.log.Warn("the list of members was not told that this node ends; its time there will run out", "err", err)
	}
}
