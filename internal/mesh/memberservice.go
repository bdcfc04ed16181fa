package mesh

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/session"
)

// memberService is the common language: the unary calls that nodes of the 0.5 series speak. Each becomes the frame
// that a link would have carried.
type memberService struct {
	clusterpb.UnimplementedMemberServer
	mesh *Mesh
}

// originAt is the sender of a unary call that names its gate.
func (n *Mesh) originAt(addr string) (*origin, error) {
	if addr == "" {
		return nil, status.Error(codes.InvalidArgument, "nano: the message names no gate")
	}
	p := n.peer(addr)
	if p == nil && n.cfg.Keeper == nil { // not told of it yet: its answers need a way
		n.change(func(m *member.Peers) []member.Effect {
			effects, err := m.NewMember(member.Member{Addr: addr}, member.Version{})
			if err != nil {
				n.log.Warn("a message came from a gate with an odd address", "gate", addr, "err", err)
			}
			return effects
		})
		p = n.peer(addr)
	}
	if p == nil {
		return nil, status.Errorf(codes.InvalidArgument, "nano: gate %q is not known", addr)
	}
	return &origin{addr: addr, epoch: p.epoch, way: p}, nil
}

// message has a client's message handled.
func (m *memberService) message(ctx context.Context, kind link.Kind, gate string, id int64, mid uint64, route string, data []byte) (*clusterpb.MemberHandleResponse, error) {
	if route == "" || id == 0 {
		return nil, status.Error(codes.InvalidArgument, "nano: the message names no session or no route")
	}
	f := &link.Frame{Kind: kind, Session: id, ID: mid, Route: []byte(route), Data: data}
	from := &origin{}
	if gate == m.mesh.addr { // a backend calls in the name of a session of this gate's
		f.Text = []byte(gate)
	} else {
		var err error
		if from, err = m.mesh.originAt(gate); err != nil {
			return nil, err
		}
		if err = m.mesh.meet(ctx, from, id); err != nil {
			return nil, err
		}
	}
	calls := m.mesh.table.Begin()
	m.mesh.takeMessage(from, f, func(p dispatch.Peer, v codec.View, _ dispatch.Meter, _ int) { calls.Add(p, v) })
	calls.Submit()
	return &clusterpb.MemberHandleResponse{}, nil
}

// meet waits until a gate that can introduce a session has done so: a backend of the 0.5 series speaks in its name and says
// nothing else of it.
func (n *Mesh) meet(ctx context.Context, from *origin, id int64) error {
	key := remoteKey{from.addr, from.epoch, id}
	if from.way.link == nil {
		return nil
	}
	arrives := n.remotes.want(key)
	if arrives == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := from.way.sendNow(&link.Frame{Kind: link.SessionOpened, Flags: flagHold, Session: id}); err == nil {
		select {
		case <-arrives:
			if n.remote(key) != nil {
				return nil
			}
		case <-ctx.Done():
		}
	}
	n.remotes.arrived(key)
	n.refusals.Unknown.Add(1)
	return status.Errorf(codes.Unavailable, "nano: gate %s has not introduced session %d", from.addr, id)
}

// HandleRequest takes a client's request.
func (m *memberService) HandleRequest(ctx context.Context, r *clusterpb.RequestMessage) (*clusterpb.MemberHandleResponse, error) {
	return m.message(ctx, link.Request, r.GetGateAddr(), r.GetSessionId(), r.GetId(), r.GetRoute(), r.GetData())
}

// HandleNotify takes a client's notify.
func (m *memberService) HandleNotify(ctx context.Context, r *clusterpb.NotifyMessage) (*clusterpb.MemberHandleResponse, error) {
	return m.message(ctx, link.Notify, r.GetGateAddr(), r.GetSessionId(), 0, r.GetRoute(), r.GetData())
}

// forClient has a frame handled that is for a client of this gate.
func (m *memberService) forClient(f *link.Frame) error {
	if f.Session == 0 {
		return status.Error(codes.InvalidArgument, "nano: the message names no session")
	}
	if c, _ := m.mesh.client(f.Session); c == nil {
		return status.Errorf(codes.NotFound, "nano: session %d is not connected here", f.Session)
	}
	m.mesh.takeForClient(&origin{}, f)
	return nil
}

// HandlePush takes a push for a client.
func (m *memberService) HandlePush(_ context.Context, r *clusterpb.PushMessage) (*clusterpb.MemberHandleResponse, error) {
	return &clusterpb.MemberHandleResponse{}, m.forClient(&link.Frame{Kind: link.Push, Session: r.GetSessionId(), Route: []byte(r.GetRoute()), Data: r.GetData()})
}

// HandleResponse takes the answer to a client's request.
func (m *memberService) HandleResponse(_ context.Context, r *clusterpb.ResponseMessage) (*clusterpb.MemberHandleResponse, error) {
	return &clusterpb.MemberHandleResponse{}, m.forClient(&link.Frame{Kind: link.Response, Session: r.GetSessionId(), ID: r.GetId(), Data: r.GetData()})
}

// CloseSession closes a client's connection.
func (m *memberService) CloseSession(_ context.Context, r *clusterpb.CloseSessionRequest) (*clusterpb.CloseSessionResponse, error) {
	if r.GetSessionId() == 0 {
		return nil, status.Error(codes.InvalidArgument, "nano: the message names no session")
	}
	_ = m.forClient(&link.Frame{Kind: link.Close, Session: r.GetSessionId()}) // one that is closed is what was wanted
	return &clusterpb.CloseSessionResponse{}, nil
}

// SessionClosed ends the sessions of that id which came from gates without a link: the call itself does not say which,
// but nodes of ours do.
func (m *memberService) SessionClosed(ctx context.Context, r *clusterpb.SessionClosedRequest) (*clusterpb.SessionClosedResponse, error) {
	if r.GetSessionId() == 0 {
		return nil, status.Error(codes.InvalidArgument, "nano: the message names no session")
	}
	var from string
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(headerAddr)) == 1 {
		from = md.Get(headerAddr)[0]
	}
	for _, p := range *m.mesh.peers.Load() {
		if p.link == nil && (from == "" || from == p.addr) {
			m.mesh.closeRemote(remoteKey{p.addr, p.epoch, r.GetSessionId()}, session.CloseReason{})
		}
	}
	return &clusterpb.SessionClosedResponse{}, nil
}

// errKept is for who says that it is the master, where there is none.
var errKept = status.Error(codes.FailedPrecondition, "nano: this cluster's list of members is not kept by a master")

// NewMember is the master's word that a node has joined or changed.
func (m *memberService) NewMember(_ context.Context, r *clusterpb.NewMemberRequest) (*clusterpb.NewMemberResponse, error) {
	if m.mesh.cfg.Keeper != nil {
		return nil, errKept
	}
	var err error
	m.mesh.change(func(p *member.Peers) (effects []member.Effect) {
		effects, err = p.NewMember(fromInfo(r.GetMemberInfo()), fromVersion(r.GetVersion()))
		return effects
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return &clusterpb.NewMemberResponse{}, nil
}

// DelMember is the master's word that a node has left.
func (m *memberService) DelMember(_ context.Context, r *clusterpb.DelMemberRequest) (*clusterpb.DelMemberResponse, error) {
	if m.mesh.cfg.Keeper != nil {
		return nil, errKept
	}
	var err error
	m.mesh.change(func(p *member.Peers) (effects []member.Effect) {
		effects, err = p.DelMember(r.GetServiceAddr(), r.GetEpoch(), fromVersion(r.GetVersion()))
		return effects
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return &clusterpb.DelMemberResponse{}, nil
}
