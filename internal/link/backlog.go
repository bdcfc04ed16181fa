package link

import (
	"encoding/binary"
	"time"
)

// backlog keeps what the peer has not acknowledged: batches that were sent, batches that were not,
// and the frames that are gathered for the next. Bytes lie one behind the other in chunks, so that
// many small batches take little more memory than their frames; a chunk is used again when nothing
// refers to it. Not safe for concurrent use.
type backlog struct {
	maxBatch int // bytes of a batch, unless one frame is larger; the largest chunk

	batches  []batch // batches[head:] are kept, in order
	head     int
	first    uint64 // the seq of batches[head]
	next     int    // how many of batches[head:] were sent on this stream
	everSent int    // and on any: the peer may have taken them
	sent     bool   // anything was, ever

	open   *chunk // gathers frames from open.buf[from:]
	from   int
	frames int       // number of them
	timed  int       // of these, how many have a time left
	since  time.Time // when the first of them was put

	bytes     int // everything that is kept
	unsent    int // of these, what was not yet handed to this stream
	chunkSize int
	free      []*chunk
}

type batch struct {
	chunk  *chunk
	bytes  []byte // a part of the chunk that is not written any more
	frames int
	timed  int       // of these, how many have a time left
	since  time.Time // as of when that is
}

// chunk is referred to by its batches, by the stream that is sending one of them, and by the
// backlog while it is open.
type chunk struct {
	buf  []byte // never grows beyond its capacity
	refs int
}

const (
	minChunk   = 4 << 10
	freeChunks = 8
)

func newBacklog(maxBatch int) backlog {
	return backlog{maxBatch: maxBatch, first: 1, chunkSize: min(minChunk, maxBatch)}
}

// put encodes a frame of that body and size behind the others. It reports whether a batch became
// full by it.
func (l *backlog) put(f *Frame, body, size int) (sealed bool) {
	if f.Left > 0 && l.frames > 0 && time.Since(l.since) >= ageAfter {
		l.seal() // else what the others have waited would be taken off its time, too
	}
	if l.open != nil && l.open.refs == 1 && l.from == len(l.open.buf) {
		l.open.buf, l.from = l.open.buf[:0], 0
	}
	switch {
	case l.open == nil:
		l.open = l.newChunk(size)
	case cap(l.open.buf)-len(l.open.buf) < size:
		sealed = l.seal()
		l.release(l.open)
		l.open, l.from = l.newChunk(size), 0
	case len(l.open.buf)-l.from+size > l.maxBatch:
		sealed = l.seal()
	}
	if l.frames == 0 {
		l.since = time.Now()
	}
	if f.Left > 0 {
		l.timed++
	}
	l.open.buf = appendFrame(l.open.buf, f, body)
	l.frames++
	l.bytes += size
	l.unsent += size
	return sealed
}

// seal makes a batch of what is gathered, if anything is.
func (l *backlog) seal() bool {
	if l.frames == 0 {
		return false
	}
	if l.head > 0 && len(l.batches) == cap(l.batches) && l.head >= len(l.batches)/2 {
		n := copy(l.batches, l.batches[l.head:])
		clear(l.batches[n:])
		l.batches, l.head = l.batches[:n], 0
	}
	end := len(l.open.buf)
	l.batches = append(l.batches, batch{chunk: l.open, bytes: l.open.buf[l.from:end:end], frames: l.frames, timed: l.timed, since: l.since})
	l.open.refs++
	l.from, l.frames, l.timed = end, 0, 0
	return true
}

func (l *backlog) kept() []batch { return l.batches[l.head:] }

func (l *backlog) empty() bool { return l.bytes == 0 }

// take returns the next batch to send, whose bytes stay as they are until release of its chunk.
func (l *backlog) take() (b batch, seq uint64, again, ok bool) {
	if l.next == len(l.kept()) && !l.seal() {
		return batch{}, 0, false, false
	}
	b, seq = l.kept()[l.next], l.first+uint64(l.next)
	b.chunk.refs++
	l.unsent -= len(b.bytes)
	l.next++
	again = l.next <= l.everSent
	l.everSent, l.sent = max(l.everSent, l.next), true
	return b, seq, again, true
}

// ack forgets the batches up to seq. It is false for one that was not sent on this stream.
func (l *backlog) ack(seq uint64) bool {
	if seq < l.first {
		return true // an earlier one said it
	}
	n := seq - l.first + 1
	if n == 0 || n > uint64(l.next) {
		return false
	}
	l.forget(int(n))
	return true
}

func (l *backlog) forget(n int) {
	for i := range l.kept()[:n] {
		b := &l.kept()[i]
		l.bytes -= len(b.bytes)
		l.release(b.chunk)
		*b = batch{}
	}
	l.head += n
	l.first += uint64(n)
	l.next -= n
	l.everSent -= n
	if l.head == len(l.batches) {
		l.batches, l.head = l.batches[:0], 0
	}
	if l.bytes == 0 {
		// Quiet: the one open chunk is enough, and a long queue was an exception.
		clear(l.free)
		l.free = l.free[:0]
		if cap(l.batches) > 1024 {
			l.batches = nil
		}
	}
}

