package resume

// maxEnds is how many sessions that are over are remembered.
const maxEnds = 4096

// Ends remembers why sessions can not be resumed any more, so that a client that comes too late
// hears more than that its session is unknown. Of many it remembers the latest. Its owner guards
// it.
type Ends struct {
	why   map[int64]Reason
	order []int64 // a ring, once it is full
	next  int
}

// Add notes why a session is over.
func (e *Ends) Add(session int64, why Reason) {
	if e.why == nil {
		e.why = make(map[int64]Reason)
	}
	if len(e.order) < maxEnds {
		e.order = append(e.order, session)
	} else {
		delete(e.why, e.order[e.next])
		e.order[e.next] = session
		e.next = (e.next + 1) % maxEnds
	}
	e.why[session] = why
}

// Why returns why a session is over; Unknown if nothing is remembered.
func (e *Ends) Why(session int64) Reason {
	if why, ok := e.why[session]; ok {
		return why
	}
	return Unknown
}
