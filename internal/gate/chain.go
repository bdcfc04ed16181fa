package gate

import (
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// form is how packets stand in what a connection writes.
type form uint8

const (
	formPackets form = iota // TCP: one packet after the other
	formMessage             // WebSocket: each packet in a message of its own
	formBatch               // WebSocket: all packets of a write in one message
	forms
)

// chainMax is up to how many bytes of a chain are made into one byte string for all who have it.
// What is longer waits for clients that do not keep up, each of which is somewhere else.
const chainMax = 64 << 10

// chain is a sequence of shared frames that wait for a connection. It is immutable, so that all
// connections that are to get the same have the same chain. What has to be written is made once for
// all of them, by the first that is flushed. The frames stay what they are: who needs the packets
// of a queue one by one goes along before.
type chain struct {
	before *chain // nil: frame is the only one
	frame  *frame
	sizes  [forms]int  // bytes; of formBatch, without the header
	latest int         // how many of the frames may be replaced
	shared atomic.Bool // more than one connection has it

	mu     sync.Mutex
	joined [forms]atomic.Pointer[[]byte] // what is written; nil until it is made
}

// newChain returns a chain with f behind q.
func newChain(q *chain, f *frame) *chain {
	n := &chain{before: q, frame: f, sizes: f.only.sizes, latest: q.latest + f.only.latest}
	for i, size := range q.sizes {
		n.sizes[i] += size
	}
	return n
}

// without returns the chain without the frame that one of manner m replaces: nil if it is the only
// one.
func (q *chain) without(m *manner) *chain {
	if q.latest == 0 || m.class != session.DeliverLatest {
		return q
	}
	var after []*frame
	at := q
	for ; at != nil && !m.replaces(&at.frame.manner); at = at.before {
		after = append(after, at.frame)
	}
	if at == nil {
		return q
	}
	q = at.before
	for i := len(after) - 1; i >= 0; i-- {
		q = q.with(after[i])
	}
	return q
}

// with returns the chain with f behind it.
func (q *chain) with(f *frame) *chain {
	if q == nil {
		return &f.only
	}
	return newChain(q, f)
}

// bytes returns all packets of the chain as they are written. They are made once.
func (q *chain) bytes(as form) []byte {
	if q.before == nil {
		if as == formPackets {
			return q.frame.packet()
		}
		return q.frame.wire
	}
	if b := q.joined[as].Load(); b != nil {
		return *b
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.joined[as].Load(); b != nil {
		return *b
	}
	var room int
	if as == formBatch {
		room = wsframe.HeaderRoom
	}
	b := make([]byte, room+q.sizes[as])
	at := len(b)
	for n := q; n != nil; n = n.before {
		p := n.frame.in(as)
		at -= len(p)
		copy(b[at:], p)
	}
	if as == formBatch {
		b = b[wsframe.PutHeader(b[:room], wsframe.OpBinary, q.sizes[as]):]
	}
	q.joined[as].Store(&b)
	return b
}

// frames returns the frames in order.
func (q *chain) frames() []*frame {
	n := 0
	for at := q; at != nil; at = at.before {
		n++
	}
	all := make([]*frame, n)
	for at := q; at != nil; at = at.before {
		n--
		all[n] = at.frame
	}
	return all
}

// extensions are the chains that one multicast has made longer by its frame. Most of its
// connections have one of very few chains, so that a few places find nearly all of them.
type extensions struct {
	last [4]extension
	next int
}

// extension is a chain, and what it became by a frame.
type extension struct{ from, to *chain }

// extend returns the chain with f behind q: one for all connections that have q. What f replaces is
// left out.
func (e *extensions) extend(q *chain, f *frame) *chain {
	for _, x := range e.last {
		if x.from == q && x.to.frame == f {
			if !x.to.shared.Load() {
				x.to.shared.Store(true)
			}
			return x.to
		}
	}
	to := q.without(&f.manner).with(f)
	e.last[e.next] = extension{q, to}
	e.next = (e.next + 1) % len(e.last)
	return to
}
