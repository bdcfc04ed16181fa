package gate

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/transport"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

const hurryAt = 64 << 10 // a queue of so many bytes is flushed before the batch ends

// output is what goes out on one connection: the queue, and where it is written to. The methods
// whose names end in Locked want its lock.
//
// The fields that a broadcast touches stand first, because it visits thousands of connections that
// are in no cache.
type output struct {
	home

	mu        sync.Mutex
	chain     *chain  // shared frames that are all there is; out is nil then
	out       *outbuf // what is queued; nil when nothing is, and when chain is not
	inFlight  weight  // what a writer has taken and not written yet
	round     uint32  // the delay of the flush queue in whose list it is, or was
	listed    bool    // in the flush queue's list
	first     bool    // in the flush queue's list of those that are flushed first
	writing   bool    // somebody writes
	stuck     bool    // and the kernel took no more
	held      bool    // before the handshake's answer: queue, do not write
	closing   bool    // takes no more output
	wasCut    bool    // the socket is closed
	websocket bool    // this and deflates: constant
	deflates  bool    // WebSocket messages may be compressed
	merges    bool    // this and wantsGzip, wantsErr: set before the handshake is answered, constant after
	wantsGzip bool
	wantsErr  bool
	weighed   int // how many queued bytes the cap of all queues knows of
	transit   *transit

	sock transport.Conn
}

// transit is what a connection has on its way in and out, and where it waits: not while it is quiet
// between the two. output.mu guards it.
type transit struct {
	request   *http.Request // the upgrade request, until the handshake is over
	ahead     []byte        // a pong that may go before the handshake's answer
	timer     *time.Timer   // the handshake's deadline, later the flush's; nil between
	closedAt  time.Time     // when closing was set
	closeCode uint16        // of the WebSocket close frame
	ended     chan struct{} // see Waiting; nil if nobody waits
	bucket    *bucket       // of messages; nil without a limit

	lane *scheduler.Lane // of the session that was adopted; constant
}

// transitLocked returns what there is of that, made if there is nothing.
func (q *output) transitLocked() *transit {
	if q.transit == nil {
		q.transit = new(transit)
	}
	return q.transit
}

// aheadLocked returns what may go before the handshake's answer.
func (q *output) aheadLocked() []byte {
	if q.transit == nil {
		return nil
	}
	return q.transit.ahead
}

// setTimerLocked has f called after d, in the place of what the connection's timer did so far; nil
// stops that.
func (q *output) setTimerLocked(d time.Duration, f func()) {
	if q.transit != nil && q.transit.timer != nil {
		q.transit.timer.Stop()
		q.transit.timer = nil
	}
	if f != nil && !q.wasCut {
		q.transitLocked().timer = time.AfterFunc(d, f)
	}
}

// closeWith notes the code for the WebSocket close frame, if that is not queued yet.
func (q *output) closeWith(code int) {
	q.mu.Lock()
	q.transitLocked().closeCode = uint16(code)
	q.mu.Unlock()
}

// shutLocked queues the last packet, nil for none, and closes the queue. cut is called if that is
// not flushed in time. Conn.depart must follow, without the lock.
func (q *output) shutLocked(last []byte, cut func()) {
	q.closing = true
	q.transitLocked().closedAt = time.Now()
	if q.held { // nothing may go before the handshake's answer, and there will be none
		q.dropLocked()
		q.held = false
	} else if last != nil {
		if q.websocket {
			f := newFrame(last, manner{when: atFirst})
			last = f.wire
			if q.merges {
				last = f.packet()
			}
		}
		o := q.outLocked()
		if q.busyLocked() { // the kick is not to wait for what may be dropped
			q.skippedLocked(o.dropClass(session.DeliverLatest) + o.dropClass(session.DeliverUnlessBusy))
		}
		o.addShared(last)
	}
	if q.websocket {
		code := q.transitLocked().closeCode
		if code == 0 {
			code = wsframe.CloseNormal
		}
		q.outLocked().addTail(wsframe.AppendClose(nil, int(code), ""))
	}
	q.setTimerLocked(q.gate.cfg.FlushTimeout, cut)
}

// queuedLocked tells whether there is output.
func (q *output) queuedLocked() bool { return q.chain != nil || q.out != nil }

