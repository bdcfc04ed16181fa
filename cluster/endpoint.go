package cluster

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"github.com/lonng/nano/internal/gate"
)

// endpoint is an Endpoint whose listener is open and whose certificate is read.
type endpoint struct {
	Endpoint
	listener net.Listener
	tls      *tls.Config
}

// endpoints returns all addresses for clients.
func (o *Options) endpoints() []Endpoint {
	var all []Endpoint
	if o.ClientAddr != "" {
		all = append(all, Endpoint{
			Addr: o.ClientAddr, WebSocket: o.IsWebsocket, Path: o.WSPath,
			TLS: o.TLS, CertFile: o.TSLCertificate, KeyFile: o.TSLKey,
		})
	}
	return append(all, o.Endpoints...)
}

// open opens every endpoint, or none.
func open(list []Endpoint) (all []endpoint, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			closeListeners(list)
			all = nil
		}
	}()
	// Certificates first: nothing listens before everything else is in order.
	confs := make([]*tls.Config, len(list))
	for i, e := range list {
		if confs[i], err = e.config(); err != nil {
			return nil, err
		}
	}
	for i, e := range list {
		l := e.Listener
		if l == nil {
			if l, err = net.Listen("tcp", e.Addr); err != nil {
				return all, fmt.Errorf("open the client address %s: %w", e.Addr, err)
			}
		}
		all = append(all, endpoint{Endpoint: e, listener: l, tls: confs[i]})
	}
	return all, nil
}

// closeListeners closes the listeners that the application has brought.
func closeListeners(list []Endpoint) {
	for _, e := range list {
		if e.Listener != nil {
			_ = e.Listener.Close()
		}
	}
}

func closeAll(all []endpoint) {
	for _, e := range all {
		_ = e.listener.Close()
	}
}

// config returns the endpoint's TLS configuration, nil for none.
func (e *Endpoint) config() (*tls.Config, error) {
	if e.CertFile == "" {
		return e.TLS, nil
	}
	cert, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %q and key %q: %w", e.CertFile, e.KeyFile, err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.TLS != nil {
		conf = e.TLS.Clone()
	}
	conf.Certificates = []tls.Certificate{cert}
	return conf, nil
}

func (e *endpoint) serve(g *gate.Gate) {
	if e.WebSocket {
		g.ServeWebSocket(e.listener, e.Path, e.tls)
	} else {
		g.ServeTCP(e.listener, e.tls)
	}
}

// where is the address, for errors.
func (e *Endpoint) where() string {
	if e.Listener != nil {
		return e.Listener.Addr().String()
	}
	return e.Addr
}

// String is the URL at which clients connect.
func (e *endpoint) String() string {
	kind := "tcp"
	switch {
	case e.WebSocket && e.tls != nil:
		kind = "wss"
	case e.WebSocket:
		kind = "ws"
	case e.tls != nil:
		kind = "tls"
	}
	url := kind + "://" + e.listener.Addr().String()
	if e.WebSocket {
		url += "/" + strings.TrimPrefix(e.Path, "/")
	}
	return url
}
