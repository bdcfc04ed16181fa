package mesh

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// masterClient registers this node with its master and sends it heartbeats. Its connection is
// without pings, which a master of the 0.5 series would take for an attack.
type masterClient struct {
	*node
	peers  *peers
	roster *roster
	logins *logins

	heard   atomic.Int64 // when the master last answered as it should, in Unix nanoseconds
	beating sync.Mutex   // held while a heartbeat is on its way

	mu     sync.Mutex
	conn   *grpc.ClientConn // nil on the master itself
	closed bool
	silent int // calls in a row that were not answered in time
}

// maxSilent is how many calls may go unanswered before a new connection is made.
const maxSilent = 2

func (m *masterClient) opened() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conn != nil
}

func (m *masterClient) client() clusterpb.MasterClient {
	m.mu.Lock()
	defer m.mu.Unlock()
	return clusterpb.NewMasterClient(m.conn)
}

func (m *masterClient) close() {
	m.mu.Lock()
	m.closed = true
	conn := m.conn
	m.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// asked notes how a call to the master went. One that does not answer in time may have lost its
// host: nothing ends the old connection for minutes then, while another master may listen at the
// address already.
func (m *masterClient) asked(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if status.Code(err) != codes.DeadlineExceeded || m.closed {
		m.silent = 0
		return
	}
	if m.silent++; m.silent < maxSilent {
		return
	}
	m.silent = 0
	conn, err := m.peers.dial(m.cfg.Master, false)
	if err != nil {
		m.log.Error("connection to the master failed", "master", m.cfg.Master, "err", err)
		return
	}
	old := m.conn
	m.conn = conn
	m.background(func() { _ = old.Close() }) // may take seconds
	m.roster.beatNow()
}

// join registers with the master and tries until it has an answer, a refusal, or ctx ends.
func (m *masterClient) join(ctx context.Context) error {
	conn, err := m.peers.dial(m.cfg.Master, false)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.conn = conn
	m.mu.Unlock()
	for {
		err := m.register(ctx)
		m.asked(err)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("join the cluster of %s: %w", m.cfg.Master, context.Cause(ctx))
		}
		switch status.Code(err) {
		case codes.AlreadyExists, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented:
			return fmt.Errorf("the master %s refused this node: %w", m.cfg.Master, err)
		}
		m.log.Warn("master did not answer; trying again", "master", m.cfg.Master, "err", err)
		wait := time.NewTimer(m.cfg.RetryInterval)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
	}
}

func (m *masterClient) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	self, _, _ := m.roster.state()
	var head metadata.MD
	resp, err := m.client().Register(ctx, &clusterpb.RegisterRequest{MemberInfo: ToInfo(self)}, grpc.Header(&head))
	if err != nil {
		return err
	}
	m.trustMaster(head)
	m.heard.Store(time.Now().UnixNano())
	view := member.LegacyView(fromInfos(resp.GetMembers()))
	if resp.GetView() != nil {
		view = fromView(resp.GetView())
	}
	m.roster.setNodeID(resp.GetNodeId())
	m.roster.change(func(p *member.Peers) []member.Effect { return p.View(view) })
	return nil
}

// beats sends heartbeats to the master until ctx ends.
func (m *masterClient) beats(ctx context.Context) {
	t := time.NewTicker(m.cfg.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-m.roster.beat:
		}
		m.beat(ctx)
	}
}

func (m *masterClient) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(tellTimeout, m.cfg.Heartbeat))
	defer cancel()
	m.beating.Lock()
	defer m.beating.Unlock()
	self, have, leaving := m.roster.state()
	if leaving {
		return
	}
	var head metadata.MD
	resp, err := m.client().Heartbeat(ctx, &clusterpb.HeartbeatRequest{MemberInfo: ToInfo(self), Version: toVersion(have)}, grpc.Header(&head))
	m.asked(err)
	if err != nil {
		m.log.Warn("master did not take a heartbeat", "master", m.cfg.Master, "err", err)
		return
	}
	m.trustMaster(head)
	m.heard.Store(time.Now().UnixNano())
	if resp.GetRejoined() {
		m.log.Warn("the master had taken this node for dead, and the others may have: they are told its users again")
		m.logins.tellEverybody()
	}
	m.roster.setNodeID(resp.GetNodeId())
	if v := resp.GetView(); v != nil {
		m.roster.change(func(p *member.Peers) []member.Effect { return p.View(fromView(v)) })
	}
}

// leave tells the master that this node is about to end. A heartbeat that arrived after that would
// have the master take the node in again, so one that is on its way is waited for, and there are no
// more.
func (m *masterClient) leave(ctx context.Context) {
	if Within(ctx, "wait for a heartbeat", m.beating.Lock) != nil {
		return
	}
	defer m.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	_, err := m.client().Unregister(ctx, &clusterpb.UnregisterRequest{ServiceAddr: m.addr, Epoch: m.epoch})
	if err != nil {
		m.log.Warn("the master was not told that this node ends; it will notice", "master", m.cfg.Master, "err", err)
	}
}