// queuedBytesLocked is how much is queued.
func (q *output) queuedBytesLocked() int {
	return q.inFlight.bytes + q.waitingLocked()
}

// waitingLocked is how much of that nobody has taken to write it.
func (q *output) waitingLocked() int {
	switch {
	case q.chain != nil:
		return q.chain.sizes.in(q.form())
	case q.out != nil:
		return q.out.size
	}
	return 0
}

// form is how the connection writes packets.
func (q *output) form() form {
	switch {
	case !q.websocket:
		return formPackets
	case q.merges && q.deflates:
		return formDeflatedBatch
	case q.merges:
		return formBatch
	case q.deflates:
		return formDeflated
	}
	return formMessage
}

// outLocked returns the queue to add to.
func (q *output) outLocked() *outbuf {
	if q.out == nil {
		q.out = getOutbuf(q.merges)
		if q.chain != nil {
			for _, f := range q.chain.frames(nil) {
				if f.droppable() {
					q.out.addLoose(f.in(q.form()), &f.manner)
				} else {
					q.out.addShared(f.in(q.form()))
				}
			}
			q.chain = nil
			if q.weighed > 0 { // as many bytes, but now they are its own
				q.gate.heavies.weigh(q, weight{q.weighed, q.shareLocked()})
			}
		}
	}
	return q.out
}

// dropLocked forgets what is queued.
func (q *output) dropLocked() {
	q.chain = nil
	if q.transit != nil {
		q.transit.ahead = nil
	}
	if q.out != nil {
		q.out.release()
		q.out = nil
	}
}

// appendMessage appends a data packet, in a WebSocket message of its own unless the client merges.
func (q *output) appendMessage(b []byte, t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags) ([]byte, error) {
	if !q.websocket || q.merges {
		return codec.AppendData(b, t, mid, route, payload, flags, q.gate.cfg.Dictionary, maxOut)
	}
	// The header's length depends on the packet's: leave room by a guess and move the packet if it
	// was wrong.
	start := len(b)
	room := headerLen(len(payload) + len(route) + 8)
	var pad [10]byte
	b = append(b, pad[:room]...)
	b, err := codec.AppendData(b, t, mid, route, payload, flags, q.gate.cfg.Dictionary, maxOut)
	if err != nil {
		return b[:start], err
	}
	n := len(b) - start - room
	head := headerLen(n)
	if head != room {
		b = append(b, pad[:]...) // room for a move to either side
		copy(b[start+head:], b[start+room:start+room+n])
		b = b[:start+head+n]
	}
	wsframe.AppendHeader(b[:start], wsframe.OpBinary, n)
	return b, nil
}

// packetIn returns the packet of a message as appendMessage has encoded it.
func (q *output) packetIn(b []byte) []byte {
	if q.form().plain() != formMessage {
		return b
	}
	switch b[1] {
	case 126:
		return b[4:]
	case 127:
		return b[10:]
	}
	return b[2:]
}

// queueMessageLocked encodes a message behind what is queued.
func (q *output) queueMessageLocked(t codec.Type, mid uint64, route string, payload []byte, flags codec.Flags, m *manner) error {
	o := q.outLocked()
	if m.droppable() {
		b, err := q.appendMessage(nil, t, mid, route, payload, flags)
		if err == nil {
			q.replacedLocked(o.addLoose(b, m))
		}
		return err
	}
	b, err := q.appendMessage(o.begin(), t, mid, route, payload, flags)
	n := len(b) - len(o.own)
	o.end(b)
	if t == codec.Response && q.busyLocked() {
		o.overtake(n)
	}
	return err
}

// queueFrameLocked queues a shared frame, behind or in the place of others.
func (q *output) queueFrameLocked(f *frame, made *extensions) (list urgency, hurry bool) {
	before, as := q.waitingLocked(), q.form()
	switch {
	case !q.queuedLocked():
		q.chain = &f.only
	case q.chain != nil && made != nil:
		q.chain = made.extend(q.chain, f)
		q.replacedLocked(q.chain.sizes.in(as) < before+f.only.sizes.in(as))
	case f.droppable():
		q.replacedLocked(q.outLocked().addLoose(f.in(as), &f.manner))
	default:
		q.outLocked().addShared(f.in(as))
	}
	return q.listLocked(f.when, before)
}

