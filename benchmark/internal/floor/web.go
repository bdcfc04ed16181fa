package floor

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 has no other
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// serveWeb serves WebSockets, which net/http accepts and hands over.
func (s *server) serveWeb(l net.Listener) error {
	h := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
		_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		if rw.Flush() == nil {
			go s.serveSocket(nc)
		}
	})}
	return h.Serve(l)
}

// serveSocket reads WebSocket messages that hold whole packets.
func (s *server) serveSocket(nc net.Conn) {
	defer nc.Close()
	r, w := bufio.NewReaderSize(nc, 2048), bufio.NewWriterSize(nc, 2048)
	for {
		b, err := readFrame(r)
		if err != nil {
			return
		}
		for len(b) >= headLength {
			n := headLength + length(b)
			if len(b) < n || !s.handle(frames{w}, frames{nc}, b[0], b[headLength:n]) {
				return
			}
			b = b[n:]
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// maxFrame is the largest message that a client may send.
const maxFrame = 1 << 20

// readFrame reads a frame that a client has sent: masked, and a message of its own.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [14]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return nil, err
	}
	n, more := int(head[1]&0x7f), 0
	switch n {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	if _, err := io.ReadFull(r, head[2:2+more+4]); err != nil {
		return nil, err
	}
	switch more {
	case 2:
		n = int(binary.BigEndian.Uint16(head[2:]))
	case 8:
		n = int(min(binary.BigEndian.Uint64(head[2:]), maxFrame+1))
	}
	if head[0]&0x0f == 8 || n > maxFrame {
		return nil, errors.New("floor: the client has closed, or sends too much")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	key := head[2+more : 2+more+4]
	for i := range b {
		b[i] ^= key[i&3]
	}
	return b, nil
}

// frames makes a WebSocket message of each packet.
type frames struct{ io.Writer }

// Write writes one packet.
func (f frames) Write(b []byte) (int, error) {
	p := append(make([]byte, 0, 10+len(b)), 0x82)
	switch n := len(b); {
	case n < 126:
		p = append(p, byte(n))
	case n < 1<<16:
		p = binary.BigEndian.AppendUint16(append(p, 126), uint16(n))
	default:
		p = binary.BigEndian.AppendUint64(append(p, 127), uint64(n))
	}
	return f.Writer.Write(append(p, b...))
}
