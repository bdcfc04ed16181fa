package scheduler

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answer is a wait for a reply that comes after d.
func answer(d time.Duration) func() { return func() { time.Sleep(d) } }

// A handler that asks another node must not hold up the players of this one, and
// must not run at the same time as their handlers either.
func TestAwaitLetsOthersRunOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		var log []string // no lock: the race detector is the judge
		running := 0
		enter := func(what string) {
			if running++; running != 1 {
				t.Errorf("%d calls run at a time, %q is one", running, what)
			}
			log = append(log, what)
			time.Sleep(time.Millisecond)
		}
		leave := func() { running-- }
		_ = s.Submit([]Job{
			&job{"a", func() {
				enter("a asks")
				leave()
				s.Await(answer(time.Second))
				enter("a has it")
				s.PushTask(func() { enter("task of a"); leave() })
				leave()
			}},
			&job{"b", func() { enter("b"); leave() }},
		}, nil)
		s.NewAfterTimer(500*time.Millisecond, func() {
			enter("timer asks")
			leave()
			s.Await(answer(time.Second))
			enter("timer has it")
			leave()
		})
		s.NewAfterTimer(500*time.Millisecond, func() { enter("another timer"); leave() })
		time.Sleep(5 * time.Second)
		end(s)
		want := []string{"a asks", "b", "timer asks", "another timer", "a has it", "task of a", "timer has it"}
		if !slices.Equal(log, want) {
			t.Errorf("got  %q\nwant %q", log, want)
		}
	})
}

// Where there is no turn to give up, Await is the wait alone and disturbs nothing.
func TestAwaitElsewhere(t *testing.T) {
	type test struct {
		name string
		opts func(await func()) []Option
		act  func(s *Scheduler, await func())
	}
	plain := func(func()) []Option { return nil }
	task := func(s *Scheduler, _ func()) { s.PushTask(func() {}) }
	tests := []test{
		{"any goroutine", plain, func(_ *Scheduler, await func()) { await() }},
		{"goroutine of a task", plain, func(s *Scheduler, await func()) { s.PushTask(func() { go await() }) }},
		{"wait of another Await", plain, func(s *Scheduler, await func()) { s.PushTask(func() { s.Await(await) }) }},
		{"task of another scheduler", plain, func(_ *Scheduler, await func()) {
			other := New()
			other.Start()
			other.PushTask(await)
			end(other)
		}},
		{"name of a job", plain, func(s *Scheduler, await func()) {
			_ = s.Submit([]Job{&job{"a", func() {}}, &namer{await}}, nil)
		}},
		{"begin hook", func(await func()) []Option { return []Option{WithBatch(await, nil)} }, task},
		{"end hook", func(await func()) []Option { return []Option{WithBatch(nil, await)} }, task},
		{"idle hook", func(await func()) []Option { return []Option{WithIdle(func(func() bool) { await() })} }, task},
		{"slow report", func(await func()) []Option { return []Option{WithSlow(time.Second, func(Slow) { await() })} },
			func(s *Scheduler, _ func()) { busy(s, 3*time.Second) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var s *Scheduler
				once, waited := sync.Once{}, make(chan bool, 1)
				await := func() {
					once.Do(func() {
						same := goroutineID()
						s.Await(func() { same -= goroutineID(); time.Sleep(time.Second) })
						waited <- same == 0
					})
				}
				s = New(tt.opts(await)...)
				s.Start()
				tt.act(s, await)
				if !<-waited {
					t.Error("wait ran on another goroutine")
				}
				s.Await(nil)
				s.PushTask(func() { s.Await(nil) })
				end(s)
				if st := s.Stats(); st.Panics != 0 || st.Awaiting != 0 {
					t.Errorf("stats: %+v", st)
				}
			})
		})
	}
}

type namer struct{ name func() }

func (n *namer) Run() {}

func (n *namer) Name() string { n.name(); return "named" }

