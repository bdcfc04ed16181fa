package mesh

import (
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
)

const (
	maxMessage   = 32 << 20 // bytes of one gRPC message
	windowSize   = 4 << 20  // bytes on their way in one stream
	keepaliveGap = 10 * time.Second
	// Not keepaliveGap: gRPC's timer would fire again at once after each answer that came within no
	// time.
	keepaliveTimeout = keepaliveGap / 2
)

// dialBackoff is gRPC's wait between attempts to connect to a node: short, because a node that was
// started again is to be used at once.
var dialBackoff = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}

// server is the gRPC server at the service address, and what it takes of strangers (guard.go).
type server struct {
	*node
	listener net.Listener // nil: not open
	grpc     *grpc.Server
}

// listen opens the service address, which becomes the node's address.
func (s *server) listen() (err error) {
	l := s.cfg.Listener
	if l == nil {
		if l, err = net.Listen("tcp", s.addr); err != nil {
			return fmt.Errorf("open the service address %s: %w", s.addr, err)
		}
	}
	if host, port, err := net.SplitHostPort(s.addr); err == nil && port == "0" { // the address is the identity
		if _, port, err = net.SplitHostPort(l.Addr().String()); err == nil {
			s.addr = net.JoinHostPort(host, port)
		}
	}
	s.listener = l
	return nil
}

// build makes the gRPC server, which register fills with services.
func (s *server) build(register func(*grpc.Server)) {
	s.warnOfAddress()
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(helloTimeout),
		grpc.ForceServerCodecV2(limitedCodec{encoding.GetCodecV2(proto.Name)}),
		grpc.InTapHandle(s.tap),
		grpc.InitialWindowSize(windowSize),
		grpc.InitialConnWindowSize(4 * windowSize),
		grpc.WriteBufferSize(64 << 10),
		grpc.ReadBufferSize(64 << 10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveGap / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveGap, Timeout: keepaliveTimeout, MaxConnectionIdle: maxIdle}),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(s.guardUnary),
		grpc.StreamInterceptor(s.guardStream),
	}
	if c := s.transport(); c != nil {
		opts = append(opts, grpc.Creds(c))
	}
	s.grpc = grpc.NewServer(opts...)
	register(s.grpc)
}

// serve takes calls, in the background, until stop.
func (s *server) serve() {
	s.background(func() {
		if err := s.grpc.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.log.Error("service address failed: other nodes cannot reach this one any more", "address", s.addr, "err", err)
		}
	})
}
