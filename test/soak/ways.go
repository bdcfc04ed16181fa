//go:build linux

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/test/internal/wire"
)

// soon is within what time a node ends the connection of a client that breaks the protocol.
const soon = 2 * time.Second

// ways are all ways to do harm.
func ways() []way {
	return slices.Concat(malformed(), frames(), requests(), slow(), floods(), orders())
}

// malformed are packets after which the node has to end the connection, over TCP and WebSocket.
func malformed() []way {
	bad := []struct {
		name string
		at   stage
		b    []byte
	}{
		{"packet type 0", fresh, []byte{0, 0, 0, 0}},
		{"packet type 9", ready, []byte{9, 0, 0, 1, 1}},
		{"a packet of 16 MiB", ready, []byte{4, 0xff, 0xff, 0xff}},
		{"TLS to plain TCP", fresh, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		{"HTTP to TCP", fresh, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"data before the handshake", fresh, wire.Message(codec.Request, 1, "Wild.Echo", nil)},
		{"ack before the handshake", fresh, codec.AppendPacket(nil, codec.HandshakeAck, nil)},
		{"data before the ack", shaken, wire.Message(codec.Notify, 0, "Wild.Echo", nil)},
		{"an empty message", ready, codec.AppendPacket(nil, codec.Data, nil)},
		{"message type 7", ready, codec.AppendPacket(nil, codec.Data, []byte{7 << 1, 1, 0})},
		{"half an id", ready, codec.AppendPacket(nil, codec.Data, []byte{0, 0x80})},
		{"an id of 40 bytes", ready, codec.AppendPacket(nil, codec.Data, slices.Repeat([]byte{0xff}, 40))},
		{"a route that is longer than the message", ready, codec.AppendPacket(nil, codec.Data, []byte{0, 1, 200, 'W'})},
		{"a code that no route has", ready, codec.AppendPacket(nil, codec.Data, []byte{1, 1, 0x12, 0x34})},
	}
	all := make([]way, 0, len(bad)+1)
	for _, b := range bad {
		all = append(all, way{b.name, func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0 && b.name[0] != 'T' && b.name[0] != 'H', b.at)
			if c == nil {
				return nil
			}
			cut := h.rng.IntN(len(b.b))
			_ = c.Send(b.b[:cut])
			_ = c.Send(b.b[cut:])
			return h.ended(c.Conn, soon)
		}})
	}
	return append(all, way{"random bytes", func(h *hostile) error {
		c := h.open(h.rng.IntN(2) == 0, stage(h.rng.IntN(3)))
		if c == nil {
			return nil
		}
		b := make([]byte, h.rng.IntN(1000))
		for i := range b {
			b[i] = byte(h.rng.Uint32())
		}
		_ = c.SendRaw(b)
		return h.ended(c.Conn, 4*heartbeat)
	}})
}

