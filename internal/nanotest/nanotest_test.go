package nanotest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
)

// A client that misreads would make every other test worthless.
func TestClientReadsWhatAServerWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewListener()
		c := l.Client(t)
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			push, _ := codec.AppendData(nil, codec.Push, 0, "onIt", []byte("x"), 0, nil, 0)
			all := bytes.Join([][]byte{
				codec.AppendPacket(nil, codec.Heartbeat, nil),
				push,
				codec.AppendPacket(nil, codec.Kick, []byte(`{"reason":"why"}`)),
			}, nil)
			for _, b := range all {
				_, _ = nc.Write([]byte{b})
			}
			_ = nc.Close()
		}()
		if got := c.Push("onIt"); string(got) != "x" {
			t.Errorf("payload %q", got)
		}
		if got := c.Kicked(); got != "why" {
			t.Errorf("reason %q", got)
		}
		c.Ended()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial after Close: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
	})
}

// One message a packet is what old clients need; the client must tell messages apart and notice
// torn ones.
func TestClientReadsWebSocketMessages(t *testing.T) {
	a, b := net.Pipe()
	c := NewClient(t, a)
	c.websocket = true
	beat := codec.AppendPacket(nil, codec.Heartbeat, nil)
	go func() {
		_, _ = b.Write(wsframe.AppendFrame(nil, wsframe.OpBinary, append(bytes.Clone(beat), beat...)))
		_, _ = b.Write(wsframe.AppendFrame(nil, wsframe.OpPing, []byte("p")))
		_, _ = b.Write(wsframe.AppendFrame(nil, wsframe.OpBinary, beat[:2]))
		_, _ = b.Write(wsframe.AppendClose(nil, 1000, "bye"))
		_ = b.Close()
	}()
	for range 2 {
		if p := c.Packet(); p.Type != codec.Heartbeat {
			t.Fatalf("got %v", p)
		}
	}
	if p, err := c.Next(); err == nil {
		t.Errorf("a torn message was read as %v", p)
	}
	var closed *ClosedError
	if _, err := c.Next(); !errors.As(err, &closed) || closed.Code != 1000 || closed.Reason != "bye" {
		t.Errorf("close: %v", err)
	}
	if _, err := c.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}
