package scheduler

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// submit queues jobs and fails the test if they are not all taken.
func submit(t testing.TB, s *Scheduler, l *Lane, js []Job) {
	t.Helper()
	if n, err := s.SubmitTo(l, js, nil); n != len(js) || err != nil {
		t.Fatalf("took %d of %d: %v", n, len(js), err)
	}
}

// A client with one message must not wait behind the thousands of others.
func TestLanesTakeTurns(t *testing.T) {
	for _, flooders := range []int{1, 10, 100} {
		bubble(t, func(t *testing.T) {
			s := started(t)
			busy(s, time.Second)
			ran, each := 0, min(laneLimit, 10_000/flooders)
			for range flooders {
				submit(t, s, s.NewLane(0), jobs(each, func(int) { ran++ }))
			}
			before := -1
			submit(t, s, s.NewLane(0), jobs(1, func(int) { before = ran }))
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if ran != flooders*each {
				t.Errorf("%d of %d jobs ran", ran, flooders*each)
			}
			if before < 0 || before > batchLimit {
				t.Errorf("with %d flooders, %d jobs of theirs came before the one that came last", flooders, before)
			}
		})
	}
}

// What one client sends is handled in its order, whatever others do and however often it has to
// wait.
func TestOrderInALane(t *testing.T) {
	s := started(t)
	var wg sync.WaitGroup
	got := make([][]int, 8)
	for i := range got {
		l := s.NewLane(0)
		if i%2 == 1 {
			l = New().NewLane(0) // at home elsewhere
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			all := jobs(5000, func(n int) { got[i] = append(got[i], n) })
			for rest := all; len(rest) > 0; {
				n := min(len(rest), 1+i*100)
				submit(t, s, l, rest[:n])
				rest = rest[n:]
			}
		}()
	}
	wg.Wait()
	end(s)
	for i := range got {
		wantInts(t, got[i], 5000)
		if i%2 == 1 && len(s.backlog.lanes.guests) != 0 {
			t.Error("a lane of another scheduler is kept after its jobs")
		}
	}
}

// A task of a lane comes after the lane's jobs, one without a lane does not wait for them.
func TestTasksAndLanes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		busy(s, time.Second)
		l := s.NewLane(0)
		var got []string
		submit(t, s, l, jobs(3, func(int) { got = append(got, "job") }))
		s.PushTaskTo(l, func() { got = append(got, "task") })
		submit(t, s, l, jobs(1, func(int) { got = append(got, "later") }))
		s.EndLane(l, func() { got = append(got, "end") })
		s.PushTask(func() { got = append(got, "free") })
		if n, err := s.SubmitTo(l, jobs(1, func(int) { got = append(got, "late") }), nil); n != 0 || !errors.Is(err, ErrStopped) {
			t.Errorf("after its end the lane took %d jobs: %v", n, err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if want := []string{"job", "job", "job", "task", "later", "end", "free"}; !slices.Equal(got, want) {
			t.Errorf("ran %v, want %v", got, want)
		}
	})
}

// awaiting makes jobs that wait in Await for release, and counts those that do and those that did.
type awaiting struct {
	s            *Scheduler
	release      chan struct{}
	now, most, n int // touched with the turn only
}

func (a *awaiting) jobs(n int) []Job {
	return jobs(n, func(int) {
		a.now++
		a.most = max(a.most, a.now)
		a.s.Await(func() { <-a.release })
		a.now--
		a.n++
	})
}

// A client that floods a handler which waits for another node costs as many goroutines as it may
// have waiting calls, not as many as it sends. Another client is served meanwhile.
func TestWaitingCallsOfALaneAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		idle := runtime.NumGoroutine()
		a := &awaiting{s: s, release: make(chan struct{})}
		l := s.NewLane(16)
		sent := make(chan int)
		go func() {
			n, err := s.SubmitTo(l, a.jobs(5000), nil)
			if err != nil {
				t.Error(err)
			}
			sent <- n
		}()
		synctest.Wait()
		if n := runtime.NumGoroutine() - idle; n > 16+2 {
			t.Errorf("5000 jobs hold %d goroutines, want 16 and the sender", n)
		}
		served := false
		submit(t, s, s.NewLane(16), jobs(1, func(int) { served = true }))
		s.PushTask(func() { a.most = max(a.most, a.now) })
		synctest.Wait()
		if !served || a.now != 16 {
			t.Errorf("another's job ran: %v; %d calls wait, want 16", served, a.now)
		}
		for range 100 {
			a.release <- struct{}{}
		}
		synctest.Wait()
		if a.n != 100 || a.now != 16 {
			t.Errorf("%d calls came back and %d wait, want 100 and 16", a.n, a.now)
		}
		close(a.release)
		if n := <-sent; n != 5000 {
			t.Errorf("%d of 5000 jobs were taken", n)
		}
		synctest.Wait()
		if a.n != 5000 || a.most != 16 {
			t.Errorf("%d of 5000 came back, at most %d waited at a time, want 16", a.n, a.most)
		}
	})
}

