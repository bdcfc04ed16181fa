package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano/examples/im/store"
)

// A push to many is one row and small references; one to everybody is one row and each user's
// place.
func TestKeptPushes(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		users(t, s, "ann", "bob")
		now := time.Now().UnixMilli()
		keep := func(id string, to []string, all bool, expires int64, platforms ...string) {
			t.Helper()
			must(t, s.Keep(t.Context(), store.Push{ID: id, Route: "r", Data: []byte(`{"a":1}`), At: now, Expires: expires, Platforms: platforms}, to, all))
		}
		inbox := func(user, platform string) string {
			var ids []string
			for _, p := range must2(s.Inbox(t.Context(), user, platform, now, 10)) {
				ids = append(ids, p.ID)
			}
			return strings.Join(ids, " ")
		}
		keep("1", []string{"ann", "stranger", "ann"}, false, now+1000)
		keep("2", nil, true, now+1000)
		keep("3", []string{"ann"}, false, now+1000, "app")
		keep("4", []string{"ann"}, false, now-1)
		users(t, s, "late")
		keep("5", nil, true, now+1000)
		for _, c := range []struct{ user, platform, want string }{
			{"ann", "web", "1 2 5"}, {"ann", "app", "1 2 3 5"}, {"bob", "web", "2 5"}, {"late", "web", "5"}, {"stranger", "web", "1 2 5"},
		} {
			if got := inbox(c.user, c.platform); got != c.want {
				t.Errorf("%s on %s has %q, want %q", c.user, c.platform, got, c.want)
			}
		}
		must(t, s.Taken(t.Context(), "ann", "web", []string{"1", "2", "nonsense"}))
		if got := inbox("ann", "web") + "/" + inbox("ann", "app"); got != "5/2 3 5" {
			t.Errorf("after taking: %s", got)
		}
		keep("1", nil, true, now+1000) // again
		if got := inbox("bob", "web"); got != "2 5" {
			t.Errorf("one id was kept twice: bob has %q", got)
		}
		must(t, errOf(s.Sweep(t.Context(), time.UnixMilli(now+2000), store.Retention{})))
		if got := inbox("bob", "web"); got != "5" { // the newest stays, as expired as it is: later users begin behind it
			t.Errorf("after the sweep: %q", got)
		}
	})
}

// Retention removes the oldest messages, and numbers go on where they were.
func TestRetention(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann")
		old := time.Now().Add(-48 * time.Hour).UnixMilli()
		for i := range 20 {
			m := store.Message{Channel: "a", From: "ann", CID: fmt.Sprint(i), Text: fmt.Sprint("word", i)}
			if i < 8 {
				m.At = old
			}
			post(t, s, e, m)
		}
		removed := must2(s.Sweep(t.Context(), time.Now(), store.Retention{Age: 24 * time.Hour}))
		list := must2(s.History(t.Context(), "a", 0, true, 100))
		if removed != 8 || list[0].N != 9 {
			t.Errorf("by age %d were removed, the first is %d", removed, list[0].N)
		}
		removed = must2(s.Sweep(t.Context(), time.Now(), store.Retention{Count: 5}))
		c := must2(s.Channel(t.Context(), "a"))
		if removed != 7 || c.First != 16 || c.N != 20 || c.Rev != 20 {
			t.Errorf("by count %d were removed: %+v", removed, c)
		}
		must2(s.Sweep(t.Context(), time.Now().Add(time.Hour), store.Retention{Age: time.Minute}))
		c = must2(s.Channel(t.Context(), "a"))
		if c.First != 21 || c.N != 20 || c.Rev != 20 {
			t.Errorf("with nothing left: %+v", c)
		}
		if e, c, err := s.Claim(t.Context(), "a"); err != nil || c.N != 20 || c.Rev != 20 || post(t, s, e, store.Message{Channel: "a", From: "ann", CID: "n", Text: "next"}).N != 21 {
			t.Errorf("numbers go on at %+v %v", c, err)
		}
	})
}