// queueCountedLocked queues a frame that nothing may replace any more.
func (q *output) queueCountedLocked(f *frame, made *extensions) (list urgency, hurry bool) {
	before := q.waitingLocked()
	switch {
	case f.droppable():
		q.outLocked().addShared(f.in(q.form()))
	case !q.queuedLocked():
		q.chain = &f.only
	case q.chain != nil && made != nil:
		q.chain = made.extend(q.chain, f)
	default:
		q.outLocked().addShared(f.in(q.form()))
	}
	return q.listLocked(f.when, before)
}

// listLocked notes that there is output, where there were before bytes of it. The caller gives the
// connection to the flush queue with the urgency list. hurry says that the queue has become long:
// then it does not wait, and the flush queue must hurry.
func (q *output) listLocked(when urgency, before int) (list urgency, hurry bool) {
	now := q.waitingLocked()
	if q.weighed > 0 || now+q.inFlight.bytes >= weighFrom {
		q.weighLocked()
	}
	if q.writing || q.held && q.aheadLocked() == nil {
		return never, false
	}
	hurry = before < hurryAt && now >= hurryAt
	switch {
	case when == atFirst:
		if !q.first {
			q.first, list = true, atFirst
		}
	case q.first || q.listed:
	case when == delayed && q.gate.flushes.delay > 0 && !hurry:
		if now := q.gate.flushes.round.Load(); q.round != now {
			q.round, list = now, delayed
		}
	default:
		q.listed, list = true, soon
	}
	return list, hurry
}

// answerLocked returns a queue that begins with the handshake's answer.
func (q *output) answerLocked(f *frame) *outbuf {
	o := getOutbuf(q.merges)
	switch {
	case !q.websocket:
		o.addShared(f.packet())
	case q.merges: // a message of its own all the same: the client does not know yet what was agreed
		o.addPre(f.wire)
		o.count++
	default:
		o.addShared(f.wire)
	}
	return o
}

// releaseLocked puts the handshake's answer before everything that was queued meanwhile, and lets
// the queue go. The caller gives the connection to the flush queue, to be flushed first.
func (q *output) releaseLocked(answer *frame) {
	var early *outbuf
	if q.queuedLocked() {
		early = q.outLocked()
		q.out = nil
	}
	o := q.answerLocked(answer)
	if early != nil {
		early.appendTo(o)
	}
	q.out, q.held, q.first = o, false, true
}

// writableLocked tells whether there is output that may go now.
func (q *output) writableLocked() bool { return q.aheadLocked() != nil || !q.held && q.queuedLocked() }

// takeLocked takes what may go now to write it: the queue, or what goes ahead of it. Its taker calls
// ready.
func (q *output) takeLocked() *outbuf {
	var o *outbuf
	var own weight
	switch {
	case q.aheadLocked() != nil:
		o = getOutbuf(false)
		o.addFrame(q.transit.ahead)
		own = weight{o.size, o.size}
		q.transit.ahead = nil
	case q.chain != nil && q.chain.joins():
		o = getOutbuf(false) // a piece is a whole message where the client takes one
		o.chain = q.chain
		own = weight{q.waitingLocked(), q.chain.share(q.form())}
		q.chain = nil
	default:
		o = q.outLocked()
		own = weight{o.size, o.size}
		q.out = nil
	}
	q.inFlight = own
	return o
}

// ready makes what was taken ready to be written. It is called without the lock: it may compress.
func (q *output) ready(o *outbuf) {
	if o.chain != nil {
		o.chain.addTo(o, q.form())
		o.count, o.chain = o.chain.count, nil
		o.finish()
		return
	}
	o.finish()
	if q.deflates {
		q.gate.encoder.zip.deflate(o)
	}
}

// peer returns the address of this connection's client.
func (q *output) peer() net.Addr {
	return q.sock.RemoteAddr()
}

// headerLen is the length of a WebSocket frame's header for n bytes from a server.
func headerLen(n int) int {
	switch {
	case n <= 125:
		return 2
	case n <= 0xffff:
		return 4
	}
	return 10
}
