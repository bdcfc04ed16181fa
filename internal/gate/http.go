package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pires/go-proxyproto"
)

// streamTime is how long a request by HTTP/2 may take until its answer is read: a client that does
// not take a stream's data does not stop the connection, whose pace says nothing then.
const streamTime = time.Minute

// pageIdle is how long a browser's connection for pages is kept without a request.
const pageIdle = 2 * time.Minute

// headerSlop is what net/http adds to its limit of a request's header.
const headerSlop = 4 << 10

// maxFields is how many fields the header of an upgrade may have: it is kept until the handshake is
// over, and a field costs a hundred bytes even if it is short.
const maxFields = 128

// webEndpoint is a WebSocket endpoint, and the application's pages beside it.
type webEndpoint struct {
	gate *Gate
	in   *listener
	path string
	up   *websocket.Upgrader
	http *handed // on the event loop: for what is no upgrade; else nil
}

// serveWebSocket is Gate.ServeWebSocket.
func (e *endpoints) serveWebSocket(l net.Listener, path string, conf *tls.Config) {
	l, looped := e.onLoop(l, conf)
	in := e.newListener(l)
	cfg := &e.gate.cfg
	w := &webEndpoint{gate: e.gate, in: in, path: cleanPath(path)}
	w.up = &websocket.Upgrader{
		HandshakeTimeout: cfg.HandshakeTimeout,
		ReadBufferSize:   256, // both are thrown away: connections are read and written without the library
		WriteBufferSize:  256,
		CheckOrigin:      w.checkOrigin,
		Subprotocols:     slices.Clone(cfg.Subprotocols),
	}
	srv := w.server(conf, e.httpLog())
	in.onStop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), cfg.FlushTimeout)
		defer cancel()
		if srv.Shutdown(ctx) != nil { // pages still being sent
			_ = srv.Close()
		}
	}
	if !e.begin(in) {
		return
	}
	var serve net.Listener = webListener{in, e.gate, conf != nil}
	if looped {
		w.http = newHanded(l)
		serve = w.http
		e.running.Add(1)
		go func() {
			defer e.running.Done()
			w.accept()
		}()
	} else if cfg.ProxyProtocol {
		serve = &proxyproto.Listener{
			Listener:          serve,
			ReadHeaderTimeout: cfg.HandshakeTimeout,
			ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
				if cfg.trusted(o.Upstream) {
					return proxyproto.USE, nil
				}
				return proxyproto.SKIP, nil
			},
		}
	}
	go func() {
		defer e.running.Done()
		if conf != nil {
			_ = srv.ServeTLS(serve, "", "")
		} else {
			_ = srv.Serve(serve)
		}
	}()
}

// server is the HTTP server of the endpoint. On the event loop it gets what is no upgrade.
func (e *webEndpoint) server(conf *tls.Config, to *log.Logger) *http.Server {
	cfg := &e.gate.cfg
	var protocols http.Protocols
	protocols.SetHTTP1(true) // a WebSocket needs it: a browser that was offered HTTP/2 by TLS would not come by it
	protocols.SetUnencryptedHTTP2(conf == nil && cfg.Pages != nil)
	return &http.Server{
		Handler:           e,
		TLSConfig:         conf,
		Protocols:         &protocols,
		ReadHeaderTimeout: cfg.HandshakeTimeout,
		IdleTimeout:       pageIdle,
		MaxHeaderBytes:    max(cfg.MaxHeader-headerSlop, 1),
		ErrorLog:          to,
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, webConnKey{}, underHTTP(nc))
		},
		ConnState: func(nc net.Conn, s http.ConnState) {
			if s == http.StateNew {
				e.in.hold(nc)
			} else {
				e.in.letGo(nc)
			}
		},
	}
}

// webConnKey is the key under which the context of a request holds its *webConn: net/http has no
// other way to tell which connection a request came on.
type webConnKey struct{}

// ServeHTTP upgrades requests for the WebSocket's path and gives all others to the pages.
func (e *webEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limitBody(w, r, e.gate.cfg.HandshakeTimeout)
	if r.ProtoMajor == 2 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(streamTime)) // net/http's own can
	}
	wants := websocket.IsWebSocketUpgrade(r)
	if wants && under(e.path, r.URL.Path) && !e.isPage(r, true) && e.upgrade(w, r, nil) {
		return
	}
	if c, ok := r.Context().Value(webConnKey{}).(*webConn); ok && c != nil {
		e.gate.admission.calm(&c.place) // it is no client's
	}
	switch {
	case !under(e.path, r.URL.Path) || e.isPage(r, wants):
		if e.gate.cfg.Pages == nil {
			http.NotFound(w, r)
			return
		}
		e.servePage(w, r)
	case wants: // and was refused
	default:
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		http.Error(w, "This address takes WebSockets only: connect with a WebSocket client.", http.StatusUpgradeRequired)
	}
}

// servePage has the application serve a page. Its panic costs the request.
func (e *webEndpoint) servePage(w http.ResponseWriter, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, _ := v.(error); !errors.Is(err, http.ErrAbortHandler) { // else the page has ended the request on purpose
			e.gate.cfg.Log.Error("page panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
		}
		panic(http.ErrAbortHandler)
	}()
	e.gate.cfg.Pages.ServeHTTP(w, r)
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
func (e *webEndpoint) isPage(r *http.Request, upgrade bool) bool {
	if e.gate.cfg.Pages == nil {
		return false
	}
	mux, ok := e.gate.cfg.Pages.(*http.ServeMux)
	if !ok {
		return !upgrade || e.path == "/" && r.URL.Path != "/"
	}
	_, pattern := mux.Handler(r)
	slash := strings.IndexByte(pattern, '/')
	if slash < 0 {
		return false
	}
	page, _, _ := strings.Cut(pattern[slash:], "{") // what stands before the path's wildcards
	if upgrade {
		return len(page) > len(e.path)
	}
	return len(page) >= len(e.path)
}

// upgrade makes a client's connection of a request, or refuses it: false. at is its place, nil if
// the layer for HTTP has that.
func (e *webEndpoint) upgrade(w http.ResponseWriter, r *http.Request, at *place) bool {
	g := e.gate
	var err error
	switch {
	case g.drain.takesNobody():
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
		with := *e.up
		with.EnableCompression = g.cfg.CompressMin > 0 && offersDeflate(r.Header)
		if ws, err = with.Upgrade(w, r, nil); err == nil { // else it is answered already
			e.serve(ws.NetConn(), r, at, with.EnableCompression)
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
func (e *webEndpoint) checkOrigin(r *http.Request) (ok bool) {
	g := e.gate
	defer func() {
		if v := recover(); v != nil {
			g.cfg.Log.Error("origin check panicked", "panic", v)
			ok = false
		}
	}()
	return g.cfg.CheckOrigin == nil || g.cfg.CheckOrigin(r)
}

// serve makes a client's connection of one that was upgraded; deflates says that messages may be
// compressed.
func (e *webEndpoint) serve(nc net.Conn, r *http.Request, at *place, deflates bool) {
	nc, p := handOver(nc)
	if at != nil {
		p = e.gate.admission.takeOver(at)
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetKeepAlive(false)
	}
	// The request is kept until the handshake is over; its context ends with this handler and its
	// body is empty.
	req := r.WithContext(context.Background())
	req.Body = http.NoBody
	peer := nc.RemoteAddr()
	remote := e.gate.cfg.clientAddr(peer, r)
	if remote == peer {
		remote = nil
	}
	e.gate.serve(nc, p, req, remote, true, deflates)
}
