package gate

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pires/go-proxyproto"
)

// pageIdle is how long a browser's connection for pages is kept without a request.
const pageIdle = 2 * time.Minute

// ServeWebSocket accepts clients on l under path, with TLS if conf is not nil, and serves the application's
// pages beside them, until StopAccepting. It returns at once.
func (g *Gate) ServeWebSocket(l net.Listener, path string, conf *tls.Config) {
	in := g.newListener(l)
	srv := &http.Server{
		Handler:           g.handler(path),
		TLSConfig:         conf,
		ReadHeaderTimeout: g.cfg.HandshakeTimeout,
		IdleTimeout:       pageIdle,
		ErrorLog:          g.httpLog(),
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
	var serve net.Listener = in
	if g.cfg.ProxyProtocol {
		serve = &proxyproto.Listener{
			Listener:          in,
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

// handler upgrades requests for path and gives all others to the pages.
func (g *Gate) handler(path string) http.Handler {
	path = "/" + strings.TrimPrefix(path, "/")
	up := websocket.Upgrader{
		HandshakeTimeout: g.cfg.HandshakeTimeout,
		ReadBufferSize:   256, // both are thrown away: connections are read and written without the library
		WriteBufferSize:  256,
		CheckOrigin:      g.checkOrigin,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path && websocket.IsWebSocketUpgrade(r) {
			ws, err := up.Upgrade(w, r, nil)
			if err != nil { // answered already
				g.counters.Refused.Add(1)
				g.cfg.Log.Info("upgrade refused", "remote", r.RemoteAddr, "origin", r.Header.Get("Origin"), "err", err)
				return
			}
			g.serveWS(ws.NetConn(), r)
			return
		}
		if g.cfg.Pages == nil {
			http.NotFound(w, r)
			return
		}
		g.cfg.Pages.ServeHTTP(w, r)
	})
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

func (g *Gate) serveWS(nc net.Conn, r *http.Request) {
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetKeepAlive(false)
	}
	// The request is kept until the handshake is over; its context ends with this handler and its body is empty.
	req := r.Clone(context.Background())
	req.Body = http.NoBody
	g.serve(nc, req, g.clientAddr(nc.RemoteAddr(), r), true)
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
