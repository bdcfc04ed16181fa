package component_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

type declared struct{ component.Base }

// Declared has a handler of each form.
type Declared struct{ declared }

type ask struct{ A int }

func (*Declared) Reply(*session.Session, *ask) (*ask, error) { return nil, nil }
func (*Declared) Later(*session.Session, *ask) error         { return nil }
func (*Declared) Typing(*session.Session, []byte) error      { return nil }

func TestDeclaredPushesAndAnswers(t *testing.T) {
	cs := new(component.Components)
	cs.Register(new(Declared), component.WithNameFunc(strings.ToLower),
		component.WithPush[ask]("onAsk"), component.WithPush[[]byte]("onBytes"),
		component.WithAnswer[ask]("Later"), component.WithoutAnswer("Typing"))
	later := func(context.Context, *session.Session, *ask) error { return nil }
	component.HandleNotify(cs, "Declared.other", later, component.WithAnswer[*ask](), component.WithPush[*ask]("onAsk"))
	component.HandleNotify(cs, "Declared.silent", later, component.WithoutAnswer())
	component.HandleNotify(cs, "Declared.open", later)
	for range 2 { // a node may start again
		services, err := cs.Services()
		if err != nil {
			t.Fatal(err)
		}
		s := services[0]
		if want := map[string]reflect.Type{"onAsk": reflect.TypeFor[*ask](), "onBytes": reflect.TypeFor[[]byte]()}; !reflect.DeepEqual(s.Pushes, want) {
			t.Errorf("pushes are %v, want %v", s.Pushes, want)
		}
		for name, want := range map[string]struct {
			answers reflect.Type
			nothing bool
		}{
			"reply":  {nil, false}, // the type of the reply says it
			"later":  {reflect.TypeFor[*ask](), false},
			"other":  {reflect.TypeFor[*ask](), false},
			"typing": {nil, true},
			"silent": {nil, true},
			"open":   {nil, false},
		} {
			if h := s.Handlers[name]; h.Answers != want.answers || h.AnswersNothing != want.nothing {
				t.Errorf("%s answers %v, nothing: %v", name, h.Answers, h.AnswersNothing)
			}
		}
	}
}

// A slip in a name would leave a client without its type.
func TestWrongDeclarations(t *testing.T) {
	later := func(context.Context, *session.Session, *ask) error { return nil }
	for want, register := range map[string]func(cs *component.Components){
		`WithAnswer("Latter"): there is no such handler`:        func(cs *component.Components) { cs.Register(new(Declared), component.WithAnswer[ask]("Latter")) },
		`WithoutAnswer("Reply"): the handler returns its reply`: func(cs *component.Components) { cs.Register(new(Declared), component.WithoutAnswer("Reply")) },
		`WithPush: the route "onAsk" has two types`: func(cs *component.Components) {
			cs.Register(new(Declared), component.WithPush[ask]("onAsk"), component.WithPush[Declared]("onAsk"))
		},
		`WithPush: the route "" has 0 bytes`: func(cs *component.Components) { cs.Register(new(Declared), component.WithPush[ask]("")) },
		`service "A": WithAnswer("b"): there is no such handler`: func(cs *component.Components) {
			component.HandleNotify(cs, "A.b", later, component.WithAnswer[ask]("b"))
		},
		`service "Declared": WithPush: the route "x" has two types`: func(cs *component.Components) {
			component.HandleNotify(cs, "Declared.b", later, component.WithPush[ask]("x"))
			cs.Register(new(Declared), component.WithPush[[]byte]("x"))
		},
	} {
		cs := new(component.Components)
		register(cs)
		if _, err := cs.Services(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
