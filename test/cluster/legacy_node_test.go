package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/test/internal/apptest"
)

// old is a node of the 0.5 series as others see it: it knows the unary calls, and of their messages
// only the fields that there were then.
type old struct {
	clusterpb.UnimplementedMemberServer
	clusterpb.UnimplementedMasterServer
	t    *testing.T
	f    *apptest.Cluster
	info *clusterpb.MemberInfo

	mu      sync.Mutex
	calls   []string
	members []*clusterpb.MemberInfo // as a master
	known   map[string][]string     // services of others, by address, as a gate
	beats   map[string]int
	conns   map[string]*grpc.ClientConn
	handle  func(gate string, id int64, mid uint64, route string, data []byte)
}

func newOld(t *testing.T, f *apptest.Cluster, addr string, services ...string) *old {
	t.Helper()
	o := &old{t: t, f: f, info: &clusterpb.MemberInfo{Label: "old", ServiceAddr: addr, Services: services},
		beats: make(map[string]int), known: make(map[string][]string), conns: make(map[string]*grpc.ClientConn)}
	server := grpc.NewServer()
	clusterpb.RegisterMemberServer(server, o)
	clusterpb.RegisterMasterServer(server, o)
	l := f.Listen(addr)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
		for _, c := range o.conns {
			_ = c.Close()
		}
	})
	return o
}

// forget takes a node out of the list; o.mu is held.
func (o *old) forget(addr string) {
	o.members = slices.DeleteFunc(o.members, func(m *clusterpb.MemberInfo) bool { return m.GetServiceAddr() == addr })
}

// to is a connection to another node.
func (o *old) to(addr string) *grpc.ClientConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.conns[addr]; c != nil {
		return c
	}
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(o.f.Dialer(o.info.GetServiceAddr())))
	if err != nil {
		o.t.Error(err)
	}
	o.conns[addr] = c
	return c
}

func (o *old) member(addr string) clusterpb.MemberClient {
	return clusterpb.NewMemberClient(o.to(addr))
}

// register joins the master and returns the addresses and services that it tells.
func (o *old) register() []string {
	o.t.Helper()
	resp, err := clusterpb.NewMasterClient(o.to(apptest.Master)).Register(o.t.Context(), &clusterpb.RegisterRequest{MemberInfo: o.info})
	if err != nil {
		o.t.Fatalf("register: %v", err)
	}
	var all []string
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range resp.GetMembers() {
		o.known[m.GetServiceAddr()] = m.GetServices()
		all = append(all, fmt.Sprint(m.GetServiceAddr(), m.GetServices()))
	}
	slices.Sort(all)
	return all
}

func (o *old) note(format string, a ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, fmt.Sprintf(format, a...))
}

// expect waits until nothing moves and wants exactly these calls since the last time.
func (o *old) expect(want ...string) {
	o.t.Helper()
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.calls, want) {
		o.t.Errorf("%s was called with\n%q, want\n%q", o.info.GetServiceAddr(), o.calls, want)
	}
	o.calls = nil
}

func (o *old) HandleRequest(_ context.Context, r *clusterpb.RequestMessage) (*clusterpb.MemberHandleResponse, error) {
	if o.handle != nil {
		o.handle(r.GetGateAddr(), r.GetSessionId(), r.GetId(), r.GetRoute(), r.GetData())
	}
	return &clusterpb.MemberHandleResponse{}, nil
}

func (o *old) HandleNotify(_ context.Context, r *clusterpb.NotifyMessage) (*clusterpb.MemberHandleResponse, error) {
	if o.handle != nil {
		o.handle(r.GetGateAddr(), r.GetSessionId(), 0, r.GetRoute(), r.GetData())
	}
	return &clusterpb.MemberHandleResponse{}, nil
}

func (o *old) HandlePush(_ context.Context, r *clusterpb.PushMessage) (*clusterpb.MemberHandleResponse, error) {
	o.note("push %d %s %s", r.GetSessionId(), r.GetRoute(), r.GetData())
	return &clusterpb.MemberHandleResponse{}, nil
}

func (o *old) HandleResponse(_ context.Context, r *clusterpb.ResponseMessage) (*clusterpb.MemberHandleResponse, error) {
	o.note("response %d %d %s", r.GetSessionId(), r.GetId(), r.GetData())
	return &clusterpb.MemberHandleResponse{}, nil
}

func (o *old) NewMember(_ context.Context, r *clusterpb.NewMemberRequest) (*clusterpb.NewMemberResponse, error) {
	o.note("new %s %v", r.GetMemberInfo().GetServiceAddr(), r.GetMemberInfo().GetServices())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known[r.GetMemberInfo().GetServiceAddr()] = r.GetMemberInfo().GetServices()
	return &clusterpb.NewMemberResponse{}, nil
}

func (o *old) DelMember(_ context.Context, r *clusterpb.DelMemberRequest) (*clusterpb.DelMemberResponse, error) {
	o.note("del %s", r.GetServiceAddr())
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, r.GetServiceAddr())
	return &clusterpb.DelMemberResponse{}, nil
}

func (o *old) SessionClosed(_ context.Context, r *clusterpb.SessionClosedRequest) (*clusterpb.SessionClosedResponse, error) {
	o.note("closed %d", r.GetSessionId())
	return &clusterpb.SessionClosedResponse{}, nil
}

func (o *old) CloseSession(_ context.Context, r *clusterpb.CloseSessionRequest) (*clusterpb.CloseSessionResponse, error) {
	o.note("close %d", r.GetSessionId())
	return &clusterpb.CloseSessionResponse{}, nil
}

// Register is what a master of 0.5 does: it tells the others, and answers with those who were
// there. It keeps the fields that it does not know, as protobuf does, and passes them on as they
// came.
func (o *old) Register(ctx context.Context, r *clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error) {
	info := proto.CloneOf(r.GetMemberInfo())
	if info.GetServiceAddr() == "" {
		return nil, status.Error(codes.Unknown, "invalid register request")
	}
	o.mu.Lock()
	o.forget(info.GetServiceAddr())
	before := append([]*clusterpb.MemberInfo{o.info}, o.members...)
	o.members = append(o.members, info)
	o.mu.Unlock()
	for _, m := range before[1:] {
		if _, err := o.member(m.GetServiceAddr()).NewMember(ctx, &clusterpb.NewMemberRequest{MemberInfo: info}); err != nil {
			return nil, err
		}
	}
	return &clusterpb.RegisterResponse{Members: before}, nil
}

func (o *old) Unregister(ctx context.Context, r *clusterpb.UnregisterRequest) (*clusterpb.UnregisterResponse, error) {
	o.mu.Lock()
	o.forget(r.GetServiceAddr())
	others := slices.Clone(o.members)
	o.mu.Unlock()
	for _, m := range others {
		if _, err := o.member(m.GetServiceAddr()).DelMember(ctx, &clusterpb.DelMemberRequest{ServiceAddr: r.GetServiceAddr()}); err != nil {
			return nil, err
		}
	}
	return &clusterpb.UnregisterResponse{}, nil
}

// Heartbeat of a node that is in the list changes nothing of what the list says.
func (o *old) Heartbeat(_ context.Context, r *clusterpb.HeartbeatRequest) (*clusterpb.HeartbeatResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	addr := r.GetMemberInfo().GetServiceAddr()
	o.beats[addr]++
	if !slices.ContainsFunc(o.members, func(m *clusterpb.MemberInfo) bool { return m.GetServiceAddr() == addr }) {
		o.members = append(o.members, proto.CloneOf(r.GetMemberInfo()))
	}
	return &clusterpb.HeartbeatResponse{}, nil
}
