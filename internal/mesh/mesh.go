package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/session"
)

// Mesh is what a node has for the sake of other nodes: its parts, and their start and end. On a
// single node it knows nobody, and its parts serve this node alone. The methods may be called
// concurrently, but New, Attach, Listen, Start and Stop come once and one after the other.
type Mesh struct {
	*node
	Sessions *gateSessions // the clients of this gate: what the gate calls
	Users    *logins       // the users of all gates
	Calls    *calls        // calls between nodes
	Routes   *router       // which node serves what
	Arrivals *arrivals     // sessions that come from other gates

	Questions *questions // what nodes ask of each other about themselves

	peers      *peers
	roster     *roster
	master     *masterClient
	keeper     *keeperClient
	remotes    *remoteSessions
	links      *inboundLinks
	inbound    *inbound
	departures *departures
	server     *server
	running    atomic.Bool // Working was called: what others have asked for is run before the end
}

// errNoAddress is returned for a node of a cluster that nobody could reach.
var errNoAddress = fmt.Errorf("cluster: a node of a cluster needs a service address, at which the others reach it")

// New returns the mesh of a node, with nothing open and nobody known. [Mesh.Attach] completes it.
func New(cfg Config) (*Mesh, error) {
	if cfg.clustered() && cfg.Addr == "" {
		return nil, errNoAddress
	}
	n := newNode(cfg)
	m := &Mesh{node: n, server: &server{node: n}, peers: newPeers(n), roster: newRoster(n)}
	m.Sessions = newGateSessions(n, m.peers)
	m.Users = &logins{node: n, peers: m.peers, sessions: m.Sessions, directory: newDirectory(cfg.BindPolicy)}
	m.Routes = newRouter(n, m.peers, m.roster, m.Sessions)
	m.Questions = newQuestions(n, m.peers)
	m.Calls = &calls{node: n, peers: m.peers, router: m.Routes, questions: m.Questions}
	m.Questions.calls = m.Calls
	m.remotes = newRemoteSessions(n, m.peers, m.Routes, m.Users)
	m.links = newInboundLinks(n, m.peers, m.roster, m.Users, m.remotes)
	m.inbound = &inbound{
		node: n, peers: m.peers, roster: m.roster, sessions: m.Sessions, remotes: m.remotes, logins: m.Users, calls: m.Calls,
	}
	m.master = &masterClient{node: n, peers: m.peers, roster: m.roster, logins: m.Users}
	m.keeper = &keeperClient{node: n, peers: m.peers, roster: m.roster, logins: m.Users}
	m.departures = &departures{node: n, peers: m.peers, sessions: m.Sessions, remotes: m.remotes, logins: m.Users}
	m.Arrivals = &arrivals{
		node: n, peers: m.peers, sessions: m.Sessions, remotes: m.remotes, logins: m.Users, departures: m.departures, inbound: m.inbound,
	}
	// Parts that are told of each other, both ways.
	m.departures.arrivals = m.Arrivals
	m.Sessions.departures, m.remotes.departures, m.remotes.arrivals = m.departures, m.departures, m.Arrivals
	m.inbound.departures, m.inbound.arrivals = m.departures, m.Arrivals
	m.Sessions.logins, m.Users.arrivals = m.Users, m.Arrivals
	m.peers.roster, m.peers.sessions = m.roster, m.Sessions
	m.roster.peers, m.roster.links, m.roster.logins, m.roster.sessions = m.peers, m.links, m.Users, m.Sessions
	return m, nil
}

// Attach gives the mesh the node's routes and its clients' connections, which are made with
// functions of the mesh. It comes before everything else.
func (m *Mesh) Attach(t *dispatch.Table, g *gate.Gate) {
	m.table, m.gate = t, g
	switch {
	case g == nil || !m.cfg.clustered():
	case m.cfg.Token != "":
		m.trustToken()
	default:
		g.Trust(m.secret)
	}
}

// Listen opens the address at which other nodes reach this one. On a single node it does nothing.
func (m *Mesh) Listen() error {
	if !m.cfg.clustered() {
		return nil
	}
	if err := m.server.listen(); err != nil {
		return err
	}
	if err := m.roster.start(); err != nil {
		_ = m.server.listener.Close()
		m.server.listener = nil
		return err
	}
	m.server.build(func(s *grpc.Server) {
		if m.cfg.IsMaster {
			clusterpb.RegisterMasterServer(s, &masterService{roster: m.roster})
		}
		clusterpb.RegisterMemberServer(s, &legacyServer{in: m.inbound})
		clusterpb.RegisterLinkServer(s, &linkService{links: m.links, in: m.inbound})
	})
	return nil
}

