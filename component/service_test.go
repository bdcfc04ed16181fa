package component_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

func names(s *component.Service) []string { return slices.Sorted(maps.Keys(s.Handlers)) }

// Old has what a component of v0.5 has: handlers, and methods that are none.
type Old struct{ component.Base }

func (*Old) Join(*session.Session, *in) error      { return nil }
func (*Old) Raw(*session.Session, []byte) error    { return nil }
func (*Old) Helper(int) int                        { return 0 }
func (*Old) ByValueArg(*session.Session, in) error { return nil }
func (*Old) NoError(*session.Session, *in)         {}
func (*Old) hidden(*session.Session, *in) error    { return nil }
func (*Old) Init()                                 {}

var _ = (*Old).hidden

func TestV05Component(t *testing.T) {
	old := &Old{}
	s := component.NewService(old, nil)
	if s.Name != "Old" || s.Type != reflect.TypeOf(old) || s.Receiver.Interface() != old || s.SchedName != "" {
		t.Errorf("service %+v", s)
	}
	if err := s.ExtractHandler(); err != nil {
		t.Fatal(err)
	}
	if got := names(s); !slices.Equal(got, []string{"Join", "Raw"}) {
		t.Fatalf("handlers %v", got)
	}
	join, raw := s.Handlers["Join"], s.Handlers["Raw"]
	if join.IsRawArg || join.Type != reflect.TypeFor[*in]() || join.Method.Name != "Join" || join.Receiver.Interface() != old {
		t.Errorf("Join: %+v", join)
	}
	if !raw.IsRawArg || raw.Type != reflect.TypeFor[[]byte]() {
		t.Errorf("Raw: %+v", raw)
	}
	// As v0.5 itself calls it.
	if out := join.Method.Func.Call([]reflect.Value{join.Receiver, reflect.ValueOf(session.New(nil)), reflect.ValueOf(&in{})}); !out[0].IsNil() {
		t.Errorf("by reflection: %v", out[0])
	}
}

// part is of the component's package, and embeds a type of another one.
type part struct{ *session.Lifetimes }

func (part) Mine(*session.Session) {}

// Whole embeds what takes sessions.
type Whole struct {
	component.Base
	part
	session.Binder
}

func (*Whole) Say(*session.Session, []byte) error { return nil }
func (*Whole) Open(*session.Session, string)      {} // stands before that of Lifetimes

// What an embedded type of another package takes is nobody's mistake: the application's own
// methods are told.
func TestMissesOfEmbeddedTypes(t *testing.T) {
	s := component.NewService(&Whole{}, nil)
	if err := s.ExtractHandler(); err != nil {
		t.Fatal(err)
	}
	const want = "Mine: takes no argument after the session; Open: takes string as its argument, which is neither []byte nor a pointer; wanted is "
	if !strings.HasPrefix(s.Misses, want) {
		t.Errorf("misses %q, want %q", s.Misses, want)
	}
}

// local is a scheduler of the application's.
type local struct{ _ int }

func (*local) Schedule(t scheduler.Task) { t() }

// uncomparable is one that cannot be compared with another.
type uncomparable struct{ _ []int }

func (uncomparable) Schedule(t scheduler.Task) { t() }

func TestNamingOptions(t *testing.T) {
	own := new(local)
	s := component.NewService(&Old{}, []component.Option{
		component.WithName("old"), nil,
		component.WithNameFunc(strings.ToLower),
		component.WithSchedulerName("room"),
		component.WithScheduler(own),
	})
	if err := s.ExtractHandler(); err != nil {
		t.Fatal(err)
	}
	if s.Name != "old" || s.SchedName != "room" || s.Scheduler != own {
		t.Errorf("service %+v", s)
	}
	if got := names(s); !slices.Equal(got, []string{"join", "raw"}) {
		t.Errorf("handlers %v", got)
	}
}

// The components that are wrong, each in its own way.
type (
	Nothing struct{ component.Base }
	hiddenC struct{ component.Base }
	Useless struct{ component.Base }
	Twice   struct{ component.Base }
	Lone    struct{ *component.Base }
	Fine    struct{ component.Base }
)

func (*hiddenC) Join(*session.Session, *in) error { return nil }

