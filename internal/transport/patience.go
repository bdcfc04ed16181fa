package transport

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Patience says how long a write waits. It may be asked from any goroutine.
type Patience interface {
	// Until returns when the client is too slow, now that it has taken n more bytes.
	Until(n int) time.Time
}

// writeUnit is how much a client takes before its patience is asked again.
const writeUnit = 64 << 10

// WritePatiently writes b by write, which writes some of it until a deadline. A write that is late
// and was taken in part goes on as long as p waits for that.
func WritePatiently(b []byte, p Patience, write func(b []byte, until time.Time) (int, error)) (n int, err error) {
	for until := p.Until(0); n < len(b); {
		k, err := write(b[n:min(len(b), n+writeUnit)], until)
		n += k
		until = p.Until(k)
		if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || k == 0 || !time.Now().Before(until)) {
			return n, err
		}
	}
	return n, nil
}

// patient is a connection that keeps the patience with a client below TLS.
type patient struct {
	net.Conn
	portable portable // the same connection

	mu       sync.Mutex
	patience Patience // of the write that is under way above; nil: the connection's deadline holds
}

// Patient returns nc for TLS above it, which [Portable] is given. TLS takes the first write that is
// late for its end, so none may be.
func Patient(nc net.Conn) net.Conn {
	return &patient{Conn: nc, portable: makePortable(nc)}
}

// NetConn returns the connection below.
func (c *patient) NetConn() net.Conn { return c.Conn }

func (c *patient) setPatience(p Patience) {
	c.mu.Lock()
	c.patience = p
	c.mu.Unlock()
}

// Write writes b. TLS writes alerts by itself, too.
func (c *patient) Write(b []byte) (int, error) {
	c.mu.Lock()
	p := c.patience
	c.mu.Unlock()
	if p == nil {
		return c.Conn.Write(b)
	}
	return WritePatiently(b, p, c.portable.writeUntil)
}

// patientBelow finds that layer below others, nil if there is none.
func patientBelow(nc net.Conn) *patient {
	for nc = under(nc); nc != nil; nc = under(nc) {
		if p, ok := nc.(*patient); ok {
			return p
		}
	}
	return nil
}
