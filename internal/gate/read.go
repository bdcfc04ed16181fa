package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// errClosed ends the reading of a client that said goodbye.
var errClosed = errors.New("closed by the client")

// input is what the reader of a connection has while it serves what came; between two reads only if
// the first ended within a packet or a WebSocket message.
type input struct {
	conn     *Conn
	packets  codec.Decoder
	frames   wsframe.Parser
	taken    int             // packets of the bytes that are served
	gathered []byte          // of a compressed message that has not come whole
	batch    *dispatch.Batch // of the read that is being worked on
	given    int             // bytes of the messages in batch
}

// maxGiven is how many bytes of messages a batch has before it is submitted, though there is more of
// the read. One read brings less, but it may be compressed. A gzip payload is submitted at once:
// what it unpacks to is not known here.
const maxGiven = 64 << 10

var inputs = sync.Pool{New: func() any { return new(input) }}

// inputOf returns an input for what a connection reads.
func inputOf(c *Conn) *input {
	in := inputs.Get().(*input)
	in.conn = c
	limit := c.gate.cfg.MaxPacket
	in.packets.Init(limit)
	if c.websocket {
		in.frames.Init(max(limit+codec.HeadLength, 1<<20))
		if c.deflates {
			in.frames.AllowCompressed()
		}
	}
	return in
}

// release gives the input back: all of what came is served.
func (in *input) release() {
	in.conn, in.gathered = nil, nil
	inputs.Put(in)
}

// partial reports whether what came ends within a packet or a message.
func (in *input) partial() bool { return in.packets.Partial() || in.frames.Partial() }

// Serve serves what one read brought. It is called by whoever reads the connection, as are Settle
// and InputEnded: see [transport.Handler].
func (c *Conn) Serve(data []byte) error {
	c.gate.counters.BytesIn.Add(uint64(len(data)))
	c.spoke.see(c.gate.wheel.now.Load())
	if c.deaf {
		return nil
	}
	err := c.res.Load().enter(c)
	if err != nil {
		return err
	}
	in := c.in
	if in == nil {
		in = inputOf(c)
		c.in = in
	}
	if c.websocket {
		err = in.consumeFrames(data)
	} else {
		err = in.consumePackets(data)
	}
	c.gate.counters.PacketsIn.Add(uint64(in.taken))
	in.taken = 0
	if err == nil {
		return nil
	}
	in.submit() // what came before comes first
	if isMalformed(err) {
		if what := foreign(data); what != "" && !c.websocket && phase(c.phase.Load()) == waiting {
			err = fmt.Errorf("this looks like %s: %w", what, err)
		}
		c.malformed(err)
		return nil
	}
	return err
}

// Settle hands the calls of what was read to their schedulers, and waits for room there, and for
// another node if it has to.
func (c *Conn) Settle() {
	in := c.in
	in.submit()
	c.res.Load().exit(c)
	if in != nil && (c.deaf || !in.partial()) {
		c.in = nil
		in.release()
	}
}

// Pause makes the reader wait until the channel is closed before it reads more. The caller, which
// sends the session's messages to another node, must close the channel when the session ends.
func (c *Conn) Pause(until <-chan struct{}) { c.pause.Store(&until) }

// malformed ends the session of a client whose input makes no sense. What else it sends is read and
// dropped until the connection is closed: with input unread it would be reset, and the client not
// see why.
func (c *Conn) malformed(err error) {
	c.deaf = true
	if phase(c.phase.Load()) == leaving {
		return
	}
	c.gate.counters.Malformed.Add(1)
	c.gate.cfg.Log.Warn("connection ended: malformed input", "session", c.owner().sess.ID(), "remote", c.peer(), "err", err)
	var ws *wsframe.Error
	switch {
	case errors.As(err, &ws):
		c.closeWith(ws.Code)
	case errors.Is(err, codec.ErrPacketTooLarge):
		c.closeWith(wsframe.CloseTooBig)
	default:
		c.closeWith(wsframe.CloseProtocolError)
	}
	_ = c.shut(nil, session.CloseReason{Kind: session.CloseMalformed, Reason: err.Error()})
}

// foreign names another protocol that a connection to a TCP endpoint begins with, as it does where
// a page or a proxy connects to the wrong port; "" for none.
func foreign(data []byte) string {
	if len(data) > 2 && data[0] == 0x16 && data[1] == 3 {
		return "TLS, which the endpoint takes with Endpoint.TLS or WithTLSConfig"
	}
	for _, method := range []string{"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH ", "TRACE ", "PRI * HTTP"} {
		if bytes.HasPrefix(data, []byte(method)) {
			return "HTTP, which the endpoint takes with Endpoint.WebSocket or WithIsWebsocket"
		}
	}
	return ""
}

// Malformed ends the session for a message that no honest client sends. The dispatcher calls it on
// the reader's goroutine.
func (c *Conn) Malformed(err error) {
	c.res.Load().readBy(c).malformed(err)
}

// errProtocol marks what a correct client does not do.
var errProtocol = errors.New("protocol violated")