// Secrets and answers are the same for everybody who asks.
func TestSecretsAndAnswers(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s, other := open(t), open(t)
		a, b := must2(s.Secret(t.Context(), "x")), must2(other.Secret(t.Context(), "x"))
		if len(a) != 32 || string(a) != string(b) || string(a) == string(must2(s.Secret(t.Context(), "y"))) {
			t.Errorf("secrets %x, %x", a, b)
		}
		answer := store.Answer{Sum: [32]byte{1, 2}, Status: 201, Body: []byte("body")}
		begin := func(s store.Store, holder string, now int64) store.Answer {
			fresh := store.Answer{Sum: answer.Sum, Body: []byte(holder + "'s id"), Holder: holder, Until: now + 100}
			return must2(s.Reserve(t.Context(), "k", fresh, now, 1000+now))
		}
		if got := begin(s, "one", 1); got.Status != 0 || got.Holder != "one" || string(got.Body) != "one's id" {
			t.Errorf("begun as %+v", got)
		}
		if got := begin(other, "two", 100); got.Status != 0 || got.Holder != "one" {
			t.Errorf("while one is at it, two gets %+v", got)
		}
		if got := begin(other, "two", 101); got.Holder != "two" || string(got.Body) != "one's id" {
			t.Errorf("when the time of one is over, two gets %+v", got)
		}
		must(t, s.Release(t.Context(), "k", "one"))
		if got := begin(s, "three", 102); got.Holder != "two" {
			t.Errorf("one has given up what two is at: %+v", got)
		}
		must(t, other.Release(t.Context(), "k", "two"))
		if got := begin(s, "three", 102); got.Holder != "three" || string(got.Body) != "one's id" {
			t.Errorf("when two has given up, three gets %+v", got)
		}
		must(t, s.Remember(t.Context(), "k", answer, 1000))
		if got := begin(other, "four", 999); got.Sum != answer.Sum || got.Status != 201 || string(got.Body) != "body" {
			t.Errorf("recalled %+v", got)
		}
		if got := begin(other, "four", 1000); got.Status != 0 || got.Holder != "four" || string(got.Body) != "four's id" {
			t.Errorf("begun as %+v when the first answer is over", got)
		}
	})
}

// Of many who begin one request at once, one is told that it is its own.
func TestARequestHasOneHolder(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		stores := []store.Store{open(t), open(t)}
		var mine atomic.Int64
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				holder := fmt.Sprint(i)
				a, err := stores[i%2].Reserve(t.Context(), "k", store.Answer{Body: []byte("id"), Holder: holder, Until: 1000}, 1, 2000)
				if err != nil {
					t.Error(err)
				}
				if a.Holder == holder {
					mine.Add(1)
				}
			})
		}
		all.Wait()
		if mine.Load() != 1 {
			t.Errorf("%d have begun it", mine.Load())
		}
	})
}

// A revoked token is known to all nodes at once, and forgotten when it would have expired.
func TestRevokedTokens(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s, other := open(t), open(t)
		must(t, s.Revoke(t.Context(), "a", 1000))
		must(t, other.Revoke(t.Context(), "a", 1000)) // signed out twice
		must(t, s.Revoke(t.Context(), "b", 2000))
		revoked := func() (list string) {
			for _, id := range []string{"a", "b", "c"} {
				one, two := must2(s.Revoked(t.Context(), id)), must2(other.Revoked(t.Context(), id))
				if one != two {
					t.Errorf("the nodes do not agree on %s", id)
				}
				if one {
					list += id
				}
			}
			return list
		}
		if list := revoked(); list != "ab" {
			t.Errorf("revoked are %q", list)
		}
		must(t, errOf(other.Sweep(t.Context(), time.UnixMilli(1000), store.Retention{})))
		if list := revoked(); list != "b" {
			t.Errorf("after a sweep, revoked are %q", list)
		}
	})
}

// A store that is closed has written what it had taken, and takes no more.
func TestCloseWritesWhatWasTaken(t *testing.T) {
	on(t, func(t *testing.T, open source) {
		s := open(t)
		e := group(t, s, "a", "ann")
		var done sync.WaitGroup
		const n = 500
		done.Add(n)
		for i := range n {
			s.Change(&store.Change{Op: store.Post, Epoch: e, Message: store.Message{Channel: "a", From: "ann", CID: fmt.Sprint(i)}, Done: func(_ store.Message, _ bool, err error) {
				if err != nil {
					t.Error(err)
				}
				done.Done()
			}})
		}
		must(t, s.Close())
		done.Wait()
		if _, _, err := change(s, store.Post, e, store.Message{Channel: "a", From: "ann"}); !errors.Is(err, store.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		s = open(t)
		if c := must2(s.Channel(t.Context(), "a")); c.N != n {
			t.Errorf("%d messages were written", c.N)
		}
	})
}
