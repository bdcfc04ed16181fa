package users

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lonng/nano/session"
)

func newSession(id int64) *session.Session { return session.NewWithID(nil, id) }

// opened returns a register with n sessions, ids from 1.
func opened(p session.BindPolicy, n int) (*Register, []*session.Session) {
	r := New(p)
	var all []*session.Session
	for id := range n {
		s := newSession(int64(id) + 1)
		r.Add(s)
		all = append(all, s)
	}
	return r, all
}

func mustBind(t *testing.T, r *Register, s *session.Session, uid int64) []*session.Session {
	t.Helper()
	kick, err := r.Bind(s, uid, 1)
	if err != nil {
		t.Fatalf("Bind(%d, %d): %v", s.ID(), uid, err)
	}
	return kick
}

// Whoever signs in twice gets what the application chose: both, the new one, or the old one.
func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy session.BindPolicy
		kicked int   // how many of the old ones
		err    error // of the second Bind
		holds  []int // which of the two have the user after
	}{
		{"keep both", session.BindKeepBoth, 0, nil, []int{0, 1}},
		{"kick old", session.BindKickOld, 1, nil, []int{1}},
		{"refuse new", session.BindRefuseNew, 0, session.ErrUIDTaken, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, s := opened(c.policy, 2)
			if kick := mustBind(t, r, s[0], 7); len(kick) != 0 {
				t.Errorf("the first Bind kicks %d sessions", len(kick))
			}
			kick, err := r.Bind(s[1], 7, 1)
			if !errors.Is(err, c.err) || len(kick) != c.kicked {
				t.Errorf("the second Bind: kicks %d, error %v; want %d, %v", len(kick), err, c.kicked, c.err)
			}
			if c.kicked > 0 && kick[0] != s[0] {
				t.Error("the wrong session is kicked")
			}
			want := make([]*session.Session, 0, 2)
			for _, i := range c.holds {
				want = append(want, s[i])
			}
			if got := r.Of(7); !slices.Equal(got, want) {
				t.Errorf("user 7 has %d sessions, want %d", len(got), len(want))
			}
			if r.Len() != 2 {
				t.Errorf("%d sessions live, want 2: nobody has ended yet", r.Len())
			}
		})
	}
}

func TestBindAgainChangesNothing(t *testing.T) {
	for _, p := range []session.BindPolicy{session.BindKeepBoth, session.BindKickOld, session.BindRefuseNew} {
		r, s := opened(p, 1)
		mustBind(t, r, s[0], 7)
		if kick := mustBind(t, r, s[0], 7); len(kick) != 0 || len(r.Of(7)) != 1 {
			t.Errorf("policy %d: kicks %d, user has %d sessions", p, len(kick), len(r.Of(7)))
		}
	}
}

// A session that signs in as somebody else is the former user no longer, or pushes to that user
// would reach a stranger.
func TestRebindLeavesTheFormerUser(t *testing.T) {
	r, s := opened(session.BindKeepBoth, 1)
	mustBind(t, r, s[0], 7)
	mustBind(t, r, s[0], 8)
	if len(r.Of(7)) != 0 || len(r.Of(8)) != 1 {
		t.Errorf("7 has %d sessions, 8 has %d", len(r.Of(7)), len(r.Of(8)))
	}
	if got := r.UIDs(); !slices.Equal(got, []int64{8}) {
		t.Errorf("users %v", got)
	}
	r.Unbind(s[0], 7) // the session tells of its former user only now
	if len(r.Of(8)) != 1 {
		t.Error("the end of the former user took the new one too")
	}
}

// The reconnect of every mobile client: the new connection signs in before the old one's end is
// noticed. Whatever the old one still does, the user stays reachable.
func TestEndOfAnOldSessionNeverRemovesANewOne(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *Register, old *session.Session)
	}{
		{"removed", func(r *Register, old *session.Session) { r.Remove(old) }},
		{"removed twice", func(r *Register, old *session.Session) { r.Remove(old); r.Remove(old) }},
		{"cleared", func(r *Register, old *session.Session) { r.Unbind(old, 7) }},
		{"cleared and removed", func(r *Register, old *session.Session) { r.Unbind(old, 7); r.Remove(old) }},
		{"signed in as somebody else", func(r *Register, old *session.Session) { _, _ = r.Bind(old, 8, 1) }},
	} {
		for _, p := range []session.BindPolicy{session.BindKeepBoth, session.BindKickOld} {
			t.Run(c.name, func(t *testing.T) {
				r, s := opened(p, 2)
				mustBind(t, r, s[0], 7)
				mustBind(t, r, s[1], 7)
				c.end(r, s[0])
				if got := r.Of(7); !slices.Equal(got, s[1:]) {
					t.Errorf("policy %d: user 7 has %d sessions and not just the new one", p, len(got))
				}
				if r.Session(2) != s[1] {
					t.Error("the new session is gone")
				}
			})
		}
	}
}

