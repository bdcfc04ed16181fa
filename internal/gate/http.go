package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pires/go-proxyproto"
)

// pageIdle is how long a browser's connection for pages is kept without a request.
const pageIdle = 2 * time.Minute

// headerSlop is what net/http adds to its limit of a request's header.
const headerSlop = 4 << 10

// maxFields is how many fields the header of an upgrade may have: it is kept until the handshake is
// over, and a field costs a hundred bytes even if it is short.
const maxFields = 128

// ServeWebSocket accepts clients on l under path, with TLS if conf is not nil, and serves the
// application's pages beside them, until StopAccepting. A path that ends in "/" is a subtree. It
// returns at once.
func (g *Gate) ServeWebSocket(l net.Listener, path string, conf *tls.Config) {
	l, looped := g.onLoop(l, conf)
	in := g.newListener(l)
	var protocols http.Protocols
	protocols.SetHTTP1(true) // a WebSocket needs it, and the deadlines of HTTP/2's streams are not those of the connection
	srv := &http.Server{
		Handler:           g.handler(path),
		TLSConfig:         conf,
		Protocols:         &protocols,
		ReadHeaderTimeout: g.cfg.HandshakeTimeout,
		IdleTimeout:       pageIdle,
		MaxHeaderBytes:    max(g.cfg.MaxHeader-headerSlop, 1),
		ErrorLog:          g.httpLog(),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, webConnKey{}, underHTTP(nc))
		},
		ConnState: func(nc net.Conn, s http.ConnState) {
			if s == http.StateNew {
				in.hold(nc)
			} else {
				in.letGo(nc)
			}
		},
	}
	in.onStop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), g.cfg.FlushTimeout)
		defer cancel()
		if srv.Shutdown(ctx) != nil { // pages still being sent
			_ = srv.Close()
		}
	}
	if !g.begin(in) {
		return
	}
	var serve net.Listener = webListener{in, g}
	if looped {
		h := newHanded(l)
		serve = h
		g.endpoints.Add(1)
		go func() {
			defer g.endpoints.Done()
			(&webEndpoint{gate: g, in: in, path: cleanPath(path), up: g.upgrader(), http: h}).accept()
		}()
	} else if g.cfg.ProxyProtocol {
		serve = &proxyproto.Listener{
			Listener:          serve,
			ReadHeaderTimeout: g.cfg.HandshakeTimeout,
			ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
				if g.trusted(o.Upstream) {
					return proxyproto.USE, nil
				}
				return proxyproto.SKIP, nil
			},
		}
	}
	go func() {
		defer g.endpoints.Done()
		if conf != nil {
			_ = srv.ServeTLS(serve, "", "")
		} else {
			_ = srv.Serve(serve)
		}
	}()
}

// webConnKey is the key under which the context of a request holds its *webConn: net/http has no
// other way to tell which connection a request came on.
type webConnKey struct{}

// handler upgrades requests for the WebSocket's path and gives all others to the pages.
func (g *Gate) handler(path string) http.Handler {
	path = cleanPath(path)
	up := g.upgrader()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.limitBody(w, r)
		wants := websocket.IsWebSocketUpgrade(r)
		if wants && under(path, r.URL.Path) && !g.isPage(path, r, true) && g.upgrade(up, w, r, nil) {
			return
		}
		if c, ok := r.Context().Value(webConnKey{}).(*webConn); ok && c != nil {
			g.calm(&c.place) // it is no client's
		}
		switch {
		case !under(path, r.URL.Path) || g.isPage(path, r, wants):
			if g.cfg.Pages == nil {
				http.NotFound(w, r)
				return
			}
			g.cfg.Pages.ServeHTTP(w, r)
		case wants: // and was refused
		default:
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			http.Error(w, "This address takes WebSockets only: connect with a WebSocket client.", http.StatusUpgradeRequired)
		}
	})
}

// upgrader answers upgrades.
func (g *Gate) upgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: g.cfg.HandshakeTimeout,
		ReadBufferSize:   256, // both are thrown away: connections are read and written without the library
		WriteBufferSize:  256,
		CheckOrigin:      g.checkOrigin,
		Subprotocols:     slices.Clone(g.cfg.Subprotocols),
	}
}