// frames are WebSocket frames after which the node has to end the connection.
func frames() []way {
	bad := []struct {
		name string
		b    []byte
	}{
		{"a frame without a mask", []byte{0x82, 4, 3, 0, 0, 0}},
		{"a frame with reserved bits", []byte{0xf2, 0x80, 0, 0, 0, 0}},
		{"a frame with a reserved opcode", []byte{0x83, 0x80, 0, 0, 0, 0}},
		{"a frame of 2^62 bytes", []byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"a ping of 200 bytes", wire.Frame(wsframe.OpPing, true, make([]byte, 200))},
		{"a continuation of nothing", wire.Frame(wsframe.OpContinuation, true, []byte("x"))},
		{"a close of one byte", wire.Frame(wsframe.OpClose, true, []byte{3})},
		{"data after a close", append(wire.Frame(wsframe.OpClose, true, []byte{3, 0xe8}), wire.Frame(wsframe.OpBinary, true, []byte{3, 0, 0, 0})...)},
	}
	all := make([]way, 0, len(bad)+2)
	for _, b := range bad {
		all = append(all, way{b.name, func(h *hostile) error {
			c := h.open(true, ready)
			if c == nil {
				return nil
			}
			_ = c.SendRaw(b.b)
			return h.ended(c.Conn, soon)
		}})
	}
	return append(all, way{"fragments without an end", func(h *hostile) error {
		c := h.open(true, ready)
		if c == nil {
			return nil
		}
		beat := codec.AppendPacket(nil, codec.Heartbeat, nil)
		_ = c.SendRaw(wire.Frame(wsframe.OpBinary, false, beat))
		for range 100_000 {
			if c.SendRaw(wire.Frame(wsframe.OpContinuation, false, beat)) != nil {
				break
			}
		}
		return c.Close()
	}}, way{"a flood of pings", func(h *hostile) error {
		c := h.open(true, ready)
		if c == nil {
			return nil
		}
		ping := slices.Repeat(wire.Frame(wsframe.OpPing, true, make([]byte, 125)), 100)
		for range 200 {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := c.Write(ping); err != nil {
				break
			}
		}
		return h.ended(c.Conn, 4*heartbeat)
	}})
}

// requests are upgrades that are none, and other HTTP.
func requests() []way {
	once := func(name, request string) way {
		return way{name, func(h *hostile) error {
			nc := h.raw(true)
			if nc == nil {
				return nil
			}
			_ = nc.SetDeadline(time.Now().Add(answerTime))
			_, _ = io.WriteString(nc, request)
			return h.ended(nc, 2*handshakeTimeout)
		}}
	}
	refused := func(name, request string) way {
		return way{name, func(h *hostile) error {
			nc := h.raw(true)
			if nc == nil {
				return nil
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(answerTime))
			_, _ = io.WriteString(nc, request)
			line, _ := bufio.NewReader(nc).ReadString('\n')
			if strings.Contains(line, " 101 ") {
				return fmt.Errorf("it is answered with %q", line)
			}
			return nil
		}}
	}
	usual := wire.UpgradeRequest("x", "")
	return []way{
		refused("an upgrade without a key", strings.Replace(usual, "Sec-WebSocket-Key", "X", 1)),
		refused("an upgrade to version 12", strings.Replace(usual, "Version: 13", "Version: 12", 1)),
		refused("an upgrade in HTTP/1.0", strings.Replace(usual, "HTTP/1.1", "HTTP/1.0", 1)),
		refused("an upgrade by POST", strings.Replace(usual, "GET", "POST", 1)),
		refused("an upgrade without Connection", strings.Replace(usual, "Connection", "X", 1)),
		once("half a request", usual[:60]),
		once("an upgrade, and then silence", usual),
		once("no HTTP", "\x00\x01\x02\x03 what is this\r\n\r\n"),
		once("60,000 header lines", wire.UpgradeRequest("x", strings.Repeat("X-Flood: 0123456789\r\n", 60_000))),
		once("a body that never comes", "POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"),
		{"a header a byte a second", func(h *hostile) error {
			nc := h.raw(true)
			if nc == nil {
				return nil
			}
			return h.trickle(nc, []byte("GET / HTTP/1.1\r\nHost: x\r\n"), 2*handshakeTimeout)
		}},
		{"pages that nobody reads", func(h *hostile) error {
			nc := h.raw(true)
			if nc == nil {
				return nil
			}
			defer nc.Close() // a browser's connection may stay for a while, so its end is not judged
			if tcp, ok := nc.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(4 << 10)
			}
			get := []byte(strings.Repeat("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 100))
			for range 100 {
				_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := nc.Write(get); err != nil {
					break
				}
			}
			h.load.pause(4 * writeTimeout)
			return nil
		}},
		{"a page", func(h *hostile) error {
			req, _ := http.NewRequest(http.MethodGet, "http://"+h.load.addr(true)+"/none", nil) //nolint:noctx // the client has a timeout
			client := http.Client{Timeout: answerTime, Transport: &http.Transport{DisableKeepAlives: true}}
			if resp, err := client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
			return nil
		}},
	}
}

// slow are clients that take their time.
func slow() []way {
	silent := func(name string, at stage, b []byte, d time.Duration) way {
		return way{name, func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, at)
			if c == nil {
				return nil
			}
			_ = c.Send(b)
			return h.ended(c.Conn, d)
		}}
	}
	greedy := func(name string, read func(h *hostile, c *wire.Conn) error) way {
		return way{name, func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			if tcp, ok := c.Conn.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(4 << 10)
			}
			for id := range 8 {
				_ = c.Request(uint64(id)+1, "Wild.Push", []byte("15 65000"))
			}
			return read(h, c)
		}}
	}
	// What a reader that is kicked for being slow has at most: the time to write, to flush, to
	// close.
	const gone = 4*writeTimeout + 3*heartbeat
	return []way{
		silent("silence from the start", fresh, nil, handshakeTimeout),
		silent("half a handshake", fresh, []byte{1, 0, 0, 200, '{'}, handshakeTimeout),
		silent("heartbeats instead of a handshake", fresh, slices.Repeat([]byte{3, 0, 0, 0}, 5), handshakeTimeout),
		silent("a handshake without an ack", shaken, nil, handshakeTimeout),
		silent("no answer to heartbeats", ready, nil, 4*heartbeat),
		{"a handshake a byte a second", func(h *hostile) error {
			nc := h.raw(false)
			if nc == nil {
				return nil
			}
			return h.trickle(nc, codec.AppendPacket(nil, codec.Handshake, []byte(wire.Hello)), handshakeTimeout)
		}},
		greedy("a reader that does not read", func(h *hostile, c *wire.Conn) error {
			h.load.pause(gone)
			return h.ended(c, soon)
		}),
		greedy("a reader of one byte a second", func(h *hostile, c *wire.Conn) error { return h.sip(c, gone) }),
	}
}

