package cluster_test

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

// stranger connects to a node as nobody it knows.
func newStranger(t *testing.T, f *apptest.Cluster, addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds), grpc.WithContextDialer(f.Dialer("stranger")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = b; return nil }

func (raw) Name() string { return "proto" }

// Who has no token, no certificate or another authority's gets nothing; who belongs
// there is served as ever.
func TestStrangersGetNothing(t *testing.T) {
	cert, other := nanotest.NewTLS(t), nanotest.NewTLS(t)
	server := &tls.Config{Certificates: cert.Server.Certificates, RootCAs: cert.Client.RootCAs}
	mutual := server.Clone()
	mutual.ClientCAs, mutual.ClientAuth = cert.Client.RootCAs, tls.RequireAndVerifyClientCert
	authorities := func(c nanotest.TLS, certs ...tls.Certificate) credentials.TransportCredentials {
		return credentials.NewTLS(&tls.Config{RootCAs: c.Client.RootCAs, ServerName: "localhost", Certificates: certs})
	}
	blind := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, Certificates: other.Server.Certificates})
	for _, c := range []struct {
		name string
		ours nano.Option
		them []credentials.TransportCredentials // strangers
	}{
		{"token", nano.WithClusterToken("secret"), []credentials.TransportCredentials{insecure.NewCredentials()}},
		{"TLS and token", func(o *cluster.Options) {
			nano.WithClusterTLS(server)(o)
			nano.WithClusterToken("secret")(o)
		}, []credentials.TransportCredentials{insecure.NewCredentials(), authorities(cert), blind}},
		{"TLS", nano.WithClusterTLS(server), []credentials.TransportCredentials{insecure.NewCredentials(), authorities(other)}},
		{"mutual TLS", nano.WithClusterTLS(mutual), []credentials.TransportCredentials{insecure.NewCredentials(), authorities(cert), blind, authorities(other, other.Server.Certificates...)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				// Certificates are for localhost, so that is what the nodes are called.
				const master, back = "localhost:1", "localhost:2"
				node := func(addr string, comps *component.Components, opts ...nano.Option) *apptest.Node {
					n := apptest.NewAt(addr, comps, append([]nano.Option{c.ours, nano.WithServiceListener(f.Listen(addr)),
						nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer(addr)))}, opts...)...)
					if err := n.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { n.Stop(t) })
					return n
				}
				m := node(master, apptest.Handlers(nil), nano.WithMaster())
				b := node(back, apptest.Handlers(backend(nil)), nano.WithAdvertiseAddr(master))
				apptest.Meet(t, m, b)
				cl := m.TCP.Client(t)
				cl.Ready()
				apptest.Call(t, cl, "Back.Echo", "x", "x")
				info := &clusterpb.MemberInfo{ServiceAddr: "evil:1", Services: []string{"Back"}}
				for i, creds := range c.them {
					conn := newStranger(t, f, master, creds)
					for method := range rpcs() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						err := conn.Invoke(ctx, method, &clusterpb.RegisterRequest{MemberInfo: info}, &clusterpb.MemberHandleResponse{})
						cancel()
						if code := status.Code(err); code != codes.Unauthenticated && code != codes.Unavailable && code != codes.DeadlineExceeded {
							t.Errorf("stranger %d: %s says %v", i, method, err)
						}
					}
					ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "nano-addr", "evil:1", "nano-epoch", "5"), time.Second)
					if s, err := clusterpb.NewLinkClient(conn).Carry(ctx); err == nil {
						if _, err := s.Recv(); err == nil {
							t.Errorf("stranger %d has a link", i)
						}
					}
					cancel()
				}
				agree(t, 0, m, b)
			})
		})
	}
}

// Who opens a cluster to a network without credentials is told so: whoever reaches the address
// could act as a node.
func TestOpenServiceAddressIsWarnedOf(t *testing.T) {
	cert := nanotest.NewTLS(t)
	asking := func(how tls.ClientAuthType) *tls.Config {
		c := cert.Server.Clone()
		c.ClientAuth, c.ClientCAs = how, cert.Client.RootCAs
		return c
	}
	for _, c := range []struct {
		name, addr string
		opts       []nano.Option
		warns      bool
	}{
		{"an address of the network", "192.0.2.1:1", nil, true},
		{"a name", "game.example:1", nil, true},
		{"all addresses", ":1", nil, true},
		{"loopback", "127.0.0.1:1", nil, false},
		{"loopback, IPv6", "[::1]:1", nil, false},
		{"localhost", "localhost:1", nil, false},
		{"with a token", "192.0.2.1:1", []nano.Option{nano.WithClusterToken("secret")}, false},
		{"with TLS that asks for no certificate", "192.0.2.1:1", []nano.Option{nano.WithClusterTLS(cert.Server)}, true},
		{"with TLS that takes any certificate", "192.0.2.1:1", []nano.Option{nano.WithClusterTLS(asking(tls.RequireAnyClientCert))}, true},
		{"with TLS that checks certificates", "192.0.2.1:1", []nano.Option{nano.WithClusterTLS(asking(tls.RequireAndVerifyClientCert))}, false},
		{"with TLS and a token", "192.0.2.1:1", []nano.Option{nano.WithClusterTLS(cert.Server), nano.WithClusterToken("secret")}, false},
		{"with gRPC options, which are for what the node calls", "192.0.2.1:1", []nano.Option{nano.WithGrpcOptions(grpc.WithUserAgent("x"))}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				n := apptest.NewAt(c.addr, apptest.Handlers(nil), append(c.opts, nano.WithMaster(), nano.WithServiceListener(f.Listen(c.addr)))...)
				if err := n.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer n.Stop(t)
				if got := n.Log.Has("can act as a node", c.addr); got != c.warns {
					t.Errorf("it warns: %v", got)
				}
			})
		})
	}
}

