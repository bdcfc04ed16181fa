package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/member"
)

// Rebind has the clients of this gate choose again that are bound to the node at addr for a
// service. With leaving, nobody chooses that node any more, if there is another one. A node that a
// session chooses is told of it at once, not only with the client's next message: the application
// there may have something to tell the client.
func (rt *router) Rebind(service, addr string, leaving bool) {
	if p := rt.peers.at(addr); p != nil && leaving {
		p.leaving.Store(true)
	}
	for _, s := range rt.users.All() {
		if bound, ok := s.Router().Find(service); !ok || bound != addr {
			continue
		}
		p, err := rt.chooseAnew(service, s)
		if err != nil { // it stays: a later message may find another node
			rt.log.Debug("a session found no other node", "service", service, "session", s.ID(), "err", err)
			continue
		}
		if p.addr != addr {
			g := rt.sessions.of(s)
			g.meet(p)
			rt.sessions.closeIfOver(s)
		}
	}
}

// staying leaves out the nodes that are leaving, unless all are.
func (rt *router) staying(open []member.Peer) []member.Peer {
	some := make([]member.Peer, 0, len(open))
	for _, m := range open {
		if p := rt.peers.at(m.Addr); p == nil || !p.leaving.Load() {
			some = append(some, m)
		}
	}
	if len(some) == 0 {
		return open
	}
	return some
}

// meet introduces the session to p.
func (g *gateSession) meet(p *peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed && !g.sess.Closed() {
		g.introduceLocked(p)
	}
}

// AskAll asks all other nodes with a link, and joins their errors. Those of nodes that do not know
// the question are left out.
func (q *questions) AskAll(ctx context.Context, what string, data []byte) error {
	var asked []*peer
	for _, p := range q.peers.all() {
		if p.link != nil {
			asked = append(asked, p)
		}
	}
	errs := make(chan error, len(asked))
	for _, p := range asked {
		go func() {
			_, err := q.Ask(ctx, p.addr, what, data)
			var e *component.Error
			if errors.As(err, &e) && e.Code == component.CodeNotFound { // an older node, or it has left
				err = nil
			}
			if err != nil {
				err = fmt.Errorf("cluster: node %s: %w", p.addr, err)
			}
			errs <- err
		}()
	}
	var all error
	for range asked {
		all = errors.Join(all, <-errs)
	}
	return all
}