// floods are more than anybody needs.
func floods() []way {
	flood := func(name string, b []byte, times int) way {
		return way{name, func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
			b := slices.Repeat(b, 50)
			for range times / 50 {
				if c.Send(b) != nil || !h.load.running() {
					break
				}
			}
			return nil
		}}
	}
	bomb := bomb()
	return []way{
		flood("a flood of requests", wire.Message(codec.Request, 7, "Wild.Echo", make([]byte, 64)), 5000),
		flood("a flood of requests that fail", wire.Message(codec.Request, 7, "Wild.Fail", nil), 2000),
		flood("a flood of requests that panic", wire.Message(codec.Request, 7, "Wild.Panic", nil), 200),
		flood("a flood of unknown routes", wire.Message(codec.Notify, 0, "Wild.None\nlevel=ERROR msg=forged", nil), 2000),
		flood("a flood of unknown services", wire.Message(codec.Request, 7, strings.Repeat("x", 255), nil), 2000),
		flood("a flood of handshakes", codec.AppendPacket(nil, codec.Handshake, []byte(wire.Hello)), 1000),
		flood("a flood of kicks", codec.AppendPacket(nil, codec.Kick, []byte(`{"reason":"\n"}`)), 1000),
		flood("a flood of responses", wire.Message(codec.Response, 7, "", []byte("x")), 1000),
		{"a flood that reads nothing", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			stop := h.cut(c.Conn)
			defer stop()
			b := slices.Repeat(wire.Message(codec.Request, 7, "Wild.Echo", make([]byte, 1000)), 60)
			for range 300 {
				if c.Send(b) != nil { // it waits until the node gives up
					break
				}
			}
			return h.ended(c.Conn, 4*writeTimeout+3*heartbeat)
		}},
		{"gzip bombs", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, fresh)
			if c == nil || c.Shake(`{"sys":{"accept":["error","gzip"]}}`) != nil {
				return nil
			}
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c.Conn) }()
			for range 20 {
				if c.Send(bomb) != nil {
					break
				}
			}
			return nil
		}},
		{"a storm of connections", func(h *hostile) error {
			for range 50 {
				if nc := h.raw(h.rng.IntN(2) == 0); nc != nil {
					_ = nc.Close()
				}
				if c := h.open(h.rng.IntN(2) == 0, stage(h.rng.IntN(3))); c != nil {
					if tcp, ok := c.Conn.(*net.TCPConn); ok && h.rng.IntN(2) == 0 {
						_ = tcp.SetLinger(0)
					}
					_ = c.Close()
				}
			}
			return nil
		}},
	}
}

