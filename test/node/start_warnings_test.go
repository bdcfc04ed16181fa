package node_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// Foyer has a handler, and methods that somebody took for handlers. It holds its group by value, as
// components of v0.5 do.
type Foyer struct {
	component.Base
	nano.Group
}

func (*Foyer) Enter(*session.Session, []byte) error                 { return nil }
func (*Foyer) Leave(*session.Session, *named)                       {}
func (*Foyer) Chat(context.Context, *session.Session, string) error { return nil }
func (*Foyer) Count() int                                           { return 0 }

// A method that misses being a handler is told at the start: its clients would only see a route
// that is not there.
func TestMissedHandlersAreWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cs := new(component.Components)
		cs.Register(&Foyer{Group: *nano.NewGroup("foyer")})
		n := apptest.Start(t, cs)
		lines := n.Log.Lines("WARN", "methods of a component are no handlers", "component=Foyer")
		if len(lines) != 1 {
			t.Fatalf("logged %q", n.Log.Lines())
		}
		for _, want := range []string{"Leave: returns no error", "Chat: takes string", "wanted is func("} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("%q is missing: %s", want, lines[0])
			}
		}
		for _, right := range []string{"Count", "Enter", "Add", "ContainsSession"} {
			if strings.Contains(lines[0], right) {
				t.Errorf("%s is nobody's mistake: %s", right, lines[0])
			}
		}
	})
}

// A forgotten WithSerializer is told at the start, and again when the first payload is refused for
// it.
func TestForgottenSerializerIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cs, _ := refusals()
		n := apptest.Start(t, cs, nano.WithSerializer(nil))
		if !n.Log.Has("WARN", "WithSerializer", "Room.Join") {
			t.Errorf("logged at the start: %q", n.Log.Lines())
		}
		if n.Log.Has("WARN", "WithSerializer", "Room.Fail") {
			t.Error("a handler of bytes needs no serializer")
		}
		c := n.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		if m := c.Call("Room.Join", []byte("{}")); !m.Err || strings.Contains(string(m.Data), "node_test") {
			t.Errorf("the client is told %q", m.Data)
		}
		if !n.Log.Has("WARN", "message refused", "route=Room.Join", "WithSerializer") {
			t.Errorf("logged: %q", n.Log.Lines("message"))
		}
	})
}

// Lounge has a handler, and the methods of its group.
type Lounge struct {
	component.Base
	*nano.Group
}

func (*Lounge) Enter(*session.Session, []byte) error { return nil }

// What is as it should be makes no noise.
func TestNoWarningsForARightStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cs, _ := refusals()
		cs.Register(&Lounge{Group: nano.NewGroup("lounge")})
		n := apptest.Start(t, cs, nano.WithSerializer(json.NewSerializer()))
		if got := n.Log.Lines("WARN"); len(got) != 0 {
			t.Errorf("logged: %q", got)
		}
		for _, route := range []string{"Room.Join", "Room.Fail"} {
			if !n.Log.Has("DEBUG", "route="+route) {
				t.Errorf("route %s is not listed for who debugs", route)
			}
		}
	})
}

// A node that nobody can reach and that does nothing is a mistake.
func TestANodeWithoutAnythingIsWarnedOf(t *testing.T) {
	logger, log := nanotest.NewLog()
	app := nano.New("", nano.WithSlog(logger))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if !log.Has("WARN", "neither clients nor components") {
		t.Errorf("logged: %q", log.Lines())
	}
}
