package mesh

import (
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/session"
)

// sender is the node whose frames are handled, with what each batch needs anew. It belongs to one
// stream, or to one call of the 0.5 series, and to the goroutine that handles that.
type sender struct {
	peers      *peers // nil of calls, which nobody counts
	addr       string
	epoch      uint64
	number     uint64       // which of its ways to this node it is, and
	pairedWith uint64       // which of this node's it makes a pair with, see peer
	in         *inboundLink // nil of calls
	way        *peer        // back to it

	silence time.Duration // after which it gives the stream up; 0: it does not say

	frame link.Frame
	to    []*session.Session
}

// unheard tells whether nobody listens any more to what the process says.
func (s *sender) unheard() bool { return s.in != nil && s.in.dead.Load() }

// back returns the way to the process as it is now, nil if there is none.
func (s *sender) back() *peer {
	if s.peers == nil {
		return nil
	}
	return s.peers.to(process{s.addr, s.epoch})
}

// Spent tells the node that its calls have left the queue. The way to it may be another one by
// then.
func (s *sender) Spent(cost int) {
	if p := s.back(); p != nil {
		p.credit(cost)
	}
}
