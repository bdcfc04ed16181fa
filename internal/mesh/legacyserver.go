package mesh

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
)

// legacyServer is the gRPC service that nodes of the 0.5 series call. Each call becomes the frame
// that a link would have carried, and goes to inbound.
type legacyServer struct {
	clusterpb.UnimplementedMemberServer
	in *inbound
}

// HandleRequest takes a client's request.
func (l *legacyServer) HandleRequest(ctx context.Context, r *clusterpb.RequestMessage) (*clusterpb.MemberHandleResponse, error) {
	f := &link.Frame{Kind: link.Request, Session: r.GetSessionId(), ID: r.GetId(), Route: []byte(r.GetRoute()), Data: r.GetData()}
	return handled(l.in.handleLegacyMessage(ctx, r.GetGateAddr(), f))
}

// HandleNotify takes a client's notify.
func (l *legacyServer) HandleNotify(ctx context.Context, r *clusterpb.NotifyMessage) (*clusterpb.MemberHandleResponse, error) {
	f := &link.Frame{Kind: link.Notify, Session: r.GetSessionId(), Route: []byte(r.GetRoute()), Data: r.GetData()}
	return handled(l.in.handleLegacyMessage(ctx, r.GetGateAddr(), f))
}

// HandlePush takes a push for a client.
func (l *legacyServer) HandlePush(_ context.Context, r *clusterpb.PushMessage) (*clusterpb.MemberHandleResponse, error) {
	f := &link.Frame{Kind: link.Push, Session: r.GetSessionId(), Route: []byte(r.GetRoute()), Data: r.GetData()}
	return handled(l.in.handleLegacyOutput(f))
}

// HandleResponse takes the answer to a client's request.
func (l *legacyServer) HandleResponse(_ context.Context, r *clusterpb.ResponseMessage) (*clusterpb.MemberHandleResponse, error) {
	f := &link.Frame{Kind: link.Response, Session: r.GetSessionId(), ID: r.GetId(), Data: r.GetData()}
	return handled(l.in.handleLegacyOutput(f))
}

func handled(err error) (*clusterpb.MemberHandleResponse, error) {
	if err != nil {
		return nil, err
	}
	return &clusterpb.MemberHandleResponse{}, nil
}

// CloseSession closes a client's connection. One that is closed is what was wanted.
func (l *legacyServer) CloseSession(_ context.Context, r *clusterpb.CloseSessionRequest) (*clusterpb.CloseSessionResponse, error) {
	err := l.in.handleLegacyOutput(&link.Frame{Kind: link.Close, Session: r.GetSessionId()})
	if status.Code(err) == codes.InvalidArgument {
		return nil, err
	}
	return &clusterpb.CloseSessionResponse{}, nil
}

// SessionClosed ends a session whose client is gone.
func (l *legacyServer) SessionClosed(ctx context.Context, r *clusterpb.SessionClosedRequest) (*clusterpb.SessionClosedResponse, error) {
	var from string
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(headerAddr)) == 1 {
		from = md.Get(headerAddr)[0]
	}
	if err := l.in.handleLegacyClosed(from, r.GetSessionId()); err != nil {
		return nil, err
	}
	return &clusterpb.SessionClosedResponse{}, nil
}

// NewMember is the master's word that a node has joined or changed.
func (l *legacyServer) NewMember(_ context.Context, r *clusterpb.NewMemberRequest) (*clusterpb.NewMemberResponse, error) {
	err := l.in.handleTold(func(p *member.Peers) ([]member.Effect, error) {
		return p.NewMember(fromInfo(r.GetMemberInfo()), fromVersion(r.GetVersion()))
	})
	if err != nil {
		return nil, err
	}
	return &clusterpb.NewMemberResponse{}, nil
}

// DelMember is the master's word that a node has left.
func (l *legacyServer) DelMember(_ context.Context, r *clusterpb.DelMemberRequest) (*clusterpb.DelMemberResponse, error) {
	err := l.in.handleTold(func(p *member.Peers) ([]member.Effect, error) {
		return p.DelMember(r.GetServiceAddr(), r.GetEpoch(), fromVersion(r.GetVersion()))
	})
	if err != nil {
		return nil, err
	}
	return &clusterpb.DelMemberResponse{}, nil
}
