//go:build linux

package load

import (
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// stream carries bytes to a server and back. What read returns is valid until the next one.
type stream interface {
	read() ([]byte, error)
	write(b []byte) error
	Close() error
}

type tcpStream struct {
	net.Conn
	buf []byte
}

func dialTCP(addr string) (stream, error) {
	nc, err := net.Dial("tcp", addr) //nolint:noctx // ends with the process
	return &tcpStream{nc, make([]byte, 2<<10)}, err
}

func (s *tcpStream) read() ([]byte, error) {
	if err := s.SetReadDeadline(time.Now().Add(patient)); err != nil {
		return nil, err
	}
	n, err := s.Read(s.buf)
	return s.buf[:n], err
}

func (s *tcpStream) write(b []byte) error {
	_, err := s.Write(b)
	return err
}

type wsStream struct{ *websocket.Conn }

func (s *wsStream) read() ([]byte, error) {
	if err := s.SetReadDeadline(time.Now().Add(patient)); err != nil {
		return nil, err
	}
	_, b, err := s.ReadMessage()
	return b, err
}

func (s *wsStream) write(b []byte) error { return s.WriteMessage(websocket.BinaryMessage, b) }
