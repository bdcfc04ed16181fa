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
