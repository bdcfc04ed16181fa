package gate

import (
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/lonng/nano/internal/transport"
)

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

func (g *Gate) newListener(l net.Listener) *listener {
	return &listener{
		Listener: l, log: g.cfg.Log, quit: make(chan struct{}), enter: g.enter, early: make(map[net.Conn]struct{}),
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
// place back with Gate.leave. Its error means that the listener is closed.
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

// begin registers an endpoint's listener; false when the gate closes already.
func (g *Gate) begin(l *listener) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		_ = l.Close()
		return false
	}
	g.listeners = append(g.listeners, l)
	g.endpoints.Add(1)
	return true
}

// ServeTCP accepts clients on l, with TLS if conf is not nil, until StopAccepting. It returns at
// once.
func (g *Gate) ServeTCP(l net.Listener, conf *tls.Config) {
	l, _ = g.onLoop(l, conf)
	in := g.newListener(l)
	if !g.begin(in) {
		return
	}
	go func() {
		defer g.endpoints.Done()
		for {
			nc, p, err := in.accept()
			if err != nil {
				return
			}
			g.serveTCP(in, nc, p, conf)
		}
	}()
}

func (g *Gate) serveTCP(in *listener, nc net.Conn, at place, conf *tls.Config) {
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetKeepAlive(false) // heartbeats do that
	}
	if sock, ok := nc.(transport.EventConn); ok {
		g.serve(sock, at, nil, nil, false, false)
		return
	}
	if !g.cfg.ProxyProtocol || !g.trusted(nc.RemoteAddr()) {
		if conf != nil {
			nc = tls.Server(nc, conf)
		}
		g.serve(nc, at, nil, nil, false, false)
		return
	}
	// The header has to be read before the address is known.
	in.hold(nc)
	g.endpoints.Add(1)
	go func() {
		defer g.endpoints.Done()
		p := proxyproto.NewConn(nc, proxyproto.WithPolicy(proxyproto.USE), proxyproto.SetReadHeaderTimeout(g.cfg.HandshakeTimeout))
		_ = p.RemoteAddr() // reads it
		in.letGo(nc)
		if err := p.SetReadDeadline(time.Time{}); err != nil {
			_ = nc.Close()
			g.leave(&at)
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
func (g *Gate) onLoop(l net.Listener, conf *tls.Config) (net.Listener, bool) {
	if g.cfg.Portable || conf != nil || g.cfg.ProxyProtocol {
		return l, false
	}
	if e, ok := l.(transport.EventListener); ok && e.EventConns() {
		return l, true
	}
	if _, ok := l.(*net.TCPListener); !ok {
		return l, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return l, false
	}
	if g.loop == nil {
		loop, err := transport.NewLoop((runtime.GOMAXPROCS(0) + 1) / 2)
		if err != nil {
			if !errors.Is(err, errors.ErrUnsupported) {
				g.cfg.Log.Warn("no event loop; each connection gets a goroutine", "err", err)
			}
			return l, false
		}
		g.loop = loop
	}
	if on, ok := g.loop.Listen(l); ok {
		return on, true
	}
	return l, false
}

// trusted tells whether the word of a proxy at this address is taken.
func (g *Gate) trusted(a net.Addr) bool {
	if a.Network() == "unix" {
		return g.cfg.TrustUnix
	}
	ip, ok := addrOf(a.String())
	return ok && g.trustedIP(ip)
}

func (g *Gate) trustedIP(ip netip.Addr) bool {
	for _, p := range g.cfg.Trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// addrOf takes the IP address out of host:port or host.
func addrOf(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

// httpLog carries what net/http has to say to the node's log. Clients can cause all of it.
func (g *Gate) httpLog() *log.Logger { return log.New(httpLog{g.cfg.Log}, "", 0) }

type httpLog struct{ log *slog.Logger }

// Write logs one line.
func (l httpLog) Write(line []byte) (int, error) {
	l.log.Debug("HTTP server reported a problem", "err", strings.TrimSpace(string(line)))
	return len(line), nil
}