// Replies are worked off as they came, not as they were asked for.
func TestAwaitResumesInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		const n = 100
		var got []int
		_ = s.Submit(jobs(n, func(i int) {
			s.Await(answer(time.Duration(n-i) * time.Second))
			got = append(got, n-1-i)
		}), nil)
		s.PushTask(func() { time.Sleep(30500 * time.Millisecond) }) // so that some come in one batch
		time.Sleep(time.Hour)
		end(s)
		wantInts(t, got, n)
	})
}

// A call may ask many times, beside others that do.
func TestAwaitAgainAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		const calls, rounds = 20, 50
		sum, before := 0, runtime.NumGoroutine()
		_ = s.Submit(jobs(calls, func(i int) {
			for r := range rounds {
				s.Await(answer(time.Duration((i*r)%7) * time.Millisecond))
				sum++
			}
		}), nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := s.Stats(); sum != calls*rounds || st.Executed != calls {
			t.Errorf("%d of %d rounds, stats %+v", sum, calls*rounds, st)
		}
		if n := runtime.NumGoroutine(); n > before+calls { // other tests may have some, too
			t.Errorf("%d goroutines, %d before", n, before)
		}
	})
}

// All players of a server may wait for the same slow node.
func TestTenThousandAwaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		const n = 10_000
		reply, sum := make(chan struct{}), 0
		_ = s.Submit(jobs(n, func(int) {
			s.Await(func() { <-reply })
			sum++
		}), nil)
		synctest.Wait()
		if st := s.Stats(); st.Awaiting != n || st.Executed != 0 || st.Running != "" {
			t.Errorf("while all wait: %+v", st)
		}
		close(reply)
		synctest.Wait()
		if st := s.Stats(); sum != n || st.Awaiting != 0 || st.Executed != n || st.Queued != 0 {
			t.Errorf("%d came back, stats %+v", sum, st)
		}
	})
}

// Two nodes whose handlers ask each other, over and over, must not lock each other.
func TestAwaitEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := [2]*Scheduler{started(t), started(t)}
		const depth = 2000
		var call func(n int) int
		call = func(n int) int {
			if n == depth {
				return 0
			}
			mine, next := s[n%2], s[(n+1)%2]
			reply := make(chan int, 1)
			next.PushTask(func() { reply <- call(n + 1) })
			below := 0
			mine.Await(func() { below = <-reply })
			return below + 1
		}
		got := 0
		s[0].PushTask(func() { got = call(0) })
		synctest.Wait()
		if got != depth {
			t.Errorf("the answer is %d, want %d", got, depth)
		}
		for i := range s {
			if st := s[i].Stats(); st.Awaiting != 0 || st.Queued != 0 || st.Panics != 0 {
				t.Errorf("stats %d: %+v", i, st)
			}
		}
	})
}

// Answers are flushed at the end of a batch, also those of a call that came back,
// and those of the batch that it left are not kept for it.
func TestAwaitAndBatchHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log []string
		note := func(what string) func() { return func() { log = append(log, what) } }
		s := New(WithBatch(note("begin"), note("end")), WithIdle(func(func() bool) { log = append(log, "idle") }))
		ask := func(name string, d time.Duration) *job {
			return &job{name, func() { note(name + " asks")(); s.Await(answer(d)); note(name + " has it")() }}
		}
		_ = s.Submit([]Job{ask("a", time.Second), &job{"b", note("b")}, ask("c", time.Second+time.Millisecond)}, nil)
		s.Start()
		time.Sleep(500 * time.Millisecond)
		s.PushTask(func() { note("busy")(); time.Sleep(time.Second); s.PushTask(note("last")) }) // a and c come in one batch
		time.Sleep(5 * time.Second)
		end(s)
		want := []string{
			"begin", "a asks", "b", "c asks", "end", "idle",
			"begin", "busy", "end", "idle",
			"begin", "a has it", "c has it", "last", "end", "idle",
		}
		if !slices.Equal(log, want) {
			t.Errorf("got  %q\nwant %q", log, want)
		}
	})
}

