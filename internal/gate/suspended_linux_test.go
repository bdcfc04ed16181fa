package gate

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
)

// A city whose network fails, in one room that is told something 20 times a second: each message is
// in memory once, and not once for each of the 10,000 who wait for it.
func TestSuspendedSessionsShareWhatTheirRoomIsTold(t *testing.T) {
	const (
		n       = 10_000
		told    = 10 * 20 // ten seconds
		payload = 1 << 10
	)
	w := newResumingWorld(t, func(c *Config) {
		c.Portable, c.Heartbeat = false, time.Minute
		c.HandshakeTimeout, c.Resume.Window = time.Minute, 10*time.Minute
	})
	tcp, _ := w.sockets(t)
	for range n / 1000 {
		leave(t, tcp.(*net.TCPAddr), 1000)
	}
	nanotest.Until(t, "all are suspended", func() bool { return w.Counters().Suspended.Load() == n })
	room := make([]*session.Session, 0, n)
	for range n {
		room = append(room, <-w.opened)
	}
	before, _ := live()
	for i := range told {
		if err := w.Multicast("onState", bytes.Repeat([]byte{byte(i)}, payload), room); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := live()
	each := float64(int64(after-before)) / (n * told)
	t.Logf("%d sessions keep %d messages of %d bytes in %.1f MB: %.0f bytes for each", n, told, payload, float64(after-before)/1e6, each)
	if each > 48 { // a slice, in an array that grows; a copy would be 1 KiB
		t.Errorf("a message costs %.0f bytes for each session that waits for it, more than 48", each)
	}
	if kept := w.resumer.kept.Load(); kept < n*(told*32-keepUnit) || kept > n*told*32 { // it is counted in steps
		t.Errorf("%d bytes count for the cap of all, want 32 for each message and session", kept)
	}
	f := room[n/2].NetworkEntity().(*Conn)
	r := f.res.Load()
	count := uint64(0)
	f.mu.Lock()
	for range r.Out.All() {
		count++
	}
	f.mu.Unlock()
	if count != told {
		t.Errorf("one of them keeps %d messages, want %d", count, told)
	}
}

// leave has n clients whose sessions can be resumed, and whose connections end.
func leave(t *testing.T, to *net.TCPAddr, n int) {
	t.Helper()
	hello := codec.AppendPacket(nil, codec.Handshake, []byte(greetingOf("", 0)))
	fds := make([]int, 0, n)
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, hello); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1<<10)
	for _, fd := range fds {
		var got []byte
		for !bytes.Contains(got, []byte(`"token"`)) {
			n, err := unix.Read(fd, buf)
			if err != nil || n == 0 {
				t.Fatalf("%d bytes, %v, after %q", n, err, got)
			}
			got = append(got, buf[:n]...)
		}
		if _, err := unix.Write(fd, codec.AppendPacket(nil, codec.HandshakeAck, nil)); err != nil {
			t.Fatal(err)
		}
	}
}
