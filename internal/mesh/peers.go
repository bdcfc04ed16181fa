package mesh

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/session"
)

// peers are the ways to the other nodes of the list, by address. Everybody reads them without a
// lock; only the roster changes which there are.
type peers struct {
	*node
	roster   *roster
	sessions *gateSessions
	byAddr   atomic.Pointer[map[string]*peer]
	numbers  atomic.Uint64 // see peer.number
}

func newPeers(n *node) *peers {
	ps := &peers{node: n}
	ps.byAddr.Store(&map[string]*peer{})
	return ps
}

// all returns the ways by address. The map is not to be changed.
func (ps *peers) all() map[string]*peer { return *ps.byAddr.Load() }

// at returns the way to the node at an address, nil if there is none.
func (ps *peers) at(addr string) *peer { return ps.all()[addr] }

// to returns the way to one run of a node, nil if there is none, or only one to another run.
func (ps *peers) to(to process) *peer {
	if p := ps.at(to.addr); p != nil && p.epoch == to.epoch {
		return p
	}
	return nil
}

// set makes p, which may be nil, the way to an address. It is for the roster.
func (ps *peers) set(addr string, p *peer) {
	old := ps.all()
	all := make(map[string]*peer, len(old)+1)
	for a, q := range old {
		all[a] = q
	}
	delete(all, addr)
	if p != nil {
		all[addr] = p
	}
	ps.byAddr.Store(&all)
	session.OutletChanged() // of each session there
}

// connect makes the way to m, to make a pair with the way of that number from there (0: with
// whichever comes next). It connects by itself and goes on trying.
func (ps *peers) connect(m member.Member, pairedWith uint64) (*peer, error) {
	conn, err := ps.dial(m.Addr, m.Link > 0)
	if err != nil {
		return nil, err
	}
	p := &peer{node: ps.node, peers: ps, addr: m.Addr, epoch: m.Epoch, version: m.Link, number: ps.numbers.Add(1)}
	p.way.Store(conn)
	p.pairedWith.Store(pairedWith)
	if m.Link == 0 {
		p.legacy = newLegacyClient(p)
		return p, nil
	}
	made := make(chan struct{}) // p.link is set: the link may be up or down before NewSender has returned
	defer close(made)
	cfg := link.SenderConfig{
		Dial:        p.open,
		Epoch:       ps.epoch,
		PeerEpoch:   m.Epoch,
		MaxQueue:    ps.cfg.LinkQueue,
		MaxFrame:    maxMessage * 3 / 4,
		Quick:       quickBytes,
		DialTimeout: min(max(ps.silence(), 2*time.Second), 5*time.Second),
		Withdrawn:   &ps.refusals.Withdrawn,
		Lost:        &ps.refusals.Lost,
		Log:         ps.log.With("peer", m.Addr),
		Up:          func(uint64, bool) { <-made; p.up() },
		Down:        func(err error) { <-made; p.down(err) },
	}
	if m.Link >= answersFrom {
		cfg.Silence = ps.silence()
	}
	p.link, err = link.NewSender(cfg)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cluster: link to node %s: %w", m.Addr, err)
	}
	return p, nil
}

// quickBytes is how much may be on its way on a link before gRPC has a sender wait: it gives each
// stream 64 KiB that are not written to the connection yet, and what is not acknowledged is at
// least that.
const quickBytes = 48 << 10

// dial makes the connection to another node. It connects when it is first used. With pings, a
// silent node is found out; one of the 0.5 series would take them for an attack and hang up.
func (ps *peers) dial(addr string, pings bool) (*grpc.ClientConn, error) {
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
	if ps.cfg.TLS != nil {
		opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(clientTLS(ps.cfg.TLS))))
	}
	if pings {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveGap, Timeout: keepaliveTimeout, PermitWithoutStream: true}))
	}
	if ps.cfg.Token != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(token(ps.cfg.Token)))
	}
	c, err := grpc.NewClient("passthrough:///"+addr, append(opts, ps.cfg.GrpcOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("cluster: connect to node %s: %w", addr, err)
	}
	return c, nil
}

// clientTLS is the cluster's TLS configuration as a node uses it that calls another: with its own
// certificate, for mutual TLS, and with the same authorities.
func clientTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	if c.RootCAs == nil {
		c.RootCAs = c.ClientCAs
	}
	return c
}