// Figures that count a waiting call as running, or twice, mislead whoever looks
// for the reason of a lag.
func TestAwaitStats(t *testing.T) {
	tests := []struct {
		name    string
		running string
		counts  uint64
		push    func(s *Scheduler, run func())
	}{
		{"job", "room.move", 1, func(s *Scheduler, run func()) { _ = s.Submit([]Job{&job{"room.move", run}}, nil) }},
		{"timer", "timer", 0, func(s *Scheduler, run func()) { s.NewAfterTimer(time.Millisecond, run) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := started(t, WithSlow(0, nil))
				tt.push(s, func() {
					for range 2 {
						s.Await(answer(time.Second))
						time.Sleep(time.Second)
					}
				})
				time.Sleep(2 * time.Millisecond)
				for tasks := range uint64(2) {
					time.Sleep(500 * time.Millisecond) // in the wait
					busy := time.Duration(tasks) * time.Second
					st := s.Stats()
					if st != (Stats{Name: "scheduler", Executed: tasks, Wait: st.Wait, Busy: busy, Awaiting: 1}) {
						t.Errorf("while it waits: %+v", st)
					}
					time.Sleep(time.Second) // back
					s.PushTask(func() {})
					want := Stats{Name: "scheduler", Executed: tasks, Queued: 1, Running: tt.running, Since: time.Now().Add(-500 * time.Millisecond)}
					if st := s.Stats(); st.Since.Sub(want.Since).Abs() > 2*time.Millisecond {
						t.Errorf("back since %v, want %v", st.Since, want.Since)
					} else if ran := st.Busy - busy; ran < 495*time.Millisecond || ran > 505*time.Millisecond {
						t.Errorf("when it is back it was busy for %v more, want 500ms", ran)
					} else if want.Since, want.Wait, want.Busy = st.Since, st.Wait, st.Busy; st != want {
						t.Errorf("when it is back: %+v, want\n%+v", st, want)
					}
					time.Sleep(500 * time.Millisecond)
				}
				time.Sleep(time.Second)
				if st := s.Stats(); st != (Stats{Name: "scheduler", Executed: 2 + tt.counts, Wait: st.Wait, Busy: 2 * time.Second}) {
					t.Errorf("at its end: %+v", st)
				}
			})
		})
	}
}

//go:noinline
func innocentHandler(s *Scheduler) { s.Await(answer(time.Minute)) }

// The report of a slow call must show that call, not one that waits rightly.
func TestSlowCallAmongAwaits(t *testing.T) {
	stuckAfter := func(s *Scheduler) func() {
		return func() { s.Await(answer(time.Second)); stuckHandler(5 * time.Second) }
	}
	tests := []struct {
		name string
		want string
		act  func(s *Scheduler)
	}{
		{"a call that did not wait", "room.join", func(s *Scheduler) {
			_ = s.Submit([]Job{&job{"room.join", func() { stuckHandler(5 * time.Second) }}}, nil)
		}},
		{"a job that came back", "room.join", func(s *Scheduler) {
			_ = s.Submit([]Job{&job{"room.join", stuckAfter(s)}}, nil)
		}},
		{"a timer that came back", "timer", func(s *Scheduler) { s.NewAfterTimer(time.Second, stuckAfter(s)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				reports := make(chan Slow, 10)
				s := started(t, WithSlow(time.Second, func(r Slow) { reports <- r }))
				for range 5 {
					_ = s.Submit([]Job{&job{"innocent", func() { innocentHandler(s) }}}, nil)
				}
				tt.act(s)
				for range 5 {
					_ = s.Submit([]Job{&job{"innocent", func() { innocentHandler(s) }}}, nil)
				}
				r := <-reports
				if r.Name != tt.want || r.For < time.Second || r.For > 1250*time.Millisecond {
					t.Errorf("report: %+v", r)
				}
				if !contains(r.Stack, "stuckHandler") || contains(r.Stack, "innocentHandler") {
					t.Errorf("the stack does not show the handler:\n%s", r.Stack)
				}
				time.Sleep(2 * time.Minute)
				if n := len(reports); n != 0 {
					t.Errorf("%d more reports: %+v", n, <-reports)
				}
			})
		})
	}
}

