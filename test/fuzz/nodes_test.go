package fuzz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
)

// member is a node of a cluster, the master, whose peers are what the fuzzer makes of them.
type member struct {
	app    *nano.App
	conn   *grpc.ClientConn
	client *nanotest.Listener
	peers  *bufconn.Listener // where the node reaches any peer
	heard  chan *clusterpb.Batch
	epoch  atomic.Uint64
	panics atomic.Pointer[string]

	mu  sync.Mutex
	ran []call
}

// call is one call of a handler.
type call struct {
	gate string // "" for a call between nodes
	uid  int64
}

// Enabled, Handle, WithAttrs and WithGroup make the member its node's log, which it watches for
// panics.
func (m *member) Enabled(context.Context, slog.Level) bool { return true }

func (m *member) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool {
			text += " " + a.String()
			return true
		})
		m.panics.Store(&text)
	}
	return nil
}

func (m *member) WithAttrs([]slog.Attr) slog.Handler { return m }
func (m *member) WithGroup(string) slog.Handler      { return m }

// peerService is every peer of the node: it takes the node's link, and answers nothing.
type peerService struct {
	clusterpb.UnimplementedLinkServer
	clusterpb.UnimplementedMemberServer
	member *member
}

func (p *peerService) Carry(s grpc.BidiStreamingServer[clusterpb.Batch, clusterpb.Ack]) error {
	for ack := (&clusterpb.Ack{Epoch: p.member.epoch.Load(), Receiver: 1}); ; {
		if err := s.Send(ack); err != nil {
			return err
		}
		b, err := s.Recv()
		if err != nil {
			return err
		}
		ack = &clusterpb.Ack{Seq: b.GetSeq()}
		select {
		case p.member.heard <- b:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// join starts the node.
func join(tb testing.TB) *member {
	tb.Helper()
	m := &member{client: nanotest.NewListener(), peers: bufconn.Listen(1 << 16), heard: make(chan *clusterpb.Batch, 1024)}
	service := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	clusterpb.RegisterLinkServer(server, &peerService{member: m})
	clusterpb.RegisterMemberServer(server, &peerService{member: m})
	go func() { _ = server.Serve(m.peers) }()
	cs := &component.Components{}
	component.HandleRaw(cs, "N.Echo", func(_ context.Context, s *session.Session, data []byte) error {
		m.mu.Lock()
		m.ran = append(m.ran, call{nano.GateOf(s), s.UID()})
		m.mu.Unlock()
		_ = s.Response(data) // whoever asked may not be there
		return nil
	})
	m.app = nano.New("self:1",
		nano.WithMaster(),
		nano.WithServiceListener(service),
		nano.WithGrpcOptions(grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			if !strings.HasPrefix(to, "peer") {
				return nil, errors.New("no such node")
			}
			return m.peers.DialContext(ctx)
		})),
		nano.WithComponents(cs),
		nano.WithEndpoint(nano.Endpoint{Listener: m.client}),
		nano.WithHeartbeatInterval(time.Hour),
		nano.WithSlog(slog.New(m)),
	)
	if err := m.app.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	var err error
	m.conn, err = grpc.NewClient("passthrough:///self", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return service.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = m.conn.Close()
		server.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
		defer cancel()
		_ = m.app.Shutdown(ctx) // peers that are not there cannot be told in time
	})
	return m
}

// calls returns what has run since the last time.
func (m *member) calls() []call {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.ran
	m.ran = nil
	return all
}

// wellStill wants the node to serve, and to have recovered from no panic.
func (m *member) wellStill(t *testing.T) {
	t.Helper()
	c := m.client.Client(t)
	c.Beats = true
	c.Ready()
	if got := c.Call("N.Echo", []byte("well?")); string(got.Data) != "well?" {
		t.Fatalf("a client of the node is answered with %v", got)
	}
	c.Close()
	if text := m.panics.Load(); text != nil {
		t.Fatalf("the node recovered from a panic: %s", *text)
	}
}

