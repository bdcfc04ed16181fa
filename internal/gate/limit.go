package gate

import (
	"sync/atomic"
	"time"
)

// LimitPolicy says what happens to what is over a limit.
type LimitPolicy uint8

// The policies of limits.
const (
	LimitWait LimitPolicy = iota // it waits until it is not
	LimitDrop                    // it is dropped: a message with an error to who asked, a connection by closing it
	LimitKick                    // the session is kicked
)

// Limits bound what clients may do. A zero value sets no limit.
type Limits struct {
	Messages       float64 // of one session a second
	MessageBurst   int     // messages at once, before Messages counts
	MessagePolicy  LimitPolicy
	PerAddress     int     // connections of one address
	Accepts        float64 // connections that are accepted a second
	AcceptBurst    int     // connections at once, before Accepts counts
	AcceptPolicy   LimitPolicy
	Handshakes     int // connections whose handshake is not finished
	HandshakeLimit LimitPolicy
}

// LimitCounters count what was over a limit, whether it waited or was dropped.
type LimitCounters struct{ Messages, Addresses, Accepts, Handshakes atomic.Uint64 }

// bucket holds tokens: rate of them come in a second, up to burst.
type bucket struct {
	left float64
	at   time.Time // when left was counted; zero before the first
}

// take takes a token and returns 0, or how long it takes until there is one.
func (b *bucket) take(now time.Time, rate float64, burst int) time.Duration {
	most := max(1, float64(burst))
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	if b.left >= 1 {
		b.left--
		return 0
	}
	return time.Duration((1-b.left)/rate*float64(time.Second)) + time.Microsecond
}

// bucketOf returns the bucket of a session's messages. Its readers use it, one at a time.
func bucketOf(f *Conn) *bucket {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.transitLocked()
	if t.bucket == nil {
		t.bucket = new(bucket)
	}
	return t.bucket
}

// takeToken takes a token of the session's bucket: for a message, or for a handshake that is
// repeated. Where there is none, it waits for one or kicks the session, as the policy says. false:
// there is still none, and nothing is to be served.
func (in *input) takeToken() bool {
	c := in.conn
	l := &c.gate.cfg.Limits
	if l.Messages == 0 {
		return true
	}
	f := c.owner() // one after the other, the connections of a session share its bucket
	b := bucketOf(f)
	wait := b.take(time.Now(), l.Messages, l.MessageBurst)
	if wait == 0 {
		return true
	}
	c.gate.counters.Limited.Messages.Add(1)
	switch l.MessagePolicy {
	case LimitDrop:
		return false
	case LimitKick:
		_ = c.Kick("flood")
		return false
	}
	in.submit()
	defer c.busy.Store(false)
	for ; wait > 0; wait = b.take(time.Now(), l.Messages, l.MessageBurst) {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-f.Waiting():
			t.Stop()
			return false
		}
	}
	return true
}
