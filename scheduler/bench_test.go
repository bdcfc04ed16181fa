package scheduler

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

type countJob struct{ n int }

func (j *countJob) Run()       { j.n++ }
func (*countJob) Name() string { return "bench.count" }

// BenchmarkSubmit is one job, from the reader to its end, by size of batch, with
// the reader ahead of the loop.
func BenchmarkSubmit(b *testing.B) {
	for _, size := range []int{1, 8, 64, 1024} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := started(b)
			var count countJob
			batch := make([]Job, size)
			for i := range batch {
				batch[i] = &count
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += size {
				_ = s.Submit(batch, nil)
			}
			end(s)
		})
	}
}

// BenchmarkRoundTrip is one batch of one job for which the submitter waits: the
// wake of a parked loop, and the way back.
func BenchmarkRoundTrip(b *testing.B) {
	s := started(b)
	done := make(chan struct{}, 1)
	batch := []Job{&job{name: "bench", run: func() { done <- struct{}{} }}}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Submit(batch, nil)
		<-done
	}
}

// BenchmarkRoundTripChannel is the same over a bare channel and goroutine, to
// compare.
func BenchmarkRoundTripChannel(b *testing.B) {
	in, done := make(chan Job, 1), make(chan struct{}, 1)
	go func() {
		for j := range in {
			j.Run()
		}
	}()
	j := &job{name: "bench", run: func() { done <- struct{}{} }}
	b.ReportAllocs()
	for b.Loop() {
		in <- j
		<-done
	}
	close(in)
}

// BenchmarkSubmitParallel is eight readers at once.
func BenchmarkSubmitParallel(b *testing.B) {
	s := started(b)
	var count countJob
	const readers, size = 8, 8
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			batch := make([]Job, size)
			for i := range batch {
				batch[i] = &count
			}
			for n := 0; n < b.N/readers; n += size {
				_ = s.Submit(batch, nil)
			}
		})
	}
	wg.Wait()
	end(s)
}

// BenchmarkPushTask is one task that a running task pushes, with its run.
func BenchmarkPushTask(b *testing.B) {
	s := started(b)
	done := make(chan struct{})
	left := b.N
	var next Task
	next = func() {
		if left -= 100; left < 0 {
			close(done)
			return
		}
		for range 99 {
			s.PushTask(func() {})
		}
		s.PushTask(next)
	}
	b.ReportAllocs()
	b.ResetTimer()
	s.PushTask(next)
	<-done
}

// BenchmarkTimerStartStop is a timer that is made and stopped before it fires,
// as the timeouts of turns are, beside 10,000 others.
func BenchmarkTimerStartStop(b *testing.B) {
	s := started(b)
	for i := range 10_000 {
		s.NewTimer(time.Hour+time.Duration(i)*time.Second, func() {})
	}
	fn := func() {}
	b.ReportAllocs()
	for b.Loop() {
		s.NewAfterTimer(time.Minute, fn).Stop()
	}
}

// BenchmarkTimerFire is one call of one of 10,000 timers.
func BenchmarkTimerFire(b *testing.B) {
	s := New()
	n := 0
	for i := range 10_000 {
		t := s.NewTimer(time.Duration(i+1)*time.Microsecond+time.Hour, func() { n++ })
		t.deadline = 0
	}
	b.ReportAllocs()
	for b.Loop() {
		at := now()
		t := s.timers.heap[0]
		t.deadline = at
		s.loop.fire(s.timers.nextDue(at))
	}
}

// BenchmarkAwait is one call that waits for what is there already: the start of
// another loop, and the way back to the call.
func BenchmarkAwait(b *testing.B) {
	s := started(b)
	done := make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	s.PushTask(func() {
		for range b.N {
			s.Await(func() {})
		}
		close(done)
	})
	<-done
}

// BenchmarkAwaitMany is one of 10,000 calls that wait at a time.
func BenchmarkAwaitMany(b *testing.B) {
	const many = 10_000
	s := started(b)
	b.ReportAllocs()
	for n := 0; n < b.N; n += many {
		var wg sync.WaitGroup
		reply := make(chan struct{})
		for range many {
			wg.Add(1)
			s.PushTask(func() { s.Await(func() { <-reply }); wg.Done() })
		}
		close(reply)
		wg.Wait()
	}
}
