package service

import (
	"sync"
	"sync/atomic"
	"time"
)

// Connection counts the connections of a node and makes its session ids. The
// implementations of this package may be used by any number of goroutines at
// once.
type Connection interface {
	// Increment counts one connection more.
	Increment()
	// Decrement counts one connection less.
	Decrement()
	// Count returns how many connections there are.
	Count() int64
	// Reset sets the count to 0. Without a node id, ids start from 1 again, so call it only when
	// there are no sessions: between tests, or before a node starts. Ids with a node id go on.
	Reset()
	// SessionID returns an id that was not returned before. It is positive.
	SessionID() int64
}

// Connections is the default instance. It has no node id until [ResetNodeId] sets one.
// session.New uses it, and so does a node without an instance of its own.
//
// It may be replaced before the first node starts, and not later.
var Connections Connection = newCounter()

// ResetNodeId sets the node id of [Connections], whose ids are from now on as [New] describes
// them. 0 goes on with the ids without a node id. It may be called at any time; to go back and
// forth between node ids repeats no id.
//
// A nodeId above [MaxNodeID] changes nothing, because there is no way to return an error here. A
// node checks its id first. A [Connections] that the application has replaced does not change.
func ResetNodeId(nodeId uint64) {
	if c, ok := Connections.(*counter); ok {
		_ = c.reset(nodeId, time.Now())
	}
}

// New returns an instance for the node nodeID.
//
// With node id 0 its ids are 1, 2, 3 and so on. With another one an id holds,
// under the sign, 16 bits of node id and a counter of 47 bits that starts at
// the time of this call in units of 1/65536 second. An instance made later
// for the same node therefore repeats no id as long as the earlier one made,
// over its life, fewer than 65,536 ids a second, and the clock did not go
// back. A nodeID above [MaxNodeID] is [ErrNodeID].
func New(nodeID uint64) (Connection, error) {
	c := newCounter()
	if err := c.reset(nodeID, time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

// counter is the Connection of this package.
type counter struct {
	count atomic.Int64
	ids   atomic.Pointer[sequence] // the one in use

	mu    sync.Mutex
	known map[uint64]*sequence // by node id; kept, so that no id comes twice
}

func newCounter() *counter {
	c := &counter{known: make(map[uint64]*sequence, 1)}
	plain := &sequence{}
	c.known[0] = plain
	c.ids.Store(plain)
	return c
}

func (c *counter) Increment()       { c.count.Add(1) }
func (c *counter) Decrement()       { c.count.Add(-1) }
func (c *counter) Count() int64     { return c.count.Load() }
func (c *counter) SessionID() int64 { return c.ids.Load().take() }

func (c *counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.Store(0)
	c.known[0].next.Store(0)
}

// reset changes over to the ids of another node.
func (c *counter) reset(nodeID uint64, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq := c.known[nodeID]
	if seq == nil {
		var err error
		if seq, err = newSequence(nodeID, now); err != nil {
			return err
		}
		c.known[nodeID] = seq
	}
	c.ids.Store(seq)
	return nil
}
