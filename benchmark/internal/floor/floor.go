// Package floor is the wire protocol with no framework behind it: what a benchmark compares with.
// One goroutine for each connection reads packets and answers them; a broadcast is one encoding and
// one write for each member, under one lock. It trusts its clients, has no heartbeats, no deadlines
// and no limits, so a server that people can reach must cost more.
package floor

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// The types of packets that it knows.
const (
	handshake = 1
	data      = 4
)

// headLength is that of a packet.
const headLength = 4

// Serve serves the clients of l until it is closed.
func Serve(l net.Listener, websocket bool) error {
	s := new(server)
	if websocket {
		return s.serveWeb(l)
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go s.serveTCP(nc)
	}
}

// server is the room that all clients are in who ask for it.
type server struct {
	mu      sync.Mutex
	members []io.Writer
}

// serveTCP reads packets from a stream. Answers gather in a buffer until all that came is read.
func (s *server) serveTCP(nc net.Conn) {
	defer nc.Close()
	r, w := bufio.NewReaderSize(nc, 2048), bufio.NewWriterSize(nc, 2048)
	for {
		var head [headLength]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		body := make([]byte, length(head[:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if !s.handle(w, nc, head[0], body) {
			return
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

func length(head []byte) int { return int(head[1])<<16 | int(head[2])<<8 | int(head[3]) }

func packet(t byte, body ...[]byte) []byte {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	p := append(make([]byte, 0, headLength+n), t, byte(n>>16), byte(n>>8), byte(n))
	for _, b := range body {
		p = append(p, b...)
	}
	return p
}

// handle serves one packet. It is false for one that is not of the protocol.
func (s *server) handle(w, self io.Writer, t byte, body []byte) bool {
	switch {
	case t == handshake:
		_, _ = w.Write(packet(handshake, []byte(`{"code":200,"sys":{"heartbeat":30}}`)))
	case t == data && len(body) > 0:
		return s.message(w, self, body)
	}
	return true
}

// message serves a request or a notify: by the name of its method it speaks to the room, joins it,
// or is answered with what it brought.
func (s *server) message(w, self io.Writer, b []byte) bool {
	kind, id, rest := b[0]>>1&7, []byte(nil), b[1:]
	if kind == 0 { // a request
		_, n := binary.Uvarint(rest)
		if n <= 0 {
			return false
		}
		id, rest = rest[:n], rest[n:]
	}
	if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return false
	}
	route, payload := rest[1:1+rest[0]], rest[1+rest[0]:]
	switch {
	case bytes.HasSuffix(route, []byte(".Say")):
		s.say(payload)
	case bytes.HasSuffix(route, []byte(".Join")):
		s.mu.Lock()
		s.members = append(s.members, self)
		s.mu.Unlock()
		fallthrough
	case kind == 0:
		_, _ = w.Write(packet(data, []byte{4}, id, payload))
	}
	return true
}

// say sends a push to all members.
func (s *server) say(payload []byte) {
	p := packet(data, []byte("\x06\x05onSay"), payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		_, _ = m.Write(p) // one that is gone has ended its goroutine
	}
}
