package gate

import (
	"errors"
	"fmt"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

// Multicast pushes v to the sessions. It encodes v once, unless a filter needs to see each push. It
// delivers to every session that it can reach and joins the errors of the others. A session that
// has just ended is no error.
func (g *Gate) Multicast(route string, v any, to []*session.Session) error {
	return g.multicast(route, v, g.encoder.mannerOf(route, v), to)
}

// MulticastAs is Multicast of a push whose class of delivery another node has found.
func (g *Gate) MulticastAs(route string, v any, class session.DeliveryClass, key string, to []*session.Session) error {
	return g.multicast(route, v, g.encoder.manner(route, class, key), to)
}

func (g *Gate) multicast(route string, v any, m manner, to []*session.Session) error {
	if !pipeline.Empty(g.outbound) {
		return g.multicastFiltered(route, v, m, to)
	}
	f, err := g.encoder.push(route, v, m)
	if err != nil {
		return err
	}
	f.noteReceivers(len(to))
	var errs []error
	var made extensions
	var batch [64]Flusher
	n := 0
	for _, s := range to {
		list, err := never, errMoved
		c, ok := s.NetworkEntity().(*Conn)
		if ok {
			list, err = c.pushFrame(f, &made)
		}
		if errors.Is(err, errMoved) { // it was at this gate a moment ago
			err = s.Push(route, v)
		}
		if err != nil && !ended(err) {
			errs = append(errs, fmt.Errorf("cluster: session %d: %w", s.ID(), err))
		}
		switch list {
		case never:
		case f.when:
			if batch[n], n = c, n+1; n == len(batch) {
				g.flushes.add(f.when, batch[:]...)
				n = 0
			}
		default: // its queue has become long
			g.flushes.add(list, c)
		}
	}
	if n > 0 {
		g.flushes.add(f.when, batch[:n]...)
	}
	return errors.Join(errs...)
}

// ended tells whether output was refused because the session has ended.
func ended(err error) bool { return errors.Is(err, ErrBrokenPipe) || errors.Is(err, session.ErrClosed) }

// multicastFiltered serializes once and pushes through each session's filters.
func (g *Gate) multicastFiltered(route string, v any, m manner, to []*session.Session) error {
	payload, err := g.encoder.serialize(v)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range to {
		if c, ok := s.NetworkEntity().(*Conn); ok {
			err = c.send(codec.Push, 0, route, payload, m)
		} else {
			err = s.Push(route, payload)
		}
		if err != nil && !ended(err) {
			errs = append(errs, fmt.Errorf("cluster: session %d: %w", s.ID(), err))
		}
	}
	return errors.Join(errs...)
}
