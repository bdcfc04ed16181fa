package etcd

import (
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/cluster/keeper"
)

// list is what a node knows of the list in etcd. It does no I/O: events and times are arguments. It
// belongs to one goroutine.
//
// A node that was cut off from etcd for long may find that the entries of others have run out
// meanwhile, because they were cut off, too. It holds these for one more time to live: whoever
// lives has entered itself again by then.
type list struct {
	self    string // the address of this node, which is never held
	ttl     time.Duration
	members map[string]keeper.Member
	held    map[string]bool // they are not in etcd's list any more, but stay until holdEnds

	heard    time.Time // when etcd answered last
	holdEnds time.Time
	version  keeper.Version
	changed  bool // since the last view
}

func newList(self keeper.Member, ttl time.Duration) *list {
	return &list{
		self: self.Addr, ttl: ttl, members: make(map[string]keeper.Member), held: make(map[string]bool),
		version: keeper.Version{Master: self.Epoch}, // views of one Keeper are compared with its own only
	}
}

// hear notes that etcd has answered. Call it before what the answer says is put into the list.
func (l *list) hear(now time.Time) {
	if !l.heard.IsZero() && now.Sub(l.heard) > l.ttl/2 {
		l.holdEnds = now.Add(l.ttl)
	}
	l.heard = now
}

// put notes an entry as it is in etcd.
func (l *list) put(m keeper.Member) {
	delete(l.held, m.Addr)
	if old, ok := l.members[m.Addr]; !ok || !old.Equal(m) || old.Joined != m.Joined {
		l.members[m.Addr] = m
		l.changed = true
	}
}

// remove notes that etcd has no entry of the address any more.
func (l *list) remove(addr string, now time.Time) {
	if _, ok := l.members[addr]; !ok {
		return
	}
	if now.Before(l.holdEnds) && addr != l.self {
		l.held[addr] = true
		return
	}
	delete(l.members, addr)
	delete(l.held, addr)
	l.changed = true
}

// replace notes the whole list as it is in etcd.
func (l *list) replace(all []keeper.Member, now time.Time) {
	gone := make(map[string]bool, len(l.members))
	for addr := range l.members {
		gone[addr] = true
	}
	for _, m := range all {
		delete(gone, m.Addr)
		l.put(m)
	}
	for addr := range gone {
		l.remove(addr, now)
	}
}

// tick drops those that were held for long enough.
func (l *list) tick(now time.Time) {
	if len(l.held) == 0 || now.Before(l.holdEnds) {
		return
	}
	for addr := range l.held {
		delete(l.members, addr)
	}
	clear(l.held)
	l.changed = true
}

// view returns the list if it has changed since the last view.
func (l *list) view() (keeper.View, bool) {
	if !l.changed {
		return keeper.View{}, false
	}
	l.changed = false
	l.version.N++
	v := keeper.View{Version: l.version, Settled: true, Members: make([]keeper.Member, 0, len(l.members))}
	for _, m := range l.members {
		v.Members = append(v.Members, m)
	}
	slices.SortFunc(v.Members, func(a, b keeper.Member) int { return strings.Compare(a.Addr, b.Addr) })
	return v, true
}
