package gate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lonng/nano/internal/transport"
)

// errHandedOver ends the reading of a connection that net/http serves from now on.
var errHandedOver = errors.New("handed over")

// upgrading is a connection of the event loop until its first request is there. An upgrade to a
// WebSocket becomes a Conn, without net/http and what that would leave behind. All else, pages and
// what is no HTTP among it, goes to net/http with the bytes that were read.
type upgrading struct {
	endpoint *webEndpoint
	sock     transport.EventConn
	place    place
	timer    *time.Timer // ends a client whose request does not come in time

	// Owned by whoever reads.
	head []byte // of the request, as far as it is there
	done bool   // refused: what still comes is dropped
	gone bool   // it is a Conn, or net/http's
}

// accept takes clients on the event loop until the endpoint closes.
func (e *webEndpoint) accept() {
	for {
		nc, p, err := e.in.accept()
		if err != nil {
			return
		}
		sock, ok := nc.(transport.EventConn)
		if !ok { // the listener is the loop's
			_ = nc.Close()
			e.gate.admission.leave(&p)
			continue
		}
		u := &upgrading{endpoint: e, sock: sock, place: p}
		e.in.hold(nc)
		u.timer = time.AfterFunc(e.gate.cfg.HandshakeTimeout, func() { _ = sock.Close() })
		sock.Start(u)
	}
}

// Serve gathers the header of the request.
func (u *upgrading) Serve(data []byte) error {
	if u.done {
		return nil
	}
	seen := max(len(u.head)-3, 0)
	u.head = append(u.head, data...)
	const get = "GET "
	if n := min(len(u.head), len(get)); string(u.head[:n]) != get[:n] {
		return u.handOver()
	}
	end := headerEnd(u.head, seen)
	switch {
	case max(end, len(u.head)-len(data)) > u.endpoint.gate.cfg.MaxHeader:
		return u.handOver() // which refuses it
	case end > 0:
		return u.request(u.head[:end], u.head[end:])
	}
	return nil
}

// headerEnd is where the empty line ends that ends a header; 0 if it is not there yet. None was
// before from.
func headerEnd(b []byte, from int) int {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0
		}
		from += i + 1
		switch rest := b[from:]; {
		case bytes.HasPrefix(rest, []byte("\n")):
			return from + 1
		case bytes.HasPrefix(rest, []byte("\r\n")):
			return from + 2
		}
	}
}

var headReaders = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// request serves a request whose header is complete.
func (u *upgrading) request(head, rest []byte) error {
	e := u.endpoint
	br := headReaders.Get().(*bufio.Reader)
	br.Reset(bytes.NewReader(head))
	r, err := http.ReadRequest(br)
	br.Reset(nil)
	headReaders.Put(br)
	if err != nil || !plain(head) || r.Host == "" || r.ContentLength != 0 || !websocket.IsWebSocketUpgrade(r) ||
		!under(e.path, r.URL.Path) || e.isPage(r, true) {
		return u.handOver()
	}
	u.timer.Stop()
	r.RemoteAddr = u.sock.RemoteAddr().String()
	u.head, u.gone = nil, true
	e.in.letGo(u.sock)
	w := &upgradeWriter{sock: u.sock, rest: rest}
	switch ok := e.upgrade(w, r, &u.place); {
	case ok:
		return nil // what comes is the Conn's
	case w.hijacked: // and closed
		u.gone = false
		return nil
	}
	u.gone, u.done = false, true
	e.gate.admission.calm(&u.place)
	e.in.hold(u.sock)
	u.timer.Reset(min(linger, e.gate.cfg.FlushTimeout)) // in which the client may read the answer
	return w.finish(r)
}

// plain tells whether a header has nothing that net/http would refuse, or read in its own way.
func plain(head []byte) bool {
	hosts := 0
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n")
		for _, c := range line {
			if c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(name), "Host") {
			hosts++
		}
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') { // a folded line
			return false
		}
	}
	return hosts == 1
}

// Settle has nothing to do.
func (u *upgrading) Settle() {}

// InputEnded gives the place of the connection back, unless it went on to somebody.
func (u *upgrading) InputEnded(error) {
	u.timer.Stop()
	u.head = nil
	if u.gone {
		return
	}
	u.endpoint.in.letGo(u.sock)
	_ = u.sock.Close()
	u.endpoint.gate.admission.leave(&u.place)
}

// handOver gives the connection to net/http, with what was read.
func (u *upgrading) handOver() error {
	u.timer.Stop()
	u.endpoint.in.letGo(u.sock)
	nc, err := u.sock.Detach()
	if err != nil {
		return err
	}
	u.gone = true
	g := u.endpoint.gate
	u.endpoint.http.give(&webConn{Conn: &replayConn{Conn: nc, first: u.head}, gate: g, place: g.admission.takeOver(&u.place), pace: newPace(g.cfg.WriteTimeout)})
	u.head = nil
	return errHandedOver
}

// replayConn is a connection of which something was read already.
type replayConn struct {
	net.Conn
	first []byte // what was read; only the reader looks at it
}

func (c *replayConn) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	if c.first = c.first[n:]; len(c.first) == 0 {
		c.first = nil
	}
	return n, nil
}

// NetConn returns the connection below.
func (c *replayConn) NetConn() net.Conn { return c.Conn }

// CloseWrite sends the end of the stream.
func (c *replayConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// handed is a listener of connections that were accepted elsewhere.
type handed struct {
	net.Listener
	conns chan net.Conn
	quit  chan struct{}
	once  sync.Once
}

func newHanded(l net.Listener) *handed {
	return &handed{Listener: l, conns: make(chan net.Conn), quit: make(chan struct{})}
}

// give waits until the connection is accepted, or closes it at the end.
func (h *handed) give(nc net.Conn) {
	select {
	case h.conns <- nc:
	case <-h.quit:
		_ = nc.Close()
	}
}

// Accept waits for the next connection.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.quit:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. The listener that accepts is closed elsewhere.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.quit) })
	return nil
}

// upgradeWriter is the http.ResponseWriter of an upgrade on the event loop. An upgrade that
// succeeds hijacks the connection, one that is refused is answered by finish.
type upgradeWriter struct {
	sock     transport.EventConn
	rest     []byte // what came behind the request
	header   http.Header
	status   int
	body     bytes.Buffer
	hijacked bool
}

// Header returns the header of the answer.
func (w *upgradeWriter) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader notes the status.
func (w *upgradeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write adds to the body.
func (w *upgradeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Hijack gives the connection away.
func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	br := bufio.NewReaderSize(bytes.NewReader(w.rest), 16)
	_, _ = br.Peek(1) // Buffered is to tell whether the client has sent more
	return w.sock, bufio.NewReadWriter(br, bufio.NewWriterSize(w.sock, 16)), nil
}

// finish sends the answer and ends the stream. The client is to close its side.
func (w *upgradeWriter) finish(r *http.Request) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	h := w.Header()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Content-Length", strconv.Itoa(w.body.Len()))
	h.Set("Connection", "close")
	_ = h.Write(&b) // a bytes.Buffer takes everything
	b.WriteString("\r\n")
	if r.Method != http.MethodHead {
		_, _ = w.body.WriteTo(&b)
	}
	if _, err := w.sock.Write(b.Bytes()); err != nil {
		return err
	}
	return w.sock.CloseWrite()
}
