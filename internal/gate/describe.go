package gate

import (
	"net"

	"github.com/lonng/nano/internal/transport"
)

// ClientInfo is what the gate knows of one client, for people who look at it.
type ClientInfo struct {
	Addr      net.Addr // of the client
	WebSocket bool     // else plain TCP
	Suspended bool     // it has no connection, and may come back
	Resumable bool     // its session outlives a connection
	Queued    int      // bytes that wait for it
	Kept      int      // bytes that are kept until it says that it has them
	// Traffic is of the present connection. Known is false where the kernel does not tell it.
	Traffic transport.Traffic
	Known   bool
}

// Describe returns what is known of the client now. The connection is the session's entity.
func (c *Conn) Describe() ClientInfo {
	info := ClientInfo{Addr: c.RemoteAddr(), WebSocket: c.websocket}
	at := c
	c.mu.Lock()
	if r := c.res.Load(); r != nil {
		info.Resumable, info.Suspended, info.Kept = true, r.carrier == nil, r.Out.Bytes()
		if at = r.carrier; at == nil {
			c.mu.Unlock()
			return info
		}
	}
	c.mu.Unlock()
	at.mu.Lock()
	info.WebSocket, info.Queued = at.websocket, at.queuedBytesLocked()
	at.mu.Unlock()
	info.Traffic, info.Known = at.sock.Traffic()
	return info
}
