//go:build linux

package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/test/internal/wire"
)

// outcomeTime is how long a request may be without an outcome while its connection lives.
const outcomeTime = 40 * time.Second

// player is a client that connects to a gate, and to another when that is gone.
type player struct {
	play *play
	n    int
	rng  *rand.Rand
}

// visit is one connection. Its number is its user too.
type visit struct {
	*player
	gate   *node
	c      *wire.Conn
	number string

	mu      sync.Mutex
	waiting map[uint64]*open
	pushes  map[string]int64     // the last number of each session that pushes
	good    map[string]time.Time // when each service answered last
	leaving bool
}

// open is a request without an outcome.
type open struct {
	route string
	since time.Time
}

// run connects until the end.
func (p *player) run() {
	for p.play.running() {
		gate := p.play.gates[p.rng.IntN(len(p.play.gates))]
		v, err := p.play.visit(gate, p.rng.IntN(2) == 0)
		if err != nil {
			p.play.pause(200 * time.Millisecond)
			continue
		}
		v.player = p
		done := make(chan error, 1)
		go func() { done <- v.read() }()
		p.play.present.Add(1)
		v.act(done)
		p.play.present.Add(-1)
		_ = v.c.Close()
	}
}

// visit connects and logs in.
func (p *play) visit(gate *node, webSocket bool) (*visit, error) {
	addr := gate.door(webSocket)
	if addr == "" {
		return nil, fmt.Errorf("%s is not there", gate.name)
	}
	c, err := wire.Ready(addr, webSocket)
	if err != nil {
		return nil, err
	}
	v := &visit{
		player: &player{play: p}, gate: gate, c: c, number: strconv.FormatInt(p.connections.Add(1), 10),
		waiting: make(map[uint64]*open), pushes: make(map[string]int64), good: make(map[string]time.Time),
	}
	_ = c.SetReadDeadline(time.Now().Add(outcomeTime))
	err = c.Request(1, "Gate.Login", []byte(v.number))
	if err == nil {
		var m codec.View
		if m, err = c.NextMessage(); err == nil && (m.ID != 1 || m.Err) {
			err = fmt.Errorf("the login is answered with %q", m.Data)
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return v, c.SetReadDeadline(time.Time{})
}

// act sends requests until the connection or the program ends, or the player has enough.
func (v *visit) act(done <-chan error) {
	stay := time.After(time.Duration(v.rng.ExpFloat64() * float64(30*time.Second)))
	for id := uint64(2); ; id++ {
		select {
		case err := <-done:
			if since := v.gate.troubled(); since > time.Minute {
				v.play.ledger.Fail("connection", "connection %s at %s ended, and nothing had happened to its gate: %v", v.number, v.gate.name, err)
			}
			return
		case <-stay:
			v.leave()
			return
		case <-v.play.ctx.Done():
			v.stuck()
			v.leave()
			return
		case <-time.After(time.Duration(v.rng.ExpFloat64() * float64(v.play.think))):
		}
		route := []string{"World.Do", "World.Do", "Ledger.Do", "World.Relay"}[v.rng.IntN(4)]
		_ = v.request(id, route) // an error is the reader's too
		v.overdue()
	}
}

func (v *visit) request(id uint64, route string) error {
	v.mu.Lock()
	v.waiting[id] = &open{route, time.Now()}
	v.mu.Unlock()
	v.play.requests.Add(1)
	return v.c.Request(id, route, []byte(v.number+" "+strconv.FormatUint(id, 10)))
}

func (v *visit) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leaving = true
}

// overdue finds requests without an outcome.
func (v *visit) overdue() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, o := range v.waiting {
		if time.Since(o.since) > outcomeTime {
			v.play.ledger.Fail("outcome", "request %d (%s) of connection %s at %s has no outcome after %v", id, o.route, v.number, v.gate.name, outcomeTime)
			delete(v.waiting, id)
		}
	}
}

// stuck finds sessions that a service serves no more, though all is well for long.
func (v *visit) stuck() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for route, at := range v.good {
		if since := time.Since(at); since > quiet && v.play.requestsEach(quiet) > 20 {
			v.play.ledger.Fail("stuck", "connection %s at %s has had no answer of %s for %v", v.number, v.gate.name, route, since.Round(time.Second))
		}
	}
}

// read takes what comes until the connection ends.
func (v *visit) read() error {
	for {
		m, err := v.c.NextMessage()
		if err != nil {
			return err
		}
		if m.Type == codec.Push {
			v.pushed(string(m.Data))
			continue
		}
		v.mu.Lock()
		o := v.waiting[m.ID]
		delete(v.waiting, m.ID)
		if o != nil && !m.Err {
			v.good[o.route] = time.Now()
		}
		v.mu.Unlock()
		id := v.number + " " + strconv.FormatUint(m.ID, 10)
		switch {
		case o == nil:
			v.play.ledger.Fail("doubled", "request %s was answered again, or never made: %q", id, m.Data)
		case m.Err:
			var e struct{ Code string }
			_ = json.Unmarshal(m.Data, &e)
			v.play.ledger.answered(id, e.Code)
		case string(m.Data) != id:
			v.play.ledger.Fail("answer", "request %s has the answer of %q", id, m.Data)
		default:
			v.play.ledger.answered(id, "")
		}
	}
}

// pushed wants the pushes of a session one after the other.
func (v *visit) pushed(data string) {
	session, number, _ := strings.Cut(data, " ")
	n, _ := strconv.ParseInt(number, 10, 64)
	v.play.pushes.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if n != v.pushes[session]+1 {
		v.play.ledger.Fail("push", "connection %s got push %d of session %s after %d", v.number, n, session, v.pushes[session])
	}
	v.pushes[session] = n
}

// counters are what the players have done.
type counters struct {
	connections, present, requests, pushes atomic.Int64
}
