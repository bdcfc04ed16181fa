package gate

import (
	"slices"
	"sync"

	"github.com/lonng/nano/internal/wsframe"
)

const (
	mergeMax  = 4 << 10  // frames up to this size are copied together, larger ones are written from where they lie
	keepMax   = 64 << 10 // larger buffers are left to the garbage collector
	batchHead = 10       // room for the header of a WebSocket message that holds several packets
)

// outbuf is what is queued for one connection: a list of byte strings, in order. A connection has
// one only while something is queued or being written. Shared frames are immutable and written from
// where they lie, as long as that does not cost a write of their own.
type outbuf struct {
	segs   [][]byte // in order; what lies in own beyond cut comes after them
	own    []byte   // packets encoded or copied for this connection
	cut    int
	size   int // bytes queued
	count  int // packets queued
	fixed  int // of these, in segs and own: messages that may not be dropped
	loose  looseList
	chain  *chain // what is to be added, once it is taken
	shared bool   // segs is one small shared frame and own is empty
	merge  bool   // all packets become one WebSocket message
	pre    []byte // WebSocket frames before and after everything else
	tail   []byte

	next int // segs before it are written
}

var outbufs = sync.Pool{New: func() any { return new(outbuf) }}

func getOutbuf(merge bool) *outbuf {
	o := outbufs.Get().(*outbuf)
	o.merge = merge
	if merge {
		o.reserve()
	}
	return o
}

// reserve leaves room for a header before the first packet of a merged message.
func (o *outbuf) reserve() {
	o.own = append(o.own[:0], make([]byte, batchHead)...)
	o.cut = batchHead
}

func (o *outbuf) release() {
	clear(o.segs)
	o.segs = o.segs[:0]
	o.own = o.own[:0]
	if cap(o.own) > keepMax {
		o.own = nil
	}
	o.cut, o.size, o.count, o.fixed, o.next = 0, 0, 0, 0, 0
	o.loose.clear()
	o.pre, o.tail = nil, nil
	o.chain, o.shared, o.merge = nil, false, false
	outbufs.Put(o)
}

// addShared queues an immutable frame that holds one packet.
func (o *outbuf) addShared(f []byte) {
	o.count++
	o.addFrame(f)
}

// addFrame queues an immutable frame, which may hold no packet.
func (o *outbuf) addFrame(f []byte) {
	o.size += len(f)
	o.fixed += len(f)
	if o.merge {
		o.own = append(o.own, f...)
		return
	}
	small := len(f) <= mergeMax
	if o.size == len(f) {
		o.segs = append(o.segs, f)
		o.shared = small
		return
	}
	o.unshare()
	if small {
		o.own = append(o.own, f...)
		return
	}
	o.seal()
	o.segs = append(o.segs, f)
}

// unshare copies a single small frame, because more follows that is to be written with it.
func (o *outbuf) unshare() {
	if o.shared {
		o.own = append(o.own, o.segs[0]...)
		o.segs[0] = nil
		o.segs = o.segs[:0]
		o.shared = false
	}
}

// begin returns the buffer to append to; end takes it back, with a packet more or none.
func (o *outbuf) begin() []byte {
	o.unshare()
	return o.own
}

func (o *outbuf) end(b []byte) {
	o.size += len(b) - len(o.own)
	o.fixed += len(b) - len(o.own)
	if len(b) > len(o.own) {
		o.count++
	}
	o.own = b
}

// seal makes a segment of what was gathered in own.
func (o *outbuf) seal() {
	if len(o.own) > o.cut {
		o.segs = append(o.segs, o.own[o.cut:len(o.own):len(o.own)])
		o.cut = len(o.own)
	}
}

// addPre and addTail queue WebSocket frames that may not fall into a merged message.
func (o *outbuf) addPre(f []byte) {
	o.pre = append(o.pre, f...)
	o.size += len(f)
}

func (o *outbuf) addTail(f []byte) {
	o.tail = append(o.tail, f...)
	o.size += len(f)
}

// finish makes the queue ready to be written: nothing is added after it.
func (o *outbuf) finish() {
	o.weave()
	if o.merge {
		if o.pre != nil {
			o.segs = append(o.segs, o.pre)
		}
		if n := len(o.own) - batchHead; n > 0 {
			start := wsframe.PutHeader(o.own[:batchHead], wsframe.OpBinary, n)
			o.segs = append(o.segs, o.own[start:])
		}
	} else {
		o.seal()
	}
	if o.tail != nil {
		o.segs = append(o.segs, o.tail)
	}
}

// appendTo moves what is queued behind what o holds; both are of one kind.
func (o *outbuf) appendTo(to *outbuf) {
	before := to.count
	o.weave()
	if o.merge {
		to.end(append(to.begin(), o.own[batchHead:]...))
	} else {
		o.seal()
		for _, seg := range o.segs {
			to.addFrame(slices.Clone(seg))
		}
	}
	to.count = before + o.count
	o.release()
}

// skip drops n written bytes from the front.
func (o *outbuf) skip(n int) {
	for n > 0 {
		seg := o.segs[o.next]
		if n < len(seg) {
			o.segs[o.next] = seg[n:]
			return
		}
		n -= len(seg)
		o.next++
	}
}

func (o *outbuf) empty() bool { return o.next == len(o.segs) }