func (*Useless) Plain()                                                {}
func (*Useless) NoSession(*in) error                                   { return nil }
func (*Useless) NoArg(*session.Session) error                          { return nil }
func (*Useless) NoArgCtx(context.Context, *session.Session) error      { return nil }
func (*Useless) Value(*session.Session, in) error                      { return nil }
func (*Useless) Named(*session.Session, namedBytes) error              { return nil }
func (*Useless) ThreeArgs(*session.Session, *in, *in) error            { return nil }
func (*Useless) Order(*in, *session.Session) error                     { return nil }
func (*Useless) Late(*session.Session, context.Context, *in) error     { return nil }
func (*Useless) NoResult(*session.Session, *in)                        {}
func (*Useless) NotError(*session.Session, *in) *out                   { return nil }
func (*Useless) Swapped(*session.Session, *in) (error, *out)           { return nil, nil } //nolint:staticcheck // the mistake that is to be named
func (*Useless) ThreeResults(*session.Session, *in) (*out, int, error) { return nil, 0, nil }
func (*Useless) Variadic(*session.Session, ...byte) error              { return nil }

type namedBytes []byte

func (*Twice) GetItem(*session.Session, *in) error { return nil }
func (*Twice) Getitem(*session.Session, *in) error { return nil }

func (*Lone) Join(*session.Session, *in) error { return nil }

func (*Fine) Join(*session.Session, *in) error { return nil }

// What is wrong with a component is said by name: without it one hunts for a
// handler that is "not found" at run time.
func TestWrongComponents(t *testing.T) {
	var none *Old
	for name, c := range map[string]struct {
		comp component.Component
		opts []component.Option
		want []string
	}{
		"nil":                        {nil, nil, []string{"nil"}},
		"nil pointer":                {none, nil, []string{"nil"}},
		"unexported type":            {&hiddenC{}, []component.Option{component.WithName("x")}, []string{"hiddenC", "not exported"}},
		"type without a name":        {&struct{ component.Base }{}, []component.Option{component.WithName("x")}, []string{"has no name"}},
		"no methods":                 {&Nothing{}, nil, []string{"Nothing", "no usable method"}},
		"value instead of a pointer": {Lone{&component.Base{}}, nil, []string{"Lone", "Join", "register a pointer"}},
		"no usable method": {&Useless{}, nil, []string{
			"Plain: takes no *session.Session",
			"NoSession: takes no *session.Session",
			"NoArg: takes no argument",
			"NoArgCtx: takes no argument",
			"Value: takes component_test.in as its argument",
			"Named: takes component_test.namedBytes as its argument",
			"ThreeArgs: takes more than one argument",
			"Order: takes *component_test.in where *session.Session is to be",
			"Late: takes more than one argument",
			"NoResult: returns no error",
			"NotError: returns *component_test.out where error is to be",
			"Swapped: returns *component_test.out where error is to be",
			"ThreeResults: returns more than",
			"Variadic: takes a variable number",
		}},
		"two methods of one name": {&Twice{}, []component.Option{component.WithNameFunc(strings.ToLower)}, []string{"GetItem", "Getitem", `"getitem"`}},
		"empty method name":       {&Fine{}, []component.Option{component.WithNameFunc(func(string) string { return "" })}, []string{"Join", "has no name"}},
		"dot in a method name":    {&Fine{}, []component.Option{component.WithNameFunc(func(string) string { return "a.b" })}, []string{"Join", "dot"}},
		"blanks":                  {&Fine{}, []component.Option{component.WithName(" x")}, []string{"Join", "blanks"}},
		"route over 255 bytes":    {&Fine{}, []component.Option{component.WithName(strings.Repeat("x", 251))}, []string{"Join", "255"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := component.NewService(c.comp, c.opts).ExtractHandler()
			cs := &component.Components{}
			cs.Register(c.comp, c.opts...)
			services, err2 := cs.Services()
			if err == nil || err2 == nil || services != nil {
				t.Fatalf("errors %v and %v, services %v", err, err2, services)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || !strings.Contains(err2.Error(), want) {
					t.Errorf("no %q in\n%v", want, err)
				}
			}
			for _, hook := range []string{"Init", "AfterInit", "BeforeShutdown", "Shutdown"} {
				if strings.Contains(err.Error(), "\t"+hook+":") {
					t.Errorf("%s is listed in\n%v", hook, err)
				}
			}
		})
	}
}

func TestLongestRoute(t *testing.T) {
	s := component.NewService(&Fine{}, []component.Option{component.WithName(strings.Repeat("x", 250))})
	if err := s.ExtractHandler(); err != nil {
		t.Error(err)
	}
}