// An id that was given twice, by two nodes' sessions in one register, must not mix the two up.
func TestAnotherSessionWithTheSameIDIsAnotherSession(t *testing.T) {
	r, s := opened(session.BindKeepBoth, 1)
	stranger := newSession(1)
	if _, err := r.Bind(stranger, 7, 1); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Bind of a session that was never added: %v", err)
	}
	mustBind(t, r, s[0], 7)
	r.Unbind(stranger, 7)
	r.Remove(stranger)
	if r.Session(1) != s[0] || len(r.Of(7)) != 1 {
		t.Error("a stranger with the same id removed the session")
	}
}

func TestNothingIsLeftOfARemovedSession(t *testing.T) {
	r, s := opened(session.BindKeepBoth, 1)
	mustBind(t, r, s[0], 7)
	r.Remove(s[0])
	if _, err := r.Bind(s[0], 7, 1); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Bind after the end: %v, want ErrClosed", err)
	}
	if r.Session(1) != nil || r.Of(7) != nil || len(r.UIDs()) != 0 || r.Len() != 0 {
		t.Errorf("left: session %v, %d of the user, users %v, %d sessions", r.Session(1), len(r.Of(7)), r.UIDs(), r.Len())
	}
	if len(r.byID) != 0 || len(r.byUID) != 0 {
		t.Errorf("the maps hold %d and %d entries", len(r.byID), len(r.byUID))
	}
}

// What Of returned is the caller's to read, also while sessions come and go.
func TestOfIsASnapshot(t *testing.T) {
	r, s := opened(session.BindKeepBoth, 4)
	for _, one := range s[:3] {
		mustBind(t, r, one, 7)
	}
	before := r.Of(7)
	r.Remove(s[0])
	mustBind(t, r, s[3], 7)
	r.Unbind(s[1], 7)
	if !slices.Equal(before, s[:3]) {
		t.Error("a slice that was given out has changed")
	}
	if got := r.Of(7); !slices.Equal(got, s[2:]) {
		t.Errorf("user 7 has %d sessions, want the last two", len(got))
	}
}

// Bind and the connection's end come from two goroutines: whichever is first, no user may be left
// with a session that is gone, or pushes to that user go nowhere for good.
func TestBindRacesRemove(t *testing.T) {
	for _, p := range []session.BindPolicy{session.BindKeepBoth, session.BindKickOld, session.BindRefuseNew} {
		r := New(p)
		var wg sync.WaitGroup
		for id := range int64(2000) {
			s := newSession(id + 1)
			r.Add(s)
			wg.Go(func() {
				_, err := r.Bind(s, id%5+1, 1)
				if err != nil && !errors.Is(err, session.ErrClosed) && !errors.Is(err, session.ErrUIDTaken) {
					t.Errorf("Bind: %v", err)
				}
			})
			wg.Go(func() { r.Remove(s) })
			if id%3 == 0 {
				wg.Go(func() { r.Unbind(s, id%5+1) })
			}
			_ = r.Of(id%5 + 1)
		}
		wg.Wait()
		if r.Len() != 0 || len(r.UIDs()) != 0 {
			t.Errorf("policy %d: %d sessions and users %v are left", p, r.Len(), r.UIDs())
		}
	}
}

// Of many that sign in as one user at the same time exactly one may have it, where the application
// wants one.
func TestOneWinsTheUser(t *testing.T) {
	for _, p := range []session.BindPolicy{session.BindKickOld, session.BindRefuseNew} {
		r, all := opened(p, 50)
		var wg sync.WaitGroup
		var mu sync.Mutex
		kicked := map[*session.Session]int{}
		refused := 0
		for _, s := range all {
			wg.Go(func() {
				kick, err := r.Bind(s, 7, 1)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused++
				}
				for _, k := range kick {
					kicked[k]++
				}
			})
		}
		wg.Wait()
		if n := len(r.Of(7)); n != 1 {
			t.Errorf("policy %d: %d sessions have the user", p, n)
		}
		if len(kicked)+refused != len(all)-1 {
			t.Errorf("policy %d: %d kicked and %d refused of %d", p, len(kicked), refused, len(all))
		}
		for s, n := range kicked {
			if n != 1 || s == r.Of(7)[0] {
				t.Errorf("session %d is kicked %d times", s.ID(), n)
			}
		}
	}
}
