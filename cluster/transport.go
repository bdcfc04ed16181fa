package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"

	"github.com/lonng/nano/cluster/clusterpb"
)

const (
	maxMessage   = 32 << 20 // bytes of one gRPC message
	windowSize   = 4 << 20  // bytes on their way in one stream
	keepaliveGap = 10 * time.Second
	// Not keepaliveGap: gRPC's timer would fire again at once after each answer that came within no time.
	keepaliveTimeout = keepaliveGap / 2
)

// clustered tells whether the node is one of several.
func (o *Options) clustered() bool { return o.IsMaster || o.AdvertiseAddr != "" || o.Keeper != nil }

// openService opens the address at which other nodes reach this one.
func (n *Node) openService(services []string) (err error) {
	l := n.ServiceListener
	if l == nil {
		if l, err = net.Listen("tcp", n.ServiceAddr); err != nil {
			return fmt.Errorf("open the service address %s: %w", n.ServiceAddr, err)
		}
	}
	n.service = l
	if host, port, err := net.SplitHostPort(n.ServiceAddr); err == nil && port == "0" { // the address is the identity
		if _, port, err = net.SplitHostPort(l.Addr().String()); err == nil {
			n.ServiceAddr = net.JoinHostPort(host, port)
		}
	}
	if err := n.newMembership(services); err != nil {
		_ = l.Close()
		return err
	}
	n.warnOfAddress()
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(helloTimeout),
		grpc.ForceServerCodecV2(limitedCodec{encoding.GetCodecV2(proto.Name)}),
		grpc.InTapHandle(n.tap),
		grpc.InitialWindowSize(windowSize),
		grpc.InitialConnWindowSize(4 * windowSize),
		grpc.WriteBufferSize(64 << 10),
		grpc.ReadBufferSize(64 << 10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveGap / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveGap, Timeout: keepaliveTimeout, MaxConnectionIdle: maxIdle}),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(n.guardUnary),
		grpc.StreamInterceptor(n.guardStream),
	}
	if n.ClusterTLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(n.ClusterTLS)))
	}
	n.server = grpc.NewServer(opts...)
	if n.IsMaster {
		clusterpb.RegisterMasterServer(n.server, &masterService{node: n})
	}
	clusterpb.RegisterMemberServer(n.server, &memberService{node: n})
	clusterpb.RegisterLinkServer(n.server, &linkService{node: n})
	return nil
}

func (n *Node) serveService() {
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		if err := n.server.Serve(n.service); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			n.log.Error("the service address is not served any more", "address", n.ServiceAddr, "err", err)
		}
	}()
}

// dial makes the connection to another node. It connects when it is first used. With pings, a silent node is found
// out; one of the 0.5 series would take them for an attack and hang up.
func (n *Node) dial(addr string, pings bool) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithInitialWindowSize(windowSize),
		grpc.WithInitialConnWindowSize(4 * windowSize),
		grpc.WithWriteBufferSize(64 << 10),
		grpc.WithReadBufferSize(64 << 10),
		grpc.WithNoProxy(), // HTTPS_PROXY is for what is outside
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: dialBackoff, MinConnectTimeout: time.Second}),
	}
	if n.ClusterTLS != nil {
		opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(clientTLS(n.ClusterTLS))))
	}
	if pings {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveGap, Timeout: keepaliveTimeout, PermitWithoutStream: true}))
	}
	if n.ClusterToken != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(token(n.ClusterToken)))
	}
	c, err := grpc.NewClient("passthrough:///"+addr, append(opts, n.GrpcOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to node %s: %w", addr, err)
	}
	return c, nil
}

// clientTLS is the cluster's TLS configuration as a node uses it that calls another: with its own certificate, for
// mutual TLS, and with the same authorities.
func clientTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	if c.RootCAs == nil {
		c.RootCAs = c.ClientCAs
	}
	return c
}