// resume begins a new stream behind the batch that the peer took last. It is false if that cannot
// be: the peer does not know what it acknowledged once, or knows more than it was sent.
func (l *backlog) resume(last uint64) bool {
	n := last - l.first + 1 // 0 if the peer has acknowledged all it has
	if last+1 < l.first || n > uint64(l.everSent) {
		return false
	}
	l.next = int(n)
	l.forget(int(n))
	l.unsent = l.bytes
	return true
}

// restart drops everything, and goes on behind last. With unsent, what was never sent stays: it is
// for the same run of the peer, which can not have taken it. It returns how much was dropped.
func (l *backlog) restart(last uint64, unsent bool) (frames, bytes int) {
	n := l.everSent
	if !unsent {
		l.seal()
		n = len(l.kept())
	}
	before := l.bytes
	for _, b := range l.kept()[:n] {
		frames += b.frames
	}
	l.next, l.everSent = n, n
	l.forget(n)
	l.first, l.unsent = last+1, l.bytes
	return frames, before - l.bytes
}

// withdraw takes out everything that asks for an answer, and returns how many frames that were.
func (l *backlog) withdraw() (frames int) {
	l.seal()
	var f Frame
	for i := range l.kept() {
		frames += l.rewrite(i, func(frame []byte, k Kind) []byte {
			if !k.asks() {
				return frame
			}
			r := Reader{rest: frame}
			if ok, _ := r.Next(&f); ok && f.Flags&FlagOff != 0 {
				return frame
			}
			return nil
		})
	}
	return frames
}

// count returns how many frames of some kinds there are.
func (l *backlog) count(which func(Kind) bool) (frames int) {
	l.seal()
	for _, b := range l.kept() {
		for rest := b.bytes; len(rest) > 0; {
			n, size := binary.Uvarint(rest)
			if which(Kind(rest[size])) {
				frames++
			}
			rest = rest[size+int(n):]
		}
	}
	return frames
}

// ageAfter is how long frames may wait before it is taken off the time that they have left.
const ageAfter = 10 * time.Millisecond

// age takes off the frames of the batch that is sent next what they have waited, and takes out
// those that are over their time. It returns how many these were.
func (l *backlog) age(now time.Time) (frames int) {
	if l.next == len(l.kept()) && !l.seal() {
		return 0
	}
	b := &l.kept()[l.next]
	waited := now.Sub(b.since)
	if b.timed == 0 || waited < ageAfter {
		return 0
	}
	var f Frame
	frames = l.rewrite(l.next, func(frame []byte, _ Kind) []byte {
		r := Reader{rest: frame}
		if ok, _ := r.Next(&f); !ok || f.Left == 0 {
			return frame
		}
		if f.Left -= waited; f.Left < time.Microsecond {
			return nil
		}
		return AppendFrame(nil, &f)
	})
	b.since = now
	b.timed -= frames
	return frames
}

// rewrite has each frame of batch i replaced by what with returns, which is nothing or no longer.
// What a stream is sending stays as it is: the batch gets other bytes. It returns how many frames
// were taken out.
func (l *backlog) rewrite(i int, with func(frame []byte, k Kind) []byte) (out int) {
	b := &l.kept()[i]
	var buf []byte // what stands before rest, once that is not the same any more
	changed := false
	for rest := b.bytes; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		frame := rest[:size+int(n)]
		rest = rest[len(frame):]
		to := with(frame, Kind(frame[size]))
		if !changed && (len(to) != len(frame) || &to[0] != &frame[0]) {
			changed = true
			before := len(b.bytes) - len(rest) - len(frame)
			buf = append(make([]byte, 0, len(b.bytes)), b.bytes[:before]...)
		}
		if changed {
			buf = append(buf, to...)
		}
		if len(to) == 0 {
			out++
		}
	}
	if !changed {
		return 0
	}
	less := len(b.bytes) - len(buf)
	l.bytes -= less
	if i >= l.next {
		l.unsent -= less
	}
	l.release(b.chunk)
	b.chunk, b.bytes = &chunk{buf: buf, refs: 1}, buf[:len(buf):len(buf)]
	b.frames -= out
	return out
}

func (l *backlog) newChunk(size int) *chunk {
	if size > l.maxBatch {
		return &chunk{buf: make([]byte, 0, size), refs: 1}
	}
	for len(l.free) > 0 {
		c := l.free[len(l.free)-1]
		l.free[len(l.free)-1] = nil
		l.free = l.free[:len(l.free)-1]
		if cap(c.buf) >= size {
			c.buf, c.refs = c.buf[:0], 1
			return c
		}
	}
	n := max(l.chunkSize, size)
	l.chunkSize = min(2*n, l.maxBatch)
	return &chunk{buf: make([]byte, 0, n), refs: 1}
}

// release gives up one reference. Chunks of unusual size are left to the collector.
func (l *backlog) release(c *chunk) {
	c.refs--
	if c.refs == 0 && len(l.free) < freeChunks && cap(c.buf) <= l.maxBatch && 2*cap(c.buf) >= l.chunkSize {
		l.free = append(l.free, c)
	}
}
