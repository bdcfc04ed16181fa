package session_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// register is an entity with a register of users that lets nobody take
// another's uid.
type register struct {
	*mock.NetworkEntity
	users *users
}

type users struct {
	mu     sync.Mutex
	byUID  map[int64]*session.Session
	asking func() // called while the register is asked
}

func (r register) BindUID(s *session.Session, uid int64) error {
	if r.users.asking != nil {
		r.users.asking()
	}
	r.users.mu.Lock()
	defer r.users.mu.Unlock()
	if other := r.users.byUID[uid]; other != nil && other != s {
		return session.ErrUIDTaken
	}
	r.users.byUID[uid] = s
	return nil
}

func (r register) UnbindUID(s *session.Session, uid int64) {
	r.users.mu.Lock()
	defer r.users.mu.Unlock()
	if r.users.byUID[uid] == s {
		delete(r.users.byUID, uid)
	}
}

func newRegister() (*users, func() *session.Session) {
	u := &users{byUID: make(map[int64]*session.Session)}
	return u, func() *session.Session {
		s := session.New(register{mock.NewNetworkEntity(), u})
		s.SetLifetime(session.NewLifetime())
		return s
	}
}

func TestIllegalUID(t *testing.T) {
	s := session.New(nil)
	for _, uid := range []int64{0, -1, -1 << 63} {
		if err := s.Bind(uid); !errors.Is(err, session.ErrIllegalUID) {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
	if s.UID() != 0 {
		t.Errorf("uid %d", s.UID())
	}
}

// A second login must not turn the refused session into the user, nor take the
// entry of the session that is the user.
func TestRefusedBind(t *testing.T) {
	u, login := newRegister()
	first, second := login(), login()
	if err := first.Bind(7); err != nil {
		t.Fatal(err)
	}
	if err := second.Bind(8); err != nil {
		t.Fatal(err)
	}
	if err := second.Bind(7); !errors.Is(err, session.ErrUIDTaken) {
		t.Fatalf("second login: %v", err)
	}
	if second.UID() != 8 || u.byUID[8] != second || u.byUID[7] != first {
		t.Errorf("uid %d, register %v", second.UID(), u.byUID)
	}
}

func TestRebindLeavesTheFormerUser(t *testing.T) {
	u, login := newRegister()
	s := login()
	for _, uid := range []int64{7, 8} {
		if err := s.Bind(uid); err != nil {
			t.Fatal(err)
		}
	}
	if len(u.byUID) != 1 || u.byUID[8] != s {
		t.Errorf("register %v, want 8 only", u.byUID)
	}
	s.Set("gold", 1)
	s.Clear()
	if len(u.byUID) != 0 || s.UID() != 0 || s.HasKey("gold") {
		t.Errorf("after Clear: register %v, uid %d, state %v", u.byUID, s.UID(), s.State())
	}
	s.Clear()
	if err := s.Bind(9); err != nil || s.UID() != 9 {
		t.Errorf("Bind after Clear: %v, uid %d", err, s.UID())
	}
}

// watcher counts what an observer is told.
type watcher struct {
	mu            sync.Mutex
	bound, closed int
	uids          []int64
}

func (w *watcher) SessionBound(s *session.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bound++
	w.uids = append(w.uids, s.UID())
}

func (w *watcher) SessionClosed(s *session.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
}

func TestBindTells(t *testing.T) {
	life := session.NewLifetime()
	var bound []int64
	life.OnBound(func(s *session.Session) { bound = append(bound, s.UID()) })
	s := session.New(nil)
	s.SetLifetime(life)
	w := &watcher{}
	s.Observe(w)
	for _, uid := range []int64{3, 3, 4} {
		if err := s.Bind(uid); err != nil {
			t.Fatal(err)
		}
	}
	s.Clear()
	if !slices.Equal(bound, []int64{3, 4}) {
		t.Errorf("OnBound saw %v, want each change once", bound)
	}
	if !slices.Equal(w.uids, []int64{3, 4, 0}) {
		t.Errorf("the observer saw %v, want each change and the Clear", w.uids)
	}
}

// A session that closes while its login is under way must not stay in the
// register for ever: the user would count as online.
func TestCloseDuringBind(t *testing.T) {
	u, login := newRegister()
	s := login()
	life := session.NewLifetime()
	u.asking = func() { life.Close(s) }
	if err := s.Bind(7); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Bind: %v, want ErrClosed", err)
	}
	if s.UID() != 0 || len(u.byUID) != 0 {
		t.Errorf("uid %d, register %v", s.UID(), u.byUID)
	}
	u.asking = nil
	if err := s.Bind(7); !errors.Is(err, session.ErrClosed) || len(u.byUID) != 0 {
		t.Errorf("Bind after the end: %v, register %v", err, u.byUID)
	}
}

// A panic in the register must not lock the session for ever.
func TestPanicInBinder(t *testing.T) {
	u, login := newRegister()
	s := login()
	u.asking = func() { panic("register") }
	func() {
		defer func() { _ = recover() }()
		_ = s.Bind(7)
	}()
	u.asking = nil
	if err := s.Bind(8); err != nil {
		t.Error(err)
	}
}

// A handler of the session may use all of it, Bind too.
func TestOnBoundMayBind(t *testing.T) {
	life := session.NewLifetime()
	s := session.New(nil)
	s.SetLifetime(life)
	life.OnBound(func(s *session.Session) { _ = s.Bind(s.UID()/10 + 1) })
	if err := s.Bind(50); err != nil {
		t.Fatal(err)
	}
	if s.UID() != 1 {
		t.Errorf("uid %d, want 1", s.UID())
	}
}

func TestConcurrentUse(t *testing.T) {
	u, login := newRegister()
	s := login()
	life := session.NewLifetime()
	w := &watcher{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				_ = s.Bind(int64(i*1000 + n + 1))
				s.Set("k", n)
				_ = s.Int("k")
				_ = s.State()
				s.Router().Bind("Room", "a")
				s.Router().Find("Room")
				_ = s.Context()
				s.Observe(w)
				if n%50 == 0 {
					s.Clear()
				}
				s.Unobserve(w)
				s.Restore(nil)
				if n == 150 {
					life.Close(s)
				}
			}
		})
	}
	wg.Wait()
	if !s.Closed() {
		t.Error("not closed")
	}
	// The register holds what the session is, or nothing.
	if n := len(u.byUID); n > 1 || n == 1 && u.byUID[s.UID()] != s {
		t.Errorf("uid %d, register %v", s.UID(), u.byUID)
	}
}

