package scheduler

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What the tests provoke is not for the reader of their output.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// job is a Job made of a name and a function.
type job struct {
	name string
	run  func()
}

func (j *job) Run()         { j.run() }
func (j *job) Name() string { return j.name }

func jobs(n int, run func(i int)) []Job {
	js := make([]Job, n)
	for i := range js {
		js[i] = &job{name: "test.job", run: func() { run(i) }}
	}
	return js
}

// started returns a running scheduler that the test closes at its end.
func started(t testing.TB, opts ...Option) *Scheduler {
	s := New(opts...)
	s.Start()
	t.Cleanup(func() { end(s) })
	return s
}

// end closes a scheduler and waits for its end.
func end(s *Scheduler) {
	s.Close()
	if err := s.Wait(context.Background()); err != nil {
		panic(err)
	}
}

// bubble runs a test on a fake clock. A goroutine that is left at its end fails
// the test.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

func wantInts(t *testing.T, got []int, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d ran, want %d", len(got), n)
	}
	for i, v := range got {
		if v != i {
			t.Fatalf("number %d ran in place %d", v, i)
		}
	}
}

// clock tells the milliseconds since it was made.
func clock() func() int {
	start := time.Now()
	return func() int { return int(time.Since(start) / time.Millisecond) }
}

// busy makes the loop sleep (on the fake clock) for d and returns once it does.
func busy(s *Scheduler, d time.Duration) {
	in := make(chan struct{})
	s.PushTask(func() { close(in); time.Sleep(d) })
	<-in
}

// onPanic records the names of reported calls.
type panicLog struct {
	n     atomic.Int32
	names chan string
}

func newPanicLog() *panicLog { return &panicLog{names: make(chan string, 100)} }

func (p *panicLog) option() Option {
	return WithPanic(func(name string, _ any, _ []byte) {
		p.n.Add(1)
		p.names <- name
	})
}