// orders are rare, and allowed or not worth an end: what they are answered is checked.
func orders() []way {
	return []way{
		{"a huge id", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			defer c.Close()
			id := ^uint64(0) - uint64(h.rng.IntN(3))
			return h.asks(c, id, []byte("big"))
		}},
		{"id 0, and the same id twice", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			defer c.Close()
			_ = c.Send(codec.AppendPacket(nil, codec.Data, append([]byte{0, 0, 9}, "Wild.Echo"...)))
			if err := h.asks(c, 5, []byte("a")); err != nil {
				return err
			}
			return h.asks(c, 5, []byte("b"))
		}},
		{"a handshake in the middle", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			defer c.Close()
			if err := c.Shake(wire.Hello); err != nil {
				return fmt.Errorf("the second handshake: %w", err)
			}
			return h.asks(c, 1, []byte("still"))
		}},
		{"a request in single bytes", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, ready)
			if c == nil {
				return nil
			}
			defer c.Close()
			for _, b := range wire.Message(codec.Request, 1, "Wild.Echo", []byte("slow"))[:16] {
				_ = c.Send([]byte{b})
			}
			_ = c.Send(wire.Message(codec.Request, 1, "Wild.Echo", []byte("slow"))[16:])
			return h.wants(c, 1, []byte("slow"))
		}},
		{"the sending side closed first", func(h *hostile) error {
			c := h.open(false, ready)
			if c == nil {
				return nil
			}
			_ = c.Request(1, "Wild.Echo", []byte("bye"))
			if tcp, ok := c.Conn.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			return h.ended(c.Conn, soon)
		}},
		{"a handshake of 64 KiB that is no JSON", func(h *hostile) error {
			c := h.open(h.rng.IntN(2) == 0, fresh)
			if c == nil {
				return nil
			}
			defer c.Close()
			return c.Send(codec.AppendPacket(nil, codec.Handshake, bytes.Repeat([]byte("{"), 1<<16)))
		}},
	}
}

// asks makes a request of an echo.
func (h *hostile) asks(c *wire.Conn, id uint64, data []byte) error {
	if err := c.Request(id, "Wild.Echo", data); err != nil {
		return fmt.Errorf("request %d: %w", id, err)
	}
	return h.wants(c, id, data)
}

func (h *hostile) wants(c *wire.Conn, id uint64, data []byte) error {
	_ = c.SetReadDeadline(time.Now().Add(answerTime))
	m, err := c.NextMessage()
	if err != nil {
		return fmt.Errorf("the answer to request %d: %w", id, err)
	}
	if m.Type != codec.Response || m.ID != id || m.Err || !bytes.Equal(m.Data, data) {
		return fmt.Errorf("the answer to request %d is %v %d %q", id, m.Type, m.ID, m.Data)
	}
	return nil
}

// bomb is a small message that unpacks to 32 MiB.
func bomb() []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(make([]byte, 32<<20))
	_ = w.Close()
	route := "Wild.Echo"
	body := binary.AppendUvarint([]byte{1 << 4}, 1)
	body = append(append(append(body, byte(len(route))), route...), z.Bytes()...)
	return codec.AppendPacket(nil, codec.Data, body)
}
