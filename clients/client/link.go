package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
)

const (
	maxQueued = 1 << 20  // bytes that may wait to be written before requests wait
	keepMax   = 64 << 10 // bytes of a buffer that is kept for reuse
)

// keptDict is a dictionary under the version that the server gave it. The zero value is none.
type keptDict struct {
	version string
	dict    *codec.Dictionary
}

// link is one connection, from its handshake on.
type link struct {
	c     *Client
	t     transport
	dict  *codec.Dictionary
	kept  keptDict // what the hello names; after the handshake what the next one may name
	info  Info
	ready chan struct{} // closed when the setup of a reconnection has returned; nil: there is none
	event EventConn     // reads itself; nil: the client reads

	// What stands here belongs to the reader.
	dec       codec.Decoder
	armed     time.Time // when the deadline of reading was set
	owing     bool      // in handle: it is to call dispatch
	gathering bool      // in handle: corked was set
	drained   bool      // the server has asked the client to leave

	// What stands here is constant after the handshake.
	counts  bool            // the server resumes sessions: both sides count
	greeted bool            // the answer to the handshake was taken
	resumed bool            // the session from before goes on
	gap     bool            // and has lost messages
	lost    string          // why it does not
	says    json.RawMessage // during the handshake: what the server says of resuming

	// What stands here is guarded by Client.mu.
	online  bool // everybody may use it, unless dead
	dead    bool
	cause   error // why, if dead
	closing bool  // nothing is sent any more; the connection ends when out is written
	writing bool  // a goroutine writes
	corked  bool  // what is sent waits for the end of handle
	out     *[]byte
	space   chan struct{} // closed when out was taken or the link has died; nil: nobody waits
	flushed chan struct{} // closed when a closing link has written all, or has died; nil: it is not closing
	since   time.Time     // when it went online
	cancel  func()        // ends the setup's context
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func putBuffer(b *[]byte) {
	if cap(*b) <= keepMax {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// sendLocked queues what add appends, and starts to write it. The bytes of one call stay together.
func (l *link) sendLocked(add func(dst []byte) ([]byte, error)) error {
	if l.out == nil {
		l.out = buffers.Get().(*[]byte)
	}
	before := len(*l.out)
	b, err := add(*l.out)
	if err != nil {
		return err
	}
	*l.out = b
	l.countOut(b[before:])
	if l.corked {
		return nil
	}
	if before == 0 && !l.writing && (l.event != nil || l.c.calls.count() <= 1) {
		l.writeNowLocked()
	}
	l.writeLocked()
	return nil
}

// writeNowLocked writes what the socket takes at once. A message alone needs no goroutine then; one
// of many had better wait for it, and go out with the others.
func (l *link) writeNowLocked() {
	if l.dead {
		return
	}
	n := 0
	if l.event != nil {
		n = l.event.TryWrite(*l.out)
	} else if t, ok := l.t.(quickWriter); ok {
		n = t.writeNow(*l.out)
	}
	if n == 0 {
		return
	}
	rest := (*l.out)[n:]
	if len(rest) > 0 {
		*l.out = append((*l.out)[:0], rest...)
		return
	}
	putBuffer(l.out)
	l.out = nil
}

// roomLocked reports whether more may be queued.
func (l *link) roomLocked() bool { return l.out == nil || len(*l.out) < maxQueued }

// countOut counts and traces one packet.
func (l *link) countOut(packet []byte) {
	l.c.stats.packetsOut.Add(1)
	l.c.stats.bytesOut.Add(uint64(len(packet)))
	if trace := l.c.cfg.trace; trace != nil {
		trace(true, codec.Packet{Type: codec.PacketType(packet[0]), Body: packet[codec.HeadLength:]})
	}
}

// writeLocked starts a goroutine that writes, if none does. It lives as long as there is something
// to write, so that senders do not wait for the network, and what is sent meanwhile goes out in one
// write.
func (l *link) writeLocked() {
	if !l.writing && !l.dead && (l.out != nil || l.closing) {
		l.writing = true
		l.c.wg.Add(1)
		go l.write()
	}
}

func (l *link) write() {
	c := l.c
	defer c.wg.Done()
	c.mu.Lock()
	for !l.dead && l.out != nil {
		b := l.out
		l.out = nil
		l.spaceLocked()
		c.mu.Unlock()
		err := l.t.write(*b, time.Now().Add(c.cfg.writeTimeout))
		putBuffer(b)
		if err != nil {
			l.fail(fmt.Errorf("client: write: %w", err))
		}
		c.mu.Lock()
	}
	l.writing = false
	end := l.closing && !l.dead
	c.mu.Unlock()
	if end {
		l.t.end()
		c.mu.Lock()
		l.flushedLocked()
		c.mu.Unlock()
	}
}

// flushedLocked wakes those who close l: nothing more goes out.
func (l *link) flushedLocked() {
	if l.flushed != nil {
		close(l.flushed)
		l.flushed = nil
	}
}

// spaceLocked wakes those who wait for room.
func (l *link) spaceLocked() {
	if l.space != nil {
		close(l.space)
		l.space = nil
	}
}

// shutLocked ends l after what is queued, within closeWait.
func (l *link) shutLocked() {
	c := l.c
	if l.dead || l.closing {
		return
	}
	if l.counts { // the end of the stream alone would be no goodbye
		_ = l.sendLocked(func(b []byte) ([]byte, error) { return codec.AppendPacket(b, codec.Kick, nil), nil })
	}
	l.closing, l.flushed = true, make(chan struct{})
	l.spaceLocked()
	l.writeLocked()
	c.wg.Add(1)
	c.linger = time.AfterFunc(closeWait, func() {
		defer c.wg.Done()
		l.fail(ErrClosed)
	})
	if l.cancel != nil {
		l.cancel()
	}
}

// fail ends l at once. The first cause counts.
func (l *link) fail(cause error) {
	c := l.c
	c.mu.Lock()
	if !l.dead {
		l.dead, l.cause = true, cause
		c.suspendLocked(l)
		l.spaceLocked()
		l.flushedLocked()
		if l.cancel != nil {
			l.cancel()
		}
	}
	c.mu.Unlock()
	l.t.close()
}

// read handles what comes on l until its end, and returns the reason.
func (l *link) read() error {
	if l.event != nil {
		return l.serve(l.event)
	}
	for {
		p, err := l.next()
		if err != nil {
			return err
		}
		if err := l.receive(p); err != nil {
			return err
		}
	}
}

// next returns the next packet. Its body is valid until the next call.
func (l *link) next() (codec.Packet, error) {
	for {
		p, ok, err := l.decoded()
		if ok || err != nil {
			return p, err
		}
		l.watchSilence()
		data, err := l.t.read()
		if err != nil {
			return p, readError(err)
		}
		l.c.stats.bytesIn.Add(uint64(len(data)))
		l.dec.Feed(data)
	}
}

// decoded returns the next packet of what was read, if there is a whole one.
func (l *link) decoded() (codec.Packet, bool, error) {
	p, ok, err := l.dec.Next()
	if err != nil {
		return p, false, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if ok {
		l.c.stats.packetsIn.Add(1)
		if trace := l.c.cfg.trace; trace != nil {
			trace(false, p)
		}
	}
	return p, ok, nil
}

// watchSilence moves the deadline of reading on, but not on each read: a server is found silent two
// intervals to two and an eighth after its last sign of life.
func (l *link) watchSilence() {
	beat := l.info.Heartbeat
	if beat == 0 {
		return
	}
	if now := time.Now(); l.armed.IsZero() || now.Sub(l.armed) >= beat/8 {
		l.armed = now
		l.t.deadline(now.Add(2*beat + beat/8))
	}
}

func readError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSilent
	case errors.Is(err, io.EOF):
		return fmt.Errorf("client: the server has closed the connection: %w", err)
	}
	return fmt.Errorf("client: read: %w", err)
}

// receive handles one packet.
func (l *link) receive(p codec.Packet) error {
	switch p.Type {
	case codec.Heartbeat:
		return l.beaten(p.Body)
	case codec.Kick:
		return kicked(p.Body)
	case codec.Data:
		if err := l.received(p.Body); err != nil {
			return err
		}
		v, err := codec.ParseMessage(p.Body)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		switch v.Type {
		case codec.Response:
			l.answer(v)
		case codec.Push:
			if l.counts && !v.Compressed && string(v.Route) == drainRoute {
				l.leave()
				return nil
			}
			return l.c.pushes.push(l, v)
		}
	}
	return nil // handshakes, and what only clients send: nothing that could be done about it
}

// answer gives a response to the request that waits for it.
func (l *link) answer(v codec.View) {
	k := l.c.calls.take(v.ID)
	if k == nil { // given up
		return
	}
	if l.event != nil && k.fn != nil {
		l.cork()
	}
	l.c.calls.answer(k, v)
}

// usableForLocked reports whether a message that is sent with ctx may go over l.
func (l *link) usableForLocked(ctx context.Context) bool {
	if l == nil || l.dead || l.closing {
		return false
	}
	if l.online {
		return true
	}
	of, _ := ctx.Value(setupKey{}).(*link)
	return of == l
}