// Any bytes as the batches of a link: an error or not, but never a panic, a dead node, or a handler
// that runs for a session which the link has not introduced.
func FuzzLink(f *testing.F) {
	m := join(f)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		epoch := m.epoch.Add(1)
		addr := fmt.Sprintf("peer%d:1", epoch)
		ctx, cancel := context.WithTimeout(t.Context(), nanotest.Patience)
		defer cancel()
		master := clusterpb.NewMasterClient(m.conn)
		info := &clusterpb.MemberInfo{ServiceAddr: addr, Link: 1, Epoch: epoch}
		if _, err := master.Register(ctx, &clusterpb.RegisterRequest{MemberInfo: info}); err != nil {
			t.Fatalf("register: %v", err)
		}
		m.calls()
		over := m.carry(ctx, t, addr, epoch, first, second)
		introduced, messages := introductions(first, second)
		n := 0
		for _, c := range m.calls() {
			switch {
			case c.gate == "":
			case !introduced[c.uid]:
				t.Errorf("a handler ran for a session with uid %d, which nobody has introduced", c.uid)
			default:
				n++
			}
		}
		if n > messages {
			t.Errorf("%d handlers ran for %d messages of sessions", n, messages)
		}
		if over != nil && strings.Contains(over.Error(), "panic") {
			t.Errorf("the link ended with %v", over)
		}
		// It leaves as a node does that ends. One that goes without a word and still answers at its
		// address keeps its link, and thousands of them are too many for a machine.
		info.State = clusterpb.State_DRAINING
		if _, err := master.Heartbeat(ctx, &clusterpb.HeartbeatRequest{MemberInfo: info}); err != nil {
			t.Fatalf("heartbeat: %v", err)
		}
		if _, err := master.Unregister(ctx, &clusterpb.UnregisterRequest{ServiceAddr: addr, Epoch: epoch}); err != nil {
			t.Fatalf("unregister: %v", err)
		}
		m.wellStill(t)
	})
}

// carry sends the batches, and behind them a call whose reply shows that they were taken. It
// returns why the link ended, if it did.
func (m *member) carry(ctx context.Context, t *testing.T, addr string, epoch uint64, batches ...[]byte) error {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := clusterpb.NewLinkClient(m.conn).Carry(metadata.AppendToOutgoingContext(ctx, "nano-addr", addr, "nano-epoch", fmt.Sprint(epoch), "nano-turn", "1"))
	if err != nil {
		t.Fatalf("open a link: %v", err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatalf("the node does not take the link: %v", err)
	}
	const last = 1<<62 + 1
	batches = append(batches, link.AppendFrame(nil, &link.Frame{Kind: link.Call, ID: last, Route: []byte("N.Echo"), Data: []byte("last")}))
	for i, b := range batches {
		if s.Send(&clusterpb.Batch{Seq: uint64(i) + 1, Frames: b}) != nil {
			break // Recv says why
		}
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Recv(); err != nil {
				ended <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				t.Fatal("the node neither answers nor ends the link")
			}
			return err
		case b := <-m.heard:
			var reply link.Frame
			for r := link.NewReader(b.GetFrames()); ; {
				if ok, err := r.Next(&reply); !ok || err != nil {
					break
				}
				if reply.Kind == link.Reply && reply.ID == last {
					return nil
				}
			}
		}
	}
}

// introductions are the users that a link has named, and how many messages of sessions it has
// carried.
func introductions(batches ...[]byte) (uids map[int64]bool, messages int) {
	uids = make(map[int64]bool)
	for _, b := range batches {
		var f link.Frame
		for r := link.NewReader(b); ; {
			if ok, err := r.Next(&f); !ok || err != nil {
				break
			}
			switch f.Kind {
			case link.SessionOpened, link.SessionChanged:
				uids[f.UID] = true
			case link.Request, link.Notify:
				messages++
			}
		}
	}
	return uids, messages
}

// raw sends bytes as a message of gRPC, and takes any.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (raw) Unmarshal([]byte, any) error   { return nil }
func (raw) Name() string                  { return "proto" }

// Any bytes to the unary calls between nodes, one after the other: an answer or an error, never a
// panic, and a node that still serves. A handler that runs for it has no user.
func FuzzCalls(f *testing.F) {
	m := join(f)
	methods := []string{
		"Master/Register", "Master/Heartbeat", "Master/Unregister", "Member/NewMember", "Member/DelMember", "Member/HandleRequest",
		"Member/HandleNotify", "Member/HandlePush", "Member/HandleResponse", "Member/SessionClosed", "Member/CloseSession",
	}
	f.Fuzz(func(t *testing.T, calls []byte) {
		m.calls()
		for len(calls) >= 2 { // a method, a length, and so many bytes
			method, n := methods[int(calls[0])%len(methods)], min(int(calls[1]), len(calls)-2)
			body := calls[2 : 2+n]
			calls = calls[2+n:]
			ctx, cancel := context.WithTimeout(t.Context(), nanotest.Patience)
			err := m.conn.Invoke(ctx, "/clusterpb."+method, body, nil, grpc.ForceCodec(raw{}))
			late := ctx.Err()
			cancel()
			if late != nil {
				t.Fatalf("%s %q is not answered", method, body)
			}
			if s, ok := status.FromError(err); err != nil && (!ok || strings.Contains(s.Message(), "panic")) {
				t.Fatalf("%s %q: %v", method, body, err)
			}
		}
		seen := make(map[string]bool)
		for _, addr := range m.app.Members() {
			if addr == "" || addr == "self:1" || seen[addr] {
				t.Fatalf("the node's list has %q, or has it twice: %q", addr, m.app.Members())
			}
			seen[addr] = true
		}
		m.wellStill(t)
		for _, c := range m.calls() {
			if c.uid != 0 {
				t.Fatalf("a handler ran as user %d", c.uid)
			}
		}
	})
}
