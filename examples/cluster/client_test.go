//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
)

// client is a client as a page is one: it finds its room again when that has moved. One goroutine
// calls; another reads.
type client struct {
	*nanotest.Client
	name, room string
	backend    string

	mu      sync.Mutex
	waiting map[uint64]chan *codec.Message
	next    uint64
	left    map[string]int // how often somebody was said to have left
	joined  []string
	heard   []string
	here    []JoinReply // of rooms that have moved with their people
	moved   atomic.Bool
	kick    chan string // the reason, when it was kicked
	gone    chan struct{}
}

var errGone = errors.New("the connection is gone")

// callError is an error response.
type callError struct{ Code, Message string }

func (e *callError) Error() string { return e.Code + ": " + e.Message }

// dial connects to a gate.
func dial(addr string, t *testing.T) (*client, error) {
	return dialFrom("", addr, t)
}

// dialFrom connects to a gate from an address of this machine.
func dialFrom(from, addr string, t *testing.T) (*client, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return shake(nanotest.NewClient(t, nc))
}

func shake(n *nanotest.Client) (*client, error) {
	c := &client{
		Client: n, waiting: make(map[uint64]chan *codec.Message), left: make(map[string]int),
		kick: make(chan string, 1), gone: make(chan struct{}),
	}
	c.Beats = true
	if err := c.SendPacket(codec.Handshake, []byte(`{"sys":{"accept":["error"]}}`)); err != nil {
		return nil, err
	}
	p, err := c.Next()
	if err != nil || p.Type != codec.Handshake {
		return nil, fmt.Errorf("instead of a handshake came %v, %w", p, err)
	}
	if err := c.SendPacket(codec.HandshakeAck, nil); err != nil {
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *client) close() {
	c.Close()
	<-c.gone
}

func (c *client) read() {
	defer close(c.gone)
	for {
		m, err := c.NextMessage()
		if err != nil {
			var k *nanotest.KickedError
			if errors.As(err, &k) {
				c.kick <- k.Reason
			}
			c.mu.Lock()
			for id, ch := range c.waiting {
				close(ch)
				delete(c.waiting, id)
			}
			c.waiting = nil
			c.mu.Unlock()
			return
		}
		switch {
		case m.Type == codec.Response:
			c.mu.Lock()
			if ch := c.waiting[m.ID]; ch != nil {
				ch <- m
				delete(c.waiting, m.ID)
			}
			c.mu.Unlock()
		case m.Route == pushMoved:
			c.moved.Store(true)
		case m.Route == pushPeople:
			var p People
			if json.Unmarshal(m.Data, &p) == nil {
				c.mu.Lock()
				if p.Left != "" {
					c.left[p.Left]++
				}
				if p.Joined != "" {
					c.joined = append(c.joined, p.Joined)
				}
				c.mu.Unlock()
			}
		case m.Route == pushHere:
			var reply JoinReply
			if json.Unmarshal(m.Data, &reply) == nil {
				c.mu.Lock()
				c.here = append(c.here, reply)
				c.mu.Unlock()
			}
		case m.Route == pushMessage:
			var said Message
			if json.Unmarshal(m.Data, &said) == nil {
				c.mu.Lock()
				c.heard = append(c.heard, said.Text)
				c.mu.Unlock()
			}
		}
	}
}

// call sends a request and waits for its answer.
func (c *client) call(route string, req, reply any, within time.Duration) error {
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	ch := make(chan *codec.Message, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return errGone
	}
	c.next++
	id := c.next
	c.waiting[id] = ch
	c.mu.Unlock()
	b, err := codec.AppendMessage(nil, &codec.Message{Type: codec.Request, ID: id, Route: route, Data: data}, nil)
	if err != nil {
		return err
	}
	if err := c.SendPacket(codec.Data, b); err != nil {
		return errGone
	}
	select {
	case m, ok := <-ch:
		if !ok {
			return errGone
		}
		if m.Err {
			var e struct{ Code, Error string }
			_ = json.Unmarshal(m.Data, &e)
			return &callError{e.Code, e.Error}
		}
		return json.Unmarshal(m.Data, reply)
	case <-time.After(within):
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		return fmt.Errorf("no answer to %s within %v", route, within)
	}
}

// join goes into the client's room, wherever that is.
func (c *client) join(within time.Duration) error {
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c.moved.Store(false)
		var entered EnterReply
		err := c.call("gate.enter", EnterRequest{}, &entered, 2*time.Second)
		if err == nil {
			var reply JoinReply
			if err = c.call("chat.join", JoinRequest{Room: c.room, Name: c.name}, &reply, time.Second); err == nil {
				c.backend = reply.Addr
				return nil
			}
		}
		if errors.Is(err, errGone) || time.Since(begin) > within {
			return err
		}
	}
}

// leftCount returns how often it was told that somebody has left.
func (c *client) leftCount(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left[name]
}