// Many clients together cost no more than the scheduler's bound and one call each; those that have
// none waiting are served.
func TestWaitingCallsOfASchedulerAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithAwaiting(100))
		a := &awaiting{s: s, release: make(chan struct{})}
		const clients = 50
		for range clients {
			l := s.NewLane(64)
			submit(t, s, l, a.jobs(200))
		}
		synctest.Wait()
		if a.now < 100 || a.now > 100+clients {
			t.Errorf("%d calls wait, want 100 and at most one more for each client", a.now)
		}
		served := 0
		submit(t, s, s.NewLane(64), jobs(3, func(int) { served++ }))
		synctest.Wait()
		if served != 3 {
			t.Errorf("%d of 3 jobs ran of a lane that has no waiting call", served)
		}
		if st := s.Stats(); st.Awaiting != a.now || st.Queued == 0 {
			t.Errorf("Stats tells of %d waiting and %d queued", st.Awaiting, st.Queued)
		}
		close(a.release)
		synctest.Wait()
		if a.n != clients*200 || a.most > 100+clients {
			t.Errorf("%d of %d came back, at most %d waited", a.n, clients*200, a.most)
		}
	})
}

// The end of a session is not held up by calls of its own that wait.
func TestEndOfALaneThatIsFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		a := &awaiting{s: s, release: make(chan struct{})}
		l := s.NewLane(2)
		submit(t, s, l, a.jobs(5))
		synctest.Wait()
		ended := false
		s.EndLane(l, func() { ended = a.now == 5 })
		synctest.Wait()
		if !ended {
			t.Error("the last task of a lane has not run, or not after the others")
		}
		close(a.release)
	})
}

// Who waits to add to a lane goes on when the session ends, and when the scheduler does.
func TestWaitForALaneEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, how := range []string{"stop", "close"} {
			s := New() // runs nothing, so there is no room
			stop := make(chan struct{})
			l := s.NewLane(0)
			errs := make(chan error)
			go func() {
				n, err := s.SubmitTo(l, jobs(2*laneLimit, func(int) {}), func() <-chan struct{} { return stop })
				if n != laneLimit {
					t.Errorf("%s: took %d jobs", how, n)
				}
				errs <- err
			}()
			synctest.Wait()
			want := ErrClosed
			if how == "stop" {
				want = ErrStopped
				close(stop)
			} else {
				end(s)
			}
			if err := <-errs; !errors.Is(err, want) {
				t.Errorf("%s: %v", how, err)
			}
			if how == "close" && s.Stats().Dropped != 2*laneLimit {
				t.Errorf("%d jobs are counted as dropped, want %d", s.Stats().Dropped, 2*laneLimit)
			}
		}
	})
}

// Close runs what lanes hold, also what was held back for waiting calls.
func TestCloseRunsLanes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New()
		a := &awaiting{s: s, release: make(chan struct{})}
		s.Start()
		submit(t, s, s.NewLane(3), a.jobs(100))
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			close(a.release)
		}()
		end(s)
		if a.n != 100 {
			t.Errorf("%d of 100 jobs ran to their end", a.n)
		}
	})
}

// PostTo never waits, and keeps the order of each lane.
func TestPostTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		busy(s, time.Second)
		lanes := []*Lane{s.NewLane(0), nil, s.NewLane(0)}
		var got [3][]int
		for i := range 2000 {
			k := i % 3
			if err := s.PostTo(lanes[k:k+1], jobs(1, func(int) { got[k] = append(got[k], i/3) })); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for k := range got {
			wantInts(t, got[k], (2000-k+2)/3)
		}
	})
}

// A task runs after all that was queued before it, however many clients have how much waiting: a
// room that hears of a player's leaving from OnClosed has heard all of that player before.
func TestTasksComeAfterWhatWaitsInLanes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		busy(s, time.Second)
		ran, at := 0, []int{}
		count := func(int) { ran++ }
		note := func() { at = append(at, ran) }
		few, many := s.NewLane(0), s.NewLane(0)
		submit(t, s, few, jobs(3, count))
		submit(t, s, many, jobs(laneLimit, count))
		s.PushTask(note)
		submit(t, s, few, jobs(laneLimit-3, count))
		s.PushTask(note)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(at) != 2 || at[0] < 3+laneLimit || at[1] != 2*laneLimit {
			t.Errorf("the tasks ran after %v jobs, want at least %d and %d", at, 3+laneLimit, 2*laneLimit)
		}
	})
}

// The task that a waiting call waits for must not stand behind the lane that the call holds up.
func TestTasksPassALaneThatIsHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		l := s.NewLane(1)
		a := &awaiting{s: s, release: make(chan struct{})}
		submit(t, s, l, a.jobs(3))
		synctest.Wait()
		s.PushTask(func() { close(a.release) })
		synctest.Wait()
		if a.n != 3 {
			t.Errorf("%d of 3 calls have come back", a.n)
		}
	})
}

