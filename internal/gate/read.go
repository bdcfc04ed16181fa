package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// errClosed ends the reading of a client that said goodbye.
var errClosed = errors.New("closed by the client")

// input is what the reader of a connection has while it serves what came; between two reads only if
// the first ended within a packet or a WebSocket message.
type input struct {
	packets codec.Decoder
	frames  wsframe.Parser
	taken   int             // packets of the bytes that are served
	packed  []byte          // of a compressed message that has not come whole
	batch   *dispatch.Batch // of the read that is being worked on
}

var inputs = sync.Pool{New: func() any { return new(input) }}

func (c *Conn) takeInput() {
	c.in = inputs.Get().(*input)
	limit := c.gate.cfg.MaxPacket
	c.in.packets.Init(limit)
	if c.websocket {
		c.in.frames.Init(max(limit+codec.HeadLength, 1<<20))
		if c.deflates {
			c.in.frames.AllowCompressed()
		}
	}
}

// Serve serves what one read brought. It is called by whoever reads the connection, as are Settle
// and InputEnded: see [transport.Handler].
func (c *Conn) Serve(data []byte) error {
	c.gate.counters.BytesIn.Add(uint64(len(data)))
	c.spoke.see(c.gate.wheel.now.Load())
	if c.deaf {
		return nil
	}
	err := c.enter()
	if err != nil {
		return err
	}
	if c.in == nil {
		c.takeInput()
	}
	if c.websocket {
		err = c.consumeFrames(data)
	} else {
		err = c.consumePackets(data)
	}
	c.gate.counters.PacketsIn.Add(uint64(c.in.taken))
	c.in.taken = 0
	if err == nil {
		return nil
	}
	c.submit() // what came before comes first
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
	c.submit()
	c.exit()
	if in := c.in; in != nil && (c.deaf || !in.packets.Partial() && !in.frames.Partial()) {
		c.in, in.packed = nil, nil
		inputs.Put(in)
	}
}

func (c *Conn) submit() {
	if c.in == nil || c.in.batch == nil {
		return
	}
	b := c.in.batch
	c.in.batch = nil
	c.busy.Store(true)
	b.Submit()
	if until := c.owner().pause.Swap(nil); until != nil {
		c.sock.Waiting()
		<-*until
	}
	c.busy.Store(false)
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
	c.reader().malformed(err)
}

// consumeFrames takes packets out of WebSocket frames; where messages begin and end means nothing.
func (c *Conn) consumeFrames(data []byte) error {
	for {
		ev, rest, err := c.in.frames.Next(data)
		if err != nil {
			return err
		}
		switch ev.Kind {
		case wsframe.None:
			return nil
		case wsframe.Data:
			if ev.Compressed {
				err = c.inflated(ev.Payload, ev.Final)
			} else {
				err = c.consumePackets(ev.Payload)
			}
			if err != nil {
				return err
			}
		case wsframe.Ping:
			c.pong(ev.Payload)
		case wsframe.Close:
			code, _ := wsframe.ParseClose(ev.Payload)
			if c.outlives() && code != wsframe.CloseNormal && code != wsframe.CloseGoingAway {
				return errLeft
			}
			c.closeWith(code) // which goes back
			return errClosed
		}
		data = rest
	}
}

func (c *Conn) consumePackets(data []byte) error {
	c.in.packets.Feed(data)
	for {
		p, ok, err := c.in.packets.Next()
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		c.in.taken++
		if err := c.packet(p); err != nil {
			return err
		}
	}
}

// packet is the table of what each packet means in each phase.
func (c *Conn) packet(p codec.Packet) error {
	ph := phase(c.phase.Load())
	if ph == leaving {
		return nil
	}
	switch p.Type {
	case codec.Handshake:
		return c.shakeHands(p.Body)
	case codec.HandshakeAck:
		switch ph {
		case waiting:
			return fmt.Errorf("%w: handshake ack before a handshake", errProtocol)
		case shaken:
			c.acknowledged()
		}
	case codec.Data:
		if ph != working {
			return fmt.Errorf("%w: data before the handshake was finished", errProtocol)
		}
		c.received(codec.HeadLength + len(p.Body))
		return c.data(p.Body)
	case codec.Heartbeat: // a sign of life
		return c.beaten(p.Body)
	case codec.Kick: // the goodbye of a client whose session would go on; from others it means nothing
		if c.outlives() {
			return errClosed
		}
	}
	return nil
}

// errProtocol marks what a correct client does not do.
var errProtocol = errors.New("protocol violated")

// data takes one message to the dispatcher.
func (c *Conn) data(body []byte) error {
	v, err := codec.ParseMessage(body)
	if err != nil {
		return err
	}
	if v.Compressed && v.Type != codec.Response {
		if _, ok := c.gate.cfg.Dictionary.Route(v.Code); !ok {
			return fmt.Errorf("%w: %d", codec.ErrRouteCode, v.Code)
		}
	}
	if c.in.batch == nil {
		c.in.batch = c.gate.cfg.Table.Begin()
	}
	v.Gzip = v.Gzip && c.wantsGzip // where it was not agreed, the bit means nothing, as in v0.5
	if c.gate.cfg.Limits.Messages > 0 && !c.limited(v) {
		return nil
	}
	c.in.batch.Add(c.owner(), v)
	return nil
}

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
	c.readEnded(bye)
}

// isMalformed tells errors in what a client sent from errors of the network.
func isMalformed(err error) bool {
	var ws *wsframe.Error
	return errors.Is(err, errProtocol) || errors.Is(err, codec.ErrPacketType) || errors.Is(err, codec.ErrPacketTooLarge) ||
		errors.Is(err, codec.ErrMessageInvalid) || errors.Is(err, codec.ErrRouteCode) || errors.As(err, &ws)
}