// A node of the cluster that shows a certificate of another authority is not talked to.
func TestFalseNodeIsNotTalkedTo(t *testing.T) {
	cert, other := nanotest.NewTLS(t), nanotest.NewTLS(t)
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		l := f.Listen("localhost:1")
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(other.Server)))
		fake := &old{t: t, f: f, info: &clusterpb.MemberInfo{ServiceAddr: "localhost:1"}}
		clusterpb.RegisterMasterServer(server, fake)
		go func() { _ = server.Serve(l) }()
		defer server.Stop()
		n := apptest.NewAt("localhost:2", apptest.Handlers(nil), nano.WithServiceListener(f.Listen("localhost:2")), nano.WithAdvertiseAddr("localhost:1", 100*time.Millisecond),
			nano.WithClusterTLS(&tls.Config{Certificates: cert.Server.Certificates, RootCAs: cert.Client.RootCAs}),
			nano.WithGrpcOptions(grpc.WithContextDialer(f.Dialer("localhost:2"))))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := n.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		if len(fake.members) > 0 {
			t.Errorf("the false master was told of %v", fake.members)
		}
	})
}

// A node starts while its master is away: it waits, and is there as soon as the master is. Or it is
// told to end.
func TestStartWaitsForTheMaster(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		n := f.Make("gate:1", apptest.Handlers(nil))
		started := make(chan error, 1)
		go func() { started <- n.Start(t.Context()) }()
		time.Sleep(10 * time.Second)
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Stop(t) })
		apptest.Meet(t, m, n)
	})
	ends := map[string]func(n *apptest.Node, cancel func()) error{
		"Quit":     func(n *apptest.Node, _ func()) error { n.Quit(); return nil },
		"context":  func(_ *apptest.Node, cancel func()) error { cancel(); return nil },
		"Shutdown": func(n *apptest.Node, _ func()) error { return n.Shutdown(context.Background()) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				n := f.Make("gate:1", apptest.Handlers(nil))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := make(chan error, 1)
				go func() { over <- n.Run(ctx) }()
				time.Sleep(time.Second)
				began := time.Now()
				if err := end(n, cancel); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := <-over; err != nil {
					t.Errorf("run: %v", err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	t.Run("Shutdown of Start", func(t *testing.T) {
		apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
			n := f.Make("gate:1", apptest.Handlers(nil))
			over := make(chan error, 1)
			go func() { over <- n.Start(t.Context()) }()
			synctest.Wait()
			n.Stop(t)
			if err := <-over; !errors.Is(err, context.Canceled) {
				t.Errorf("start: %v", err)
			}
		})
	})
}

// A node that is refused, or cannot open its address, leaves nothing open.
func TestRefusedNodeLeavesNothingOpen(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		cs := apptest.Handlers(nil)
		cs.Register(&apptest.Life{OnInit: func() { panic("no database") }})
		if err := f.Make("gate:1", cs).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no database") {
			t.Errorf("start: %v", err)
		}
		if err := f.Make(apptest.Master+"2", apptest.Handlers(nil), nano.WithNodeId(1<<20)).Start(t.Context()); err == nil {
			t.Error("a node id of more than 16 bits is taken")
		}
		synctest.Wait()
		if got := apptest.Members(m); len(got) != 0 {
			t.Errorf("the master knows %v", got)
		}
	})
}

// Stop in whatever moment of a node's life: it ends, in time, and its cluster goes on.
func TestNodeStopsInEveryPhase(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		for _, after := range []time.Duration{0, time.Microsecond, time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second} {
			n := f.Make("back:1", apptest.Handlers(backend(nil)))
			over := make(chan error, 1)
			go func() { over <- n.Run(t.Context()) }()
			time.Sleep(after)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { n.Stop(t) })
			}
			all.Wait()
			if err := <-over; err != nil {
				t.Errorf("run, stopped after %v: %v", after, err)
			}
			n.Stop(t)
			synctest.Wait()
			if got := apptest.Members(m); len(got) != 0 {
				t.Errorf("stopped after %v: the master knows %v", after, got)
			}
		}
	})
}

// A master is stopped and started while its nodes serve: nobody's session ends.
func TestRestartOfTheMasterEndsNoSession(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Make(apptest.Master, apptest.Handlers(nil))
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b := f.Start(t, "back:1", apptest.Handlers(backend(nil)))
		closed := watch(b)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Bind", "5", "<nil>")
		m.Stop(t)
		for range 6 {
			time.Sleep(time.Second)
			apptest.Call(t, c, "Back.Who", "", "5 <nil> <nil> 192.0.2.2:40000")
		}
		left := make(chan string, 10)
		m = f.Start(t, apptest.Master, apptest.Handlers(nil), nano.WithUnregisterCallback(func(m cluster.Member) { left <- m.String() }))
		for range 10 {
			time.Sleep(time.Second)
			apptest.Call(t, c, "Back.Who", "", "5 <nil> <nil> 192.0.2.2:40000")
		}
		agree(t, 0, m, g, b)
		if got := closed.list(); len(got) != 0 {
			t.Errorf("OnClosed: %q", got)
		}
		if uids := m.OnlineUIDs(); !slices.Equal(uids, []int64{5}) {
			t.Errorf("the new master knows the users %v", uids)
		}
		f.Kill("back:1")
		if addr := <-left; addr != "back:1" {
			t.Errorf("%s has left", addr)
		}
	})
}