// A call comes back, so one more may wait: all lanes that were held back for it go on, one after
// the other, though the jobs of the first do not wait for anything. A session would stand still
// until some other call of some other session ends.
func TestHeldLanesGoOnWhileThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t, WithAwaiting(4))
		var lanes []*Lane
		var release []chan struct{}
		for range 6 { // each may have one, whatever the bound
			l, c := s.NewLane(8), make(chan struct{})
			submit(t, s, l, jobs(1, func(int) { s.Await(func() { <-c }) }))
			lanes, release = append(lanes, l), append(release, c)
			synctest.Wait()
		}
		ran := make([]bool, 3)
		for i := range ran {
			submit(t, s, lanes[i], jobs(1, func(int) { ran[i] = true }))
		}
		synctest.Wait()
		if slices.Contains(ran, true) {
			t.Errorf("6 calls wait, 4 may, and these jobs ran: %v", ran)
		}
		for _, c := range release[3:] {
			close(c)
			synctest.Wait()
		}
		if slices.Contains(ran, false) {
			t.Errorf("3 calls wait, 4 may, and only these jobs ran: %v", ran)
		}
		for _, c := range release[:3] {
			close(c)
		}
	})
}

// large is a job that holds bytes.
type large struct {
	job
	size int
}

func (l *large) Size() int { return l.size }

// A scheduler is held up. Clients with large messages fill it by what these hold, and not by their
// number: ten of them with 60 KiB each would otherwise hold 300 MiB.
func TestLanesHoldSoManyBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New() // runs nothing yet
		no := make(chan struct{})
		close(no)
		ran := 0
		fill := func(l *Lane, n, size int) int {
			js := make([]Job, n)
			for i := range js {
				js[i] = &large{job{"test.job", func() { ran++ }}, size}
			}
			took, _ := s.SubmitTo(l, js, func() <-chan struct{} { return no })
			return took
		}
		all := 0
		for _, c := range []struct{ n, size, want int }{
			{100, 60 << 10, laneBytes / (60 << 10)},
			{100, 2 << 20, 1}, // one may be larger than the bound
			{1000, 1 << 10, laneLimit},
			{1000, 0, laneLimit},
		} {
			took := fill(s.NewLane(0), c.n, c.size)
			if took != c.want {
				t.Errorf("of %d jobs of %d bytes %d wait, want %d", c.n, c.size, took, c.want)
			}
			all += took
		}
		bytes := s.backlog.lanes.bytes
		for bytes < allBytes {
			took := fill(s.NewLane(0), 100, 1<<18)
			all, bytes = all+took, bytes+took<<18
		}
		last := s.NewLane(0)
		if took := fill(last, 100, 1<<10); took != 1 {
			t.Errorf("with all bytes taken, %d jobs of another lane wait, want 1", took)
		}
		rest := make(chan int)
		go func() {
			js := make([]Job, 200)
			for i := range js {
				js[i] = &large{job{"test.job", func() { ran++ }}, 60 << 10}
			}
			n, _ := s.SubmitTo(last, js, nil)
			rest <- n
		}()
		synctest.Wait()
		s.Start()
		if n := <-rest; n != 200 {
			t.Errorf("%d of 200 were taken once the scheduler runs", n)
		}
		synctest.Wait()
		if ran != all+1+200 || s.backlog.lanes.bytes != 0 {
			t.Errorf("%d of %d jobs ran, and %d bytes are still counted", ran, all+201, s.backlog.lanes.bytes)
		}
		end(s)
	})
}

// refusable is a large job that may be told that there is no room.
type refusable struct {
	large
	refused bool
}

func (r *refusable) Refuse() { r.refused, r.size = true, 0 }

// A backend's scheduler is held up. Nobody can have a link wait, so what finds no room is told so in
// its turn; each session may have one message all the same.
func TestPostedJobsHoldSoManyBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := New() // runs nothing yet
		all, ran := 0, 0
		post := func(l *Lane, size int) *refusable {
			j := &refusable{large: large{job{"test.job", func() { ran++ }}, size}}
			if err := s.PostTo([]*Lane{l}, []Job{j}); err != nil {
				t.Fatal(err)
			}
			all++
			return j
		}
		full := s.NewLane(0)
		for range allBytes >> 20 {
			if post(full, 1<<20).refused {
				t.Fatalf("a job is refused with %d bytes", s.backlog.lanes.bytes)
			}
		}
		for range 100 {
			if !post(full, 1<<10).refused {
				t.Error("a job is taken beyond all bytes")
			}
		}
		if post(s.NewLane(0), 1<<10).refused {
			t.Error("the only job of a lane is refused")
		}
		if got := s.backlog.lanes.bytes; got != allBytes+1<<10 {
			t.Errorf("%d bytes wait", got)
		}
		s.Start()
		synctest.Wait()
		if ran != all || s.backlog.lanes.bytes != 0 {
			t.Errorf("%d of %d jobs ran, and %d bytes are left", ran, all, s.backlog.lanes.bytes)
		}
		end(s)
	})
}
