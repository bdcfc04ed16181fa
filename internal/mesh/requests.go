package mesh

import (
	"cmp"
	"maps"
	"slices"
)

// requests are the requests of one client that other nodes are to answer. Each has one outcome: its
// answer, or an error when the node that has it is gone (failAt); an answer that comes after the
// error is not the client's any more. The methods are not for concurrent use.
type requests struct {
	inFlight few[uint64, inFlight]
	begun    uint64 // counts requests
	failed   *failed
}

// failed are requests that have an error for an answer although another may come yet.
type failed struct {
	latest map[uint64]struct{}
	before map[uint64]struct{}
	owed   map[uint64]struct{} // of these, whose error is not queued yet
}

func (f *failed) has(mid uint64) bool {
	if f == nil {
		return false
	}
	_, late := f.latest[mid]
	_, later := f.before[mid]
	return late || later
}

// all returns them, in no order.
func (f *failed) all() (mids []uint64) {
	if f == nil {
		return nil
	}
	mids = slices.AppendSeq(mids, maps.Keys(f.latest))
	return slices.AppendSeq(mids, maps.Keys(f.before))
}

func (f *failed) drop(mid uint64) {
	if f != nil {
		delete(f.latest, mid)
		delete(f.before, mid)
		delete(f.owed, mid)
	}
}

func (f *failed) add(mid uint64) {
	if f.latest == nil || len(f.latest) >= maxInFlight {
		f.latest, f.before = make(map[uint64]struct{}), f.latest
	}
	f.latest[mid] = struct{}{}
}

// inFlight is a request that has no answer yet.
type inFlight struct {
	at  *peer  // nil: this node
	seq uint64 // the older, the smaller
}

// maxInFlight is how many requests of one session may have no answer. Of more the oldest are
// failed, a quarter at a time: handlers that sometimes do not answer must not use up what a long
// session has.
const maxInFlight = 16384

// begin notes a request that goes to p. Its id may have been that of an earlier one.
func (r *requests) begin(mid uint64, p *peer) {
	r.failed.drop(mid)
	r.begun++
	r.inFlight.set(mid, inFlight{p, r.begun})
}

// overdue returns the oldest quarter where no more fit, and nothing else.
func (r *requests) overdue() []uint64 {
	if r.inFlight.len() < maxInFlight {
		return nil
	}
	all := maps.Collect(r.inFlight.all())
	mids := slices.SortedFunc(maps.Keys(all), func(a, b uint64) int { return cmp.Compare(all[a].seq, all[b].seq) })
	return mids[:maxInFlight/4]
}

// awaits tells whether a request has no answer yet.
func (r *requests) awaits(mid uint64) bool {
	_, ok := r.inFlight.get(mid)
	return ok
}

// drop forgets a request, whose answer is welcome at any time.
func (r *requests) drop(mid uint64) { r.inFlight.remove(mid) }

// answer notes the answer to a request. It is false for one that has an error for an answer.
func (r *requests) answer(mid uint64) bool {
	waits, late := r.awaits(mid), r.failed.has(mid)
	r.inFlight.remove(mid)
	if waits && late { // see expectTwo
		return true
	}
	r.failed.drop(mid)
	return !late
}

// expectTwo notes that a request has failed at another gate. If it is in flight here, that gate has
// not queued its error yet: of that and an answer that comes late, the first counts.
func (r *requests) expectTwo(mid uint64) { r.failures().add(mid) }

// fail notes that a request is to be answered with an error. It is false if it was before.
func (r *requests) fail(mid uint64) bool {
	if !r.awaits(mid) && r.failed.has(mid) {
		return false
	}
	r.inFlight.remove(mid)
	f := r.failures()
	f.add(mid)
	if f.owed == nil {
		f.owed = make(map[uint64]struct{})
	}
	f.owed[mid] = struct{}{}
	return true
}

// refused notes that the error of a request is queued.
func (r *requests) refused(mid uint64) {
	if r.failed != nil {
		delete(r.failed.owed, mid)
	}
}

// unsent notes that a request was not sent. It is false if it has failed.
func (r *requests) unsent(mid uint64) bool {
	waits := r.awaits(mid)
	r.inFlight.remove(mid)
	return waits
}

// outstanding returns the requests that have no answer yet, and the nodes that give it. Of one
// whose error is not queued yet, that is this one, at self.
func (r *requests) outstanding(self string) map[uint64]string {
	all := make(map[uint64]string, r.inFlight.len())
	for mid, f := range r.inFlight.all() {
		if all[mid] = self; f.at != nil {
			all[mid] = f.at.addr
		}
	}
	if r.failed != nil {
		for mid := range r.failed.owed {
			all[mid] = self
		}
	}
	return all
}

func (r *requests) failures() *failed {
	if r.failed == nil {
		r.failed = new(failed)
	}
	return r.failed
}

// dropAt forgets the requests that p has: their answers are welcome at any time.
func (r *requests) dropAt(p *peer) {
	for _, mid := range r.at(p) {
		r.drop(mid)
	}
}

// failAt notes that p answers nothing any more, and returns the requests that get an error now.
func (r *requests) failAt(p *peer) (mids []uint64) {
	return slices.DeleteFunc(r.at(p), func(mid uint64) bool { return !r.fail(mid) })
}

// at returns the requests that p has.
func (r *requests) at(p *peer) (mids []uint64) {
	for mid, f := range r.inFlight.all() {
		if f.at == p {
			mids = append(mids, mid)
		}
	}
	return mids
}
