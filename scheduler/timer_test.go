package scheduler

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

type condition func(now time.Time) bool

func (c condition) Check(now time.Time) bool { return c(now) }

// When things happen on the fake clock, to the millisecond.
func TestTimers(t *testing.T) {
	tests := []struct {
		name  string
		act   func(s *Scheduler, note func(), at func() int)
		after time.Duration
		want  []int
	}{
		{"interval", func(s *Scheduler, note func(), _ func() int) {
			s.NewTimer(300*ms, note)
		}, time.Second, []int{300, 600, 900}},
		{"precision below a second's tick", func(s *Scheduler, note func(), _ func() int) {
			s.NewAfterTimer(7*ms, note)
			s.NewAfterTimer(3*ms, note)
			s.NewAfterTimer(1234*ms, note)
		}, 2 * time.Second, []int{3, 7, 1234}},
		{"one millisecond is the shortest", func(s *Scheduler, note func(), _ func() int) {
			s.NewTimer(time.Nanosecond, note)
		}, 4*ms + ms/2, []int{1, 2, 3, 4}},
		{"count", func(s *Scheduler, note func(), _ func() int) {
			s.NewCountTimer(100*ms, 3, note)
		}, time.Minute, []int{100, 200, 300}},
		{"after", func(s *Scheduler, note func(), _ func() int) {
			s.NewAfterTimer(100*ms, note)
		}, time.Minute, []int{100}},
		{"condition, once a second", func(s *Scheduler, note func(), at func() int) {
			s.NewCondTimer(condition(func(now time.Time) bool { return at() > 1500 && at() < 4500 }), note)
		}, 10 * time.Second, []int{2000, 3000, 4000}},
		{"condition stopped by its function", func(s *Scheduler, note func(), _ func() int) {
			s.PushTask(func() {
				var c *Timer
				c = s.NewCondTimer(condition(func(time.Time) bool { return true }), func() { note(); c.Stop() })
			})
		}, 10 * time.Second, []int{1000}},
		{"stop from inside", func(s *Scheduler, note func(), at func() int) {
			s.PushTask(func() {
				var t *Timer
				t = s.NewTimer(100*ms, func() {
					note()
					if at() == 300 {
						t.Stop()
					}
				})
			})
		}, time.Minute, []int{100, 200, 300}},
		{"stop of another that is due at the same moment", func(s *Scheduler, note func(), _ func() int) {
			s.PushTask(func() {
				var later *Timer
				s.NewAfterTimer(100*ms, func() { note(); later.Stop() })
				later = s.NewAfterTimer(100*ms, note)
			})
		}, time.Minute, []int{100}},
		{"stop from outside, twice", func(s *Scheduler, note func(), _ func() int) {
			t := s.NewTimer(100*ms, note)
			time.Sleep(250 * ms)
			t.Stop()
			t.Stop()
		}, time.Minute, []int{100, 200}},
		{"creation inside a function", func(s *Scheduler, note func(), _ func() int) {
			s.NewAfterTimer(100*ms, func() {
				note()
				s.NewCountTimer(50*ms, 2, func() {
					note()
					s.NewAfterTimer(ms, note)
				})
			})
		}, time.Minute, []int{100, 150, 151, 200, 201}},
		{"creation of an earlier one", func(s *Scheduler, note func(), _ func() int) {
			s.NewAfterTimer(time.Second, note)
			time.Sleep(100 * ms)
			s.NewAfterTimer(100*ms, note)
		}, time.Minute, []int{200, 1000}},
		{"no storm after a stall", func(s *Scheduler, note func(), _ func() int) {
			s.NewTimer(100*ms, note)
			busy(s, 1050*ms)
		}, 1250 * ms, []int{1050, 1100, 1200}},
		{"a count is not used up by a stall", func(s *Scheduler, note func(), _ func() int) {
			s.NewCountTimer(100*ms, 3, note)
			busy(s, 1050*ms)
		}, time.Minute, []int{1050, 1100, 1200}},
		{"a function that takes longer than its interval", func(s *Scheduler, note func(), _ func() int) {
			s.NewTimer(100*ms, func() { note(); time.Sleep(250 * ms) })
		}, 1100 * ms, []int{100, 350, 600, 850, 1100}},
		{"not kept waiting by a long batch", func(s *Scheduler, note func(), _ func() int) {
			s.NewTimer(100*ms, note)
			_ = s.Submit(jobs(100, func(int) { time.Sleep(3 * ms) }), nil)
		}, 350 * ms, []int{102, 201, 300}},
		{"the longest interval there is", func(s *Scheduler, note func(), _ func() int) {
			s.NewTimer(math.MaxInt64, note)
			s.NewAfterTimer(ms, note)
		}, time.Hour, []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := New(WithSlow(0, nil))
				s.Start()
				at := clock()
				var got []int
				end := time.Now().Add(tt.after)
				tt.act(s, func() { got = append(got, at()) }, at)
				time.Sleep(time.Until(end) + ms/4)
				s.Close()
				_ = s.Wait(t.Context())
				if !slices.Equal(got, tt.want) {
					t.Errorf("fired at %v ms, want %v", got, tt.want)
				}
			})
		})
	}
}

