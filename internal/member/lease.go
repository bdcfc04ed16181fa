package member

import (
	"fmt"
	"time"
)

// firstLeased is where leased ids begin: the lower half is left to configurations until the upper
// was used up.
const firstLeased = 1 << 15

// leases says which node id is whose.
type leases struct {
	quarantine time.Duration
	living     map[uint64]string // address of the member that has it
	freed      map[uint64]freed  // ids that somebody had
	last       map[owner]uint64  // the same, by owner: one that was only silent may come back for it
	start      uint64            // the first to be leased, from firstLeased
	next       uint64            // where to look for a free one: how many were looked at
}

// owner is a process.
type owner struct {
	addr  string
	epoch uint64
}

// freed is who had an id, and until when.
type freed struct {
	owner
	at time.Time
}

// newLeases makes an empty register. A master that was started again knows no leases until it has
// heard their holders; seed, its epoch, lets it begin at another place than the one before it did.
func newLeases(quarantine time.Duration, seed uint64) *leases {
	seed ^= seed >> 33
	seed *= 0x9e3779b97f4a7c15 // spreads what differs in the low bits
	return &leases{
		quarantine: quarantine,
		living:     make(map[uint64]string),
		freed:      make(map[uint64]freed),
		last:       make(map[owner]uint64),
		start:      (seed >> 40) % firstLeased,
	}
}

// holder returns the address of the member other than addr that has id.
func (l *leases) holder(id uint64, addr string) (string, bool) {
	h, ok := l.living[id]
	return h, ok && h != addr
}

// grant gives id to addr. Nobody else has it.
func (l *leases) grant(id uint64, addr string) {
	if id == 0 {
		return
	}
	l.living[id] = addr
	if f, ok := l.freed[id]; ok {
		delete(l.freed, id)
		if l.last[f.owner] == id {
			delete(l.last, f.owner)
		}
	}
}

// release takes id from addr.
func (l *leases) release(id uint64, addr string, epoch uint64, now time.Time) {
	if id != 0 && l.living[id] == addr {
		delete(l.living, id)
		o := owner{addr, epoch}
		l.freed[id] = freed{o, now}
		l.last[o] = id
	}
}

// lease returns an id for a node that has none: the one that this process had before, else one that
// is free for long enough. It does not take it.
func (l *leases) lease(addr string, epoch uint64, now time.Time) (uint64, error) {
	if id, ok := l.last[owner{addr, epoch}]; ok {
		return id, nil
	}
	for range MaxNodeID {
		id := l.next - firstLeased + 1 // the lower half comes second
		if l.next < firstLeased {
			id = firstLeased + (l.start+l.next)%firstLeased
		}
		l.next = (l.next + 1) % MaxNodeID
		if l.free(id, now) {
			return id, nil
		}
	}
	return 0, fmt.Errorf("%w: %d have one", ErrNoNodeID, len(l.living))
}

func (l *leases) free(id uint64, now time.Time) bool {
	if _, ok := l.living[id]; ok {
		return false
	}
	f, ok := l.freed[id]
	return !ok || now.Sub(f.at) >= l.quarantine
}
