package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/service"
)

// keeperClient enters this node in the list of a Keeper, the engine that an application may give a
// cluster in the place of a master. What the engine has to do stands in package keeper; here its
// views come in and this node's state goes out.
type keeperClient struct {
	*node
	peers  *peers
	roster *roster
	logins *logins
	kept   atomic.Bool // the list has taken the node in
	listed atomic.Bool // the latest view has it, and there may be later ones
	left   atomic.Bool // the node ends, and the Keeper knows that

	updating sync.Mutex // held while the list is told of a change
}

var errNoSelf = errors.New("cluster: the first view does not hold this node")

// join enters the list of a Keeper. ctx ends the attempt.
func (k *keeperClient) join(ctx context.Context) (err error) {
	life, cancel := context.WithCancel(k.ctx)
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
	if err := k.checkAddress(ctx); err != nil {
		return err
	}
	self, _, _ := k.roster.state()
	views, err := k.cfg.Keeper.Join(life, self)
	if err != nil {
		return err
	}
	k.kept.Store(true)
	select {
	case v := <-views:
		if !k.handleView(v) {
			return errNoSelf
		}
	case <-life.Done():
		return context.Cause(life)
	}
	k.background(func() {
		defer cancel()
		k.follow(life, views)
	})
	k.background(func() { k.report(life) })
	return nil
}

// checkAddress refuses to take the address of another process that lives: the list would give it to
// the newcomer, which nobody reaches. Where nobody answers, such as behind a network that does not
// lead back, nothing can be said.
func (k *keeperClient) checkAddress(ctx context.Context) error {
	if epoch, lives := k.peers.who(ctx, k.addr); lives && epoch != k.epoch {
		return errAddressTaken(k.addr, "")
	}
	return nil
}

// follow takes the list as it changes, until ctx or the views end.
func (k *keeperClient) follow(ctx context.Context, views <-chan keeper.View) {
	for listed := true; ; {
		select {
		case <-ctx.Done():
			return
		case v, more := <-views:
			if !more {
				k.listed.Store(false)
				if ctx.Err() == nil && !k.left.Load() {
					k.log.Warn("the Keeper has ended its views: this node does not hear any more who comes and goes; start it again")
				}
				return
			}
			was := listed
			listed = k.handleView(v)
			switch {
			case was && !listed:
				k.log.Warn("the list does not have this node any more, and the others may take it for dead")
			case !was && listed:
				k.log.Warn("the list has this node again: the others are told its users")
				k.logins.tellEverybody()
			}
		}
	}
}

// handleView tells whether this process is in the list.
func (k *keeperClient) handleView(v keeper.View) (listed bool) {
	v.Members = newestOf(v.Members)
	for _, m := range v.Members {
		if m.Addr != k.addr || m.Epoch != k.epoch {
			continue
		}
		listed = true
		if m.NodeID > service.MaxNodeID {
			k.log.Error("node id of the list was not used: it is out of range", "id", m.NodeID)
			continue
		}
		k.roster.setNodeID(uint32(m.NodeID))
	}
	k.listed.Store(listed)
	k.roster.change(func(p *member.Peers) []member.Effect { return p.View(v) })
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

// report tells the list what has changed of this node, until ctx ends.
func (k *keeperClient) report(ctx context.Context) {
	said := keeper.Starting
	for {
		var again <-chan time.Time
		if !k.update(ctx, &said) {
			again = time.After(k.cfg.RetryInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-k.roster.beat:
		case <-again:
		}
	}
}

func (k *keeperClient) update(ctx context.Context, said *keeper.State) (ok bool) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	k.updating.Lock()
	defer k.updating.Unlock()
	self, _, leaving := k.roster.state()
	if leaving || self.State == *said {
		return true
	}
	if err := k.cfg.Keeper.Update(ctx, self); err != nil {
		k.log.Warn("the list of members was not told of this node's state; trying again", "state", self.State, "err", err)
		return false
	}
	*said = self.State
	return true
}

// leave takes the node out of the list. An update that came after that might put it in again, so
// one that is on its way is waited for, and there are no more.
func (k *keeperClient) leave(ctx context.Context) {
	if Within(ctx, "wait for an update of the list", k.updating.Lock) != nil {
		return
	}
	defer k.updating.Unlock()
	k.left.Store(true)
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := k.cfg.Keeper.Leave(ctx); err != nil {
		k.log.Warn("the list of members was not told that this node ends; its time there will run out", "err", err)
	}
}
