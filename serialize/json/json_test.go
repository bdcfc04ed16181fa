package json_test

import (
	stdjson "encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
)

var _ serialize.Serializer = (*json.Serializer)(nil)

type message struct {
	Name string   `json:"name"`
	N    int64    `json:"n,omitempty"`
	Tags []string `json:"tags"`
}

func TestRoundTrip(t *testing.T) {
	s := json.NewSerializer()
	for name, want := range map[string]message{
		"empty": {},
		"full":  {Name: "anna \u2028 <&> \U0001F600", N: 1 << 60, Tags: []string{"a", ""}},
	} {
		data, err := s.Marshal(&want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got message
		if err := s.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Payloads come from clients: none may do more than fail.
func TestBadPayloads(t *testing.T) {
	s := json.NewSerializer()
	for _, data := range []string{"", "{", "nul", `{"name":1}`, `[]`, "\x00\xff", `{"n":1e400}`} {
		if err := s.Unmarshal([]byte(data), &message{}); err == nil {
			t.Errorf("%q was read", data)
		}
	}
	var syntax *stdjson.SyntaxError
	if err := s.Unmarshal([]byte("{]"), &message{}); !errors.As(err, &syntax) {
		t.Errorf("error %T, want that of encoding/json", err)
	}
	for name, v := range map[string]any{"nil": nil, "value": message{}, "nil pointer": (*message)(nil)} {
		if err := s.Unmarshal([]byte("{}"), v); err == nil {
			t.Errorf("read into %s", name)
		}
	}
	if _, err := s.Marshal(make(chan int)); err == nil {
		t.Error("a channel was written")
	}
}

// The bytes that were read are another message's soon after.
func TestResultDoesNotReferToThePayload(t *testing.T) {
	data := []byte(`{"name":"anna","tags":["x"]}`)
	var got message
	if err := json.NewSerializer().Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if got.Name != "anna" || got.Tags[0] != "x" {
		t.Errorf("%+v", got)
	}
}

func BenchmarkMarshal(b *testing.B) {
	s, m := json.NewSerializer(), &message{Name: "anna", N: 3, Tags: []string{"a"}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Marshal(m)
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	s, data := json.NewSerializer(), []byte(`{"name":"anna","n":3,"tags":["a"]}`)
	b.ReportAllocs()
	for b.Loop() {
		var m message
		_ = s.Unmarshal(data, &m)
	}
}

// As in v0.5: an empty payload is no JSON, and null leaves the argument as it is.
func TestEmptyAndNull(t *testing.T) {
	var v struct{ Name string }
	if err := json.NewSerializer().Unmarshal(nil, &v); err == nil {
		t.Error("an empty payload was read")
	}
	if err := json.NewSerializer().Unmarshal([]byte("null"), &v); err != nil || v.Name != "" {
		t.Errorf("null: %v, %v", v, err)
	}
}
