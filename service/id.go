package service

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/fault"
)

// MaxNodeID is the largest node id: 16 bits of a session id hold it.
const MaxNodeID = 1<<16 - 1

// ErrNodeID is returned for a node id above [MaxNodeID].
var ErrNodeID = fault.New(fault.Invalid, "service: node id is too large")

const (
	counterBits = 47
	counterMask = 1<<counterBits - 1
	// fractionBits is how finely the seed reads the clock: 2^16 units a second
	// leave 31 bits, 68 years, for the seconds.
	fractionBits = 16
)

// epoch is when the seeds start to count: 2024-01-01 UTC, in Unix seconds.
const epoch = 1704067200

// sequence makes the ids of one node.
type sequence struct {
	top  int64 // the node id, shifted into place
	next atomic.Int64
}

func newSequence(nodeID uint64, now time.Time) (*sequence, error) {
	if nodeID > MaxNodeID {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrNodeID, nodeID, MaxNodeID)
	}
	s := &sequence{top: int64(nodeID) << counterBits}
	if nodeID != 0 {
		s.next.Store(seed(now))
	}
	return s, nil
}

// seed is the time since the epoch in units of 1/65536 second.
func seed(now time.Time) int64 {
	seconds := now.Unix() - epoch
	fraction := int64(now.Nanosecond()) << fractionBits / int64(time.Second)
	return (seconds<<fractionBits | fraction) & counterMask
}

func (s *sequence) take() int64 {
	return s.top | s.next.Add(1)&counterMask
}
