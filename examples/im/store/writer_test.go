package store

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Many who write at once share commits, though each commit takes no time: the machine has better
// things to do. Nobody waits long for that.
func TestManyShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commits, longest := 0, time.Duration(0)
		w := newWriter(func(batch []job) []result {
			commits++
			time.Sleep(time.Millisecond)
			results := make([]result, len(batch))
			for i, j := range batch {
				results[i].change = j.change
			}
			return results
		}, func() {})
		for range 5000 { // in a second
			began := time.Now()
			if err := w.put(job{change: &Change{Done: func(Message, bool, error) { longest = max(longest, time.Since(began)) }}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Microsecond)
		}
		w.close()
		if commits > 100 || longest > 25*time.Millisecond {
			t.Errorf("%d commits, and somebody has waited for %v", commits, longest)
		}
	})
}

// Who writes alone does not wait for others.
func TestOneAloneDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(func(batch []job) []result {
			time.Sleep(time.Millisecond)
			for _, j := range batch {
				j.answer <- nil
			}
			return nil
		}, func() {})
		defer w.close()
		began := time.Now()
		for range 100 {
			if err := w.wait(job{mark: &mark{}}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("100 commits of a millisecond take %v", took)
		}
	})
}

// logged is a store on SQLite that holds one channel, and whose log can be looked at.
type logged struct {
	t      *testing.T
	s      *sqlite
	folder string
	epoch  int64
}

func newLogged(t *testing.T, moveEvery time.Duration) *logged {
	t.Helper()
	l := &logged{t: t, folder: t.TempDir()}
	s, err := openSQLite(t.Context(), l.folder, moveEvery, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	l.s = s.(*sqlite)
	if err := s.CreateChannel(t.Context(), Channel{ID: "a", Kind: Group}, nil); err != nil {
		t.Fatal(err)
	}
	if l.epoch, _, err = s.Claim(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	return l
}

// say stores a message.
func (l *logged) say(who string, n int) {
	stored := make(chan error, 1)
	l.s.Change(&Change{Epoch: l.epoch, Message: Message{Channel: "a", From: who, CID: fmt.Sprint(n), Text: "hello"},
		Done: func(_ Message, _ bool, err error) { stored <- err }})
	if err := <-stored; err != nil {
		l.t.Error(err)
	}
}

// begun returns how often the log has begun anew.
func (l *logged) begun() uint32 {
	l.t.Helper()
	log, err := os.Open(filepath.Join(l.folder, "im.db-wal"))
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	header := make([]byte, 16)
	if _, err = io.ReadFull(log, header); err != nil {
		l.t.Fatal(err)
	}
	return binary.BigEndian.Uint32(header[12:])
}

// The log of SQLite begins anew while people write all the time, though no commit moves all of it
// into the file: it does not grow without end.
func TestTheLogBeginsAnew(t *testing.T) {
	l := newLogged(t, 5*time.Millisecond)
	var over atomic.Bool
	var others sync.WaitGroup
	defer others.Wait()
	defer over.Store(true)
	for i := range 4 {
		others.Go(func() {
			for n := 0; !over.Load(); n++ {
				l.say(fmt.Sprint(i), n)
			}
		})
	}
	const most = 5000
	for n := 0; l.begun() < 3; n++ {
		if n == most {
			t.Fatalf("in %d messages the log has begun %d times", most, l.begun())
		}
		l.say("ann", n)
	}
}

// What was committed while the log was moved is moved by the next commit, which begins the log
// anew.
func TestTheWriterMovesTheRestOfTheLog(t *testing.T) {
	l := newLogged(t, time.Hour)
	l.say("ann", 1)
	before := l.begun()
	l.say("ann", 2)
	if n := l.begun(); n != before {
		t.Fatalf("nobody has moved the log, and it has begun %d times after %d", n, before)
	}
	l.s.log.moved.Store(true) // before the second message, as far as the writer knows
	l.say("ann", 3)
	if n := l.begun(); n != before+1 {
		t.Errorf("the log has begun %d times after %d", n, before)
	}
}
