package cluster_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

// meteredConn counts what is written to it.
type meteredConn struct {
	net.Conn
	written *atomic.Int64
}

func (c meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// metered is a stranger's connection, and counts what goes to the node.
func newMetered(t *testing.T, f *apptest.Cluster, addr string) (*grpc.ClientConn, *atomic.Int64) {
	t.Helper()
	written := new(atomic.Int64)
	dial := f.Dialer("stranger")
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			nc, err := dial(ctx, to)
			return meteredConn{nc, written}, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, written
}

// A stranger without the token sends large messages: they are refused by their headers. They were
// read and decoded first, which took a hundred times their size.
func TestStrangersAreRefusedUnread(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil), nano.WithClusterToken("secret"))
		conn, written := newMetered(t, f, apptest.Master)
		large := &clusterpb.RegisterRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "evil:1", Label: strings.Repeat("x", 30<<20)}}
		for range 4 {
			if err := conn.Invoke(t.Context(), clusterpb.Master_Register_FullMethodName, large, &clusterpb.RegisterResponse{}); status.Code(err) != codes.Unauthenticated {
				t.Errorf("a large message is answered with %v", err)
			}
		}
		headers := metadata.AppendToOutgoingContext(t.Context(), "nano-token", strings.Repeat("x", 1<<20)) // what is read all the same
		err := conn.Invoke(headers, clusterpb.Master_Register_FullMethodName, &clusterpb.RegisterRequest{}, &clusterpb.RegisterResponse{})
		if err == nil || !strings.Contains(err.Error(), "header list") {
			t.Errorf("a large header is answered with %v", err)
		}
		s, err := clusterpb.NewLinkClient(conn).Carry(t.Context())
		if err == nil {
			_, err = s.Recv()
		}
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("a link is answered with %v", err)
		}
		// What HTTP/2 lets a stream send before it has an answer, and no more.
		if n := written.Load(); n > 20<<20 {
			t.Errorf("%d MiB of 120 were taken from a stranger", n>>20)
		}
		for range 1000 { // and they do not fill the log
			_ = conn.Invoke(t.Context(), clusterpb.Master_Register_FullMethodName, &clusterpb.RegisterRequest{}, &clusterpb.RegisterResponse{})
		}
		if lines := m.Log.Lines("stranger turned away"); len(lines) == 0 || len(lines) > 50 {
			t.Errorf("%d lines tell of 1005 calls", len(lines))
		}
	})
}

// What a stranger calls itself, or a method, is as long as it likes; a line of the log is not.
func TestStrangersMakeShortLines(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		long := strings.Repeat("x", 60<<10)
		m := f.Start(t, apptest.Master, apptest.Handlers(nil), nano.WithClusterToken("secret"))
		conn, _ := newMetered(t, f, apptest.Master)
		if err := conn.Invoke(t.Context(), "/"+long+"/x", &clusterpb.RegisterRequest{}, &clusterpb.RegisterResponse{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a call without the token is answered with %v", err)
		}
		withToken := metadata.AppendToOutgoingContext(t.Context(), "nano-token", "secret")
		for _, addr := range []string{long, long + ":1"} { // the second may be one
			req := &clusterpb.RegisterRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: addr, Services: []string{long}}}
			_ = conn.Invoke(withToken, clusterpb.Master_Register_FullMethodName, req, &clusterpb.RegisterResponse{})
		}
		seen := 0
		for _, line := range m.Log.Lines("xxxx") {
			if seen++; len(line) > 2<<10 {
				t.Errorf("a line of %d bytes: %.100s", len(line), line)
			}
		}
		if seen < 2 {
			t.Errorf("%d lines tell of three calls", seen)
		}
	})
}

