package protobuf_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/protobuf"
)

var _ serialize.Serializer = (*protobuf.Serializer)(nil)

// old is a message as generators made them before protobuf's second API.
type old struct {
	Name string `protobuf:"bytes,1,opt,name=name,proto3"`
}

func (m *old) Reset()         { *m = old{} }
func (m *old) String() string { return m.Name }
func (*old) ProtoMessage()    {}

func TestRoundTrip(t *testing.T) {
	s := protobuf.NewSerializer()
	for name, want := range map[string]proto.Message{
		"string": wrapperspb.String("anna"),
		"empty":  wrapperspb.String(""),
		"bytes":  wrapperspb.Bytes([]byte{0, 255}),
		"int":    wrapperspb.Int64(-1 << 63),
	} {
		data, err := s.Marshal(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := want.ProtoReflect().New().Interface()
		if err := s.Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// Programs of v0.5 hold generated files of many years.
func TestOldGeneratedMessages(t *testing.T) {
	s := protobuf.NewSerializer()
	data, err := s.Marshal(&old{Name: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	got := &old{Name: "former"}
	if err := s.Unmarshal(data, got); err != nil || got.Name != "anna" {
		t.Errorf("%+v, %v", got, err)
	}
	if data, err := s.Marshal((*old)(nil)); err != nil || len(data) != 0 {
		t.Errorf("nil: %x, %v", data, err)
	}
	if err := s.Unmarshal(data, (*old)(nil)); !errors.Is(err, protobuf.ErrWrongValueType) {
		t.Errorf("into nil: %v", err)
	}
}

// A push of the wrong type is the application's mistake: it says which type,
// and ends nothing.
func TestWrongValueType(t *testing.T) {
	s := protobuf.NewSerializer()
	type point struct{ X int }
	for name, v := range map[string]any{"string": "x", "*protobuf_test.point": &point{}, "<nil>": nil, "wrapperspb": struct{ wrapperspb.StringValue }{}} {
		_, err := s.Marshal(v)
		err2 := s.Unmarshal(nil, v)
		if !errors.Is(err, protobuf.ErrWrongValueType) || !errors.Is(err2, protobuf.ErrWrongValueType) ||
			!strings.Contains(err.Error(), name) || !strings.Contains(err2.Error(), name) {
			t.Errorf("%s: %v; %v", name, err, err2)
		}
	}
	if data, err := s.Marshal((*wrapperspb.StringValue)(nil)); err != nil || len(data) != 0 {
		t.Errorf("nil message: %x, %v", data, err)
	}
	if err := s.Unmarshal([]byte{}, (*wrapperspb.StringValue)(nil)); !errors.Is(err, protobuf.ErrWrongValueType) {
		t.Errorf("into a nil message: %v", err)
	}
}

// Payloads come from clients: none may do more than fail.
func TestBadPayloads(t *testing.T) {
	s := protobuf.NewSerializer()
	for _, data := range []string{"\x0a", "\x0a\x05ab", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0a\x02\xff\xfe"} {
		if err := s.Unmarshal([]byte(data)[:len(data):len(data)], &wrapperspb.StringValue{}); err == nil {
			t.Errorf("%q was read", data)
		}
	}
}

// The bytes that were read are another message's soon after.
func TestResultDoesNotReferToThePayload(t *testing.T) {
	data := []byte{0x0a, 2, 'h', 'i'}
	var got wrapperspb.BytesValue
	if err := protobuf.NewSerializer().Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if string(got.GetValue()) != "hi" {
		t.Errorf("%q", got.GetValue())
	}
}

func BenchmarkMarshal(b *testing.B) {
	s, m := protobuf.NewSerializer(), wrapperspb.String("anna")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Marshal(m)
	}
}
