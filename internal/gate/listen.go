package gate

import (
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/lonng/nano/internal/transport"
)

// endpoints are where the clients of a gate come in.
type endpoints struct {
	gate    *Gate
	running sync.WaitGroup // accept loops and servers

	mu        sync.Mutex
	listeners []*listener
	loop      *transport.Loop // nil until an endpoint needs it
	over      bool            // no endpoint begins any more
}

// listener accepts for one endpoint. Out of descriptors, it waits and tries again instead of giving
// up.
type listener struct {
	net.Listener
	log    *slog.Logger
	quit   chan struct{}
	once   sync.Once
	onStop func()

	enter func(nc net.Conn, quit <-chan struct{}) (place, bool) // takes a place for a connection; false: it is closed

	lastLog time.Time // of a failure; only Accept's goroutine uses it

	mu    sync.Mutex
	early map[net.Conn]struct{} // accepted, and not a connection of the gate nor a request yet
}

const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
	logEvery   = 10 * time.Second // failures to accept are logged no more often
)

func (e *endpoints) newListener(l net.Listener) *listener {
	return &listener{
		Listener: l, log: e.gate.cfg.Log, quit: make(chan struct{}), enter: e.gate.admission.enter,
		early: make(map[net.Conn]struct{}),
	}
}

// hold has stop close nc, until letGo. Nobody has been heard there yet, so nobody is to be waited
// for.
func (l *listener) hold(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped() {
		_ = nc.Close()
		return
	}
	l.early[nc] = struct{}{}
}

func (l *listener) letGo(nc net.Conn) {
	l.mu.Lock()
	delete(l.early, nc)
	l.mu.Unlock()
}

// accept waits for the next connection that there is a place for: whoever serves it has to give the
// place back with admission.leave. Its error means that the listener is closed.
func (l *listener) accept() (net.Conn, place, error) {
	for wait := backoffMin; ; wait = min(2*wait, backoffMax) {
		nc, err := l.Listener.Accept()
		if err == nil {
			boundKernel(nc)
			if p, ok := l.enter(nc, l.quit); ok {
				return nc, p, nil
			}
			wait = backoffMin / 2
			continue
		}
		if errors.Is(err, net.ErrClosed) || l.stopped() {
			return nil, place{}, net.ErrClosed
		}
		if now := time.Now(); now.Sub(l.lastLog) >= logEvery {
			l.lastLog = now
			l.log.Error("cannot accept connections; trying again", "address", l.Addr(), "wait", wait, "err", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.quit:
			t.Stop()
			return nil, place{}, net.ErrClosed
		}
	}
}

func (l *listener) stopped() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// stop closes the listener, and what serves it.
func (l *listener) stop() {
	l.once.Do(func() {
		close(l.quit)
		_ = l.Listener.Close()
		l.mu.Lock()
		early := slices.Collect(maps.Keys(l.early))
		l.mu.Unlock()
		for _, nc := range early { // without the lock: who is told of the end lets go
			_ = nc.Close()
		}
		if l.onStop != nil {
			l.onStop()
		}
	})
}

// begin registers an endpoint's listener; false when the gate closes already. The goroutine that
// serves it calls running.Done at its end.
func (e *endpoints) begin(l *listener) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		_ = l.Close()
		return false
	}
	e.listeners = append(e.listeners, l)
	e.running.Add(1)
	return true
}

// end has no endpoint begin any more.
func (e *endpoints) end() {
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
}

// stop closes the endpoints and waits for their loops.
func (e *endpoints) stop() {
	e.mu.Lock()
	e.over = true
	ls := e.listeners
	e.listeners = nil
	e.mu.Unlock()
	for _, l := range ls {
		l.stop()
	}
	e.running.Wait()
}

// closeLoop ends the event loop, after its last connection is gone.
func (e *endpoints) closeLoop() {
	e.mu.Lock()
	loop := e.loop
	e.loop = nil
	e.mu.Unlock()
	if loop != nil {
		loop.Close()
	}
}

// serveTCP is Gate.ServeTCP.
func (e *endpoints) serveTCP(l net.Listener, conf *tls.Config) {
	l, _ = e.onLoop(l, conf)
	in := e.newListener(l)
	if !e.begin(in) {
		return
	}
	go func() {
		defer e.running.Done()
		for {
			nc, p, err := in.accept()
			if err != nil {
				return
			}
			e.arrived(in, nc, p, conf)
		}
	}()
}

// arrived makes a client's connection of one that was accepted on a TCP endpoint.
func (e *endpoints) arrived(in *listener, nc net.Conn, at place, conf *tls.Config) {
	g := e.gate
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetKeepAlive(false) // heartbeats do that
	}
	if sock, ok := nc.(transport.EventConn); ok {
		g.serve(sock, at, nil, nil, false, false)
		return
	}
	if conf != nil {
		nc = transport.Patient(nc)
	}
	if !g.cfg.ProxyProtocol || !g.cfg.trusted(nc.RemoteAddr()) {
		if conf != nil {
			nc = tls.Server(nc, conf)
		}
		g.serve(nc, at, nil, nil, false, false)
		return
	}
	// The header has to be read before the address is known.
	in.hold(nc)
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		p := proxyproto.NewConn(nc, proxyproto.WithPolicy(proxyproto.USE), proxyproto.SetReadHeaderTimeout(g.cfg.HandshakeTimeout))
		_ = p.RemoteAddr() // reads it
		in.letGo(nc)
		if err := p.SetReadDeadline(time.Time{}); err != nil {
			_ = nc.Close()
			g.admission.leave(&at)
			return
		}
		var c net.Conn = p
		if conf != nil {
			c = tls.Server(p, conf)
		}
		g.serve(c, at, nil, nil, false, false)
	}()
}

// onLoop has the event loop accept the connections of l, if it can serve them: without TLS, without
// a header before everything else, and on Linux. Else it returns l.
func (e *endpoints) onLoop(l net.Listener, conf *tls.Config) (net.Listener, bool) {
	cfg := &e.gate.cfg
	if cfg.Portable || conf != nil || cfg.ProxyProtocol {
		return l, false
	}
	if own, ok := l.(transport.EventListener); ok && own.EventConns() {
		return l, true
	}
	if _, ok := l.(*net.TCPListener); !ok {
		return l, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return l, false
	}
	if e.loop == nil {
		loop, err := transport.NewLoop((runtime.GOMAXPROCS(0) + 1) / 2)
		if err != nil {
			if !errors.Is(err, errors.ErrUnsupported) {
				cfg.Log.Warn("no event loop; each connection gets a goroutine", "err", err)
			}
			return l, false
		}
		e.loop = loop
	}
	if on, ok := e.loop.Listen(l); ok {
		return on, true
	}
	return l, false
}

// httpLog carries what net/http has to say to the node's log. Clients can cause all of it.
func (e *endpoints) httpLog() *log.Logger { return log.New(httpLog{e.gate.cfg.Log}, "", 0) }

type httpLog struct{ log *slog.Logger }

// Write logs one line.
func (l httpLog) Write(line []byte) (int, error) {
	l.log.Debug("HTTP server reported a problem", "err", strings.TrimSpace(string(line)))
	return len(line), nil
}
