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

// masterService is the gRPC service of the node that keeps the list: each call is an event of its
// roster.
type masterService struct {
	clusterpb.UnimplementedMasterServer
	roster *roster
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
	info := fromInfo(req.GetMemberInfo())
	if err := m.roster.checkClaim(ctx, info); err != nil {
		m.roster.log.Warn("node refused", "peer", info.Addr, "err", err)
		return nil, err
	}
	var a member.Admission
	err := m.roster.atMaster(func(l *member.Master) (effects member.Effects, err error) {
		a, effects, err = l.Register(info, time.Now())
		return effects, err
	})
	if err != nil {
		m.roster.log.Warn("node refused", "peer", info.Addr, "err", err)
		return nil, statusOf(err)
	}
	resp := &clusterpb.RegisterResponse{Members: toInfos(a.Members), NodeId: uint32(a.NodeID)}
	if req.GetMemberInfo().GetEpoch() != 0 {
		resp.View = toView(a.View)
		m.roster.handOut(ctx)
	}
	return resp, nil
}

// Unregister removes a node that leaves.
func (m *masterService) Unregister(_ context.Context, req *clusterpb.UnregisterRequest) (*clusterpb.UnregisterResponse, error) {
	err := m.roster.atMaster(func(l *member.Master) (member.Effects, error) {
		return l.Unregister(req.GetServiceAddr(), req.GetEpoch(), time.Now())
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return &clusterpb.UnregisterResponse{}, nil
}

// Heartbeat is a node's sign of life.
func (m *masterService) Heartbeat(ctx context.Context, req *clusterpb.HeartbeatRequest) (*clusterpb.HeartbeatResponse, error) {
	var a member.Answer
	var view member.View
	err := m.roster.atMaster(func(l *member.Master) (effects member.Effects, err error) {
		a, effects, err = l.Heartbeat(fromInfo(req.GetMemberInfo()), fromVersion(req.GetVersion()), time.Now())
		if a.Fetch {
			view = l.View()
		}
		return effects, err
	})
	if err != nil {
		return nil, statusOf(err)
	}
	resp := &clusterpb.HeartbeatResponse{NodeId: uint32(a.NodeID), Rejoined: a.Rejoined}
	if a.Fetch && req.GetMemberInfo().GetEpoch() != 0 {
		resp.View = toView(view)
		m.roster.handOut(ctx)
	}
	return resp, nil
}
