package mesh

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/lonng/nano/cluster/clusterpb"
)

// What whoever reaches the service address may take of this node.
const (
	maxStreams   = 256              // calls and links at a time on one connection; a node of the 0.5 series makes ten connections
	maxHeaders   = 64 << 10         // bytes of a call's headers, which are read before anybody is refused
	helloTimeout = 5 * time.Second  // for TLS and HTTP/2 to begin
	maxIdle      = 5 * time.Minute  // of a connection without calls; gRPC connects again when it is needed
	serveTimeout = 10 * time.Second // for a unary call, its message included

	maxUnary  = 4 << 20   // bytes of a unary message with a payload, as in the 0.5 series
	maxMember = 256 << 10 // bytes of one without: it tells of one node
)

const tokenHeader = "nano-token"

// errStranger is all that one learns who has no token.
var errStranger = status.Error(codes.Unauthenticated, "nano: the cluster's token is missing or wrong")

// tap is asked for each call before anything is kept for it, and before a byte of its message is
// read. It runs on the connection's own goroutine.
func (s *server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if !s.admits(info.Header) {
		s.log.Warn("stranger turned away at the service address", "method", info.FullMethodName)
		return nil, errStranger
	}
	known(ctx)
	if info.FullMethodName == clusterpb.Link_Carry_FullMethodName {
		return ctx, nil
	}
	ctx, cancel := context.WithTimeout(ctx, serveTimeout) //nolint:gosec // see below
	_ = cancel                                            // gRPC ends the context around it with the call
	return ctx, nil
}

// admits tells whether a call's headers hold the token, if there is one.
func (s *server) admits(md metadata.MD) bool {
	if s.cfg.Token == "" {
		return true
	}
	for _, t := range md.Get(tokenHeader) {
		if subtle.ConstantTimeCompare([]byte(t), []byte(s.cfg.Token)) == 1 {
			return true
		}
	}
	return false
}

func (s *server) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer s.survive(info.FullMethod, &err)
	return handler(ctx, req)
}

func (s *server) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.survive(info.FullMethod, &err)
	return handler(srv, stream)
}

// survive makes an error of a panic in what another node has asked for.
func (s *server) survive(method string, err *error) {
	if v := recover(); v != nil {
		s.log.Error("call of another node panicked", "method", method, "panic", v)
		*err = status.Error(codes.Internal, "nano: internal error")
	}
}

// limitedCodec decodes no message that is larger than it has reason to be: decoded, it takes many
// times its bytes. Only the batches of a link may be as large as the server takes.
type limitedCodec struct{ encoding.CodecV2 }

func (c limitedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	limit := maxMember
	switch v.(type) {
	case *clusterpb.Batch:
		limit = maxMessage
	case *clusterpb.RequestMessage, *clusterpb.NotifyMessage, *clusterpb.PushMessage, *clusterpb.ResponseMessage:
		limit = maxUnary
	}
	if size := data.Len(); size > limit {
		return fmt.Errorf("cluster: the message has %d bytes, and may have %d", size, limit)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// token is the shared token as credentials of each call.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{tokenHeader: string(t)}, nil
}

func (token) RequireTransportSecurity() bool { return false }

// warnOfAddress tells of a service address that anybody can use, or that only this machine can.
func (s *server) warnOfAddress() {
	if !s.authenticates() && !isLoopback(s.addr) {
		s.log.Warn("whoever reaches the service address can act as a node: set WithClusterToken, or WithClusterTLS that requires client certificates",
			"address", s.addr)
	}
	switch {
	case namesNoHost(s.addr):
		s.log.Warn("other machines cannot dial the service address, as it names no host: "+
			"write host:port of this machine as the others reach it, such as 10.0.0.5:3250; WithServiceListener listens elsewhere",
			"address", s.addr)
	case isLoopback(s.addr) && s.cfg.Master != "" && !isLoopback(s.cfg.Master) && !namesNoHost(s.cfg.Master):
		s.log.Warn("other machines cannot dial the service address, as it is loopback, and the master is not on this machine: "+
			"write host:port of this machine as the others reach it, such as 10.0.0.5:3250",
			"address", s.addr, "master", s.cfg.Master)
	}
}

// authenticates tells whether a stranger is turned away: TLS does not, unless it asks for a
// certificate.
func (s *server) authenticates() bool {
	if s.cfg.Token != "" {
		return true
	}
	c := s.cfg.TLS
	return c != nil && (c.GetConfigForClient != nil || c.ClientAuth == tls.RequireAndVerifyClientCert ||
		c.ClientAuth == tls.RequireAnyClientCert && (c.VerifyPeerCertificate != nil || c.VerifyConnection != nil))
}

// isLoopback tells whether only this machine reaches an address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// namesNoHost tells whether an address is one to listen on, which every machine takes for itself
// when it dials it.
func namesNoHost(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Unmap().IsUnspecified()
}
