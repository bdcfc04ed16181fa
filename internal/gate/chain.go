package gate

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// form is how packets stand in what a connection writes.
type form uint8

const (
	formPackets       form = iota // TCP: one packet after the other
	formMessage                   // WebSocket: each packet in a message of its own
	formBatch                     // WebSocket: all packets of a write in one message
	formDeflated                  // as formMessage, compressed
	formDeflatedBatch             // as formBatch, compressed
	forms
)

// pieceMax is up to how many bytes of a chain are made into one byte string for all who have it.
// What is longer waits for clients that do not keep up, each of which has stopped somewhere else:
// they have all pieces but the last in common.
const pieceMax = 64 << 10

// chain is a sequence of shared frames that wait for a connection. The frames of one never change,
// so that all connections that are to get the same have the same chain. What has to be written is
// made once for all of them, by the first that is flushed. The frames stay what they are: who needs
// the packets of a queue one by one goes along before.
type chain struct {
	before *chain // nil: frame is the only one
	start  *chain // what is before the last piece; nil: there is but one
	frame  *frame
	sizes  sizes
	count  int          // frames
	latest int          // how many of the frames may be replaced
	others atomic.Int32 // connections that came to have it, less one: that, or more than half of it

	mu     sync.Mutex
	joined [forms]atomic.Pointer[[]byte] // what is written of the last piece; nil until it is made
}

// sizes are the bytes of a chain in each form, without the header of formBatch. What is compressed
// counts as what it was.
type sizes [formBatch + 1]int

func (s *sizes) in(as form) int { return s[as.plain()] }

// plain is the form without compression.
func (as form) plain() form {
	switch as {
	case formDeflated:
		return formMessage
	case formDeflatedBatch:
		return formBatch
	}
	return as
}

// newChain returns a chain with f behind q.
func newChain(q *chain, f *frame) *chain {
	n := &chain{before: q, start: q.start, frame: f, sizes: f.only.sizes, count: q.count + 1, latest: q.latest + f.only.latest}
	for i, size := range q.sizes {
		n.sizes[i] += size
	}
	if n.pieceSize(formMessage) > pieceMax {
		n.start = q
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
	others := q.others.Load() // as many have what is made here
	q = at.before
	for i := len(after) - 1; i >= 0; i-- {
		if q = q.with(after[i]); q.before != nil {
			q.others.Store(others)
		}
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

// share is how many bytes of the chain a connection that has it accounts for. How many have it is
// known only when the multicast of its last frame is over, so the chain before that is divided by
// the count of its own.
func (q *chain) share(as form) int {
	if q.before == nil {
		return q.each(as)
	}
	return q.before.each(as) + q.frame.only.each(as)
}

func (q *chain) each(as form) int { return q.sizes.in(as) / int(1+q.others.Load()) }

// pieceSize is how many bytes the last piece has.
func (q *chain) pieceSize(as form) int {
	if q.start == nil {
		return q.sizes.in(as)
	}
	return q.sizes.in(as) - q.start.sizes.in(as)
}

// joins tells whether the chain is written as byte strings that others share.
func (q *chain) joins() bool { return q.before == nil || q.start != nil || q.others.Load() > 0 }

// addTo queues all packets of the chain as they are written.
func (q *chain) addTo(o *outbuf, as form) {
	if q.start != nil {
		q.start.addTo(o, as)
	}
	o.addFrame(q.piece(as))
}

// piece returns the packets of the last piece as they are written. They are made once.
func (q *chain) piece(as form) []byte {
	if q.before == q.start {
		switch as {
		case formPackets:
			return q.frame.packet()
		case formDeflated, formDeflatedBatch:
			return q.frame.deflated()
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
	b := q.join(as)
	q.joined[as].Store(&b)
	return b
}

// join makes the bytes of the last piece.
func (q *chain) join(as form) []byte {
	all := q.frames(q.start)
	batch := as.plain() == formBatch
	b := make([]byte, 0, wsframe.HeaderRoom+q.pieceSize(as))
	if batch {
		b = b[:wsframe.HeaderRoom]
	}
	for _, f := range all {
		b = append(b, f.in(as)...)
	}
	switch {
	case as == formDeflatedBatch:
		i := max(slices.IndexFunc(all, func(f *frame) bool { return f.zip != nil }), 0)
		return all[i].zip.appendMessage(nil, b[wsframe.HeaderRoom:])
	case batch:
		return b[wsframe.PutHeader(b[:wsframe.HeaderRoom], wsframe.OpBinary, len(b)-wsframe.HeaderRoom):]
	}
	return b
}

// frames returns the frames behind those of start in order; of nil: all.
func (q *chain) frames(start *chain) []*frame {
	all := make([]*frame, 0, q.count)
	for at := q; at != start; at = at.before {
		all = append(all, at.frame)
	}
	slices.Reverse(all)
	return all
}

// extensions are the chains that one multicast has made longer by its frame. Most of its
// connections have one of very few chains, so that a few places find nearly all of them; more if
// clients do not keep up, each of which has stopped somewhere else.
type extensions struct {
	last [4]extension
	next int
	more map[extended]*extension // those that last has no place for; made on demand
}

// extension is a chain, what it became by a frame, and for how many others.
type extension struct {
	from, to *chain
	others   int32
}

// again counts one more connection. Others may look at what is counted, so that is written now and
// then only.
func (x *extension) again() {
	if x.others++; x.others&(x.others-1) == 0 && x.to.before != nil { // else its frame knows how many they are
		x.to.others.Store(x.others)
	}
}

// extended is a chain that was made longer, and by what.
type extended struct {
	from *chain
	by   *frame
}

// extend returns the chain with f behind q: one for all connections that have q. What f replaces is
// left out.
func (e *extensions) extend(q *chain, f *frame) *chain {
	for i := range e.last {
		if x := &e.last[i]; x.from == q && x.to.frame == f {
			x.again()
			return x.to
		}
	}
	if x := e.more[extended{q, f}]; x != nil {
		x.again()
		return x.to
	}
	to := q.without(&f.manner).with(f)
	if out := e.last[e.next]; out.to != nil {
		if e.more == nil {
			e.more = make(map[extended]*extension)
		}
		e.more[extended{out.from, out.to.frame}] = &out
	}
	e.last[e.next] = extension{from: q, to: to}
	e.next = (e.next + 1) % len(e.last)
	return to
}