// cleanPath is the path of a WebSocket as requests have it.
func cleanPath(path string) string { return "/" + strings.TrimPrefix(path, "/") }

// under tells whether a request's path is the WebSocket's: the same, or below it if that ends in
// "/".
func under(path, requested string) bool {
	return requested == path || strings.HasSuffix(path, "/") && strings.HasPrefix(requested, path)
}

// isPage tells whether a request for the WebSocket's path is for a page all the same. As in v0.5,
// where both stood on one http.ServeMux, the longer pattern wins; of two that are equal, upgrade
// says which is meant. A handler of another type does not tell what its pages are: they may be
// anywhere, so it gets what does not want to be upgraded, and all paths that only the WebSocket's
// path "/" has.
func (g *Gate) isPage(path string, r *http.Request, upgrade bool) bool {
	if g.cfg.Pages == nil {
		return false
	}
	mux, ok := g.cfg.Pages.(*http.ServeMux)
	if !ok {
		return !upgrade || path == "/" && r.URL.Path != "/"
	}
	_, pattern := mux.Handler(r)
	slash := strings.IndexByte(pattern, '/')
	if slash < 0 {
		return false
	}
	page, _, _ := strings.Cut(pattern[slash:], "{") // what stands before the path's wildcards
	if upgrade {
		return len(page) > len(path)
	}
	return len(page) >= len(path)
}

// upgrade makes a client's connection of a request, or refuses it: false. at is its place, nil if
// the layer for HTTP has that.
func (g *Gate) upgrade(up *websocket.Upgrader, w http.ResponseWriter, r *http.Request, at *place) bool {
	var err error
	switch {
	case g.takesNobody():
		err = errDraining
		w.Header().Set("Retry-After", "1") // a proxy may ask another node at once
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case !r.ProtoAtLeast(1, 1):
		err = fmt.Errorf("a WebSocket needs HTTP/1.1, the request is %s", r.Proto)
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
	case r.Header.Get("Sec-Websocket-Version") != "13":
		err = errors.New("the WebSocket's version is not 13")
		w.Header().Set("Sec-Websocket-Version", "13")
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
	case fields(r.Header) > maxFields:
		err = fmt.Errorf("the header has %d fields, more than %d", fields(r.Header), maxFields)
		http.Error(w, err.Error(), http.StatusRequestHeaderFieldsTooLarge)
	default:
		var ws *websocket.Conn
		with := *up
		with.EnableCompression = g.cfg.CompressMin > 0 && offersDeflate(r.Header)
		if ws, err = with.Upgrade(w, r, nil); err == nil { // else it is answered already
			g.serveWS(ws.NetConn(), r, at, with.EnableCompression)
			return true
		}
	}
	g.counters.Refused.add(refusedUpgrade)
	g.cfg.Log.Info("upgrade refused", "remote", r.RemoteAddr, "origin", r.Header.Get("Origin"), "err", err)
	return false
}

func fields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// checkOrigin asks the application; a panic there refuses.
func (g *Gate) checkOrigin(r *http.Request) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			g.cfg.Log.Error("origin check panicked", "panic", v)
			ok = false
		}
	}()
	return g.cfg.CheckOrigin == nil || g.cfg.CheckOrigin(r)
}

// serveWS makes a client's connection of one that was upgraded; deflates says that messages may be
// compressed.
func (g *Gate) serveWS(nc net.Conn, r *http.Request, at *place, deflates bool) {
	nc, p := handOver(nc)
	if at != nil {
		p = g.takeOver(at)
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetKeepAlive(false)
	}
	// The request is kept until the handshake is over; its context ends with this handler and its
	// body is empty.
	req := r.WithContext(context.Background())
	req.Body = http.NoBody
	peer := nc.RemoteAddr()
	remote := g.clientAddr(peer, r)
	if remote == peer {
		remote = nil
	}
	g.serve(nc, p, req, remote, true, deflates)
}

// clientAddr is the connection's address, or, behind proxies that are trusted, the last address in
// X-Forwarded-For that is not a trusted proxy itself.
func (g *Gate) clientAddr(peer net.Addr, r *http.Request) net.Addr {
	if !g.trusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		ip, ok := addrOf(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		if !g.trustedIP(ip) {
			return &net.TCPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
		}
	}
	return peer
}
