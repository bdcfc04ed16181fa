package mesh

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

// Listen opens the address at which other nodes reach this one. On a single node it does nothing.
func (n *Mesh) Listen() (err error) {
	if !n.cfg.clustered() {
		return nil
	}
	l := n.cfg.Listener
	if l == nil {
		if l, err = net.Listen("tcp", n.addr); err != nil {
			return fmt.Errorf("open the service address %s: %w", n.addr, err)
		}
	}
	if host, port, err := net.SplitHostPort(n.addr); err == nil && port == "0" { // the address is the identity
		if _, port, err = net.SplitHostPort(l.Addr().String()); err == nil {
			n.addr = net.JoinHostPort(host, port)
		}
	}
	if err := n.newMembership(); err != nil {
		_ = l.Close()
		return err
	}
	n.service = l
	n.warnOfAddress()
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
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
	if n.cfg.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(n.cfg.TLS)))
	}
	n.server = grpc.NewServer(opts...)
	if n.cfg.IsMaster {
		clusterpb.RegisterMasterServer(n.server, &masterService{mesh: n})
	}
	clusterpb.RegisterMemberServer(n.server, &memberService{mesh: n})
	clusterpb.RegisterLinkServer(n.server, &linkService{mesh: n})
	return nil
}

func (n *Mesh) serveService() {
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		if err := n.server.Serve(n.service); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			n.log.Error("the service address is not served any more", "address", n.addr, "err", err)
		}
	}()
}

// dial makes the connection to another node. It connects when it is first used. With pings, a silent node is found
// out; one of the 0.5 series would take them for an attack and hang up.
func (n *Mesh) dial(addr string, pings bool) (*grpc.ClientConn, error) {
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
	if n.cfg.TLS != nil {
		opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(clientTLS(n.cfg.TLS))))
	}
	if pings {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveGap, Timeout: keepaliveTimeout, PermitWithoutStream: true}))
	}
	if n.cfg.Token != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(token(n.cfg.Token)))
	}
	c, err := grpc.NewClient("passthrough:///"+addr, append(opts, n.cfg.GrpcOptions...)...)
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