// What a backend is told of a session by its gate changes the session here, and asks and tells
// nobody but the groups: the gate would be told its own news, for ever.
func TestAdopt(t *testing.T) {
	u, newSession := newRegister()
	s := newSession()
	w := &watcher{}
	s.Observe(w)
	l := session.NewLifetime()
	hooks := 0
	l.OnBound(func(*session.Session) { hooks++ })
	s.SetLifetime(l)
	s.Set("name", "Ann")
	for _, step := range []struct {
		uid     int64
		changed bool
	}{{7, true}, {7, false}, {8, true}, {0, true}, {0, false}, {9, true}} {
		if changed := s.Adopt(step.uid); changed != step.changed || s.UID() != step.uid {
			t.Errorf("Adopt(%d): %v, then the user is %d", step.uid, changed, s.UID())
		}
		if s.HasKey("name") != (step.uid > 0 && step.uid < 9) {
			t.Errorf("after Adopt(%d) the session has a name: %v", step.uid, s.HasKey("name"))
		}
	}
	if !slices.Equal(w.uids, []int64{7, 8, 0, 9}) {
		t.Errorf("observers saw %v", w.uids)
	}
	if len(u.byUID) != 0 || hooks != 0 {
		t.Errorf("the register was told of %v, and OnBound ran %d times", u.byUID, hooks)
	}
	l.Close(s)
	if s.Adopt(0) || s.Adopt(10) || s.UID() != 9 {
		t.Errorf("after its end the session is %d", s.UID())
	}
}
