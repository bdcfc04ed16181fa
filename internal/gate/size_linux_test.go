package gate

import (
	"bytes"
	"net"
	"reflect"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// What each connection holds while it is quiet, field by field. A byte here is a megabyte of a node
// with a million clients, so a new field needs a reason, and what a quiet client does not need
// belongs to transit or input.
func TestConnIsSmall(t *testing.T) {
	const most = 224 // a size class of the allocator; the next is 240
	typ := reflect.TypeFor[Conn]()
	if n := typ.Size(); n > most {
		t.Errorf("a connection has %d bytes, more than %d:", n, most)
		for i := range typ.NumField() {
			f := typ.Field(i)
			t.Errorf("  %4d at %4d %s %s", f.Type.Size(), f.Offset, f.Name, f.Type)
		}
	}
}

// What a session that can be resumed holds beside that.
func TestResumableIsSmall(t *testing.T) {
	const most = 144 // a size class of the allocator; the next is 160
	if n := reflect.TypeFor[resumable]().Size(); n > most {
		t.Errorf("what is added for a session that can be resumed has %d bytes, more than %d", n, most)
	}
}

// The same as the garbage collector counts it: all that is live for a client of the event loop that
// has made a request and is quiet, what the gate, the session and the tests' node remember among
// it.
func TestQuietConnectionHoldsLittle(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Portable, c.Heartbeat = false, time.Hour; c.Opened = func(*session.Session) {} })
	tcp, ws := w.sockets(t)
	fds := make([]int, 0, 10_000)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	for _, row := range []struct {
		name      string
		at        net.Addr
		websocket bool
	}{{"tcp", tcp, false}, {"websocket", ws, true}} {
		const n = 1000
		join := func() {
			for range n {
				fds = append(fds, silent(t, row.at.(*net.TCPAddr), row.websocket))
			}
		}
		join() // fills pools and makes maps grow
		before := w.Len()
		bytes, objects := live()
		join()
		moreBytes, moreObjects := live()
		if got := w.Len() - before; got != n {
			t.Fatalf("%d connections came", got)
		}
		perBytes, perObjects := float64(int64(moreBytes-bytes))/n, float64(int64(moreObjects-objects))/n
		t.Logf("%s: %.0f bytes in %.2f objects", row.name, perBytes, perObjects)
		// A Conn, a socket, a session, and their share of the maps.
		if perBytes > 470 || perObjects > 3.2 {
			t.Errorf("%s: a quiet client holds %.0f bytes in %.2f objects, more than 470 in 3.2", row.name, perBytes, perObjects)
		}
	}
}

func live() (bytes, objects uint64) {
	for range 3 { // pools are empty after the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.HeapObjects
}

// silent is a client that makes one request. It is a descriptor only, and holds nothing on the
// heap.
func silent(t *testing.T, to *net.TCPAddr, websocket bool) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<10)
	say := func(b []byte, want string) {
		t.Helper()
		if _, err := unix.Write(fd, b); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for !bytes.Contains(got, []byte(want)) {
			n, err := unix.Read(fd, buf)
			if err != nil || n == 0 {
				t.Fatalf("%d bytes, %v, after %q", n, err, got)
			}
			got = append(got, buf[:n]...)
		}
	}
	frame := func(b []byte) []byte {
		if !websocket {
			return b
		}
		return wsframe.AppendMasked(nil, wsframe.OpBinary, true, [4]byte{1, 2, 3, 4}, b)
	}
	if websocket {
		say([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), "\r\n\r\n")
	}
	say(frame(codec.AppendPacket(nil, codec.Handshake, []byte("{}"))), `"code":200`)
	b := codec.AppendPacket(nil, codec.HandshakeAck, nil)
	say(frame(codec.AppendPacket(b, codec.Data, append([]byte{0, 1, 6}, "T.Echohello"...))), "hello")
	return fd
}
