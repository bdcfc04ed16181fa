package console

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/metrics"
)

const (
	sampleEvery = time.Second
	askTimeout  = 3 * time.Second        // for the figures of another node
	waitForAll  = 500 * time.Millisecond // of a sample, so that one node that hangs does not make all old
	rateTime    = 10 * time.Second       // over which rates and quantiles are taken
	forgetAfter = time.Minute            // for a node that has left the list
	keepPoints  = 300                    // of the history
)

// sampler asks the nodes for their figures once a second, while somebody watches. Its methods may
// be called concurrently.
type sampler struct {
	app *nano.App

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	running  chan struct{} // closed at the end of run; nil: it does not run
	self     string
	nodes    map[string]*sampled
	points   []Point
	sampling chan struct{} // closed when the sample that is being taken is there; nil: none is
	latest   *Overview
	encoded  map[string][]byte // latest, as JSON, by view
}

// sampled is what is known of a node.
type sampled struct {
	addr     string
	member   metrics.Member // as this node has it in its list
	listed   time.Time      // when it was last in the list
	asking   bool
	answered time.Time         // when its last answer came
	state    *nano.NodeState   // that answer; nil: none came yet
	before   []*nano.NodeState // those of the last rateTime, the oldest first
	err      string            // why the last question had no answer; "": it had
}

func newSampler(app *nano.App) *sampler {
	return &sampler{app: app, watchers: make(map[chan struct{}]struct{}), nodes: make(map[string]*sampled)}
}

// watch has samples taken, and tells told of each, until the function that is returned is called.
func (s *sampler) watch() (told <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[c] = struct{}{}
	if s.running == nil {
		s.running = make(chan struct{})
		s.points = nil // there is a gap, over which no rate is to be taken
		for _, n := range s.nodes {
			n.before = nil
		}
		go s.run()
	}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, c)
	}
}

// run takes samples until nobody watches.
func (s *sampler) run() {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		s.sample()
		s.mu.Lock()
		if len(s.watchers) == 0 {
			s.stoppedLocked()
			s.mu.Unlock()
			return
		}
		for c := range s.watchers {
			select {
			case c <- struct{}{}:
			default:
			}
		}
		s.mu.Unlock()
		select {
		case <-t.C:
		case <-s.app.Ending():
			s.mu.Lock()
			s.stoppedLocked()
			s.mu.Unlock()
			return
		}
	}
}

// stoppedLocked notes that run has ended.
func (s *sampler) stoppedLocked() {
	close(s.running)
	s.running = nil
}

// now returns an overview that is at most a second old, and takes a sample for that if it must.
func (s *sampler) now() *Overview {
	if !s.fresh() {
		s.sample()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

// fresh tells whether the latest sample is at most a second old.
func (s *sampler) fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest != nil && time.Since(s.latest.At) < sampleEvery
}

// sample asks all nodes. One that is slow does not hold up the others: its answer is in a later
// sample. Of two calls at a time the second waits for the first.
func (s *sampler) sample() {
	s.mu.Lock()
	if c := s.sampling; c != nil {
		s.mu.Unlock()
		<-c
		return
	}
	done := make(chan struct{})
	s.sampling = done
	s.mu.Unlock()

	own, err := s.app.Operator("").Node(context.Background())
	now := time.Now()
	s.mu.Lock()
	if err == nil {
		s.enterLocked(own, now)
	}
	var asked sync.WaitGroup
	for _, n := range s.nodes {
		if n.addr != s.self && !n.asking && !n.member.Legacy && n.listed.Equal(now) {
			n.asking = true
			asked.Go(func() { s.ask(n) })
		}
	}
	s.mu.Unlock()
	all := make(chan struct{})
	go func() {
		asked.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(waitForAll):
	}
	s.mu.Lock()
	s.latest = s.overviewLocked(time.Now())
	s.encoded = make(map[string][]byte)
	s.sampling = nil
	s.mu.Unlock()
	close(done)
}

// enterLocked takes over what this node says of itself and of the list.
func (s *sampler) enterLocked(own *nano.NodeState, now time.Time) {
	s.self = own.Node
	s.nodeLocked(own.Node).listed = now
	s.nodes[own.Node].take(own, now)
	for _, m := range own.Snapshot.Cluster.Members {
		n := s.nodeLocked(m.Addr)
		n.member, n.listed = m, now
	}
	for addr, n := range s.nodes {
		if now.Sub(n.listed) > forgetAfter {
			delete(s.nodes, addr)
		}
	}
}

func (s *sampler) nodeLocked(addr string) *sampled {
	n := s.nodes[addr]
	if n == nil {
		n = &sampled{addr: addr}
		s.nodes[addr] = n
	}
	return n
}

// ask asks a node.
func (s *sampler) ask(n *sampled) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	state, err := s.app.Operator(n.addr).Node(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	n.asking = false
	if err != nil {
		n.err = err.Error()
		return
	}
	n.take(state, time.Now())
}

// take takes over an answer.
func (n *sampled) take(state *nano.NodeState, now time.Time) {
	if n.state != nil && (!n.state.Snapshot.Started.Equal(state.Snapshot.Started) || state.Snapshot.At.Before(n.state.Snapshot.At)) {
		n.before = nil // it was started again and counts from 0, or its clock was set back
	}
	n.state, n.answered, n.err = state, now, ""
	n.before = append(n.before, state)
	for len(n.before) > 2 && state.Snapshot.At.Sub(n.before[1].Snapshot.At) >= rateTime {
		n.before = n.before[1:]
	}
}

// event returns the latest overview as a view has it, encoded once for all who watch it.
func (s *sampler) event(view string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest == nil {
		return nil
	}
	if b := s.encoded[view]; b != nil {
		return b
	}
	b, _ := json.Marshal(s.latest.view(view)) // numbers, texts and times can be encoded
	s.encoded[view] = b
	return b
}

// history returns the points of the last minutes in which somebody watched.
func (s *sampler) history() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := json.Marshal(s.points)
	return b
}