// Connections without a call cost memory and a descriptor each. They do not stay in any number, and
// keep no node out.
func TestStrangersConnectionsAreFew(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		token := nano.WithClusterToken("secret")
		m := f.Start(t, apptest.Master, apptest.Handlers(nil), token)
		come := func(n int) (all []*grpc.ClientConn) {
			for range n {
				c, _ := newMetered(t, f, apptest.Master)
				c.Connect()
				all = append(all, c)
			}
			synctest.Wait()
			return all
		}
		open := func(all []*grpc.ClientConn) (n int) {
			for _, c := range all {
				if c.GetState() == connectivity.Ready {
					n++
				}
			}
			return n
		}
		strangers := come(300)
		if n := open(strangers); n != 256 {
			t.Errorf("%d of 300 connections stay", n)
		}
		if !m.Log.Has("connection closed at the service address") {
			t.Error("no line tells of them")
		}
		n := f.Start(t, "node:1", apptest.Handlers(nil), token)
		apptest.Meet(t, m, n)
		strangers = append(strangers, come(300)...)
		time.Sleep(time.Minute)
		if n := open(strangers); n != 256 {
			t.Errorf("%d connections stay with a node among them", n)
		}
		if m.Log.Has("node left") || m.Log.Has("cannot be reached") || n.Log.Has("cannot be reached") {
			t.Error("a node has lost its connection to strangers")
		}
		cut := strangers[0] // which has come and gone
		if err := cut.Invoke(metadata.AppendToOutgoingContext(t.Context(), "nano-token", "secret"), clusterpb.Master_Register_FullMethodName,
			&clusterpb.RegisterRequest{}, &clusterpb.RegisterResponse{}); status.Code(err) == codes.Unavailable {
			t.Errorf("a connection that was closed does not come back for a call: %v", err)
		}
	})
}

// Who can reach a node without credentials cannot have it decode anything large by calls that are
// small between nodes.
func TestLargeUnaryMessagesAreRefused(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		f.Start(t, apptest.Master, apptest.Handlers(nil))
		conn, _ := newMetered(t, f, apptest.Master)
		many := func(n int) []string { return make([]string, n) } // two bytes each, and sixteen when they are decoded
		for _, c := range []struct {
			method string
			req    proto.Message
			want   codes.Code
		}{
			{clusterpb.Master_Register_FullMethodName, &clusterpb.RegisterRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "a:1", Services: many(200 << 10)}}, codes.Internal},
			{clusterpb.Master_Heartbeat_FullMethodName, &clusterpb.HeartbeatRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "a:1", Services: many(200 << 10)}}, codes.Internal},
			{clusterpb.Member_NewMember_FullMethodName, &clusterpb.NewMemberRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "a:1", Services: many(200 << 10)}}, codes.Internal},
			{clusterpb.Member_HandlePush_FullMethodName, &clusterpb.PushMessage{SessionId: 1, Route: "x", Data: make([]byte, 5<<20)}, codes.Internal},
			{clusterpb.Member_HandlePush_FullMethodName, &clusterpb.PushMessage{SessionId: 1, Route: "x", Data: make([]byte, 3<<20)}, codes.NotFound},
			{clusterpb.Master_Register_FullMethodName, &clusterpb.RegisterRequest{MemberInfo: &clusterpb.MemberInfo{ServiceAddr: "a:1", Services: many(100 << 10)}}, codes.OK},
		} {
			err := conn.Invoke(t.Context(), c.method, c.req, &clusterpb.RegisterResponse{})
			if status.Code(err) != c.want || c.want == codes.Internal && !strings.Contains(err.Error(), "and may have") { // gRPC's code for what a codec refuses
				t.Errorf("%s of %d bytes is answered with %v, want %v", c.method, proto.Size(c.req), err, c.want)
			}
		}
	})
}

