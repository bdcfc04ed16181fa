package transport

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// layer is a connection that hides its descriptor, as TLS does, and proxied as a PROXY header does.
type (
	layer   struct{ net.Conn }
	proxied struct{ net.Conn }
)

func (l layer) NetConn() net.Conn { return l.Conn }
func (p proxied) Raw() net.Conn   { return p.Conn }

// plain has no more than the methods of a net.Conn.
type plain struct{ net.Conn }

// A client that does not read is dropped with what the kernel holds for it, also where the
// connection has other layers above its socket: the memory would stay for minutes.
func TestUnsentBelowOtherLayers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what the kernel holds is known on Linux only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if err := nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<20); err == nil; { // until the kernel takes no more
		_, err = nc.Write(block)
	}
	for name, over := range map[string]net.Conn{
		"none": nc, "TLS": layer{plain{nc}}, "a PROXY header": proxied{nc}, "TLS over HTTP over a PROXY header": layer{layer{proxied{nc}}},
	} {
		c := Portable(over)
		switch n := c.Unsent(); {
		case name == "TLS" && n != 0: // plain hides it for good
			t.Errorf("a layer that hides the socket: %d bytes", n)
		case name != "TLS" && n == 0:
			t.Errorf("%s: nothing is unsent", name)
		}
	}
}
