package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// closeWait bounds how long the end of a client waits for the server to take what is queued and to
// close its side.
const closeWait = 2 * time.Second

// State is a phase of a client's life.
type State int

// The states of a client.
const (
	Idle      State = iota // not connected yet
	Online                 // connected and set up
	Away                   // the connection is lost, and the next one is not there yet
	Closed                 // ended for good
	Suspended              // as Away, and the session waits for the client: what is sent is kept for it
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Online:
		return "online"
	case Away:
		return "away"
	case Closed:
		return "closed"
	case Suspended:
		return "suspended"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Change is one step in a client's life, as the function of [WithStateHandler] gets it.
type Change struct {
	State State
	// Err says why: with Away, why the connection or the last attempt ended; with Closed, why the
	// client ended.
	Err error
	// With Away and Suspended, Attempt counts the next attempt to connect, from 1, and In says how
	// long it waits.
	Attempt int
	In      time.Duration
	// With Online, Resumed says that the session from before goes on, and nothing was lost, unless
	// Gap says so: then the server has died, messages in both directions may be lost, and requests
	// in flight have failed with an [*Error] of the code "unavailable". Lost says that the session
	// does not go on, and why: "expired", "overflow", "unknown" or "gap", as the server names it.
	// All are zero for the first session, and where the server resumes none.
	Resumed bool
	Gap     bool
	Lost    string
}

// Info is what the server said in the handshake.
type Info struct {
	Heartbeat  time.Duration   // the interval; 0: the server sends none
	ServerTime time.Time       // at the handshake, in whole seconds
	Accepted   []string        // those of "error", "gzip", "batch" and "resume" that the server uses
	Sys, User  json.RawMessage // as they came; where a session goes on, what the application added stays
	Routes     int             // how many the dictionary has
	MaxPacket  int             // bytes that the body of a packet to the server may have
}

// Dictionary holds a server's routes and the codes that stand for them on the wire, under the
// version that the server gave it. A program can store it as JSON.
type Dictionary struct {
	Version string            `json:"version"`
	Routes  map[string]uint16 `json:"routes"`
}

// Client is a session on a server, over one connection after the other where the server resumes
// sessions; with [WithReconnect], one session after the other. Any goroutine may call its methods
// at any time. Handlers may, too, except for [Client.Shutdown].
type Client struct {
	cfg    config
	to     []target        // at least one, unless the configuration is wrong
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{} // closed when the client has ended and everybody was told

	pushes pushes
	calls  calls

	// mu guards what stands here.
	mu         sync.Mutex
	state      State
	err        error // why it has ended or is away
	connecting bool  // Connect is at work
	running    bool  // run is
	closing    bool  // Close was called
	finished   bool  // finish was
	ever       bool  // has been online
	link       *link // the connection, from its handshake until its reader has stopped
	info       Info
	kept       keptDict      // of the last handshake whose dictionary had a version
	gate       chan struct{} // closed when state changes; nil: nobody waits
	linger     *time.Timer   // cuts a slow end; a share of wg until it has fired or is stopped
	res        resume.Client
	suspended  *link         // the last connection of a session that waits for the client; nil: none does
	lostAt     time.Time     // when that was lost
	unmadeLost resume.Reason // Change.Lost of a session that never came online; of the next, then

	wg sync.WaitGroup // what run waits for: writers and timers

	stats counters

	redial redial // belongs to run; to Connect, before that
}

// counters are the sources of Stats.
type counters struct {
	connects, bytesIn, bytesOut, packetsIn, packetsOut, pushes, dropped, unhandled atomic.Uint64
}

// Stats counts what a client has done since it was made.
type Stats struct {
	Connects              uint64 // connections that went online
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64 // of packets, without what TLS and WebSocket add
	Pushes                uint64 // that arrived
	Dropped               uint64 // pushes without room in the queue (WithPushDrop) or in a channel
	Unhandled             uint64 // pushes of routes that nothing was registered for
}

// New makes a client of the server at url, and does not connect it yet. The url has a scheme (tcp,
// tls, ws or wss), a host, a port (for tcp and tls), and for WebSockets a path. [Client.Connect]
// returns the error of a url or an option that makes no sense. A client that was never connected
// needs no Close.
func New(url string, opts ...Option) *Client {
	c := &Client{cfg: makeConfig(opts), done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.calls.cfg, c.calls.wg = &c.cfg, &c.wg
	p := &c.pushes
	p.cfg, p.stats, p.worker = &c.cfg, &c.stats, p.dispatch
	p.over = func() bool { return c.ctx.Err() != nil }
	p.ended = func() {
		c.cancel()
		close(c.done)
	}
	c.redial.limits = c.cfg.reconnect
	for _, url := range append([]string{url}, c.cfg.addresses...) {
		to, err := parseTarget(url)
		if err != nil && c.cfg.err == nil {
			c.cfg.err = err
		}
		c.to = append(c.to, to)
	}
	if c.kept.version = c.cfg.dictionary.Version; c.kept.version != "" {
		var err error
		if c.kept.dict, err = codec.NewDictionary(c.cfg.dictionary.Routes); err != nil && c.cfg.err == nil {
			c.cfg.err = fmt.Errorf("client: WithDictionary: %w", err)
		}
	}
	return c
}

// Dial makes a client with [New] and connects it with [Client.Connect].
func Dial(ctx context.Context, url string, opts ...Option) (*Client, error) {
	c := New(url, opts...)
	if err := c.Connect(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Connect connects, shakes hands and runs the setup. It succeeds once; after that, the client makes
// new connections by itself: see [WithReconnect] and [WithoutResume]. After an error it may be
// called again. ctx bounds the connecting, not the life of the connection.
//
// The errors are *RefusedError, *KickError, those of the dialer and of the setup, that of ctx,
// ErrConnected, and ErrClosed.
func (c *Client) Connect(ctx context.Context) error {
	if c.cfg.err != nil {
		return c.cfg.err
	}
	c.mu.Lock()
	switch {
	case c.closing || c.finished:
		c.mu.Unlock()
		return ErrClosed
	case c.connecting || c.running:
		c.mu.Unlock()
		return ErrConnected
	}
	c.connecting = true
	c.res.Forget() // what an attempt before may have left
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.connecting = false
		c.mu.Unlock()
	}()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	l, err := c.open(ctx)
	if err != nil {
		if c.ctx.Err() != nil {
			return ErrClosed
		}
		return err
	}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		l.t.close()
		return ErrClosed
	}
	c.running = true
	c.adoptLocked(l)
	if c.cfg.setup == nil {
		err = c.onlineLocked(l)
	}
	c.mu.Unlock()
	ran := make(chan struct{})
	go c.run(l, ran)
	if c.cfg.setup != nil {
		err = c.setup(ctx, l)
	}
	if err != nil {
		<-ran
	}
	return err
}

// Close ends the client. What was sent before goes out first: Close returns when the connection has
// taken it, or cuts the connection after 2 seconds. Requests in flight fail with [ErrClosed]. A
// handler that runs comes to its end; no other is called any more, but the state handler, which is
// told of the end.
//
// Close does not wait for handlers, nor for the server to close its side: [Client.Shutdown] and
// [Client.Done] do. So any function may call it, handlers of this client too, and any number of
// times. It returns nil.
func (c *Client) Close() error {
	if flushed := c.beginClose(); flushed != nil {
		<-flushed
	}
	return nil
}

// Shutdown ends the client as [Client.Close] does, and waits until nothing of it runs any more: the
// server has taken what was sent and has closed its side, for which it has 2 seconds, and the last
// handler has returned. If ctx ends before, Shutdown returns the error of ctx, and the client ends
// without being waited for. If the client has ended already, Shutdown returns nil.
//
// Functions that the client calls must not call Shutdown, because it would wait for them: handlers,
// functions of [Client.Start], the setup, the dialer. They call Close.
func (c *Client) Shutdown(ctx context.Context) error {
	c.beginClose()
	select {
	case <-c.done:
		return nil
	default:
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("client: shutdown: wait for the last handler: %w", ctx.Err())
	}
}

// beginClose begins the end. The channel, if there is one, is closed when what was sent has gone
// out.
func (c *Client) beginClose() (flushed <-chan struct{}) {
	c.mu.Lock()
	first := !c.closing
	c.closing = true
	finish := first && !c.running && !c.finished
	var failed []*call
	if first {
		if c.link != nil {
			c.link.shutLocked()
		}
		failed = c.calls.takeAll() // of a session that waits, too
		c.changedLocked()
	}
	if c.link != nil {
		flushed = c.link.flushed
	}
	c.mu.Unlock()
	if first {
		c.cancel()
		c.calls.fail(failed, ErrClosed)
	}
	if finish {
		c.finish(ErrClosed)
	}
	return flushed
}

// Done returns a channel that is closed when the client has ended and its last handler has
// returned.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended: ErrClosed after Close, a *KickError, or the error of the
// connection. While the client is away, it returns why the connection was lost. Otherwise it
// returns nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// State returns the phase that the client is in.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Info returns what the server said in the last handshake. The caller must not change its parts.
func (c *Client) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

// Dictionary returns the server's dictionary, for other clients of the same servers: see
// [WithDictionary]. Its Version is empty if the server gave it none; nodes of this framework give
// one.
func (c *Client) Dictionary() Dictionary {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept.version == "" {
		return Dictionary{}
	}
	return Dictionary{c.kept.version, c.kept.dict.Map()}
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Connects:  s.connects.Load(),
		PacketsIn: s.packetsIn.Load(), PacketsOut: s.packetsOut.Load(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(),
		Pushes: s.pushes.Load(), Dropped: s.dropped.Load(), Unhandled: s.unhandled.Load(),
	}
}

// run reads one connection after the other. It is the one goroutine that a connected client always
// has.
func (c *Client) run(l *link, ran chan<- struct{}) {
	defer close(ran)
	var cause error
	for l != nil {
		var again, ended bool
		cause = l.read()
		cause, again, ended = c.down(l, cause)
		if ended {
			return
		}
		l = nil
		if again || c.comesBack() {
			l, cause = c.reconnect(cause)
		}
	}
	c.finish(cause)
}

// adoptLocked makes l, whose handshake is over, the client's link.
func (c *Client) adoptLocked(l *link) {
	if l.resumed { // the application has had its say in the first answer of the session
		l.info.User, l.info.Sys = c.info.User, joined(c.info.Sys, l.info.Sys)
	}
	c.link, c.info, c.kept = l, l.info, l.kept
}

// onlineLocked makes l the connection that everybody may use.
func (c *Client) onlineLocked(l *link) error {
	switch {
	case c.closing:
		return ErrClosed
	case l.dead:
		return l.cause
	}
	l.online, l.since = true, time.Now()
	c.ever, c.unmadeLost = true, ""
	c.stats.connects.Add(1)
	c.setStateLocked(Change{State: Online, Resumed: l.resumed, Gap: l.gap, Lost: l.lost})
	return nil
}

// down takes l away after its reader has stopped. It returns why, whether to connect again, and
// whether run is over because this was a Connect that failed.
func (c *Client) down(l *link, cause error) (_ error, again, ended bool) { //nolint:revive,staticcheck // why comes first
	l.fail(cause)
	if l.ready != nil { // the setup, whose context has ended
		<-l.ready
	}
	c.mu.Lock()
	cause = l.cause
	if c.closing {
		cause = ErrClosed
	}
	c.link = nil
	suspended := c.suspended == l && !c.closing
	var failed []*call
	if !suspended {
		c.suspended = nil
		c.res.Forget()
		if !l.online {
			c.unmadeLost = resume.Reason(l.lost)
		}
		failed = c.calls.takeAll()
	}
	again = !c.closing && c.ever && c.cfg.reconnect != nil && !c.cfg.reconnect.final(cause)
	ended = !c.ever && !c.closing
	switch {
	case suspended:
		c.state, c.err = Suspended, cause // told to the handler with the first attempt
		c.redial.after(l)
		c.changedLocked() // who waits for room may have it now
	case again:
		c.state, c.err = Away, cause // told to the handler with the first attempt
		c.redial.after(l)
	case ended:
		c.changedLocked()
	}
	c.mu.Unlock()
	c.calls.fail(failed, fmt.Errorf("%w: %w", ErrLost, cause))
	if ended {
		c.settle()
		c.mu.Lock()
		if ended = !c.closing; ended {
			c.running = false
		}
		c.mu.Unlock()
	}
	return cause, again, ended
}

// settle stops the timers and waits for writers.
func (c *Client) settle() {
	c.calls.stop()
	c.mu.Lock()
	if c.linger != nil && c.linger.Stop() {
		c.wg.Done()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// finish is the end: nothing is connected any more.
func (c *Client) finish(cause error) {
	c.settle()
	c.mu.Lock()
	if c.closing {
		cause = ErrClosed
	}
	c.suspended = nil
	failed := c.calls.takeAll() // of a session that was waited for in vain
	c.finished, c.running = true, false
	c.setStateLocked(Change{State: Closed, Err: cause})
	c.mu.Unlock()
	c.calls.fail(failed, fmt.Errorf("%w: %w", ErrLost, cause))
	c.pushes.finish()
}

// setStateLocked changes the state and tells everybody.
func (c *Client) setStateLocked(ch Change) {
	c.state, c.err = ch.State, ch.Err
	c.changedLocked()
	if c.cfg.onState != nil {
		c.pushes.change(ch)
	}
}

// changedLocked wakes those who wait for a connection, so that they look again.
func (c *Client) changedLocked() {
	if c.gate != nil {
		close(c.gate)
		c.gate = nil
	}
}
