package gen_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/nano-cli/internal/gen"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/describe"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
)

var update = flag.Bool("update", false, "write the files that the generators are held against")

// Color is one of few.
type Color string

// JSONSchema says which.
func (Color) JSONSchema() *describe.Schema {
	return &describe.Schema{Type: describe.Types{"string"}, Enum: []any{"red", "green"}, Description: "of a thing"}
}

// Thing has a field of each kind.
type Thing struct {
	Name   string            `json:"name"`
	Color  Color             `json:"color"`
	Price  float64           `json:"price,omitempty"`
	Count  int8              `json:"count"`
	Big    uint64            `json:"big"`
	Sold   bool              `json:"sold"`
	Data   []byte            `json:"data,omitempty"`
	Made   time.Time         `json:"made"`
	Ended  time.Time         `json:"ended,omitzero"`
	At     [2]float32        `json:"at"`
	Parts  []*Thing          `json:"parts"`
	Tags   []string          `json:"tags,omitempty"`
	Notes  map[string]string `json:"notes"`
	Better *Thing            `json:"better,omitempty"`
	Owner  *string           `json:"owner"`
	More   any               `json:"more"`
	Odd    struct {
		ID int `json:"a-b"`
	} `json:"odd"`
	Wait time.Duration `json:"wait"`
}

// Empty says nothing.
type Empty struct{}

// goods is the node that the generated files are for.
func goods(started chan<- string) *component.Components {
	cs := new(component.Components)
	group := nano.NewGroup("all")
	component.Handle(cs, "shop.buy", func(_ context.Context, s *session.Session, t *Thing) (*Thing, error) {
		_ = group.Add(s) // twice does no harm
		return t, group.Broadcast("onSold", t)
	}, component.WithPush[Thing]("onSold"), component.WithPush[[]string]("shop.names"), component.WithPush[[]byte]("shop.bytes"))
	component.Handle(cs, "shop.list", func(_ context.Context, s *session.Session, _ *Empty) (*[]string, error) {
		return &[]string{"a", "b"}, errors.Join(s.Push("shop.names", []string{"c"}), s.Push("shop.bytes", []byte{1, 2}))
	})
	component.HandleNotify(cs, "shop.look", func(_ context.Context, _ *session.Session, names *[]string) error {
		started <- strings.Join(*names, " ")
		return nil
	}, component.WithoutAnswer())
	component.HandleNotify(cs, "shop.any", func(_ context.Context, s *session.Session, v *map[string]any) error {
		if s.LastMid() == 0 {
			started <- "any"
			return nil
		}
		return s.Response(v)
	})
	component.HandleRaw(cs, "shop.raw", func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) },
		component.WithAnswer[[]byte]())
	component.HandleRaw(cs, "shop.hidden", func(context.Context, *session.Session, []byte) error { return nil }, component.WithNodesOnly())
	return cs
}

func description(t *testing.T, cs *component.Components, opts ...nano.Option) *describe.Description {
	t.Helper()
	d, err := nano.New("", append(opts, nano.WithComponents(cs))...).Describe()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The files are what the tests beside them compile: shop here, shop.d.mts in clients/js.
func TestGeneratedFiles(t *testing.T) {
	d := description(t, goods(nil), nano.WithSerializer(json.NewSerializer()))
	for file, write := range map[string]func() ([]byte, error){
		"shop/shop.go":                      func() ([]byte, error) { return gen.Go(d, "shop") },
		"../../../js/test/types/shop.d.mts": func() ([]byte, error) { return gen.TypeScript(d, "Shop") },
		"testdata/shop.txt":                 func() ([]byte, error) { return []byte(gen.Text(d)), nil },
	} {
		got, err := write()
		if err != nil {
			t.Error(err)
			continue
		}
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Error(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not what is generated now (go test ./internal/gen -update): %v\n%s", file, err, got)
		}
	}
}

// Messages are imported from where they are; their JSON form is for scripts.
func TestProtobuf(t *testing.T) {
	cs := new(component.Components)
	component.Handle(cs, "a.b", func(context.Context, *session.Session, *wrapperspb.StringValue) (*structpb.Struct, error) {
		return nil, nil
	})
	d := description(t, cs, nano.WithSerializer(protobuf.NewSerializer()))
	code, err := gen.Go(d, "x")
	want := "func AB(ctx context.Context, c *client.Client, req *wrapperspb.StringValue) (*structpb.Struct, error) {"
	if err != nil || !strings.Contains(string(code), want) || !strings.Contains(string(code), `"google.golang.org/protobuf/types/known/structpb"`) {
		t.Errorf("%v\n%s", err, code)
	}
	types, err := gen.TypeScript(d, "X")
	if err != nil || !strings.Contains(string(types), `"a.b": [string, Record<string, unknown>];`) {
		t.Errorf("%v\n%s", err, types)
	}
	component.Handle(cs, "a.c", func(context.Context, *session.Session, *Empty) (*wrapperspb.BoolValue, error) { return nil, nil })
	d = description(t, cs, nano.WithSerializer(protobuf.NewSerializer()))
	d.Route("a.c").Request.Go = "main.Empty"
	if _, err := gen.Go(d, "x"); err == nil || !strings.Contains(err.Error(), `route "a.c": the message "main.Empty" is in no package`) {
		t.Errorf("got %v", err)
	}
}

// Whatever a description holds, the result parses or there is an error.
func TestOddNames(t *testing.T) {
	d := &describe.Description{Format: describe.Format, Serializer: describe.JSON, Defs: map[string]*describe.Schema{}}
	for _, name := range []string{"a.Same", "b.Same", "", "1", "日本", "type", "Context", "client"} {
		d.Defs[name] = &describe.Schema{Type: describe.Types{"object"}, Properties: describe.Properties{
			{Name: "", Schema: &describe.Schema{}}, {Name: "a-b", Schema: &describe.Schema{}}, {Name: "a_b", Schema: &describe.Schema{Not: &describe.Schema{}}},
			{Name: "日", Schema: &describe.Schema{Description: "*/\n x", Type: describe.Types{"array"}}},
		}}
		p := describe.Payload{Schema: &describe.Schema{Ref: "#/$defs/" + name}}
		d.Services = append(d.Services, describe.Service{Name: name, Routes: []describe.Route{
			{Route: name + ".x", Form: describe.FormUnknown, Request: p}, {Route: name + "-x", Form: describe.FormRequest, Request: p, Response: &p},
		}})
	}
	code, err := gen.Go(d, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"type ASame struct", "type BSame struct", "type N1 struct", "func ASameX(", "func ASameX2("} {
		if !strings.Contains(string(code), want) {
			t.Errorf("there is no %q in\n%s", want, code)
		}
	}
	if types, err := gen.TypeScript(d, "Type"); err != nil || !strings.Contains(string(types), "interface Type2 {") {
		t.Errorf("%v\n%s", err, types)
	}
	for _, bad := range []string{"", "a b", "1"} {
		_, err := gen.Go(d, bad)
		_, err2 := gen.TypeScript(d, bad)
		if err == nil || err2 == nil {
			t.Errorf("%q was taken for a name", bad)
		}
	}
	d.Services = []describe.Service{{Pushes: []describe.Push{
		{Route: "p", Payload: describe.Payload{Raw: true}}, {Route: "p", Payload: describe.Payload{Schema: &describe.Schema{}}},
	}}}
	if _, err := gen.Go(d, "x"); err == nil || !strings.Contains(err.Error(), `different types to the route "p"`) {
		t.Errorf("got %v", err)
	}
}
