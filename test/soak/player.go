//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/test/internal/wire"
)

// answerTime is how long a player waits for an answer before it counts as lost.
const answerTime = 30 * time.Second

// roomSize is how many players share a room.
const roomSize = 50

// player is a client that keeps all rules and checks all that it gets. It connects again and again.
type player struct {
	load *load
	n    int
	rng  *rand.Rand
}

// visit is one connection of a player.
type visit struct {
	*player
	conn *wire.Conn
	in   int64 // number of the last message sent
	id   uint64

	mu      sync.Mutex
	waiting map[uint64]expected
	leaving bool
	joined  bool
	self    int64 // id of the session
	room    int64 // number of the room's last push
	said    int64 // number of the own last word in the room
	sent    int64 // words said
	burst   int64
}

// expected is the answer that a request has to get.
type expected struct {
	route string
	data  []byte
	since time.Time
}

// play connects until the end of the load.
func (p *player) play() {
	for p.load.running() {
		if err := p.visit(); err != nil && p.load.running() {
			p.load.fail("session", "player %d: %v", p.n, err)
			p.load.pause(time.Second)
		}
	}
}

// visit connects, plays for a while and leaves.
func (p *player) visit() error {
	webSocket := p.n%2 == 1
	p.load.slots <- struct{}{}
	c, err := wire.Ready(p.load.addr(webSocket), webSocket)
	<-p.load.slots
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	v := &visit{player: p, conn: c, waiting: make(map[uint64]expected)}
	done := make(chan error, 1)
	go func() { done <- v.read() }()
	p.load.visits.Add(1)
	p.load.present.Add(1)
	defer p.load.present.Add(-1)
	err = v.act(done)
	_ = c.Close()
	if err == nil {
		<-done //nolint:errcheck // the end that was just asked for
	}
	return err
}

// act sends until it is time to leave, and leaves.
func (v *visit) act(done <-chan error) error {
	if err := v.request("Soak.Join", []byte(strconv.Itoa(v.n/roomSize))); err != nil {
		return err
	}
	stay := time.After(v.load.stay(v.rng))
	for {
		wait := time.Duration(v.rng.ExpFloat64() * float64(v.load.think))
		select {
		case err := <-done:
			return fmt.Errorf("ended without a reason: %w", err)
		case <-stay:
			return v.leave(done)
		case <-v.load.ctx.Done():
			return v.settle(done)
		case <-time.After(wait):
		}
		if err := v.something(); err != nil {
			return err
		}
		if err := v.overdue(); err != nil {
			return err
		}
	}
}

// something is one thing that players do.
func (v *visit) something() error {
	text := []byte("hello")
	switch n := v.rng.IntN(100); {
	case n < 5:
		v.mu.Lock()
		joined := v.joined
		if joined {
			v.sent++
		}
		v.mu.Unlock()
		if !joined {
			return nil
		}
		v.in++
		return v.conn.Request(0, "Soak.Say", strconv.AppendInt(nil, v.in, 10))
	case n < 10:
		return v.request("Soak.Burst", []byte(strconv.Itoa(1+v.rng.IntN(20))))
	case n < 20:
		return v.request("Soak.Later", text)
	case n < 25:
		return v.request("Soak.Fail", text)
	case n < 26:
		return v.request("Soak.Echo", bytes.Repeat(text, 4000))
	default:
		return v.request("Soak.Echo", bytes.Repeat(text, 1+v.rng.IntN(20)))
	}
}

// request sends one with the next number before its payload.
func (v *visit) request(route string, data []byte) error {
	v.in++
	v.id++
	payload := append(append(strconv.AppendInt(nil, v.in, 10), ' '), data...)
	v.mu.Lock()
	v.waiting[v.id] = expected{route, payload, time.Now()}
	v.mu.Unlock()
	v.load.requests.Add(1)
	return v.conn.Request(v.id, route, payload)
}

// overdue is an error if an answer is lost.
func (v *visit) overdue() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, e := range v.waiting {
		if time.Since(e.since) > answerTime {
			return fmt.Errorf("request %d (%s) has no answer after %v", id, e.route, answerTime)
		}
	}
	return nil
}

