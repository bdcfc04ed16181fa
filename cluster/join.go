package cluster

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// join registers with the master and tries until it has an answer, a refusal, or ctx ends.
func (n *Node) join(ctx context.Context) error {
	conn, err := n.dial(n.AdvertiseAddr, false)
	if err != nil {
		return err
	}
	n.masterConn = conn
	client := clusterpb.NewMasterClient(conn)
	for {
		err := n.register(ctx, client)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("join the cluster of %s: %w", n.AdvertiseAddr, context.Cause(ctx))
		}
		switch status.Code(err) {
		case codes.AlreadyExists, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented:
			return fmt.Errorf("the master %s refused this node: %w", n.AdvertiseAddr, err)
		}
		n.log.Warn("the master does not answer; trying again", "master", n.AdvertiseAddr, "err", err)
		wait := time.NewTimer(or(n.RetryInterval, DefaultRetryInterval))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

func (n *Node) register(ctx context.Context, client clusterpb.MasterClient) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	n.members.mu.Lock()
	self := n.members.self
	n.members.mu.Unlock()
	resp, err := client.Register(ctx, &clusterpb.RegisterRequest{MemberInfo: toInfo(self)})
	if err != nil {
		return err
	}
	view := member.View{Settled: true, Members: fromInfos(resp.GetMembers())} // of a master of the 0.5 series
	if resp.GetView() != nil {
		view = fromView(resp.GetView())
	}
	n.leased(resp.GetNodeId())
	n.change(func(p *member.Peers) []member.Effect { return p.View(view) })
	return nil
}

// beats sends heartbeats to the master until ctx ends.
func (n *Node) beats(ctx context.Context) {
	client := clusterpb.NewMasterClient(n.masterConn)
	t := time.NewTicker(or(n.Heartbeat, DefaultHeartbeat))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-n.members.beat:
		}
		n.beat(ctx, client)
	}
}

func (n *Node) beat(ctx context.Context, client clusterpb.MasterClient) {
	ctx, cancel := context.WithTimeout(ctx, min(tellTimeout, or(n.Heartbeat, DefaultHeartbeat)))
	defer cancel()
	n.members.beating.Lock()
	defer n.members.beating.Unlock()
	n.members.mu.Lock()
	self, have, leaving := n.members.self, n.members.peers.Have(), n.members.leaving
	n.members.mu.Unlock()
	if leaving {
		return
	}
	resp, err := client.Heartbeat(ctx, &clusterpb.HeartbeatRequest{MemberInfo: toInfo(self), Version: toVersion(have)})
	if err != nil {
		n.log.Warn("the master has not taken a heartbeat", "master", n.AdvertiseAddr, "err", err)
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
func (n *Node) leave(ctx context.Context) {
	if n.within(ctx, "wait for a heartbeat", n.members.beating.Lock) != nil {
		return
	}
	defer n.members.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	_, err := clusterpb.NewMasterClient(n.masterConn).Unregister(ctx, &clusterpb.UnregisterRequest{ServiceAddr: n.ServiceAddr, Epoch: n.epoch})
	if err != nil {
		n.log.Warn("the master was not told that this node ends; it will notice", "master", n.AdvertiseAddr, "err", err)
	}
}