// Functions and components in one list, in the order of registration.
func TestServices(t *testing.T) {
	own := new(local)
	cs := &component.Components{}
	component.HandleRaw(cs, "Late.Bare", func(context.Context, *session.Session, []byte) error { return nil })
	cs.Register(&Fine{}, component.WithScheduler(own))
	component.Handle(cs, "Fine.More", func(_ context.Context, _ *session.Session, r *in) (*out, error) {
		return &out{r.Text + "!"}, nil
	}, component.WithScheduler(own), component.WithSchedulerName("s"))
	cs.Register(&Old{}, component.WithName("Late"))
	component.HandleNotify(cs, "a.b.Notify", func(context.Context, *session.Session, *in) error { return errors.New("no") })

	if list := cs.List(); len(list) != 2 || len(list[0].Opts) != 1 {
		t.Errorf("list %v, want the two components", list)
	}
	for range 2 { // a node that is started again asks again
		services, err := cs.Services()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range services {
			got = append(got, fmt.Sprintf("%s %v", s.Name, names(s)))
		}
		want := []string{"Late [Bare Join Raw]", "Fine [Join More]", "a.b [Notify]"}
		if !slices.Equal(got, want) {
			t.Fatalf("services %q, want %q", got, want)
		}
		if services[0].Type != reflect.TypeFor[*Old]() || !services[0].Receiver.IsValid() {
			t.Errorf("the component that came after its function is not the receiver: %+v", services[0])
		}
		if services[1].Scheduler != own || services[1].SchedName != "s" {
			t.Errorf("schedulers %v %q, want those of both registrations", services[1].Scheduler, services[1].SchedName)
		}
	}
}

func TestHandleCalls(t *testing.T) {
	cs := &component.Components{}
	s := session.New(nil)
	refused := errors.New("no")
	component.Handle(cs, "G.Reply", func(ctx context.Context, got *session.Session, r *in) (*out, error) {
		if got != s || ctx == nil {
			t.Error("another session, or no context")
		}
		if r.Text == "" {
			return &out{}, refused
		}
		return &out{r.Text + "!"}, nil
	})
	component.HandleNotify(cs, "G.Notify", func(_ context.Context, _ *session.Session, r *in) error { return errors.New(r.Text) })
	component.HandleRaw(cs, "G.Raw", func(_ context.Context, _ *session.Session, b []byte) error { return errors.New(string(b)) })
	services, err := cs.Services()
	if err != nil {
		t.Fatal(err)
	}
	hs := services[0].Handlers
	if services[0].Type != nil || services[0].Receiver.IsValid() {
		t.Errorf("a service of functions has a receiver: %+v", services[0])
	}
	for name, want := range map[string]struct {
		reply, raw bool
		typ        reflect.Type
	}{
		"Reply":  {true, false, reflect.TypeFor[*in]()},
		"Notify": {false, false, reflect.TypeFor[*in]()},
		"Raw":    {false, true, reflect.TypeFor[[]byte]()},
	} {
		h := hs[name]
		if h.HasReply != want.reply || h.IsRawArg != want.raw || !h.NeedsContext || h.Type != want.typ {
			t.Errorf("%s: %+v", name, h)
		}
		if made := h.New(); !want.raw && reflect.TypeOf(made) != want.typ || want.raw && made != nil {
			t.Errorf("%s: New made a %T", name, made)
		}
	}
	if reply, err := hs["Reply"].Call(t.Context(), s, &in{"a"}, nil); err != nil || reply.(*out).Text != "a!" {
		t.Errorf("Reply: %v, %v", reply, err)
	}
	if reply, err := hs["Reply"].Call(t.Context(), s, &in{}, nil); !errors.Is(err, refused) || reply != nil {
		t.Errorf("Reply with an error: %v, %v", reply, err)
	}
	if _, err := hs["Notify"].Call(t.Context(), s, &in{"b"}, nil); err == nil || err.Error() != "b" {
		t.Errorf("Notify: %v", err)
	}
	if _, err := hs["Raw"].Call(t.Context(), s, nil, []byte("c")); err == nil || err.Error() != "c" {
		t.Errorf("Raw: %v", err)
	}
}

