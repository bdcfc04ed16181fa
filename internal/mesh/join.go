package mesh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// masterWay is the connection to the master. It is without pings, which a master of the 0.5 series would take for an attack.
type masterWay struct {
	mu     sync.Mutex
	conn   *grpc.ClientConn // nil on the master itself
	closed bool
	silent int // calls in a row that were not answered in time
}

// maxSilent is how many calls may go unanswered before a new connection is made.
const maxSilent = 2

func (w *masterWay) opened() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn != nil
}

func (w *masterWay) client() clusterpb.MasterClient {
	w.mu.Lock()
	defer w.mu.Unlock()
	return clusterpb.NewMasterClient(w.conn)
}

func (w *masterWay) close() {
	w.mu.Lock()
	w.closed = true
	conn := w.conn
	w.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// askedMaster notes how a call to the master went. One that does not answer in time may have lost its host: nothing ends
// the old connection for minutes then, while another master may listen at the address already.
func (n *Mesh) askedMaster(err error) {
	w := &n.master
	w.mu.Lock()
	defer w.mu.Unlock()
	if status.Code(err) != codes.DeadlineExceeded || w.closed {
		w.silent = 0
		return
	}
	if w.silent++; w.silent < maxSilent {
		return
	}
	w.silent = 0
	conn, err := n.dial(n.cfg.Master, false)
	if err != nil {
		n.log.Error("cannot connect to the master again", "master", n.cfg.Master, "err", err)
		return
	}
	old := w.conn
	w.conn = conn
	n.background(func() { _ = old.Close() }) // may take seconds
	n.beatNow()
}

// join registers with the master and tries until it has an answer, a refusal, or ctx ends.
func (n *Mesh) join(ctx context.Context) error {
	conn, err := n.dial(n.cfg.Master, false)
	if err != nil {
		return err
	}
	n.master.mu.Lock()
	n.master.conn = conn
	n.master.mu.Unlock()
	for {
		err := n.register(ctx)
		n.askedMaster(err)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("join the cluster of %s: %w", n.cfg.Master, context.Cause(ctx))
		}
		switch status.Code(err) {
		case codes.AlreadyExists, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented:
			return fmt.Errorf("the master %s refused this node: %w", n.cfg.Master, err)
		}
		n.log.Warn("the master does not answer; trying again", "master", n.cfg.Master, "err", err)
		wait := time.NewTimer(n.cfg.RetryInterval)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

func (n *Mesh) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	n.members.mu.Lock()
	self := n.members.self
	n.members.mu.Unlock()
	resp, err := n.master.client().Register(ctx, &clusterpb.RegisterRequest{MemberInfo: ToInfo(self)})
	if err != nil {
		return err
	}
	view := member.LegacyView(fromInfos(resp.GetMembers()))
	if resp.GetView() != nil {
		view = fromView(resp.GetView())
	}
	n.leased(resp.GetNodeId())
	n.change(func(p *member.Peers) []member.Effect { return p.View(view) })
	return nil
}

// beats sends heartbeats to the master until ctx ends.
func (n *Mesh) beats(ctx context.Context) {
	t := time.NewTicker(n.cfg.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-n.members.beat:
		}
		n.beat(ctx)
	}
}

func (n *Mesh) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(tellTimeout, n.cfg.Heartbeat))
	defer cancel()
	n.members.beating.Lock()
	defer n.members.beating.Unlock()
	n.members.mu.Lock()
	self, have, leaving := n.members.self, n.members.peers.Have(), n.members.leaving
	n.members.mu.Unlock()
	if leaving {
		return
	}
	resp, err := n.master.client().Heartbeat(ctx, &clusterpb.HeartbeatRequest{MemberInfo: ToInfo(self), Version: toVersion(have)})
	n.askedMaster(err)
	if err != nil {
		n.log.Warn("the master has not taken a heartbeat", "master", n.cfg.Master, "err", err)
		return
	}
	if resp.GetRejoined() {
		n.log.Warn("the master had taken this node for dead, and the others may have: they are told its users again")
		for _, p := range *n.peers.Load() {
			n.tellAllBound(p)
		}
	}
	n.leased(resp.GetNodeId())
	if v := resp.GetView(); v != nil {
		n.change(func(p *member.Peers) []member.Effect { return p.View(fromView(v)) })
	}
}

// leave tells the master that this node is about to end. A heartbeat that arrived after that would have the master
// take the node in again, so one that is on its way is waited for, and there are no more.
func (n *Mesh) leave(ctx context.Context) {
	if Within(ctx, "wait for a heartbeat", n.members.beating.Lock) != nil {
		return
	}
	defer n.members.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	_, err := n.master.client().Unregister(ctx, &clusterpb.UnregisterRequest{ServiceAddr: n.addr, Epoch: n.epoch})
	if err != nil {
		n.log.Warn("the master was not told that this node ends; it will notice", "master", n.cfg.Master, "err", err)
	}
}
