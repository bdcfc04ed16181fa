package mesh

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcpeer "google.golang.org/grpc/peer"
)

// maxStrangers is how many connections come before one is closed of which no call was admitted.
const maxStrangers = 256

// strangers are the credentials of a server that turns strangers away. Only a call shows who is
// one, and who makes none would stay with any number of connections. A node calls as soon as it is
// connected, so those that wait longest are closed.
type strangers struct {
	credentials.TransportCredentials
	log *slog.Logger

	mu   sync.Mutex
	last [maxStrangers]*newcomer // a ring
	next int
}

// newcomer is a connection, as the context of its calls has it.
type newcomer struct {
	credentials.AuthInfo
	conn  net.Conn
	known atomic.Bool // a call of it was admitted
}

// transport returns how the server's connections begin; nil: as they are.
func (s *server) transport() credentials.TransportCredentials {
	var c credentials.TransportCredentials
	if s.cfg.TLS != nil {
		c = credentials.NewTLS(s.cfg.TLS)
	}
	if !s.authenticates() { // any call is admitted, and a node of the 0.5 series may have many connections without one
		return c
	}
	if c == nil {
		c = insecure.NewCredentials()
	}
	return &strangers{TransportCredentials: c, log: s.log}
}

// ServerHandshake begins a connection. It closes one that has come long before, and is a
// stranger's.
func (s *strangers) ServerHandshake(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
	n := &newcomer{conn: nc}
	s.mu.Lock()
	old := s.last[s.next]
	s.last[s.next] = n
	s.next = (s.next + 1) % maxStrangers
	s.mu.Unlock()
	if old != nil && !old.known.Load() && old.conn.Close() == nil {
		s.log.Warn("connection closed at the service address: it made no call that is admitted, and many came after it",
			"remote", old.conn.RemoteAddr())
	}
	nc, info, err := s.TransportCredentials.ServerHandshake(nc)
	n.AuthInfo = info
	return nc, n, err
}

// known notes that a call was admitted.
func known(ctx context.Context) {
	if p, ok := grpcpeer.FromContext(ctx); ok {
		if n, ok := p.AuthInfo.(*newcomer); ok {
			n.known.Store(true)
		}
	}
}
