//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/test/internal/wire"
)

// hostile is a client that does harm, in another way each time.
type hostile struct {
	load *load
	rng  *rand.Rand
}

// way is one way to do harm. run returns an error only for what the node must not do or let happen:
// what happens to the hostile client itself is its own affair.
type way struct {
	name string
	run  func(h *hostile) error
}

// stage is how far a client goes before it breaks the rules.
type stage int

const (
	fresh  stage = iota // connected, and upgraded
	shaken              // the handshake is answered
	ready               // and acknowledged
)

// attack goes through all ways, beginning anywhere, until the end of the load.
func (h *hostile) attack() {
	ways := slices.Clone(h.load.ways)
	for h.load.running() {
		h.rng.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
		for _, w := range ways {
			if !h.load.running() {
				return
			}
			if err := w.run(h); err != nil && h.load.running() {
				h.load.fail("hostile", "%s: %v", w.name, err)
			}
			h.load.attacks.Add(1)
			h.load.pause(time.Duration(h.rng.IntN(200)) * time.Millisecond)
		}
	}
}

// open connects as far as the stage; a node that takes no more is an error that is nobody's fault.
func (h *hostile) open(webSocket bool, to stage) *wire.Conn {
	h.load.slots <- struct{}{}
	defer func() { <-h.load.slots }()
	c, err := wire.Dial(h.load.addr(webSocket), webSocket)
	if err != nil {
		return nil
	}
	switch to {
	case shaken:
		_ = c.Send(codec.AppendPacket(nil, codec.Handshake, []byte(wire.Hello)))
		_ = c.SetReadDeadline(time.Now().Add(answerTime))
		_, err = c.Next()
	case ready:
		err = c.Shake(wire.Hello)
	}
	if err != nil {
		_ = c.Close()
		return nil
	}
	return c
}

// raw connects without a word, to the TCP or the WebSocket endpoint.
func (h *hostile) raw(webSocket bool) net.Conn {
	nc, err := net.Dial("tcp", h.load.addr(webSocket)) //nolint:noctx // loopback
	if err != nil {
		return nil
	}
	return nc
}

// cut closes the connection at the end of the load, unless the result is called before.
func (h *hostile) cut(nc net.Conn) func() bool {
	return context.AfterFunc(h.load.ctx, func() { _ = nc.Close() })
}

// ended reads until the connection ends, and wants that within d (and some time for a busy
// machine).
func (h *hostile) ended(nc net.Conn, d time.Duration) error {
	defer nc.Close()
	stop := h.cut(nc)
	defer stop()
	begun := time.Now()
	d += slack
	_ = nc.SetReadDeadline(begun.Add(d))
	_, err := io.Copy(io.Discard, nc)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the connection is open after %v", d)
	}
	return nil
}

// slack is added to every time limit, since the machine is busy.
const slack = 10 * time.Second

// trickle writes one byte a second until the other end closes, and wants that within d.
func (h *hostile) trickle(nc net.Conn, b []byte, d time.Duration) error {
	end := make(chan error, 1)
	go func() { end <- h.ended(nc, d) }()
	for i := 0; ; i++ {
		_, err := nc.Write(b[i%len(b) : i%len(b)+1])
		select {
		case err := <-end:
			return err
		case <-h.load.ctx.Done():
			_ = nc.Close()
			return <-end
		case <-time.After(time.Second):
		}
		if err != nil {
			return <-end
		}
	}
}

// sip reads one byte a second until the connection ends, and wants that within d.
func (h *hostile) sip(c *wire.Conn, d time.Duration) error {
	defer c.Close()
	stop := h.cut(c)
	defer stop()
	var one [1]byte
	for end := time.Now().Add(d + slack); time.Now().Before(end); {
		_ = c.SetReadDeadline(end)
		if n, _ := c.Read(one[:]); n == 0 || !h.load.pause(time.Second) { // it has ended
			return nil
		}
		// Once the node has closed the connection, it answers what is written with a reset, though
		// there is still something to read.
		if c.Send(codec.AppendPacket(nil, codec.Heartbeat, nil)) != nil {
			return nil
		}
	}
	return fmt.Errorf("the connection is open after %v", d+slack)
}
