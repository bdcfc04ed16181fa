package resume

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// ackEvery is how many bytes one side receives before it says so without waiting for its next
// heartbeat. It is far below what nodes and clients keep.
const ackEvery = 16 << 10

// Side is what both sides of a session have: the packets that they sent, and the count of those
// that they received.
type Side struct {
	Out      Outbox
	received atomic.Uint64 // written by whoever calls Receive
	owed     int32         // bytes received since the peer was told
}

// Receive counts a data packet of n bytes that came whole. It reports whether the peer should be
// told now, which is the case once in 16 KiB.
func (s *Side) Receive(n int) (tell bool) {
	s.received.Store(s.received.Load() + 1)
	if s.owed += int32(n + entryCost); s.owed < ackEvery {
		return false
	}
	s.owed = 0
	return true
}

// Received returns how many data packets came. It may be called at any time.
func (s *Side) Received() uint64 { return s.received.Load() }

// Heartbeat takes the body of a heartbeat, which says how many data packets the peer has received;
// an empty one says nothing. It returns ErrCount for a body that cannot be true.
func (s *Side) Heartbeat(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	n, err := ParseCount(body)
	if err != nil {
		return err
	}
	return s.Out.Acknowledge(n)
}

// AppendCount appends a count as the body of a heartbeat has it.
func AppendCount(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }

// ParseCount reads the body of a heartbeat. It returns ErrCount if that is not exactly one varint.
func ParseCount(body []byte) (uint64, error) {
	n, size := binary.Uvarint(body)
	if size != len(body) || size == 0 {
		return 0, fmt.Errorf("%w: the body of a heartbeat is no varint", ErrCount)
	}
	return n, nil
}
