package schema

import (
	"encoding/json"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/describe"
)

type (
	node struct {
		Name string  `json:"name"`
		Next *node   `json:"next,omitempty"`
		Kids []*node `json:"kids"`
	}
	tree                      map[string]tree
	page                      [2]int8
	color                     string
	pair[K comparable, V any] struct {
		Key   K
		Value V
	}
	lister[T any] struct {
		Items []T
	}

	base struct {
		ID   int32 `json:"id"`
		Same int
		Deep string
	}
	other struct {
		Same int
		Tag  string `json:"tag"`
	}
	derived struct {
		base
		*other
		Deep    bool
		Skipped int    `json:"-"`
		Dash    int    `json:"-,"`   //nolint:staticcheck // the field's name is a dash
		Bad     string `json:"a\"b"` //nolint:staticcheck // a tag that is wrong, on purpose
		Count   uint64 `json:"count,string"`
		hidden  int
	}
	marshals struct{ A int }
	texts    struct{ A int }
)

func (color) JSONSchema() *describe.Schema {
	return &describe.Schema{Type: describe.Types{"string"}, Enum: []any{"red", "green"}}
}

func (*marshals) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

func (texts) MarshalText() ([]byte, error) { return nil, nil }

// What a Go type is in JSON, for each way in which a type can be written.
func TestGoTypes(t *testing.T) {
	_ = derived{hidden: 1}
	for _, c := range []struct {
		v    any
		want string
	}{
		{true, `{"type":"boolean"}`},
		{"", `{"type":"string"}`},
		{1.5, `{"type":"number"}`},
		{int64(1), `{"type":"integer","format":"int64"}`},
		{int8(1), `{"type":"integer","minimum":-128,"maximum":127}`},
		{uint32(1), `{"type":"integer","minimum":0,"maximum":4294967295}`},
		{uint64(1), `{"type":"integer","format":"uint64","minimum":0}`},
		{time.Time{}, `{"type":"string","format":"date-time"}`},
		{time.Second, `{"description":"nanoseconds","type":"integer","format":"int64"}`},
		{json.Number(""), `{"type":"number"}`},
		{json.RawMessage{}, `{}`},
		{*big.NewInt(1), `{"type":"integer"}`},
		{netip.Addr{}, `{"type":"string"}`},
		{new(any), `{}`},
		{marshals{}, `{"description":"as schema.marshals marshals itself"}`},
		{texts{}, `{"type":"string"}`},
		{make(chan int), `{"description":"chan int cannot be JSON","not":{}}`},
		{map[float64]int{}, `{"description":"map[float64]int cannot be JSON","not":{}}`},
		{[]string{}, `{"type":"array","items":{"type":"string"}}`},
		{[][]byte{}, `{"type":"array","items":{"type":["string","null"],"contentEncoding":"base64"}}`},
		{map[int]*int8{}, `{"type":"object","propertyNames":{"pattern":"^-?[0-9]+$"},"additionalProperties":{"type":["integer","null"],"minimum":-128,"maximum":127}}`},
		{struct {
			A []int          `json:"a"`
			B []int          `json:"b,omitempty"`
			C *bool          `json:"c"`
			D map[string]any `json:"d,omitzero"`
			E *node          `json:"e"`
			F *int           `json:"f,string"`
			G *marshals
		}{}, `{"type":"object","properties":{
			"a":{"type":["array","null"],"items":{"type":"integer","format":"int64"}},
			"b":{"type":"array","items":{"type":"integer","format":"int64"}},
			"c":{"type":["boolean","null"]},
			"d":{"type":"object","additionalProperties":{}},
			"e":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]},
			"f":{"type":["string","null"],"pattern":"^-?[0-9]+$"},
			"G":{"description":"as schema.marshals marshals itself"}},
			"required":["a","c","e","f","G"]}`},
	} {
		b := New(describe.JSON)
		s := b.Payload(reflect.TypeOf(c.v)).Schema
		b.Defs()
		check(t, s, c.want)
	}
}

// Named types are definitions, which may hold themselves.
func TestDefinitions(t *testing.T) {
	for _, c := range []struct{ v, want any }{
		{node{}, map[string]string{"node": `{"type":"object","properties":{"name":{"type":"string"},
			"next":{"$ref":"#/$defs/node"},
			"kids":{"type":["array","null"],"items":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}},"required":["name","kids"]}`}},
		{tree{}, map[string]string{"tree": `{"type":"object","additionalProperties":{"anyOf":[{"$ref":"#/$defs/tree"},{"type":"null"}]}}`}},
		{page{}, map[string]string{"page": `{"type":"array","items":{"type":"integer","minimum":-128,"maximum":127},"minItems":2,"maxItems":2}`}},
		{[]color{}, map[string]string{"color": `{"type":"string","enum":["red","green"]}`}},
		{lister[pair[string, page]]{}, map[string]string{
			"lister_pair_string_page": `{"type":"object","properties":{"Items":{"type":["array","null"],"items":{"$ref":"#/$defs/pair_string_page"}}},"required":["Items"]}`,
			"pair_string_page":        `{"type":"object","properties":{"Key":{"type":"string"},"Value":{"$ref":"#/$defs/page"}},"required":["Key","Value"]}`,
			"page":                    `{"type":"array","items":{"type":"integer","minimum":-128,"maximum":127},"minItems":2,"maxItems":2}`,
		}},
		// By the rules of encoding/json: of two fields Same at one depth none is there, Deep hides
		// the deeper one, and what is behind an embedded pointer may be missing.
		{derived{}, map[string]string{"derived": `{"type":"object","properties":{
			"id":{"type":"integer","minimum":-2147483648,"maximum":2147483647},
			"tag":{"type":"string"},
			"Deep":{"type":"boolean"},
			"-":{"type":"integer","format":"int64"},
			"Bad":{"type":"string"},
			"count":{"type":"string","pattern":"^[0-9]+$"}},
			"required":["id","Deep","-","Bad","count"]}`}},
	} {
		b := New(describe.JSON)
		b.Payload(reflect.TypeOf(c.v))
		checkDefs(t, b.Defs(), c.want.(map[string]string))
	}
}

