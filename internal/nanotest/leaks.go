package nanotest

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Until waits until cond is true, for things that tell nobody when they change. It is for outside
// of bubbles; inside, synctest.Wait does it without looking at a clock.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(Patience)
	for wait := time.Microsecond; !cond(); wait = min(2*wait, 20*time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not happen: %s", what)
		}
		runtime.Gosched()
		time.Sleep(wait)
	}
}

// Leaks fails the test if goroutines are left when it is over that were not there when Leaks was
// called, which has to be before anything else. It is for outside of bubbles, and not for tests
// that run in parallel: a bubble finds leaks itself.
func Leaks(t testing.TB) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		var left []string
		end := time.Now().Add(5 * time.Second)
		for wait := 100 * time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
			left = left[:0]
			for id, stack := range goroutines() {
				if _, was := before[id]; !was && !harmless(stack) {
					left = append(left, stack)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				break
			}
			runtime.Gosched()
			time.Sleep(wait)
		}
		shown := left[:min(len(left), 5)]
		t.Errorf("%d goroutines are left, such as\n\n%s", len(left), strings.Join(shown, "\n\n"))
	})
}

// goroutines returns the stacks of all goroutines but this one, by "goroutine N".
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := make(map[string]string)
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i == 0 { // the caller
			continue
		}
		id, _, _ := strings.Cut(stack, " [")
		all[id] = stack
	}
	return all
}

// harmless tells goroutines that the runtime and the standard library keep for good.
func harmless(stack string) bool {
	for _, s := range []string{"os/signal.loop", "os/signal.signal_recv", "testing.(*T).Run", "testing.tRunner.func1", "testing.runFuzzing", "runtime.ensureSigM", "net/http.(*persistConn)"} {
		if strings.Contains(stack, s) {
			return true
		}
	}
	return false
}

// OpenFiles returns the number of descriptors that the process has open; the test is skipped where
// that cannot be told.
func OpenFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd here")
	}
	return len(list) - 1 // the directory itself
}
