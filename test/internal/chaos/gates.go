//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// travels is a play of gates: clients that resume their sessions, while gates are drained and
// started again, or one is killed.
//
// Rolling, nobody may notice anything: no request fails, and no push or broadcast is lost, doubled
// or out of order. After a kill, the clients of that gate come back to the same sessions, hear of a
// gap at most once, and only requests without an answer may have failed; nobody else notices
// anything. In both, no session ends before its client says goodbye, each request and each push is
// its own client's, and nothing is left on any node at the end.
type travels struct {
	clients, requests, casts int           // and how many requests and broadcasts a second
	calm                     time.Duration // between two events; 0: 3 s
	// slow says that the machine may be too slow: no time is judged. If a node did not answer in
	// time, so that somebody was told of a gap or of a lost session, the play has no verdict.
	slow bool

	play   *play
	all    []*traveller
	pushes atomic.Int64
	over   atomic.Bool // the clients say goodbye

	late   atomic.Bool // a node did not answer in time, and it was said
	gapped sync.Map    // numbers of clients whose backend was told of a gap
	ended  sync.Map    // and of those whose session was closed on a node, with the reason
}

// comeback is within what time of a kill the clients of the gate have to be back.
const comeback = 3 * time.Second

func (t *travels) rooms() int { return max(1, t.clients/60) } // at each of three backends: some 20 members

// begin starts the nodes and the clients.
func (t *travels) begin() error {
	p := newPlay(nil)
	p.names = append(nodeNames(), "gate-3")
	p.hear = t.hear
	p.flags = []string{"-resume"}
	p.direct = true // the network has no faults, so it need not cost the clients' process anything
	if t.calm == 0 {
		t.calm = 3 * time.Second
	}
	if t.slow {
		p.recovery = time.Minute
		p.flags = append(p.flags, "-heartbeat", "10s", "-spread", "300ms")
	}
	t.play = p
	if err := p.start(); err != nil {
		return err
	}
	t.all = make([]*traveller, t.clients)
	var entering sync.WaitGroup
	few := make(chan struct{}, 50)
	for i := range t.all {
		v := t.traveller(i)
		t.all[i] = v
		few <- struct{}{}
		entering.Go(func() {
			defer func() { <-few }()
			ctx, cancel := context.WithTimeout(p.ctx, p.recovery)
			defer cancel()
			if err := v.enter(ctx); err != nil {
				v.fault("enter", "%v", err)
			}
		})
	}
	entering.Wait()
	p.say("%d clients are there", len(t.all))
	return nil
}

// hear takes a line of a node.
func (t *travels) hear(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "fault":
		kind, what, _ := strings.Cut(rest, " ")
		number, what, _ := strings.Cut(what, " ")
		t.play.ledger.Fail(kind, "client %s: %s", number, what)
	case "lost":
		if number, why, _ := strings.Cut(rest, " "); !t.over.Load() {
			t.ended.Store(number, why)
		}
	case "gap":
		number, times, _ := strings.Cut(rest, " ")
		t.gapped.Store(number, true)
		if times != "1" {
			t.late.Store(true)
			t.play.ledger.Fail("gap", "the backend of client %s was told of a gap %s times", number, times)
		}
	}
}

// under runs events while there is load, and judges what came of it. touched reports whether a
// client may have noticed something.
func (t *travels) under(events func() error, touched func(*traveller) bool) error {
	p := t.play
	backends := []string{"backend-1", "backend-2", "backend-3"}
	for _, name := range backends {
		if _, err := p.nodes[name].ask(fmt.Sprintf("cast %d", t.casts/len(backends))); err != nil {
			return err
		}
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	every := time.Second * time.Duration(t.clients) / time.Duration(t.requests)
	begun := time.Now()
	for i, v := range t.all {
		asking.Go(func() {
			time.Sleep(every * time.Duration(i) / time.Duration(t.clients)) // not all at the same time
			v.run(stop, every)
		})
	}
	p.pause(t.calm)
	err := events()
	p.pause(t.calm)
	close(stop)
	asking.Wait()
	casts, took := 0, time.Since(begun)
	for _, name := range backends {
		said, err := p.nodes[name].ask("cast 0")
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscan(said, &n); err != nil {
			return err
		}
		casts += n
	}
	t.judge(touched)
	t.summary(took, casts)
	return err
}

// until waits until all clients are so, and says how many are not in time.
func (t *travels) until(what string, good func(*traveller) bool) {
	left := slices.Clone(t.all)
	for end := time.Now().Add(2 * t.play.recovery); ; time.Sleep(10 * time.Millisecond) {
		if left = slices.DeleteFunc(left, good); len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.play.ledger.Fail(what, "%d clients are not, such as %s", len(left), left[0].number)
			return
		}
	}
}

// judge compares what each client has with what it should have.
func (t *travels) judge(touched func(*traveller) bool) {
	p := t.play
	t.until("settled", (*traveller).settled)
	var asking sync.WaitGroup
	few := make(chan struct{}, 50)
	for _, v := range t.all {
		few <- struct{}{}
		asking.Go(func() {
			defer func() { <-few }()
			t.judgeOne(v, touched(v))
		})
	}
	asking.Wait()
	t.over.Store(true)
	for _, v := range t.all {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), p.recovery)
			defer cancel()
			if err := v.c.Shutdown(ctx); err != nil {
				v.fault("goodbye", "%v", err)
			}
		})
	}
	asking.Wait()
	for end := time.Now().Add(p.recovery); time.Now().Before(end) && !t.late.Load() && t.left() > 0; {
		time.Sleep(100 * time.Millisecond)
	}
	p.figures()
}