// Two types of one name, in different packages and in different functions of one: clients need
// both.
func TestTypesOfOneName(t *testing.T) {
	type Schema struct{ Own int }
	first := reflect.TypeFor[Schema]()
	second := func() reflect.Type {
		type Schema struct{ Other int }
		return reflect.TypeFor[Schema]()
	}()
	b := New(describe.JSON)
	refs := []*describe.Schema{
		b.Payload(first).Schema, b.Payload(second).Schema, b.Payload(reflect.TypeFor[describe.Schema]()).Schema,
	}
	defs := b.Defs()
	for i, want := range []string{"schema.Schema", "schema.Schema2", "describe.Schema"} {
		if refs[i].Ref != "#/$defs/"+want || defs[want] == nil {
			t.Errorf("type %d is %q", i, refs[i].Ref)
		}
	}
}

type old struct {
	Name string  `protobuf:"bytes,1,opt,name=name,proto3" json:"name"`
	Kids []int64 `protobuf:"varint,2,rep,packed,name=kids,proto3" json:"kids"`
}

func (m *old) Reset()         { *m = old{} }
func (m *old) String() string { return m.Name }
func (*old) ProtoMessage()    {}

// Messages are as protojson writes them, those of old generators too.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{&timestamppb.Timestamp{}, `{"type":"string","format":"date-time"}`},
		{&wrapperspb.Int64Value{}, `{"type":"string","format":"int64","pattern":"^-?[0-9]+$"}`},
		{&wrapperspb.DoubleValue{}, `{"anyOf":[{"type":"number"},{"type":"string","enum":["NaN","Infinity","-Infinity"]}]}`},
		{&wrapperspb.BytesValue{}, `{"type":"string","contentEncoding":"base64"}`},
		{&durationpb.Duration{}, `{"description":"seconds, such as 1.5s","type":"string","pattern":"^-?[0-9]+(\\.[0-9]{1,9})?s$"}`},
		{&structpb.Value{}, `{}`},
		{&struct{ A int }{}, `{"description":"no protobuf message, so the serializer refuses it","not":{}}`},
	} {
		b := New(describe.Protobuf)
		s := b.Payload(reflect.TypeOf(c.v)).Schema
		b.Defs()
		check(t, s, c.want)
	}
	b := New(describe.Protobuf)
	p := b.Payload(reflect.TypeFor[*clusterpb.RegisterResponse]())
	if p.Go != "github.com/lonng/nano/cluster/clusterpb.RegisterResponse" {
		t.Errorf("the Go type is %q", p.Go)
	}
	defs := b.Defs()
	name := strings.TrimPrefix(p.Schema.Ref, "#/$defs/")
	if defs[name] == nil || defs[name].Properties.Get("members").Items.Ref != "#/$defs/"+strings.Replace(name, "RegisterResponse", "MemberInfo", 1) {
		t.Errorf("a message of messages is %v", defs)
	}
	b = New(describe.Protobuf)
	s := b.Payload(reflect.TypeFor[*old]()).Schema
	defs = b.Defs()
	check(t, defs[strings.TrimPrefix(s.Ref, "#/$defs/")],
		`{"type":"object","properties":{"name":{"type":"string"},"kids":{"type":"array","items":{"type":"string","format":"int64","pattern":"^-?[0-9]+$"}}}}`)
}

// A serializer of the application's own may take both; raw payloads pass by all of them.
func TestOtherPayloads(t *testing.T) {
	b := New("main.Gob")
	if p := b.Payload(reflect.TypeFor[[]byte]()); !p.Raw || p.Schema != nil {
		t.Errorf("raw is %+v", p)
	}
	check(t, b.Payload(reflect.TypeFor[*wrapperspb.BoolValue]()).Schema, `{"type":"boolean"}`)
	if s := b.Payload(reflect.TypeFor[*node]()).Schema; s.Ref == "" {
		t.Errorf("a struct is %+v", s)
	}
}

func check(t *testing.T, got *describe.Schema, want string) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Error(err)
	}
	if want := compact(want); string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func checkDefs(t *testing.T, got map[string]*describe.Schema, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("there are %d definitions, want %d: %v", len(got), len(want), got)
	}
	for name, text := range want {
		check(t, got[name], text)
	}
}

// compact leaves out the blanks between tokens, and keeps what encoding/json keeps.
func compact(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Trim(line, " \t\n"))
	}
	return b.String()
}
