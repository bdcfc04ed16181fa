package mesh

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lonng/nano/session"
)

// A second login is decided the same way by both gates, whoever hears of the other first: exactly
// one session stays, or none where both may. With a wrong answer a player is thrown out of their
// own account, or plays twice on it.
func TestDirectoryDecidesBetweenTwoLogins(t *testing.T) {
	for _, c := range []struct {
		name     string
		policy   session.BindPolicy
		one, two uint64 // when the user signed in at a:1 and at b:1
		loses    string
	}{
		{"both stay", session.BindKeepBoth, 10, 20, ""},
		{"the older goes", session.BindKickOld, 10, 20, "a:1"},
		{"the older goes, the other way round", session.BindKickOld, 20, 10, "b:1"},
		{"at the same moment the address decides", session.BindKickOld, 10, 10, "a:1"},
		{"the newer is refused", session.BindRefuseNew, 10, 20, "b:1"},
		{"the newer is refused, the other way round", session.BindRefuseNew, 20, 10, "a:1"},
		{"at the same moment the address refuses", session.BindRefuseNew, 10, 10, "b:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDirectory(c.policy)
			var losers []string
			if d.loses(c.one, "a:1", login{sessionKey{"b:1", 1, 1}, c.two}) {
				losers = append(losers, "a:1")
			}
			if d.loses(c.two, "b:1", login{sessionKey{"a:1", 1, 1}, c.one}) {
				losers = append(losers, "b:1")
			}
			if got := strings.Join(losers, " "); got != c.loses {
				t.Errorf("%q loses, want %q", got, c.loses)
			}
		})
	}
}

// What gates tell and what is asked, one line each: the answers are what players see when they sign
// in.
func TestDirectoryTranscripts(t *testing.T) {
	a, b := sessionKey{"a:1", 1, 5}, sessionKey{"b:1", 1, 5}
	for _, c := range []struct {
		name   string
		policy session.BindPolicy
		lines  func(d *directory, say func(format string, args ...any))
		want   string
	}{
		{"a login elsewhere refuses a new one until it ends", session.BindRefuseNew, func(d *directory, say func(string, ...any)) {
			say("%v", d.admit(7, sessionKey{}, false))
			d.enter(7, login{a, 10})
			say("%v", errors.Is(d.admit(7, sessionKey{}, false), session.ErrUIDTaken))
			say("%v", d.admit(7, a, false)) // the session itself
			say("%v", errors.Is(d.admit(7, a, true), session.ErrUIDTaken))
			d.leave(7, a)
			say("%v", d.admit(7, sessionKey{}, false))
		}, "<nil> true <nil> true <nil>"},
		{"other policies admit everybody", session.BindKickOld, func(d *directory, say func(string, ...any)) {
			d.enter(7, login{a, 10})
			say("%v", d.admit(7, sessionKey{}, true))
		}, "<nil>"},
		{"a login is later than all that are known", session.BindKickOld, func(d *directory, say func(string, ...any)) {
			say("%d", d.since(7, 10, nil))
			say("%d", d.since(7, 10, []uint64{30, 20}))
			d.enter(7, login{a, 50})
			say("%d", d.since(7, 10, []uint64{30}))
			say("%d", d.since(8, 10, nil))
			say("%d", d.since(7, 100, nil))
		}, "10 31 51 10 100"},
		{"with its gate go its users, and nobody else's", session.BindKeepBoth, func(d *directory, say func(string, ...any)) {
			d.enter(7, login{a, 1})
			d.enter(7, login{b, 1})
			d.enter(8, login{a, 1})
			d.dropGate(process{"a:1", 2}) // another run
			say("%d", len(d.of(7)))
			d.dropGate(process{"a:1", 1})
			say("%v %v %d", d.elsewhere(7, sessionKey{}), d.elsewhere(8, sessionKey{}), len(d.users))
			d.leave(8, a) // told late
			d.leave(7, b)
			say("%d", len(d.users))
		}, "2 true false 1 0"},
		{"a kick finds Binds that have not run", session.BindKeepBoth, func(d *directory, say func(string, ...any)) {
			one, two := d.expect(7), d.expect(7)
			say("%v %v", d.kickAwaited(7, "cheat"), d.kickAwaited(8, "cheat"))
			three := d.expect(7)
			for _, bind := range []*awaitedBind{one, two, three} {
				reason, kicked := d.met(bind)
				say("%q %v", reason, kicked)
			}
			say("%v %d", d.kickAwaited(7, "cheat"), len(d.binding))
		}, `true false "cheat" true "cheat" true "" false false 0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said []string
			c.lines(newDirectory(c.policy), func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("it says %q, want %q", got, c.want)
			}
		})
	}
}