// A timer goes on while its call waits, and Stop counts from a call that came back.
func TestTimerAwaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		at := clock()
		var log []string
		note := func(what string, n int) { log = append(log, fmt.Sprint(what, n, "@", at())) }
		n := 0
		var timer *Timer
		s.PushTask(func() {
			timer = s.NewTimer(time.Second, func() {
				n++
				mine := n
				note("asks", mine)
				s.Await(answer(2500 * time.Millisecond))
				note("has", mine)
				timer.Stop()
			})
		})
		time.Sleep(time.Minute)
		end(s)
		want := []string{"asks1@1000", "asks2@2000", "asks3@3000", "has1@3500", "has2@4500", "has3@5500"}
		if !slices.Equal(log, want) {
			t.Errorf("got  %q\nwant %q", log, want)
		}
	})
}

// Everything at once, for the race detector: calls that ask, fail and return
// between others, on schedulers that are closed in the middle.
func TestAwaitEverythingAtOnce(t *testing.T) {
	s := New()
	for range 3 {
		if err := s.Configure(WithLimit(64), WithStall(time.Millisecond, func() {}), WithSlow(time.Millisecond, func(Slow) {})); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); s.Run() }()
		const workers, rounds = 4, 300
		ran := 0 // belongs to what s runs
		before := s.Stats()
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for r := range rounds {
					_ = s.Submit(jobs(4, func(i int) {
						defer func() { ran++ }()
						switch (i + r) % 8 {
						case 0:
							s.Await(runtime.Gosched)
						case 1:
							s.Await(func() { time.Sleep(time.Duration(r) * time.Microsecond) })
							s.Await(func() {})
						case 2:
							s.Await(func() { panic("boom") })
						case 3:
							s.Await(runtime.Gosched)
							runtime.Goexit()
						}
					}), nil)
					s.NewAfterTimer(time.Millisecond, func() { s.Await(runtime.Gosched); ran += 0 })
					_ = s.Stats()
					if w == 0 && r == rounds*3/4 {
						s.PushTask(func() { ran++; s.Await(s.Close) })
					}
				}
			})
		}
		wg.Wait()
		end(s)
		<-ended
		st := s.Stats()
		if did := st.Executed - before.Executed; uint64(ran) != did || st.Queued != 0 || st.Awaiting != 0 || st.Timers != 0 {
			t.Errorf("%d ran, %d were counted, stats %+v", ran, did, st)
		}
	}
}

// Code that finds its scheduler by Current gives up the turn that it has, not one that some other
// scheduler has: or the calls of a component's timers would hold up the component that they wait
// for.
func TestCurrent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, other := started(t), started(t)
		var seen []*Scheduler
		look := func() { seen = append(seen, Current()) }
		expect := func(what string, want ...*Scheduler) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(seen, want) {
				t.Errorf("%s: %p, want %p", what, seen, want)
			}
			seen = nil
		}
		look()
		expect("a goroutine of no scheduler", nil)
		s.PushTask(func() { look(); s.Await(look); look() })
		expect("before, in and after Await", s, nil, s)
		other.PushTask(look)
		expect("another scheduler", other)
		s.PushTask(func() {
			ran := make(chan struct{})
			other.PushTask(func() { look(); close(ran) })
			<-ran
			look()
		})
		expect("a task of a task", other, s)
		s.NewAfterTimer(time.Millisecond, look)
		time.Sleep(time.Second)
		expect("a timer", s)
		s.PushTask(func() { go look() })
		expect("a goroutine of a task", nil)
		s.PushTask(func() { defer look(); runtime.Goexit() })
		s.PushTask(look)
		expect("a goroutine that ends, and the next", s, s)
		end(s)
		end(other)
		turns.Range(func(id, at any) bool {
			if at == s || at == other {
				t.Errorf("goroutine %v is still said to be a scheduler's", id)
			}
			return true
		})
	})
}
