package loop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/bots/loop"
	"github.com/lonng/nano/clients/nano-cli/internal/nodetest"
	"github.com/lonng/nano/internal/nanotest"
)

// pair returns a connection that a loop reads, and its other end.
func pair(t *testing.T, lp *loop.Loop) (client.EventConn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type accepted struct {
		nc  net.Conn
		err error
	}
	came := make(chan accepted, 1)
	go func() {
		nc, err := ln.Accept()
		came <- accepted{nc, err}
	}()
	nc, err := lp.Dial(ctx, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	other := eventually(t, came, "the connection")
	if other.err != nil {
		t.Fatal(other.err)
	}
	t.Cleanup(func() { _ = other.nc.Close() })
	ev, ok := nc.(client.EventConn)
	if !ok {
		t.Fatalf("the loop gives a %T", nc)
	}
	return ev, other.nc
}

// serve serves ev in the background.
func serve(ev client.EventConn, handle func([]byte) error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- ev.Serve(handle) }()
	return done
}

// What a server says last, such as why it closes, comes directly before the end, and in any pieces;
// some of it may have come with the handshake, before Serve.
func TestReadsToTheEnd(t *testing.T) {
	nanotest.Leaks(t)
	ev, other := pair(t, newLoop(t, 1))
	sent := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		for piece := range slices.Chunk(sent, 77_777) {
			_, _ = other.Write(piece)
		}
		_ = other.Close()
	}()
	first := make([]byte, 20_000)
	if _, err := io.ReadFull(ev, first); err != nil {
		t.Fatal(err)
	}
	got := slices.Clip(first)
	err := eventually(t, serve(ev, func(data []byte) error {
		got = append(got, data...)
		return nil
	}), "the end")
	if err != io.EOF {
		t.Errorf("Serve returns %v", err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d, or others", len(got), len(sent))
	}
}

// A server that hangs is noticed only by its silence, in the handshake and after it.
func TestDeadlines(t *testing.T) {
	nanotest.Leaks(t)
	lp := newLoop(t, 1)
	ev, other := pair(t, lp)
	soon := func() time.Time { return time.Now().Add(30 * time.Millisecond) }
	_ = ev.SetReadDeadline(soon())
	if _, err := ev.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read returns %v", err)
	}
	_ = ev.SetWriteDeadline(soon())
	if n, err := ev.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
		t.Errorf("Write returns %d, %v", n, err)
	}
	_ = ev.SetReadDeadline(time.Now().Add(time.Hour))
	came := make(chan struct{}, 1)
	done := serve(ev, func([]byte) error {
		came <- struct{}{}
		return ev.SetReadDeadline(soon())
	})
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, came, "the byte")
	if err := eventually(t, done, "the deadline"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Serve returns %v", err)
	}
}

// Whoever waits must be let go by Close and by the end of the loop, during the handshake too, or
// the bots never end.
func TestEndsLetGo(t *testing.T) {
	for name, end := range map[string]func(*loop.Loop, net.Conn){
		"Close":            func(_ *loop.Loop, nc net.Conn) { _ = nc.Close() },
		"the loop's Close": func(lp *loop.Loop, _ net.Conn) { lp.Close() },
	} {
		want := net.ErrClosed
		if name != "Close" {
			want = loop.ErrClosed
		}
		t.Run(name, func(t *testing.T) {
			nanotest.Leaks(t)
			before := descriptors()
			lp := newLoop(t, 1)
			reads, otherReads := pair(t, lp)
			writes, otherWrites := pair(t, lp)
			serves, otherServes := pair(t, lp)
			waiting := map[string]chan error{"Read": make(chan error, 1), "Write": make(chan error, 1)}
			go func() {
				_, err := reads.Read(make([]byte, 1))
				waiting["Read"] <- err
			}()
			go func() {
				_, err := writes.Write(make([]byte, 64<<20))
				waiting["Write"] <- err
			}()
			served := serve(serves, func([]byte) error { return nil })
			all := []net.Conn{reads, writes, serves}
			for _, nc := range all {
				end(lp, nc)
			}
			for what, done := range waiting {
				if err := eventually(t, done, what); !errors.Is(err, want) {
					t.Errorf("%s returns %v", what, err)
				}
			}
			if err := eventually(t, served, "Serve"); err == nil {
				t.Error("Serve returns nil")
			}
			for _, nc := range all {
				_ = nc.Close()
			}
			for _, nc := range []net.Conn{otherReads, otherWrites, otherServes} {
				_ = nc.Close()
			}
			lp.Close()
			nodetest.Until(t, "the descriptors are closed", func() bool { return descriptors() <= before })
		})
	}
}

// What the handler refuses ends the connection with its reason, and it is not called again.
func TestHandlersErrorEndsServe(t *testing.T) {
	nanotest.Leaks(t)
	ev, other := pair(t, newLoop(t, 1))
	refused := errors.New("not this")
	calls := 0
	done := serve(ev, func([]byte) error {
		calls++
		return refused
	})
	for range 3 {
		if _, err := other.Write([]byte("x")); err != nil {
			break
		}
	}
	if err := eventually(t, done, "the end"); err != refused || calls != 1 {
		t.Errorf("Serve returns %v after %d calls", err, calls)
	}
}

// A server that reads late must get everything, and in order; one that reads nothing must not cost
// the others anything.
func TestWritesWaitForRoom(t *testing.T) {
	nanotest.Leaks(t)
	lp := newLoop(t, 1)
	ev, other := pair(t, lp)
	busy, _ := pair(t, lp)
	ended := []<-chan error{
		serve(ev, func([]byte) error { return nil }), serve(busy, func([]byte) error { return nil }),
	}
	sent := bytes.Repeat([]byte("0123456789"), 3_200_000)
	n := ev.TryWrite(sent)
	if n == 0 || n == len(sent) {
		t.Fatalf("a socket takes %d bytes of %d at once", n, len(sent))
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := ev.Write(sent[n:])
		wrote <- err
	}()
	if n := busy.TryWrite([]byte("x")); n != 1 {
		t.Errorf("another connection of the loop takes %d bytes", n)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(other, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the server has read others: %v", err)
	}
	if err := eventually(t, wrote, "the write"); err != nil {
		t.Error(err)
	}
	_ = ev.Close()
	_ = busy.Close()
	for _, done := range ended {
		eventually(t, done, "the end")
	}
	if n := ev.TryWrite([]byte("x")); n != 0 {
		t.Errorf("%d bytes are written after Close", n)
	}
}

// Dial that fails must leave nothing behind.
func TestDialFails(t *testing.T) {
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if nc, err := newLoop(t, 1).Dial(canceled, "tcp", "127.0.0.1:1"); err == nil || nc != nil {
		t.Errorf("Dial returns %v, %v", nc, err)
	}
}
