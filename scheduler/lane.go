package scheduler

import (
	"math"
	"slices"
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

// use notes that s is given jobs.
func (l *Lane) use(s *Scheduler) {
	if l.latest.Load() != s {
		l.latest.Store(s)
	}
}

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

// lanes are the queues of a scheduler's lanes. Scheduler.mu guards them, but for
// runs, which the loop reads without it.
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
	runs   []laneRun // the lanes of the batch's jobs
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

func (s *Scheduler) pushTo(l *Lane, t Task, last bool) {
	if l == nil || t == nil {
		s.PushTask(t)
		return
	}
	came := s.stamp()
	s.mu.Lock()
	if s.life > lifeRunning {
		s.dropped++
		s.mu.Unlock()
		return
	}
	q := s.laneLocked(l)
	s.appendLocked(q, came, taskJob(t))
	if last {
		l.ended.Store(true)
		if q.list == &s.lanes.full {
			s.readyLocked(q)
		}
	}
	s.unlockAndWake()
}

// laneLocked returns the queue of a lane, made if there is none.
func (s *Scheduler) laneLocked(l *Lane) *laneQueue {
	var q *laneQueue
	if l.home == s {
		q = l.queue
	} else {
		q = s.lanes.guests[l]
	}
	if q != nil {
		return q
	}
	if n := len(s.lanes.spare); n > 0 {
		q = s.lanes.spare[n-1]
		s.lanes.spare = s.lanes.spare[:n-1]
	} else {
		q = new(laneQueue)
	}
	q.lane = l
	if l.home == s {
		l.queue = q
		return q
	}
	if s.lanes.guests == nil {
		s.lanes.guests = make(map[*Lane]*laneQueue)
	}
	s.lanes.guests[l] = q
	return q
}

// freeLocked takes a queue back that holds nothing.
func (s *Scheduler) freeLocked(q *laneQueue) {
	if q.lane.home == s {
		q.lane.queue = nil
	} else {
		delete(s.lanes.guests, q.lane)
	}
	jobs, stamps := q.jobs[:0], q.stamps[:0]
	if cap(jobs) > laneLimit {
		jobs, stamps = nil, nil
	}
	*q = laneQueue{jobs: jobs, stamps: stamps}
	if len(s.lanes.spare) < spareQueues {
		s.lanes.spare = append(s.lanes.spare, q)
	}
}

// roomLocked is how many of the jobs a queue takes now. Where the scheduler has as
// many as it may, one in which nothing waits takes a few: those of others do not
// keep a source out. A job may be larger than all bounds.
func (s *Scheduler) roomLocked(q *laneQueue, jobs []Job) int {
	n := q.len()
	room := min(laneLimit, s.cfg.limit) - n
	if s.lanes.jobs+len(s.queue) >= s.cfg.limit {
		if room = 0; n == 0 {
			room = min(16, s.cfg.limit)
		}
	}
	room = min(room, len(jobs))
	left := min(laneBytes-q.bytes, allBytes-s.lanes.bytes)
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

func (s *Scheduler) appendLocked(q *laneQueue, came time.Duration, jobs ...Job) {
	if came == 0 { // others wait already: the clock was not read
		came = max(time.Duration(s.started.Load()), s.oldestLocked())
	}
	if q.len() == 0 {
		q.came = came
	}
	q.last = came
	q.jobs = append(q.jobs, jobs...)
	s.lanes.clock++
	for range jobs {
		q.stamps = append(q.stamps, s.lanes.clock)
	}
	s.lanes.jobs += len(jobs)
	bytes := sizesOf(jobs)
	q.bytes += bytes
	s.lanes.bytes += bytes
	if q.list == nil {
		s.readyLocked(q)
	}
}

// oldestLocked is when the first of what waits came; the past, if nothing does.
func (s *Scheduler) oldestLocked() time.Duration {
	oldest := time.Duration(math.MaxInt64)
	if len(s.queue) > 0 {
		oldest = s.oldest
	}
	if s.lanes.count > 0 {
		oldest = min(oldest, s.lanes.oldest)
	}
	if oldest == math.MaxInt64 {
		return math.MinInt64
	}
	return oldest
}

// readyLocked has the next batches take from a queue.
func (s *Scheduler) readyLocked(q *laneQueue) {
	if q.list != nil {
		q.unlist()
	}
	if s.lanes.count == 0 {
		s.lanes.oldest = q.came
		s.pending.Store(true)
	}
	s.lanes.oldest = min(s.lanes.oldest, q.came)
	s.lanes.ready.push(q)
	s.lanes.count++
}

// gatherLocked adds to the next batch what the lanes may give to it, by turns, and
// returns when the first of it came.
func (s *Scheduler) gatherLocked(oldest time.Duration) time.Duration {
	clear(s.lanes.runs)
	s.lanes.runs = s.lanes.runs[:0]
	for room := s.cfg.awaits - s.lanes.waiting; room > 0 && s.lanes.held.head != nil; room-- {
		s.readyLocked(s.lanes.held.head)
	}
	n := s.lanes.count
	if n == 0 {
		return oldest
	}
	s.lanes.runs = append(s.lanes.runs, laneRun{end: len(s.queue)})
	turn, taken, earliest := max(1, batchLimit/n), 0, uint64(math.MaxUint64)
	for range n {
		q := s.lanes.ready.head
		q.unlist()
		s.lanes.count--
		some := s.allowedLocked(q, turn, taken)
		switch {
		case some > 0:
			taken += some
			oldest = min(oldest, q.came)
			s.takeLocked(q, some)
		case q.waiting >= int(q.lane.waiting) && !q.lane.ended.Load():
			s.lanes.full.push(q)
			continue
		case s.lanes.waiting >= s.cfg.awaits:
			s.lanes.held.push(q)
			continue
		}
		if q.len() > 0 {
			s.readyLocked(q)
			earliest = min(earliest, q.stamps[q.first])
		}
	}
	s.letTasksLocked(earliest)
	return oldest
}

// behindLocked queues jobs without a lane behind all that waits in lanes, but for
// lanes that are held back: what those wait for may be among these jobs.
func (s *Scheduler) behindLocked(jobs ...Job) {
	for _, j := range jobs {
		s.lanes.tasks = append(s.lanes.tasks, laneTask{j, s.lanes.clock})
	}
}

// letTasksLocked adds to the next batch the tasks that came before all jobs which
// still wait in lanes: earliest is the stamp of the first of those.
func (s *Scheduler) letTasksLocked(earliest uint64) {
	n := 0
	for ; n < len(s.lanes.tasks) && s.lanes.tasks[n].after < earliest; n++ {
		s.queue = append(s.queue, s.lanes.tasks[n].job)
	}
	if n > 0 {
		left := copy(s.lanes.tasks, s.lanes.tasks[n:])
		clear(s.lanes.tasks[left:])
		s.lanes.tasks = s.lanes.tasks[:left]
	}
	if len(s.lanes.tasks) == 0 && cap(s.lanes.tasks) > keep {
		s.lanes.tasks = nil
	}
}

// allowedLocked is how many of the queue's jobs may go into a batch that has taken
// jobs of lanes already: if all of them came to wait, there would still be no more
// than may wait. But whoever has none that waits may have one.
func (s *Scheduler) allowedLocked(q *laneQueue, turn, taken int) int {
	n := min(turn, q.len())
	if s.life == lifeClosing {
		return n
	}
	if !q.lane.ended.Load() {
		n = min(n, int(q.lane.waiting)-q.waiting)
	}
	room := max(0, s.cfg.awaits-s.lanes.waiting-taken)
	if room == 0 && q.waiting == 0 {
		room = 1
	}
	return min(n, room)
}

// takeLocked moves n jobs of a queue into the next batch.
func (s *Scheduler) takeLocked(q *laneQueue, n int) {
	some := q.jobs[q.first : q.first+n]
	s.queue = append(s.queue, some...)
	bytes := sizesOf(some)
	clear(some)
	q.first += n
	q.bytes -= bytes
	s.lanes.jobs -= n
	s.lanes.bytes -= bytes
	s.lanes.runs = append(s.lanes.runs, laneRun{end: len(s.queue), lane: q.lane})
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
		s.freeLocked(q)
	default:
		q.jobs, q.stamps, q.first = q.jobs[:0], q.stamps[:0], 0
	}
}

// awaitLocked notes that the call which runs is in Await, and returns its lane.
func (s *Scheduler) awaitLocked(timer bool) *Lane {
	s.lanes.waiting++
	l := s.laneOfCallLocked()
	if timer || l == nil {
		return nil
	}
	s.laneLocked(l).waiting++
	return l
}

// laneOfCallLocked returns the lane of the job that runs.
func (s *Scheduler) laneOfCallLocked() *Lane {
	if s.resumedAt == s.pos {
		return s.resumed
	}
	runs := s.lanes.runs
	i, _ := slices.BinarySearchFunc(runs, s.pos, func(r laneRun, pos int) int { return r.end - pos })
	if i == len(runs) {
		return nil
	}
	return runs[i].lane
}

// resumeLocked notes that a call of the lane has its turn again. Lanes that were
// held back for it go on with the next batch.
func (s *Scheduler) resumeLocked(l *Lane) {
	s.lanes.waiting--
	if l != nil {
		q := s.laneLocked(l)
		q.waiting--
		switch {
		case q.list == &s.lanes.full, q.list == &s.lanes.held && q.waiting == 0:
			s.readyLocked(q)
		case q.waiting == 0 && q.len() == 0:
			s.freeLocked(q)
		}
	}
}

// closeLanesLocked lets all go on who wait for a lane, at the end of the scheduler.
func (s *Scheduler) closeLanesLocked() {
	for _, l := range []*laneList{&s.lanes.full, &s.lanes.held} {
		for l.head != nil {
			s.readyLocked(l.head)
		}
	}
	for q := s.lanes.ready.head; q != nil; q = q.next {
		if q.room != nil {
			close(q.room)
			q.room = nil
		}
	}
}

// dropLanesLocked forgets what the lanes hold.
func (s *Scheduler) dropLanesLocked() {
	s.closeLanesLocked()
	s.dropped += uint64(s.lanes.jobs + len(s.lanes.tasks))
	s.lanes.jobs, s.lanes.bytes, s.lanes.tasks = 0, 0, nil
	for q := s.lanes.ready.head; q != nil; q = s.lanes.ready.head {
		q.unlist()
		s.lanes.count--
		s.freeLocked(q)
	}
}