// Calls whose message never ends do not stay, and one connection does not hold any number of them.
func TestUnfinishedCallsEnd(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		f.Start(t, apptest.Master, apptest.Handlers(nil))
		conn, _ := newMetered(t, f, apptest.Master)
		var open []grpc.ClientStream
		for range 1000 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			late := time.AfterFunc(time.Second, cancel)
			s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, clusterpb.Member_HandlePush_FullMethodName)
			if err != nil {
				break
			}
			late.Stop()
			open = append(open, s)
		}
		if len(open) != 256 {
			t.Errorf("one connection has %d calls at a time", len(open))
		}
		began := time.Now()
		for _, s := range open {
			if err := s.RecvMsg(&clusterpb.MemberHandleResponse{}); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("an unfinished call ends with %v", err)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("they stayed for %v", took)
		}
	})
}

// A node that is told an address which others cannot dial says so, and what to write: on one
// machine it works.
func TestAddressForOneMachineIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		addr, master string // "" for a master
		warns        bool
	}{
		{":3250", "", true}, {"0.0.0.0:3250", "", true}, {"[::]:3250", "", true}, {"[::ffff:0.0.0.0]:3250", "", true}, {":3251", ":3250", true},
		{"10.0.0.5:3250", "", false}, {"game.example:3250", "", false}, {"127.0.0.1:3250", "", false}, {"localhost:3251", "127.0.0.1:3250", false},
		{"127.0.0.1:3251", "10.0.0.5:3250", true}, {"localhost:3251", "10.0.0.5:3250", true}, {"10.0.0.6:3251", "10.0.0.5:3250", false},
		{"127.0.0.1:3251", ":3250", false},
	} {
		t.Run(fmt.Sprintf("%s of %q", c.addr, c.master), func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				role := nano.WithMaster()
				if c.master != "" {
					m := apptest.NewAt(c.master, apptest.Handlers(nil), nano.WithMaster(), nano.WithServiceListener(f.Listen(c.master)), nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer(c.master))))
					if err := m.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					defer m.Stop(t)
					role = nano.WithAdvertiseAddr(c.master)
				}
				n := apptest.NewAt(c.addr, apptest.Handlers(nil), role, nano.WithServiceListener(f.Listen(c.addr)), nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer(c.addr))))
				if err := n.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer n.Stop(t)
				if got := n.Log.Has("other machines cannot dial", "10.0.0.5:3250", c.addr); got != c.warns {
					t.Errorf("it warns: %v", got)
				}
			})
		})
	}
}

// HTTPS_PROXY is for what is outside: nodes connect to each other directly. The environment is read
// once in a process, so the nodes have one of their own.
func TestNodesIgnoreProxies(t *testing.T) {
	if os.Getenv("NANO_TEST_NODES") == "" {
		proxy, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			for nc, err := proxy.Accept(); err == nil; nc, err = proxy.Accept() {
				asked.Add(1)
				_ = nc.Close()
			}
		}()
		url := "http://" + proxy.Addr().String()
		ctx, cancel := context.WithTimeout(t.Context(), nanotest.Patience)
		defer cancel()
		nodes := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestNodesIgnoreProxies$")
		nodes.Env = append(os.Environ(), "NANO_TEST_NODES=1", "HTTPS_PROXY="+url, "https_proxy="+url, "NO_PROXY=", "no_proxy=")
		if out, err := nodes.CombinedOutput(); err != nil {
			t.Errorf("the nodes: %v\n%s", err, out)
		}
		_ = proxy.Close()
		<-done
		if n := asked.Load(); n > 0 {
			t.Errorf("the proxy was asked %d times", n)
		}
		return
	}
	start := func(role func(self string) nano.Option) *apptest.Node {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		addr := "0.0.0.0:" + port // this machine, but no loopback, for which there are no proxies anyway
		n := apptest.NewAt(addr, apptest.Handlers(nil), role(addr), nano.WithServiceListener(l))
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Stop(t) })
		return n
	}
	m := start(func(string) nano.Option { return nano.WithMaster() })
	start(func(string) nano.Option { return nano.WithAdvertiseAddr(m.Addr, 10*time.Millisecond) })
}
