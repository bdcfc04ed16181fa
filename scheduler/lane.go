package scheduler

import (
	"math"
	"time"
)

const (
	// laneLimit is how many jobs of a lane may wait before SubmitTo does.
	laneLimit = 512
	// laneBytes and allBytes are how many bytes of jobs (see Sized) may wait in a
	// lane, and in all lanes, before SubmitTo does.
	laneBytes = 1 << 20
	allBytes  = 256 << 20
	// batchLimit is how many jobs of lanes a batch holds. With more lanes, it holds one of each.
	batchLimit = 512
	// spareQueues is how many queues of lanes are kept for others.
	spareQueues = 1024
)

// laneQueue is what a scheduler has of a lane: jobs that wait, and how many of its
// calls are in Await. It is there only while there is one or the other, and in a
// list as long as there are jobs.
type laneQueue struct {
	lane    *Lane
	jobs    []Job
	stamps  []uint64      // of each job: lanes.clock when it came
	first   int           // of jobs that waits
	bytes   int           // of the jobs
	waiting int           // calls in Await, until they have their turn again
	came    time.Duration // when the first job came, or a little earlier
	last    time.Duration // when the last one did
	room    chan struct{} // not nil: closed when there is room for those who wait to add more

	list       *laneList // nil: no jobs
	prev, next *laneQueue
}

func (q *laneQueue) len() int { return len(q.jobs) - q.first }