// Start serves the service address, which [Mesh.Listen] has opened, and enters the list. ctx ends
// the attempt. On a single node it does nothing.
func (m *Mesh) Start(ctx context.Context) error {
	if !m.cfg.clustered() {
		return nil
	}
	m.server.serve()
	switch {
	case m.cfg.IsMaster:
		m.roster.setNodeID(uint32(m.cfg.NodeID))
		return nil
	case m.cfg.Keeper != nil:
		return m.keeper.join(ctx)
	}
	if err := m.master.join(ctx); err != nil {
		return err
	}
	m.background(func() { m.master.beats(m.ctx) })
	return nil
}

// Working has the others send sessions here: the components are ready, and the scheduler runs.
func (m *Mesh) Working() {
	if m.cfg.clustered() {
		m.running.Store(true)
		m.roster.setState(member.Working)
	}
}

// Draining has the others send no new sessions here.
func (m *Mesh) Draining() {
	if m.cfg.clustered() {
		m.roster.setState(member.Draining)
	}
}

// Stop ends what Listen and Start have begun. What is queued for other nodes is sent, as far as ctx
// allows; a node that was running, and not only starting, answers first what it was asked.
func (m *Mesh) Stop(ctx context.Context) (err error) {
	if m.server.listener == nil {
		m.cancel()
		return nil
	}
	m.roster.leave()
	m.sayLeaving()
	if m.keeper.kept.Load() {
		m.keeper.leave(ctx)
	}
	if m.master.opened() {
		m.master.leave(ctx)
	}
	if m.running.Load() {
		err = Within(ctx, "run what other nodes have asked for", m.cfg.Drain)
	}
	m.remotes.closeAll()
	var all sync.WaitGroup
	for _, p := range m.peers.all() {
		all.Go(func() {
			p.close(ctx)
			p.served.abandon()
		})
	}
	all.Wait()
	return errors.Join(err, m.free(ctx))
}

// sayLeaving tells all nodes that this one leaves: one whose link is up is not taken for gone
// because of the list alone.
func (m *Mesh) sayLeaving() {
	for _, p := range m.peers.all() {
		if p.link != nil && p.version >= handsOverFrom {
			_ = p.sendNow(&link.Frame{Kind: link.Leaving}) // one that cannot be reached takes the list's word
		}
	}
}

// free ends what is left.
func (m *Mesh) free(ctx context.Context) error {
	m.cancel()
	links := m.links.close()
	err := Within(ctx, "close the service address", m.server.grpc.Stop)
	for _, in := range links {
		err = errors.Join(err, in.receiver.Close(ctx))
	}
	m.master.close()
	return errors.Join(err, Within(ctx, "wait for what other nodes are told", m.tasks.Wait))
}

// Place names this run of the node.
func (m *Mesh) Place() resume.Place { return m.place() }

// Addr returns the address at which other nodes reach this one, which is its identity. It is final
// after Listen.
func (m *Mesh) Addr() string { return m.addr }

// ListenAddr returns the service address as it was opened; nil on a single node.
func (m *Mesh) ListenAddr() net.Addr {
	if m.server.listener == nil {
		return nil
	}
	return m.server.listener.Addr()
}

// Members returns all other nodes that this one knows.
func (m *Mesh) Members() []member.Peer { return m.roster.table().All() }

// Services returns the services that other nodes run.
func (m *Mesh) Services() []string { return m.roster.table().Services() }

// Refusals returns the counts of what was not run or sent on purpose, which go on.
func (m *Mesh) Refusals() *Refusals { return &m.refusals }

// RemoteSessions returns the sessions of other gates' clients that this node knows, in no order.
func (m *Mesh) RemoteSessions() []*session.Session { return m.remotes.list() }

// RemoteSession returns the session of a client of the gate at addr, nil if this node does not know
// it.
func (m *Mesh) RemoteSession(gate string, id int64) *session.Session {
	p := m.peers.at(gate)
	if p == nil {
		return nil
	}
	if r := m.remotes.get(sessionKey{p.addr, p.epoch, id}); r != nil {
		return r.sess
	}
	return nil
}
