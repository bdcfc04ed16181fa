package gate

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/lonng/nano/internal/transport"
)

// webListener makes webConns of what it accepts.
type webListener struct {
	*listener
	gate *Gate
	tls  bool
}

func (l webListener) Accept() (net.Conn, error) {
	nc, p, err := l.accept()
	if err != nil {
		return nil, err
	}
	if l.tls {
		nc = transport.Patient(nc)
	}
	return &webConn{Conn: nc, gate: l.gate, place: p, pace: newPace(l.gate.cfg.WriteTimeout)}, nil
}

// webConn is a connection that speaks HTTP, until it is upgraded. Its writes have a deadline that
// moves with what the browser takes, so that a page may be as long as it likes, and a browser that
// does not read ends. It counts against the cap of connections until it is closed or handed over.
type webConn struct {
	net.Conn
	gate     *Gate
	upgraded atomic.Bool // it belongs to a Conn, which has deadlines of its own and gives the place back
	closed   sync.Once
	place    place

	mu   sync.Mutex // held while writing
	pace pace
}

// Write writes b as long as the browser keeps its pace.
func (c *webConn) Write(b []byte) (n int, err error) {
	if c.upgraded.Load() {
		return c.Conn.Write(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for err == nil && n < len(b) {
		piece := b[n:]
		piece = piece[:min(len(piece), c.pace.unit)]
		began := time.Now()
		if err := c.SetWriteDeadline(began.Add(c.pace.left)); err != nil {
			return n, err
		}
		var k int
		k, err = c.Conn.Write(piece)
		c.pace.moved(k, time.Since(began))
		n += k
	}
	return n, err
}

// CloseWrite lets net/http say that an answer is complete before it closes a connection with input
// unread.
func (c *webConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives its place back.
func (c *webConn) Close() error {
	if !c.upgraded.Load() {
		c.closed.Do(func() { c.gate.admission.leave(&c.place) })
	}
	return c.Conn.Close()
}

// NetConn returns the connection below HTTP.
func (c *webConn) NetConn() net.Conn { return c.Conn }

// underHTTP finds the layer for HTTP in a connection, nil if it has none.
func underHTTP(nc net.Conn) *webConn {
	for {
		switch c := nc.(type) {
		case *tls.Conn:
			nc = c.NetConn()
		case *proxyproto.Conn:
			nc = c.Raw()
		case *webConn:
			return c
		default:
			return nil
		}
	}
}

// handOver takes an upgraded connection from HTTP, with its place. It returns nc without the layer
// for HTTP where that is the outermost.
func handOver(nc net.Conn) (net.Conn, place) {
	c := underHTTP(nc)
	if c == nil {
		return nc, place{}
	}
	c.upgraded.Store(true)
	p := c.gate.admission.takeOver(&c.place)
	if nc != net.Conn(c) {
		return nc, p
	}
	if r, ok := c.Conn.(*replayConn); ok && len(r.first) == 0 {
		return r.Conn, p
	}
	return c.Conn, p
}

// writeUnit is how much of a page or of a request's body has to move in the write timeout.
const writeUnit = 64 << 10

// pace is the time that the other side may still have us wait until it has moved the rest of 64
// KiB. It belongs to one goroutine at a time.
type pace struct {
	full, left time.Duration
	unit       int // bytes that are to be moved in what is left
}

func newPace(full time.Duration) pace { return pace{full: full, left: full, unit: writeUnit} }

// moved takes note of n bytes that took d.
func (p *pace) moved(n int, d time.Duration) {
	p.unit -= n
	p.left -= d
	if p.unit <= 0 {
		p.unit, p.left = writeUnit, p.full
	}
}

// limitBody bounds the time for the request's body, whether or not its handler reads it.
func limitBody(w http.ResponseWriter, r *http.Request, full time.Duration) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	b := &slowBody{ReadCloser: r.Body, conn: http.NewResponseController(w), pace: newPace(full)}
	if b.conn.SetReadDeadline(time.Now().Add(b.pace.left)) == nil {
		r.Body = b
	}
}

// slowBody is a request's body with a deadline that moves with what comes.
type slowBody struct {
	io.ReadCloser
	conn *http.ResponseController
	pace pace
}

// Read reads as long as the client keeps its pace. At the end it takes the deadline off: net/http
// goes on reading, to notice the end of the connection.
func (b *slowBody) Read(p []byte) (int, error) {
	began := time.Now()
	if err := b.conn.SetReadDeadline(began.Add(b.pace.left)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	b.pace.moved(n, time.Since(began))
	if errors.Is(err, io.EOF) {
		if err := b.conn.SetReadDeadline(time.Time{}); err != nil {
			return n, err
		}
	}
	return n, err
}