// roomToCome returns what is closed when there is room again.
func (q *laneQueue) roomToCome() <-chan struct{} {
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// laneList is a list of queues.
type laneList struct{ head, tail *laneQueue }

func (l *laneList) push(q *laneQueue) {
	q.list, q.prev, q.next = l, l.tail, nil
	if l.tail == nil {
		l.head = q
	} else {
		l.tail.next = q
	}
	l.tail = q
}

func (q *laneQueue) unlist() {
	l := q.list
	if q.prev == nil {
		l.head = q.next
	} else {
		q.prev.next = q.next
	}
	if q.next == nil {
		l.tail = q.prev
	} else {
		q.next.prev = q.prev
	}
	q.list, q.prev, q.next = nil, nil, nil
}

// lanes are the queues of a backlog's lanes.
type lanes struct {
	ready   laneList      // what the next batches take from, in this order
	full    laneList      // have as many calls in Await as they may
	held    laneList      // have calls in Await, and the scheduler has as many as it may
	count   int           // queues in ready
	jobs    int           // in all queues
	bytes   int           // of these
	oldest  time.Duration // when the first of the jobs in ready came
	waiting int           // calls in Await of lanes and others, until they have their turn again
	clock   uint64        // counts what was queued in lanes
	tasks   []laneTask    // wait for jobs in ready; empty if ready is

	guests map[*Lane]*laneQueue // of lanes whose home is another scheduler
	spare  []*laneQueue
}

// laneTask is a job without a lane that runs after the jobs which waited in lanes
// when it came: up to the stamp after.
type laneTask struct {
	job   Job
	after uint64
}

// laneRun says that jobs of the batch up to end are a lane's.
type laneRun struct {
	end  int
	lane *Lane
}

// queueOf returns the queue of a lane, made if there is none.
func (b *backlog) queueOf(l *Lane) *laneQueue {
	var q *laneQueue
	if l.home == b {
		q = l.queue
	} else {
		q = b.lanes.guests[l]
	}
	if q != nil {
		return q
	}
	if n := len(b.lanes.spare); n > 0 {
		q = b.lanes.spare[n-1]
		b.lanes.spare = b.lanes.spare[:n-1]
	} else {
		q = new(laneQueue)
	}
	q.lane = l
	if l.home == b {
		l.queue = q
		return q
	}
	if b.lanes.guests == nil {
		b.lanes.guests = make(map[*Lane]*laneQueue)
	}
	b.lanes.guests[l] = q
	return q
}

// free takes a queue back that holds nothing.
func (b *backlog) free(q *laneQueue) {
	if q.lane.home == b {
		q.lane.queue = nil
	} else {
		delete(b.lanes.guests, q.lane)
	}
	jobs, stamps := q.jobs[:0], q.stamps[:0]
	if cap(jobs) > laneLimit {
		jobs, stamps = nil, nil
	}
	*q = laneQueue{jobs: jobs, stamps: stamps}
	if len(b.lanes.spare) < spareQueues {
		b.lanes.spare = append(b.lanes.spare, q)
	}
}

// roomIn is how many of the jobs a queue takes now. Where the scheduler has as
// many as it may, one in which nothing waits takes a few: those of others do not
// keep a source out. A job may be larger than all bounds.
func (b *backlog) roomIn(q *laneQueue, jobs []Job) int {
	n := q.len()
	room := min(laneLimit, b.limit) - n
	if b.lanes.jobs+len(b.queue) >= b.limit {
		if room = 0; n == 0 {
			room = min(16, b.limit)
		}
	}
	room = min(room, len(jobs))
	left := min(laneBytes-q.bytes, allBytes-b.lanes.bytes)
	for i := range room {
		if left -= sizeOf(jobs[i]); left < 0 && n+i > 0 {
			return i
		}
	}
	return room
}

// sizeOf is how many bytes a job holds.
func sizeOf(j Job) int {
	if z, ok := j.(Sized); ok {
		return z.Size()
	}
	return 0
}

func sizesOf(jobs []Job) (bytes int) {
	for _, j := range jobs {
		bytes += sizeOf(j)
	}
	return bytes
}

// end notes that a lane takes no more jobs: its calls in Await hold back none that waits.
func (b *backlog) end(q *laneQueue) {
	q.lane.ended.Store(true)
	if q.list == &b.lanes.full {
		b.makeReady(q)
	}
}

// addTo queues jobs of a lane.
func (b *backlog) addTo(q *laneQueue, came time.Duration, jobs ...Job) {
	if came == 0 { // others wait already: the clock was not read
		came = max(b.taken, b.since())
	}
	if q.len() == 0 {
		q.came = came
	}
	q.last = came
	q.jobs = append(q.jobs, jobs...)
	b.lanes.clock++
	for range jobs {
		q.stamps = append(q.stamps, b.lanes.clock)
	}
	b.lanes.jobs += len(jobs)
	bytes := sizesOf(jobs)
	q.bytes += bytes
	b.lanes.bytes += bytes
	if q.list == nil {
		b.makeReady(q)
	}
}

// makeReady has the next batches take from a queue.
func (b *backlog) makeReady(q *laneQueue) {
	if q.list != nil {
		q.unlist()
	}
	if b.lanes.count == 0 {
		b.lanes.oldest = q.came
		b.pending.Store(true)
	}
	b.lanes.oldest = min(b.lanes.oldest, q.came)
	b.lanes.ready.push(q)
	b.lanes.count++
}

// gather adds to the queue what the lanes may give to the next batch, by turns, and returns the
// lanes of the queue's jobs, added to runs. oldest is when the first of the queue came.
func (b *backlog) gather(runs []laneRun) (_ []laneRun, oldest time.Duration) {
	oldest = math.MaxInt64
	if len(b.queue) > 0 {
		oldest = b.oldest
	}
	for room := b.awaits - b.lanes.waiting; room > 0 && b.lanes.held.head != nil; room-- {
		b.makeReady(b.lanes.held.head)
	}
	n := b.lanes.count
	if n == 0 {
		return runs, oldest
	}
	runs = append(runs, laneRun{end: len(b.queue)})
	share, taken, earliest := max(1, batchLimit/n), 0, uint64(math.MaxUint64)
	for range n {
		q := b.lanes.ready.head
		q.unlist()
		b.lanes.count--
		some := b.allowed(q, share, taken)
		switch {
		case some > 0:
			taken += some
			oldest = min(oldest, q.came)
			runs = append(runs, laneRun{end: len(b.queue) + some, lane: q.lane})
			b.takeFrom(q, some)
		case q.waiting >= int(q.lane.waiting) && !q.lane.ended.Load():
			b.lanes.full.push(q)
			continue
		case b.lanes.waiting >= b.awaits:
			b.lanes.held.push(q)
			continue
		}
		if q.len() > 0 {
			b.makeReady(q)
			earliest = min(earliest, q.stamps[q.first])
		}
	}
	b.letTasks(earliest)
	return runs, oldest
}

// addBehind queues jobs without a lane behind all that waits in lanes, but for
// lanes that are held back: what those wait for may be among these jobs.
func (b *backlog) addBehind(jobs ...Job) {
	for _, j := range jobs {
		b.lanes.tasks = append(b.lanes.tasks, laneTask{j, b.lanes.clock})
	}
}

// letTasks adds to the next batch the tasks that came before all jobs which
// still wait in lanes: earliest is the stamp of the first of those.
func (b *backlog) letTasks(earliest uint64) {
	n := 0
	for ; n < len(b.lanes.tasks) && b.lanes.tasks[n].after < earliest; n++ {
		b.queue = append(b.queue, b.lanes.tasks[n].job)
	}
	if n > 0 {
		left := copy(b.lanes.tasks, b.lanes.tasks[n:])
		clear(b.lanes.tasks[left:])
		b.lanes.tasks = b.lanes.tasks[:left]
	}
	if len(b.lanes.tasks) == 0 && cap(b.lanes.tasks) > keep {
		b.lanes.tasks = nil
	}
}

// allowed is how many of the queue's jobs may go into a batch that has taken
// jobs of lanes already: if all of them came to wait, there would still be no more
// than may wait. But whoever has none that waits may have one.
func (b *backlog) allowed(q *laneQueue, share, taken int) int {
	n := min(share, q.len())
	if b.ending {
		return n
	}
	if !q.lane.ended.Load() {
		n = min(n, int(q.lane.waiting)-q.waiting)
	}
	room := max(0, b.awaits-b.lanes.waiting-taken)
	if room == 0 && q.waiting == 0 {
		room = 1
	}
	return min(n, room)
}

// takeFrom moves n jobs of a lane to the queue.
func (b *backlog) takeFrom(q *laneQueue, n int) {
	some := q.jobs[q.first : q.first+n]
	b.queue = append(b.queue, some...)
	bytes := sizesOf(some)
	clear(some)
	q.first += n
	q.bytes -= bytes
	b.lanes.jobs -= n
	b.lanes.bytes -= bytes
	if q.room != nil && q.len() <= laneLimit/2 {
		close(q.room)
		q.room = nil
	}
	switch {
	case q.len() > 0:
		q.came = q.last // or earlier, but who has so much waiting is not who is asked about
		if q.first >= laneLimit {
			left := copy(q.jobs, q.jobs[q.first:])
			clear(q.jobs[left:])
			copy(q.stamps, q.stamps[q.first:])
			q.jobs, q.stamps, q.first = q.jobs[:left], q.stamps[:left], 0
		}
	case q.waiting == 0:
		b.free(q)
	default:
		q.jobs, q.stamps, q.first = q.jobs[:0], q.stamps[:0], 0
	}
}

// await notes that a call of the lane is in Await; nil: one without a lane.
func (b *backlog) await(l *Lane) {
	b.lanes.waiting++
	if l != nil {
		b.queueOf(l).waiting++
	}
}

// resume notes that a call of the lane has its turn again. Lanes that were
// held back for it go on with the next batch.
func (b *backlog) resume(l *Lane) {
	b.lanes.waiting--
	if l != nil {
		q := b.queueOf(l)
		q.waiting--
		switch {
		case q.list == &b.lanes.full, q.list == &b.lanes.held && q.waiting == 0:
			b.makeReady(q)
		case q.waiting == 0 && q.len() == 0:
			b.free(q)
		}
	}
}

// releaseLanes lets all go on who wait for a lane, at the end of the scheduler.
func (b *backlog) releaseLanes() {
	for _, l := range []*laneList{&b.lanes.full, &b.lanes.held} {
		for l.head != nil {
			b.makeReady(l.head)
		}
	}
	for q := b.lanes.ready.head; q != nil; q = q.next {
		if q.room != nil {
			close(q.room)
			q.room = nil
		}
	}
}

// dropLanes forgets what the lanes hold.
func (b *backlog) dropLanes() {
	b.releaseLanes()
	b.lanes.jobs, b.lanes.bytes, b.lanes.tasks = 0, 0, nil
	for q := b.lanes.ready.head; q != nil; q = b.lanes.ready.head {
		q.unlist()
		b.lanes.count--
		b.free(q)
	}
}