// leave ends the visit in one of the ways in which clients do.
func (v *visit) leave(done <-chan error) error {
	v.load.reconnects.Add(1)
	if v.rng.IntN(2) == 0 {
		return v.settle(done)
	}
	v.mu.Lock()
	v.leaving = true
	v.mu.Unlock()
	if tcp, ok := v.conn.Conn.(*net.TCPConn); ok && v.rng.IntN(2) == 0 {
		_ = tcp.SetLinger(0) // a reset
	}
	return nil
}

// settle waits until nothing is owed to the player. Its own words have come back then too.
func (v *visit) settle(done <-chan error) error {
	for end := time.Now().Add(answerTime); ; {
		v.mu.Lock()
		open, words := len(v.waiting), v.sent-v.said
		v.leaving = open == 0 && words == 0
		leaving := v.leaving
		v.mu.Unlock()
		if leaving {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d answers and %d of the own words have not come within %v", open, words, answerTime)
		}
		select {
		case err := <-done:
			return fmt.Errorf("ended while %d answers were due: %w", open, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// read checks all that comes, until the connection ends.
func (v *visit) read() error {
	for {
		m, err := v.conn.NextMessage()
		v.mu.Lock()
		leaving := v.leaving
		v.mu.Unlock()
		if err != nil {
			if leaving {
				return nil
			}
			return err
		}
		switch m.Type {
		case codec.Response:
			v.answered(m)
		case codec.Push:
			v.pushed(m)
		default:
			v.load.fail("message", "player %d: a %v came", v.n, m.Type)
		}
	}
}

// answered checks an answer against what was asked.
func (v *visit) answered(m codec.View) {
	v.mu.Lock()
	e, ok := v.waiting[m.ID]
	delete(v.waiting, m.ID)
	v.mu.Unlock()
	if !ok {
		v.load.fail("doubled", "player %d: an answer to request %d, which is answered or was never made: %q", v.n, m.ID, m.Data)
		return
	}
	v.load.answers.Add(1)
	v.load.latency.add(time.Since(e.since))
	switch e.route {
	case "Soak.Join":
		n, ok := numbers(m.Data, 2)
		if m.Err || !ok {
			v.load.fail("answer", "player %d: joining was answered with %q", v.n, m.Data)
			return
		}
		v.mu.Lock()
		v.self, v.room, v.joined = n[0], n[1], true
		v.mu.Unlock()
	case "Soak.Fail":
		if !m.Err || !bytes.Contains(m.Data, []byte(`"teapot"`)) || !bytes.Contains(m.Data, e.data) {
			v.load.fail("answer", "player %d: the error of %q is %q", v.n, e.data, m.Data)
		}
	default:
		if m.Err || !bytes.Equal(m.Data, e.data) {
			v.load.fail("answer", "player %d: %s %.40q was answered with %.80q", v.n, e.route, e.data, m.Data)
		}
	}
}

// pushed checks that pushes come one after the other.
func (v *visit) pushed(m codec.View) {
	v.load.pushes.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch string(m.Route) {
	case "onBurst":
		n, ok := numbers(m.Data, 1)
		if !ok || n[0] != v.burst+1 {
			v.load.fail("push", "player %d: push %q after %d", v.n, m.Data, v.burst)
		}
		if ok {
			v.burst = n[0]
		}
	case "onRoom":
		n, ok := numbers(m.Data, 3)
		if !ok || !v.joined || n[0] != v.room+1 {
			v.load.fail("push", "player %d: the room's push %q after %d (joined: %v)", v.n, m.Data, v.room, v.joined)
		}
		if !ok {
			return
		}
		v.room = n[0]
		if n[1] != v.self {
			return
		}
		if n[2] != v.said+1 {
			v.load.fail("push", "player %d: the own word %d after %d", v.n, n[2], v.said)
		}
		v.said = n[2]
	default:
		v.load.fail("push", "player %d: a push %q", v.n, m.Route)
	}
}
