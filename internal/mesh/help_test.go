package mesh

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// newMesh makes the mesh of a node that is at no network: its list is what meet makes of it.
func newMesh(t *testing.T, set func(*Config)) (*Mesh, *nanotest.Log) {
	t.Helper()
	logger, log := nanotest.NewLog()
	ids, err := service.New(1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Addr: "self:1", Master: "master:1", Heartbeat: time.Second, RetryInterval: time.Millisecond, Users: users.New(session.BindKeepBoth),
		Scheduler: scheduler.New(), Lifetimes: new(session.Lifetimes), Connections: ids, Serializer: json.NewSerializer(), Log: logger,
	}
	if set != nil {
		set(&cfg)
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	table, err := dispatch.New(dispatch.Config{Scheduler: cfg.Scheduler, Serializer: cfg.Serializer, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	m.Attach(table, nil)
	if err := m.roster.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.cancel()
		m.tasks.Wait()
	})
	return m, log
}

// meet puts nodes into the list, with ways to them that lead nowhere.
func meet(m *Mesh, all ...member.Member) {
	ways := make(map[string]*peer)
	for _, o := range all {
		ways[o.Addr] = &peer{node: m.node, peers: m.peers, addr: o.Addr, epoch: o.Epoch, version: o.Link, number: m.peers.numbers.Add(1)}
	}
	m.roster.do(func() {
		m.roster.known.View(member.View{Version: member.Version{Master: 1, N: m.roster.known.Have().N + 1}, Settled: true, Members: all})
		m.peers.byAddr.Store(&ways)
		m.roster.carryOut(nil)
	})
}

// node is another node of ours that works.
func other(addr string, services ...string) member.Member {
	return member.Member{Addr: addr, Epoch: 1, Link: linkVersion, NodeID: 7, Services: services}
}

// heard are the frames that a node was sent.
type heard struct {
	mu     sync.Mutex
	frames []link.Frame
}

// connect gives p a link to one who listens.
func (h *heard) connect(t *testing.T, p *peer) {
	t.Helper()
	h.connectBy(t, p, link.SenderConfig{Dial: h.dial})
}

func (h *heard) dial(ctx context.Context) (link.Stream, error) {
	return &heardStream{heard: h, ctx: ctx, acks: make(chan link.Ack, 64)}, nil
}

// connectBy is connect by a link of one's own.
func (h *heard) connectBy(t *testing.T, p *peer, cfg link.SenderConfig) {
	t.Helper()
	cfg.Log = p.log
	s, err := link.NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
		<-s.Done()
	})
	p.peers.roster.do(func() { p.link = s }) // its goroutine reads it
	p.queued.Store(true)                     // flush does what the gate would
}

// flush returns what was sent since the last time.
func (h *heard) flush(t *testing.T, p *peer) []link.Frame {
	t.Helper()
	p.link.Flush()
	nanotest.Until(t, "all is sent", func() bool { s := p.link.Stats(); return s.Unsent+s.Unacked == 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.frames
	h.frames = nil
	return all
}

type heardStream struct {
	*heard
	ctx   context.Context
	acks  chan link.Ack
	begun bool
}

func (h *heardStream) Send(seq uint64, frames []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := link.NewReader(bytes.Clone(frames)); ; {
		var f link.Frame
		if ok, err := r.Next(&f); !ok {
			h.acks <- link.Ack{Seq: seq}
			return err
		}
		f.Sessions = slices.Clone(f.Sessions)
		h.frames = append(h.frames, f)
	}
}

func (h *heardStream) Recv() (link.Ack, error) {
	if !h.begun {
		h.begun = true
		return link.Ack{Epoch: 1, Receiver: 1}, nil
	}
	select {
	case a := <-h.acks:
		return a, nil
	case <-h.ctx.Done():
		return link.Ack{}, errors.New("the stream has ended")
	}
}

func (h *heardStream) CloseSend() error { return nil }
func (h *heardStream) Close()           {}

// partner is a node that answers the calls of others as a test says.
type partner struct {
	clusterpb.UnimplementedMasterServer
	clusterpb.UnimplementedMemberServer
	clusterpb.UnimplementedLinkServer
	register  func(*clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error)
	heartbeat func(*clusterpb.HeartbeatRequest) (*clusterpb.HeartbeatResponse, error)
	handled   func(ctx context.Context, call any) error
}

func (p *partner) Register(_ context.Context, r *clusterpb.RegisterRequest) (*clusterpb.RegisterResponse, error) {
	return p.register(r)
}

func (p *partner) Heartbeat(_ context.Context, r *clusterpb.HeartbeatRequest) (*clusterpb.HeartbeatResponse, error) {
	return p.heartbeat(r)
}

func (p *partner) Unregister(ctx context.Context, r *clusterpb.UnregisterRequest) (*clusterpb.UnregisterResponse, error) {
	return &clusterpb.UnregisterResponse{}, p.handled(ctx, r)
}

func (p *partner) HandleRequest(ctx context.Context, r *clusterpb.RequestMessage) (*clusterpb.MemberHandleResponse, error) {
	return &clusterpb.MemberHandleResponse{}, p.handled(ctx, r)
}

func (p *partner) HandleNotify(ctx context.Context, r *clusterpb.NotifyMessage) (*clusterpb.MemberHandleResponse, error) {
	return &clusterpb.MemberHandleResponse{}, p.handled(ctx, r)
}

func (p *partner) HandlePush(ctx context.Context, r *clusterpb.PushMessage) (*clusterpb.MemberHandleResponse, error) {
	return &clusterpb.MemberHandleResponse{}, p.handled(ctx, r)
}

func (p *partner) HandleResponse(ctx context.Context, r *clusterpb.ResponseMessage) (*clusterpb.MemberHandleResponse, error) {
	return &clusterpb.MemberHandleResponse{}, p.handled(ctx, r)
}

func (p *partner) SessionClosed(ctx context.Context, r *clusterpb.SessionClosedRequest) (*clusterpb.SessionClosedResponse, error) {
	return &clusterpb.SessionClosedResponse{}, p.handled(ctx, r)
}

func (p *partner) CloseSession(ctx context.Context, r *clusterpb.CloseSessionRequest) (*clusterpb.CloseSessionResponse, error) {
	return &clusterpb.CloseSessionResponse{}, p.handled(ctx, r)
}

// serve has the partner answer, and returns what connects a node to it.
func (p *partner) serve(t *testing.T) grpc.DialOption {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	clusterpb.RegisterMasterServer(s, p)
	clusterpb.RegisterMemberServer(s, p)
	clusterpb.RegisterLinkServer(s, p)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		s.Stop()
		served.Wait()
	})
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
}

// codeOf returns the code that a client would get of an error.
func codeOf(err error) string {
	if e := (*component.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}
