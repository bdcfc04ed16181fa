package store

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
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

// The log of SQLite begins anew while people write all the time, though no commit moves it into the
// file: it does not grow without end.
func TestTheLogBeginsAnew(t *testing.T) {
	folder := t.TempDir()
	s, err := openSQLite(t.Context(), folder, 5*time.Millisecond, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.CreateChannel(t.Context(), Channel{ID: "a", Kind: Group}, nil); err != nil {
		t.Fatal(err)
	}
	epoch, _, err := s.Claim(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	defer writing.Wait()
	defer close(stop)
	for i := range 4 {
		writing.Go(func() {
			stored := make(chan error, 1)
			for n := 0; ; n++ {
				s.Change(&Change{Epoch: epoch, Message: Message{Channel: "a", From: fmt.Sprint(i), CID: fmt.Sprint(n), Text: "hello"},
					Done: func(_ Message, _ bool, err error) { stored <- err }})
				select {
				case err := <-stored:
					if err != nil {
						t.Error(err)
						return
					}
				case <-stop:
					return
				}
			}
		})
	}
	for end, times := time.Now().Add(time.Minute), uint32(0); times < 3; time.Sleep(time.Millisecond) {
		log, err := os.Open(filepath.Join(folder, "im.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		header := make([]byte, 16)
		_, err = io.ReadFull(log, header)
		log.Close()
		if err != nil {
			t.Fatal(err)
		}
		times = binary.BigEndian.Uint32(header[12:]) // how often it has begun
		if time.Now().After(end) {
			t.Fatalf("in a minute the log began %d times", times)
		}
	}
}
