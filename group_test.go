package nano_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// member is a session without a node, as tests of applications have them.
type member struct {
	*session.Session
	net  *mock.NetworkEntity
	life *session.Lifetimes
}

func newMember(t testing.TB, uid int64) member {
	t.Helper()
	m := member{net: mock.NewNetworkEntity(), life: session.NewLifetime()}
	m.Session = session.New(m.net)
	m.SetLifetime(m.life)
	if uid != 0 {
		if err := m.Bind(uid); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// end is what a node does when a connection has ended.
func (m member) end() {
	m.Close()
	m.life.Close(m.Session)
}

func (m member) got() []string {
	var all []string
	for _, p := range m.net.Pushes() {
		all = append(all, fmt.Sprintf("%s %v", p.Route, p.Value))
	}
	return all
}

func add(t testing.TB, g *nano.Group, members ...member) {
	t.Helper()
	for _, m := range members {
		if err := g.Add(m.Session); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
}

func sorted(uids []int64) []int64 {
	slices.Sort(uids)
	return uids
}

func TestGroupMembership(t *testing.T) {
	g := nano.NewGroup("room")
	a, b, c := newMember(t, 1), newMember(t, 2), newMember(t, 0)
	add(t, g, a, b, c)
	if err := g.Add(a.Session); !errors.Is(err, nano.ErrSessionDuplication) {
		t.Errorf("Add twice: %v", err)
	}
	if g.Name() != "room" || g.Count() != 3 || !slices.Equal(sorted(g.Members()), []int64{0, 1, 2}) || len(g.Sessions()) != 3 {
		t.Errorf("%q has %d members, %v", g.Name(), g.Count(), g.Members())
	}
	if s, err := g.Member(2); s != b.Session || err != nil {
		t.Errorf("Member(2) is %v, %v", s, err)
	}
	if s, err := g.Member(0); s != c.Session || err != nil {
		t.Errorf("Member(0), who is nobody yet, is %v, %v", s, err)
	}
	if _, err := g.Member(3); !errors.Is(err, nano.ErrMemberNotFound) || g.Contains(3) || !g.Contains(1) {
		t.Errorf("Member(3): %v", err)
	}
	if s, err := g.FindMember(func(s *session.Session) bool { return s.ID() == b.ID() }); s != b.Session || err != nil {
		t.Errorf("FindMember: %v, %v", s, err)
	}
	if _, err := g.FindMember(func(*session.Session) bool { return false }); !errors.Is(err, nano.ErrMemberNotFound) {
		t.Errorf("FindMember of nobody: %v", err)
	}
	for range 2 { // leaving twice is no error
		if err := g.Leave(b.Session); err != nil {
			t.Errorf("Leave: %v", err)
		}
	}
	if g.Count() != 2 || g.Contains(2) || g.ContainsSession(b.Session) || !g.ContainsSession(a.Session) {
		t.Errorf("after Leave %v", g.Members())
	}
	add(t, g, b) // and comes back
	if err := g.LeaveAll(); err != nil || g.Count() != 0 || g.Contains(1) {
		t.Errorf("LeaveAll: %v, %v are left", err, g.Members())
	}
	add(t, g, a)
	if err := g.Broadcast("r", 1); err != nil || len(a.got()) != 1 || len(b.got()) != 0 {
		t.Errorf("Broadcast: %v; a got %q, b %q", err, a.got(), b.got())
	}
}

// Whom a room knows as user 7 is who is bound to 7 now: not who was, and not who will be.
func TestGroupIndexFollowsBind(t *testing.T) {
	g := nano.NewGroup("room")
	a, b := newMember(t, 0), newMember(t, 7)
	add(t, g, a, b)
	step := func(name string, do func() error, want map[int64]*session.Session) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, uid := range []int64{5, 6, 7} {
			s, _ := g.Member(uid)
			if s != want[uid] || g.Contains(uid) != (want[uid] != nil) {
				t.Errorf("%s: user %d is %v, want %v", name, uid, s, want[uid])
			}
		}
	}
	A, B := a.Session, b.Session
	type users = map[int64]*session.Session
	step("start", func() error { return nil }, users{7: B})
	step("bound while a member", func() error { return a.Bind(5) }, users{5: A, 7: B})
	step("bound again", func() error { return a.Bind(5) }, users{5: A, 7: B})
	step("as another user", func() error { return a.Bind(6) }, users{6: A, 7: B})
	step("refused", func() error { _ = a.Bind(-1); return nil }, users{6: A, 7: B})
	step("two of one user", func() error { return a.Bind(7) }, users{7: B})
	step("the first leaves", func() error { return g.Leave(B) }, users{7: A})
	step("cleared", func() error { a.Clear(); return nil }, users{})
	step("back", func() error { return g.Add(B) }, users{7: B})
	step("bound outside of the group", func() error {
		if err := g.Leave(A); err != nil {
			return err
		}
		return a.Bind(5)
	}, users{7: B})
	step("joins bound", func() error { return g.Add(A) }, users{5: A, 7: B})
}

// Users in the room must find each other while they sign in, whoever is faster.
func TestGroupIndexWhileBinding(t *testing.T) {
	for range 200 {
		g := nano.NewGroup("room")
		m := newMember(t, 0)
		var wg sync.WaitGroup
		wg.Go(func() { _ = g.Add(m.Session) })
		wg.Go(func() { _ = m.Bind(7) })
		wg.Go(func() { _ = m.Bind(8) })
		wg.Wait()
		uid := m.UID()
		if s, err := g.Member(uid); s != m.Session || err != nil || g.Contains(15-uid) {
			t.Fatalf("bound to %d: Member %v, %v; Contains(%d) %v", uid, s, err, 15-uid, g.Contains(15-uid))
		}
	}
}

// A client that is gone leaves its rooms by itself; OnClosed still finds it there, to tell the
// others who left.
func TestGroupSessionsLeaveWhenTheyClose(t *testing.T) {
	g, other := nano.NewGroup("room"), nano.NewGroup("other")
	a, b := newMember(t, 1), newMember(t, 2)
	add(t, g, a, b)
	add(t, other, a)
	hooks := 0
	a.life.OnClosed(func(s *session.Session) {
		hooks++
		if !g.ContainsSession(s) || !g.Contains(1) || g.Count() != 2 {
			t.Error("it is no member any more when OnClosed runs")
		}
		if err := g.Broadcast("onLeave", s.UID()); err != nil {
			t.Errorf("a push to the closed session is an error: %v", err)
		}
	})
	a.end()
	if hooks != 1 || g.Count() != 1 || g.Contains(1) || other.Count() != 0 {
		t.Errorf("%d hooks; %v and %v are members", hooks, g.Members(), other.Members())
	}
	if got := b.got(); !slices.Equal(got, []string{"onLeave 1"}) {
		t.Errorf("the other got %q", got)
	}
	if err := g.Add(a.Session); !errors.Is(err, session.ErrClosed) || g.Count() != 1 {
		t.Errorf("Add of a closed session: %v", err)
	}
}

// A member whose end comes at the very moment of joining or leaving must not stay for ever.
func TestGroupJoinRacesEndAndLeave(t *testing.T) {
	g := nano.NewGroup("room")
	var wg sync.WaitGroup
	for range 500 {
		m := newMember(t, 1)
		wg.Go(func() { _ = g.Add(m.Session) })
		wg.Go(func() { _ = g.Leave(m.Session); _ = g.Add(m.Session) })
		wg.Go(m.end)
	}
	wg.Wait()
	if g.Count() != 0 || g.Contains(1) {
		t.Errorf("%d sessions are left that have closed", g.Count())
	}
}

// Whoever leaves while joining is either in the room, and leaves it at the end, or not.
func TestGroupLeaveRacesAdd(t *testing.T) {
	g := nano.NewGroup("room")
	for range 2000 {
		m := newMember(t, 1)
		var wg sync.WaitGroup
		wg.Go(func() { _ = g.Add(m.Session) })
		wg.Go(func() { _ = g.Leave(m.Session) })
		wg.Wait()
		m.end()
		if g.Count() != 0 {
			t.Fatal("a member that has closed stays for ever")
		}
	}
}

// Table is how programs written for v0.5 have their rooms: the group embedded by value.
type Table struct {
	nano.Group
}

func TestGroupIsEmbeddedByValue(t *testing.T) {
	table := &Table{Group: *nano.NewGroup("table")}
	before := table.Group // and copied once more
	a, b := newMember(t, 1), newMember(t, 2)
	add(t, &table.Group, a)
	add(t, &before, b)
	if table.Count() != 2 || before.Count() != 2 || !table.Contains(2) {
		t.Errorf("%d and %d members: copies are not the same group", table.Count(), before.Count())
	}
	a.end()
	if before.Count() != 1 {
		t.Error("a closed session stays in a copy")
	}
	if err := table.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := before.Add(newMember(t, 3).Session); !errors.Is(err, nano.ErrClosedGroup) {
		t.Errorf("Add to a copy of a closed group: %v", err)
	}
}

func TestGroupClosedAndZero(t *testing.T) {
	closed := nano.NewGroup("room")
	m := newMember(t, 1)
	add(t, closed, m)
	if err := closed.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for name, g := range map[string]*nano.Group{"closed": closed, "zero": new(nano.Group)} {
		nobody := func(*session.Session) bool { t.Errorf("%s: a filter ran", name); return true }
		for what, err := range map[string]error{
			"Add":       g.Add(m.Session),
			"Leave":     g.Leave(m.Session),
			"LeaveAll":  g.LeaveAll(),
			"Broadcast": g.Broadcast("r", 1),
			"Multicast": g.Multicast("r", 1, nobody),
		} {
			if !errors.Is(err, nano.ErrClosedGroup) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if err := g.Close(); !errors.Is(err, nano.ErrCloseClosedGroup) {
			t.Errorf("%s: Close: %v", name, err)
		}
		if _, err := g.Member(1); !errors.Is(err, nano.ErrMemberNotFound) {
			t.Errorf("%s: Member: %v", name, err)
		}
		if _, err := g.FindMember(nobody); !errors.Is(err, nano.ErrMemberNotFound) {
			t.Errorf("%s: FindMember: %v", name, err)
		}
		if g.Count() != 0 || len(g.Members()) != 0 || len(g.Sessions()) != 0 || g.Contains(1) || g.ContainsSession(m.Session) {
			t.Errorf("%s: has members", name)
		}
	}
	if new(nano.Group).Name() != "" || closed.Name() != "room" {
		t.Error("names")
	}
	m.end() // a session does not keep a group that it left
}

// deaf is a client that does not read.
type deaf struct{ *mock.NetworkEntity }

func (deaf) Push(string, any) error { return cluster.ErrBufferExceed }

// One bad member harms no other, and each one's error is told.
func TestGroupErrorsAreJoined(t *testing.T) {
	g := nano.NewGroup("room")
	all := []member{newMember(t, 1), newMember(t, 2), newMember(t, 3), newMember(t, 4)}
	for _, i := range []int{1, 2} {
		all[i].Session = session.New(deaf{all[i].net})
	}
	add(t, g, all...)
	err := g.Broadcast("r", "v")
	if !errors.Is(err, cluster.ErrBufferExceed) {
		t.Errorf("error %v", err)
	}
	for i, m := range all {
		bad := i == 1 || i == 2
		if named := strings.Contains(fmt.Sprint(err), fmt.Sprintf("session %d:", m.ID())); named != bad {
			t.Errorf("member %d is in the error: %v; want %v", i, named, bad)
		}
		if got := len(m.got()); (got == 1) == bad {
			t.Errorf("member %d got %d pushes", i, got)
		}
	}
}

// A test closes a session whose client is a mock: a broadcast is as right as on a node.
func TestBroadcastToAClosedMockIsNoError(t *testing.T) {
	g := nano.NewGroup("room")
	a, b := newMember(t, 1), newMember(t, 2)
	add(t, g, a, b)
	a.Close()
	if err := g.Broadcast("r", "v"); err != nil {
		t.Error(err)
	}
	if len(a.got()) != 0 || len(b.got()) != 1 {
		t.Errorf("got %v and %v", a.got(), b.got())
	}
}

// A filter that calls the group must not hang it.
func TestFilterMayCallItsGroup(t *testing.T) {
	g := nano.NewGroup("room")
	var all []member
	for uid := range int64(20) {
		all = append(all, newMember(t, uid+1))
	}
	add(t, g, all...)
	seen := 0
	err := g.Multicast("r", "v", func(s *session.Session) bool {
		seen++
		switch s.UID() % 4 {
		case 0:
			if err := g.Leave(s); err != nil {
				t.Error(err)
			}
		case 1:
			return false
		case 2:
			_ = g.Add(newMember(t, 100+s.UID()).Session) // comes too late for this one
			_ = g.Contains(s.UID())
		}
		return true
	})
	if err != nil || seen != len(all) {
		t.Errorf("Multicast: %v; the filter saw %d of %d", err, seen, len(all))
	}
	for _, m := range all {
		want := 1
		if m.UID()%4 == 1 {
			want = 0
		}
		if len(m.got()) != want {
			t.Errorf("user %d got %d pushes, want %d", m.UID(), len(m.got()), want)
		}
	}
	if g.Count() != 20 { // five left, five came
		t.Errorf("%d members", g.Count())
	}
	if err := g.Multicast("r", "v", func(*session.Session) bool {
		_ = g.Close()
		return true
	}); err != nil {
		t.Errorf("Close in a filter: %v", err)
	}
	if g.Count() != 0 {
		t.Error("not closed")
	}
}

// Joins, leaves, ends and a Close during broadcasts.
func TestGroupChangesDuringBroadcasts(t *testing.T) {
	g := nano.NewGroup("room")
	fixed := newMember(t, 1)
	add(t, g, fixed)
	const broadcasts = 300
	var wg sync.WaitGroup
	for w := range int64(8) {
		wg.Go(func() {
			for i := range int64(100) {
				m := newMember(t, 0)
				_ = g.Add(m.Session)
				_ = m.Bind(2 + w*100 + i)
				if i%2 == 0 {
					_ = g.Leave(m.Session)
				}
				m.end()
			}
		})
	}
	wg.Go(func() {
		for i := range broadcasts {
			_ = g.Broadcast("r", i)
			_ = g.Multicast("m", i, func(s *session.Session) bool { return s.UID()%2 == 1 })
			_, _ = g.FindMember(func(s *session.Session) bool { return s.UID() == 99 })
			g.Members()
			g.Sessions()
			g.Contains(99)
		}
	})
	wg.Wait()
	if got := fixed.got(); len(got) != 2*broadcasts || got[0] != "r 0" || got[len(got)-1] != fmt.Sprintf("m %d", broadcasts-1) {
		t.Errorf("the member that was there all the time got %d of %d", len(got), 2*broadcasts)
	}
	if g.Count() != 1 || !slices.Equal(g.Members(), []int64{1}) {
		t.Errorf("left: %v", g.Members())
	}
	wg.Go(func() {
		for range 100 {
			if err := g.Broadcast("r", 0); err != nil && !errors.Is(err, nano.ErrClosedGroup) {
				t.Errorf("Broadcast during Close: %v", err)
			}
		}
	})
	closes := make(chan error, 4)
	for range 4 {
		wg.Go(func() { closes <- g.Close() })
	}
	wg.Wait()
	done := 0
	for range 4 {
		if err := <-closes; err == nil {
			done++
		} else if !errors.Is(err, nano.ErrCloseClosedGroup) {
			t.Errorf("Close: %v", err)
		}
	}
	if done != 1 || g.Count() != 0 {
		t.Errorf("%d of 4 closed it, %d members", done, g.Count())
	}
}

// A slice that was given out is the caller's.
func TestGroupSessionsIsACopy(t *testing.T) {
	g := nano.NewGroup("room")
	a, b := newMember(t, 1), newMember(t, 2)
	add(t, g, a, b)
	s := g.Sessions()
	clear(s)
	if err := g.Broadcast("r", 1); err != nil || len(a.got()) != 1 || len(b.got()) != 1 {
		t.Errorf("Broadcast: %v", err)
	}
}