// judgeOne judges one client.
func (t *travels) judgeOne(v *traveller, touched bool) {
	if why, ok := t.ended.Load(v.number); ok {
		v.fault("ended", "a node closed its session: %v", why)
	}
	var got []byte
	var self, cast int64
	err := v.c.Request(t.play.ctx, "Room.Last", []byte(v.number), &got)
	if err == nil {
		_, err = fmt.Sscan(string(got), &self, &cast)
	}
	if err != nil {
		v.fault("identity", "its session does not serve it at the end: %v", err)
		return
	}
	for end := time.Now().Add(t.play.recovery); !v.arrived(self, cast) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.self.last != self || v.cast.last != cast {
		v.fault("lost", "it has pushes up to %d and broadcasts up to %d, and not %d and %d", v.self.last, v.cast.last, self, cast)
	}
	if touched {
		if v.gaps > 1 {
			t.late.Store(true)
			v.fault("gap", "it has heard of %d gaps", v.gaps)
		}
		delete(v.failed, "unavailable") // what the dead gate had
	} else if _, told := t.gapped.Load(v.number); told || v.gaps > 0 {
		t.late.Store(true)
		v.fault("gap", "it or its backend has heard of a gap, and its gate has not died")
	}
	for code, n := range v.failed {
		v.fault("failed", "%d of its requests failed: %s", n, code)
	}
}

// left is how many sessions there still are.
func (t *travels) left() (n int) {
	for _, node := range t.play.nodes {
		sessions, _, _ := node.figures()
		n += sessions
	}
	return n
}

// summary prints what the clients have seen.
func (t *travels) summary(took time.Duration, casts int) {
	var away, waited time.Duration
	asked, moves, gaps := 0, 0, 0
	for _, v := range t.all {
		away, waited = max(away, v.away), max(waited, v.waited)
		asked, moves, gaps = asked+v.asked, moves+v.moves, gaps+v.gaps
	}
	t.play.say("%d requests (%.0f a second), %d broadcasts (%.0f a second), %d pushes and broadcasts arrived", asked, float64(asked)/took.Seconds(),
		casts, float64(casts)/took.Seconds(), t.pushes.Load())
	t.play.say("%d comebacks, %d gaps; the longest pause of a client: %v without a connection, %v for an answer", moves, gaps,
		away.Round(time.Millisecond), waited.Round(time.Millisecond))
}

// errTooSlow is the end of a play without a verdict.
var errTooSlow = errors.New("the machine is too slow: a node did not answer in time, and clients were told of it")

// verdict says what was found.
func (t *travels) verdict(err error) error {
	t.play.end()
	if t.slow && t.late.Load() {
		return errTooSlow
	}
	if err == nil && t.play.ledger.Found() > 0 {
		err = fmt.Errorf("%d faults, see above", t.play.ledger.Found())
	}
	if err == nil {
		t.play.say("no fault was found")
	}
	return err
}

// rolling drains each gate and starts it again, one after the other.
func (t *travels) rolling() error {
	fmt.Printf("rolling restart: %d clients, %d requests and %d broadcasts a second\n", t.clients, t.requests, t.casts)
	err := t.begin()
	if err == nil {
		err = t.under(t.restartAll, func(*traveller) bool { return false })
		for _, v := range t.all {
			if v.moves == 0 {
				v.fault("move", "it has not left its gate")
			}
		}
	}
	return t.verdict(err)
}

func (t *travels) restartAll() error {
	p := t.play
	for _, gate := range p.gates {
		sessions, _, err := gate.figures()
		if err != nil {
			return err
		}
		begun := time.Now()
		said, err := gate.askFor(2*p.recovery, fmt.Sprintf("drain %d", p.recovery))
		if err != nil || said != "<nil>" {
			t.late.Store(true)
			p.ledger.Fail("drain", "%s: %s, %v", gate.name, said, err)
		}
		drained := time.Since(begun)
		gate.end()
		if err := gate.start(); err != nil {
			return err
		}
		if err := p.recovered(); err != nil {
			return err
		}
		p.say("%s: %d sessions left it within %v; it serves again after %v", gate.name, sessions, drained.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
		p.pause(t.calm)
	}
	return nil
}

// kill kills a gate.
func (t *travels) kill() error {
	fmt.Printf("a gate is killed: %d clients, %d requests and %d broadcasts a second\n", t.clients, t.requests, t.casts)
	err := t.begin()
	victims := make(map[*traveller]bool)
	if err == nil {
		err = t.under(func() error { return t.killOne(victims) }, func(v *traveller) bool { return victims[v] })
	}
	return t.verdict(err)
}

// killOne kills a gate, and wants its clients back.
func (t *travels) killOne(victims map[*traveller]bool) error {
	p := t.play
	gate := p.gates[0]
	for _, v := range t.all {
		v.mu.Lock()
		if v.gate == gate {
			victims[v] = true
		}
		v.mu.Unlock()
	}
	killed := time.Now()
	if err := gate.kill(); err != nil {
		return err
	}
	back := func(v *traveller) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return !victims[v] || v.moves > 0 || t.late.Load()
	}
	t.until("back", back)
	var last time.Duration
	for v := range maps.Keys(victims) {
		v.mu.Lock()
		last = max(last, v.back.Sub(killed))
		v.mu.Unlock()
	}
	p.say("%s is killed: its %d clients are back after %v", gate.name, len(victims), last.Round(time.Millisecond))
	if last > comeback && !t.slow {
		p.ledger.Fail("back", "the last client came back %v after the kill, and not within %v", last, comeback)
	}
	if err := gate.start(); err != nil {
		return err
	}
	return p.recovered()
}
