package client

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// transport carries the stream of packets. One goroutine reads and one writes at a time; any may
// call close.
type transport interface {
	// read returns the next bytes, which are valid until the next call.
	read() ([]byte, error)
	// write writes all of b, which holds whole packets. After an error the transport is of no use.
	write(b []byte, deadline time.Time) error
	// deadline sets when reading fails with os.ErrDeadlineExceeded.
	deadline(t time.Time)
	// end tells the server that nothing more comes.
	end()
	// close closes at once, whatever the others do.
	close()
}

// readBuffer is the size of the buffer that a TCP connection holds all the time.
const readBuffer = 4 << 10

// stream is TCP, with or without TLS on top.
type stream struct {
	nc    net.Conn
	event EventConn // nc, if it is one; nil: it is not
	buf   []byte
	raw   *rawWriter // nil: there is only nc
}

func newStream(nc net.Conn) *stream {
	s := &stream{nc: nc, buf: make([]byte, readBuffer), raw: newRawWriter(nc)}
	s.event, _ = nc.(EventConn)
	return s
}

// quickWriter is a transport that takes at once what its socket has room for.
type quickWriter interface{ writeNow(b []byte) int }

// writeNow writes what it can without waiting, and returns how many bytes that was. Nobody else
// writes meanwhile.
func (s *stream) writeNow(b []byte) int {
	if s.raw == nil {
		return 0
	}
	return s.raw.write(b)
}

func (s *stream) read() ([]byte, error) {
	for range 100 { // a read may return nothing, but not for ever
		n, err := s.nc.Read(s.buf)
		if n > 0 {
			return s.buf[:n], nil // an error comes again
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, io.ErrNoProgress
}

func (s *stream) write(b []byte, deadline time.Time) error {
	if err := s.nc.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := s.nc.Write(b)
	return err
}

func (s *stream) deadline(t time.Time) { _ = s.nc.SetReadDeadline(t) }

func (s *stream) end() {
	half, ok := s.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		s.close()
	}
}

func (s *stream) close() { cut(s.nc) }

// cut closes the socket itself, because the Close of TLS may wait for a server that does not read.
func cut(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	_ = nc.Close()
}

// WebSockets use these buffers while they read or write, not while they wait.
var (
	wsReads  = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}
	wsWrites sync.Pool
)

const (
	wsReadBuffer  = 2 << 10 // held all the time
	wsWriteBuffer = 8 << 10
)

// webSocket sends each write as one message, and reads messages of any kind as one stream.
type webSocket struct {
	conn *websocket.Conn
	msg  io.Reader // the rest of the message that is being read; nil between two
	buf  *[]byte
}

func (w *webSocket) read() ([]byte, error) {
	for {
		if w.msg == nil {
			if w.buf != nil {
				wsReads.Put(w.buf)
				w.buf = nil
			}
			_, r, err := w.conn.NextReader()
			if err != nil {
				return nil, closeError(err)
			}
			w.msg, w.buf = r, wsReads.Get().(*[]byte)
		}
		n, err := w.msg.Read(*w.buf)
		if n > 0 {
			return (*w.buf)[:n], nil // an error comes again
		}
		switch {
		case err == io.EOF:
			w.msg = nil
		case err != nil:
			return nil, closeError(err)
		}
	}
}

// closeError makes an orderly end look like that of TCP.
func closeError(err error) error {
	var e *websocket.CloseError
	if errors.As(err, &e) && (e.Code == websocket.CloseNormalClosure || e.Code == websocket.CloseNoStatusReceived) {
		return io.EOF
	}
	return err
}

func (w *webSocket) write(b []byte, deadline time.Time) error {
	_ = w.conn.SetWriteDeadline(deadline) // it only notes it
	return w.conn.WriteMessage(websocket.BinaryMessage, b)
}

func (w *webSocket) deadline(t time.Time) { _ = w.conn.SetReadDeadline(t) }

func (w *webSocket) end() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if w.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(closeWait)) != nil {
		w.close()
	}
}

func (w *webSocket) close() { cut(w.conn.NetConn()) }