// A timer whose function takes longer than its interval is always due, and must
// still leave the loop to the players.
func TestTightTimerLetsJobsRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := started(t)
		s.NewTimer(ms, func() { time.Sleep(5 * ms) })
		time.Sleep(10 * ms)
		at := clock()
		last := 0
		_ = s.Submit(jobs(10, func(int) { time.Sleep(2 * ms); last = at() }), nil)
		time.Sleep(time.Second)
		end(s)
		if last < 20 || last > 100 {
			t.Errorf("ten jobs of 2 ms were done after %d ms", last)
		}
	})
}

// Timers fire in the order of their deadlines, equal ones in that of their
// making, whatever was stopped in between.
func TestTimerOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type mark struct {
			at time.Duration
			id int64
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		s := New()
		var got, want []mark
		var all []*Timer
		var marks []mark
		for range 2000 {
			d := time.Duration(1+rnd.IntN(200)) * ms
			var m mark
			timer := s.NewAfterTimer(d, func() { got = append(got, m) })
			m = mark{d, timer.ID()}
			all, marks = append(all, timer), append(marks, m)
		}
		for i, timer := range all {
			if rnd.IntN(3) == 0 {
				timer.Stop()
			} else {
				want = append(want, marks[i])
			}
		}
		slices.SortFunc(want, func(a, b mark) int {
			if a.at != b.at {
				return int(a.at - b.at)
			}
			return int(a.id - b.id)
		})
		if n := s.Stats().Timers; n != len(want) {
			t.Errorf("%d timers are left, want %d", n, len(want))
		}
		s.Start()
		time.Sleep(time.Second)
		end(s)
		if !slices.Equal(got, want) {
			t.Errorf("%d timers fired in another order than %d", len(got), len(want))
		}
	})
}

// A timer that cannot work must not take the server down, and can be treated as
// any other.
func TestUnusableTimers(t *testing.T) {
	never := func() {}
	always := condition(func(time.Time) bool { return true })
	tests := map[string]func(s *Scheduler) *Timer{
		"no function":            func(s *Scheduler) *Timer { return s.NewTimer(time.Second, nil) },
		"zero interval":          func(s *Scheduler) *Timer { return s.NewTimer(0, never) },
		"negative interval":      func(s *Scheduler) *Timer { return s.NewCountTimer(-1, 3, never) },
		"zero count":             func(s *Scheduler) *Timer { return s.NewCountTimer(time.Second, 0, never) },
		"negative count":         func(s *Scheduler) *Timer { return s.NewCountTimer(time.Second, -5, never) },
		"zero duration":          func(s *Scheduler) *Timer { return s.NewAfterTimer(0, never) },
		"no condition":           func(s *Scheduler) *Timer { return s.NewCondTimer(nil, never) },
		"condition, no function": func(s *Scheduler) *Timer { return s.NewCondTimer(always, nil) },
		"closed scheduler":       func(s *Scheduler) *Timer { s.Close(); return s.NewTimer(time.Second, never) },
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := New()
				s.Start()
				timer := make(s)
				if timer == nil || timer.ID() == 0 {
					t.Fatalf("the timer is %+v", timer)
				}
				timer.Stop()
				if n := s.Stats().Timers; n != 0 {
					t.Errorf("%d timers are left", n)
				}
				end(s)
			})
		})
	}
	var none *Timer
	none.Stop()
	new(Timer).Stop()
}

// The id is a key in maps of programs that use several schedulers.
func TestTimerIDsAreUnique(t *testing.T) {
	seen := map[int64]bool{}
	for range 10 {
		s := New()
		for range 10 {
			id := s.NewTimer(time.Hour, func() {}).ID()
			if seen[id] {
				t.Fatalf("two timers have id %d", id)
			}
			seen[id] = true
		}
		end(s)
	}
}

func TestWithPrecision(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		s := New(WithPrecision(10 * ms))
		s.NewCondTimer(condition(func(time.Time) bool { return true }), func() { n++ })
		s.Start()
		time.Sleep(105 * ms)
		end(s)
		if n != 10 {
			t.Errorf("the condition was met %d times, want 10", n)
		}
	})
}

// A timer that was made before the loop ran is late by that much, not lost.
func TestTimerMadeBeforeStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		at := clock()
		var got []int
		s := New()
		s.NewTimer(100*ms, func() { got = append(got, at()) })
		time.Sleep(250 * ms)
		s.Start()
		time.Sleep(100 * ms)
		end(s)
		if want := []int{250, 300}; !slices.Equal(got, want) {
			t.Errorf("fired at %v ms, want %v", got, want)
		}
	})
}

// Without timers that are due, the loop sleeps: a tick would show as batches.
func TestTimersDoNotTick(t *testing.T) {
	bubble(t, func(t *testing.T) {
		batches := 0
		s := New(WithBatch(func() { batches++ }, nil))
		s.Start()
		s.NewAfterTimer(time.Hour, func() {})
		s.NewAfterTimer(2*time.Hour, func() {})
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		end(s)
		if batches != 2 {
			t.Errorf("%d batches for two timers", batches)
		}
	})
}
