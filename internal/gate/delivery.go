package gate

import (
	"github.com/lonng/nano/session"
)

// manner is how a message is delivered: when it is written, and what may become of it while it
// waits.
type manner struct {
	when  urgency
	class session.DeliveryClass
	slot  slot
}

// slot is what a message of session.DeliverLatest takes: the newest one has it.
type slot struct{ route, key string }

// droppable tells whether the message may be left out.
func (m *manner) droppable() bool { return m.class != session.DeliverAll }

// replaces tells whether the message takes the place of one that was sent in manner other.
func (m *manner) replaces(other *manner) bool {
	return m.class == session.DeliverLatest && other.class == session.DeliverLatest && m.slot == other.slot
}

// loose is a message of an outbuf that may be dropped while it waits.
type loose struct {
	packet []byte // as the connection writes it; nil: it was dropped
	slot   slot
	class  session.DeliveryClass
	at     int // how many bytes of messages that may not be dropped stand before it
}

// looseList are the messages of an outbuf that may be dropped, in order.
type looseList struct {
	all   []loose
	slots map[slot]int // index of the newest of each
	dead  int          // of all, were dropped
}

// keepLoose is for how many messages a list keeps its memory.
const keepLoose = 256

// add queues a message and drops the one that it replaces.
func (o *outbuf) addLoose(packet []byte, m *manner) (replaced bool) {
	l := &o.loose
	if m.class == session.DeliverLatest {
		if i, there := l.slots[m.slot]; there {
			o.dropLoose(i)
			replaced = true
		}
		if l.dead > 16 && l.dead > len(l.all)/2 {
			l.compact()
		}
		if l.slots == nil {
			l.slots = make(map[slot]int)
		}
		l.slots[m.slot] = len(l.all)
	}
	l.all = append(l.all, loose{packet, m.slot, m.class, o.fixed})
	o.count++
	o.size += len(packet)
	return replaced
}

// dropLoose drops one message.
func (o *outbuf) dropLoose(i int) {
	x := &o.loose.all[i]
	o.size -= len(x.packet)
	x.packet = nil
	o.count--
	o.loose.dead++
	if x.class == session.DeliverLatest && o.loose.slots[x.slot] == i {
		delete(o.loose.slots, x.slot)
	}
}

// dropClass drops all messages of the class and returns how many there were.
func (o *outbuf) dropClass(class session.DeliveryClass) (n int) {
	for i, x := range o.loose.all {
		if x.packet != nil && x.class == class {
			o.dropLoose(i)
			n++
		}
	}
	return n
}

// compact forgets the dropped messages.
func (l *looseList) compact() {
	kept := l.all[:0]
	for _, x := range l.all {
		if x.packet == nil {
			continue
		}
		if x.class == session.DeliverLatest {
			l.slots[x.slot] = len(kept)
		}
		kept = append(kept, x)
	}
	clear(l.all[len(kept):])
	l.all, l.dead = kept, 0
}

// overtake lets the n bytes that were queued last go before the messages right before them that may
// be dropped.
func (o *outbuf) overtake(n int) {
	for i := len(o.loose.all) - 1; i >= 0 && o.loose.all[i].at == o.fixed-n; i-- {
		o.loose.all[i].at = o.fixed
	}
}

// weave puts the messages that may be dropped where they belong. None is dropped after it.
func (o *outbuf) weave() {
	l := &o.loose
	if len(l.all) == 0 {
		return
	}
	o.unshare()
	o.seal()
	fixed, head := o.segs, 0
	if o.merge {
		head = batchHead
	}
	o.segs, o.own, o.cut = nil, make([]byte, head), head // what is in fixed lies in the old memory
	next, at := 0, 0
	for _, seg := range fixed {
		for ; next < len(l.all) && l.all[next].at < at+len(seg); next++ {
			n := l.all[next].at - at
			o.put(seg[:n])
			o.put(l.all[next].packet)
			seg, at = seg[n:], at+n
		}
		o.put(seg)
		at += len(seg)
	}
	for ; next < len(l.all); next++ {
		o.put(l.all[next].packet)
	}
	l.clear()
}

// put appends a piece of what is queued already.
func (o *outbuf) put(b []byte) {
	if o.merge || len(b) <= mergeMax {
		o.own = append(o.own, b...)
		return
	}
	o.seal()
	o.segs = append(o.segs, b)
}

// clear forgets all messages, and keeps the memory unless there were many.
func (l *looseList) clear() {
	clear(l.all)
	l.all, l.dead = l.all[:0], 0
	clear(l.slots)
	if cap(l.all) > keepLoose {
		l.all, l.slots = nil, nil
	}
}