// InputEnded is called once, when nothing more can be read.
func (c *Conn) InputEnded(err error) {
	c.in = nil
	log := c.gate.cfg.Log
	// The end of a stream is no goodbye where the client can come back: its network may have
	// changed.
	bye := errors.Is(err, io.EOF) && !c.outlives() || errors.Is(err, errClosed)
	switch {
	case bye, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, errReplaced), phase(c.phase.Load()) == leaving:
		log.Debug("connection ended", "session", c.owner().sess.ID(), "remote", c.peer(), "err", err)
	default:
		log.Info("connection ended", "session", c.owner().sess.ID(), "remote", c.peer(), "err", err)
	}
	if !bye {
		c.because(session.CloseNetwork, err.Error())
	}
	c.mu.Lock()
	c.readDone = true
	cut := !bye || c.flushed
	c.mu.Unlock()
	if bye { // what is queued may still find a reader
		_ = c.shut(nil, session.CloseReason{Kind: session.CloseByClient}) // if it is closing already, the flush goes on
	}
	if cut {
		c.cut()
	}
	c.gate.remove(c)
}

// isMalformed tells errors in what a client sent from errors of the network.
func isMalformed(err error) bool {
	var ws *wsframe.Error
	return errors.Is(err, errProtocol) || errors.Is(err, codec.ErrPacketType) || errors.Is(err, codec.ErrPacketTooLarge) ||
		errors.Is(err, codec.ErrMessageInvalid) || errors.Is(err, codec.ErrRouteCode) || errors.As(err, &ws)
}

// submit hands the calls of what was read to their schedulers. It waits for room there, and for
// another node if it has to. There is nothing to do for nil.
func (in *input) submit() {
	if in == nil || in.batch == nil {
		return
	}
	c := in.conn
	b := in.batch
	in.batch, in.given = nil, 0
	b.Submit()
	if until := c.owner().pause.Swap(nil); until != nil {
		c.busy.Store(true)
		c.sock.Waiting()
		<-*until
	}
	c.busy.Store(false)
}

// consumeFrames takes packets out of WebSocket frames; where messages begin and end means nothing.
func (in *input) consumeFrames(data []byte) error {
	for {
		ev, rest, err := in.frames.Next(data)
		if err != nil {
			return err
		}
		switch ev.Kind {
		case wsframe.None:
			return nil
		case wsframe.Data:
			if ev.Compressed {
				err = in.inflated(ev.Payload, ev.Final)
			} else {
				err = in.consumePackets(ev.Payload)
			}
			if err != nil {
				return err
			}
		case wsframe.Ping:
			in.pong(ev.Payload)
		case wsframe.Close:
			code, _ := wsframe.ParseClose(ev.Payload)
			if in.conn.outlives() && code != wsframe.CloseNormal && code != wsframe.CloseGoingAway {
				return errLeft
			}
			in.conn.closeWith(code) // which goes back
			return errClosed
		}
		data = rest
	}
}

func (in *input) consumePackets(data []byte) error {
	in.packets.Feed(data)
	for {
		p, ok, err := in.packets.Next()
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		in.taken++
		if err := in.packet(p); err != nil {
			return err
		}
	}
}

// packet is the table of what each packet means in each phase.
func (in *input) packet(p codec.Packet) error {
	c := in.conn
	ph := phase(c.phase.Load())
	if ph == leaving {
		return nil
	}
	switch p.Type {
	case codec.Handshake:
		if ph != waiting && !in.takeToken() {
			return nil
		}
		h := handshake{conn: c}
		return h.serve(p.Body)
	case codec.HandshakeAck:
		switch ph {
		case waiting:
			return fmt.Errorf("%w: handshake ack before a handshake", errProtocol)
		case shaken:
			h := handshake{conn: c}
			h.acknowledged()
		}
	case codec.Data:
		if ph != working {
			return fmt.Errorf("%w: data before the handshake was finished", errProtocol)
		}
		c.res.Load().received(c, codec.HeadLength+len(p.Body))
		return in.data(p.Body)
	case codec.Heartbeat: // a sign of life
		return c.res.Load().beaten(p.Body)
	case codec.Kick: // the goodbye of a client whose session would go on; from others it means nothing
		if c.outlives() {
			return errClosed
		}
	}
	return nil
}

// data takes one message to the dispatcher.
func (in *input) data(body []byte) error {
	c := in.conn
	v, err := codec.ParseMessage(body)
	if err != nil {
		return err
	}
	if v.Compressed && v.Type != codec.Response {
		if _, ok := c.gate.cfg.Dictionary.Route(v.Code); !ok {
			return fmt.Errorf("%w: %d", codec.ErrRouteCode, v.Code)
		}
	}
	v.Gzip = v.Gzip && c.wantsGzip // where it was not agreed, the bit means nothing, as in v0.5
	serve := in.takeToken()
	if in.batch == nil {
		in.batch = c.gate.cfg.Table.Begin()
	}
	switch {
	case serve:
		in.batch.Add(c.owner(), v)
	case c.gate.cfg.Limits.MessagePolicy == LimitDrop:
		in.batch.Refuse(c.owner(), v, component.Errorf(component.CodeExhausted, "too many messages"))
	}
	in.given += codec.HeadLength + len(body)
	if in.given > maxGiven || v.Gzip {
		in.submit()
	}
	return nil
}

// pong answers a WebSocket ping. Before the handshake's answer it goes ahead of what is queued; of
// several pings that are not answered yet the last one is.
func (in *input) pong(payload []byte) {
	c := in.conn
	f := wsframe.AppendFrame(nil, wsframe.OpPong, payload)
	c.mu.Lock()
	if c.admitLocked(len(f), &manner{when: atFirst}) != nil {
		c.mu.Unlock()
		return
	}
	switch {
	case c.held:
		c.transitLocked().ahead = f
	case c.merges:
		c.outLocked().addPre(f)
	default:
		c.outLocked().addFrame(f)
	}
	list, _ := c.listLocked(atFirst, 0)
	c.mu.Unlock()
	c.gate.flushes.add(list, c)
}