// Every mistake of a registration is in the one error, so that they are
// mended in one go.
func TestWrongRegistrations(t *testing.T) {
	raw := func(context.Context, *session.Session, []byte) error { return nil }
	for name, c := range map[string]struct {
		register func(cs *component.Components)
		want     []string
	}{
		"bad routes": {func(cs *component.Components) {
			for _, route := range []string{"", "Join", ".Join", "Room.", " Room.Join", strings.Repeat("x", 255) + ".J"} {
				component.HandleRaw(cs, route, raw)
			}
		}, []string{`""`, `"Join"`, `".Join"`, `"Room."`, `" Room.Join"`, "255"}},
		"nil functions": {func(cs *component.Components) {
			component.HandleRaw(cs, "A.Raw", nil)
			component.HandleNotify[in](cs, "A.Notify", nil)
			component.Handle[in, out](cs, "A.Reply", nil)
		}, []string{"A.Raw", "A.Notify", "A.Reply", "nil"}},
		"two functions of one route": {func(cs *component.Components) {
			component.HandleRaw(cs, "A.B", raw)
			component.HandleRaw(cs, "A.B", raw)
		}, []string{`two handlers of the route "A.B"`}},
		"function after its method": {func(cs *component.Components) {
			cs.Register(&Fine{})
			component.HandleRaw(cs, "Fine.Join", raw)
		}, []string{`two handlers of the route "Fine.Join"`}},
		"method after its function": {func(cs *component.Components) {
			component.HandleRaw(cs, "Fine.Join", raw)
			cs.Register(&Fine{})
		}, []string{`two handlers of the route "Fine.Join"`}},
		"two components of one name": {func(cs *component.Components) {
			cs.Register(&Fine{})
			cs.Register(&Old{}, component.WithName("Fine"))
		}, []string{"*component_test.Fine", "*component_test.Old", `"Fine"`}},
		"options for components": {func(cs *component.Components) {
			component.HandleRaw(cs, "A.B", raw, component.WithName("C"))
			component.HandleRaw(cs, "A.C", raw, component.WithNameFunc(strings.ToLower))
		}, []string{"A.B", "A.C", "for components"}},
		"two schedulers": {func(cs *component.Components) {
			component.HandleRaw(cs, "A.B", raw, component.WithScheduler(new(local)))
			component.HandleRaw(cs, "A.C", raw, component.WithScheduler(new(local)))
			component.HandleRaw(cs, "A.D", raw, component.WithScheduler(uncomparable{}))
		}, []string{`"A" has two schedulers`}},
		"two scheduler names": {func(cs *component.Components) {
			component.HandleRaw(cs, "Fine.B", raw, component.WithSchedulerName("x"))
			cs.Register(&Fine{}, component.WithSchedulerName("y"))
		}, []string{`"x"`, `"y"`}},
		"several at once": {func(cs *component.Components) {
			cs.Register(nil)
			cs.Register(&Nothing{})
			component.HandleRaw(cs, "x", raw)
		}, []string{"nil", "Nothing", `"x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			cs := &component.Components{}
			c.register(cs)
			services, err := cs.Services()
			if err == nil || services != nil {
				t.Fatalf("error %v, services %v", err, services)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in\n%v", want, err)
				}
			}
		})
	}
}

func TestNoComponents(t *testing.T) {
	var cs component.Components
	if services, err := cs.Services(); err != nil || len(services) != 0 || cs.List() != nil {
		t.Errorf("%v, %v", services, err)
	}
}

func BenchmarkServices(b *testing.B) {
	cs := &component.Components{}
	cs.Register(&All{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cs.Services(); err != nil {
			b.Fatal(err)
		}
	}
}

// What is for nodes is marked handler by handler: a function that is for clients may share its
// service.
func TestNodesOnly(t *testing.T) {
	cs := &component.Components{}
	do := func(context.Context, *session.Session, []byte) error { return nil }
	component.HandleRaw(cs, "Fine.Mine", do, component.WithNodesOnly())
	component.HandleRaw(cs, "Fine.All", do)
	cs.Register(&Fine{})
	cs.Register(&Fine{}, component.WithName("Whole"), component.WithNodesOnly())
	component.HandleRaw(cs, "Whole.All", do)
	services, err := cs.Services()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		for name, h := range s.Handlers {
			if want := name == "Mine" || s.Name == "Whole" && name != "All"; h.NodesOnly != want {
				t.Errorf("%s.%s is for nodes only: %v", s.Name, name, h.NodesOnly)
			}
		}
	}
}
