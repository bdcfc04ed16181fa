package mesh

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// masterService is the service of the node that keeps the list.
type masterService struct {
	clusterpb.UnimplementedMasterServer
	mesh *Mesh
}

// statusOf gives an error of the member table its gRPC code.
func statusOf(err error) error {
	switch {
	case errors.Is(err, member.ErrEmpty):
		return status.Error(codes.InvalidArgument, ErrInvalidRegister.Error())
	case errors.Is(err, member.ErrNodeIDTaken), errors.Is(err, member.ErrOld), errors.Is(err, member.ErrAddress):
		return status.Error(codes.AlreadyExists, err.Error())
	case errors.Is(err, member.ErrNoNodeID):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

// Register takes in a node that has started.
func (m *masterService) Register(ctx context.Context, req *clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error) {
	n := m.mesh
	info := fromInfo(req.GetMemberInfo())
	if err := n.checkClaim(ctx, info); err != nil {
		n.log.Warn("node refused", "peer", info.Addr, "err", err)
		return nil, err
	}
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	a, effects, err := n.members.master.Register(info, time.Now())
	if err != nil {
		n.log.Warn("a node was refused", "peer", req.GetMemberInfo().GetServiceAddr(), "err", err)
		return nil, statusOf(err)
	}
	n.masterEffects(effects)
	resp := &clusterpb.RegisterResponse{Members: toInfos(a.Members), NodeId: uint32(a.NodeID)}
	if req.GetMemberInfo().GetEpoch() != 0 {
		resp.View = toView(a.View)
	}
	return resp, nil
}

// Unregister removes a node that leaves.
func (m *masterService) Unregister(_ context.Context, req *clusterpb.UnregisterRequest) (*clusterpb.UnregisterResponse, error) {
	n := m.mesh
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	effects, err := n.members.master.Unregister(req.GetServiceAddr(), req.GetEpoch(), time.Now())
	if err != nil {
		return nil, statusOf(err)
	}
	n.masterEffects(effects)
	return &clusterpb.UnregisterResponse{}, nil
}

// Heartbeat is a node's sign of life.
func (m *masterService) Heartbeat(_ context.Context, req *clusterpb.HeartbeatRequest) (*clusterpb.HeartbeatResponse, error) {
	n := m.mesh
	n.members.mu.Lock()
	defer n.members.mu.Unlock()
	a, effects, err := n.members.master.Heartbeat(fromInfo(req.GetMemberInfo()), fromVersion(req.GetVersion()), time.Now())
	if err != nil {
		return nil, statusOf(err)
	}
	n.masterEffects(effects)
	resp := &clusterpb.HeartbeatResponse{NodeId: uint32(a.NodeID), Rejoined: a.Rejoined}
	if a.Fetch && req.GetMemberInfo().GetEpoch() != 0 {
		resp.View = toView(n.members.master.View())
	}
	return resp, nil
}
