package session_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"slices"
	"testing"

	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

var (
	_ session.NetworkEntity = (*mock.NetworkEntity)(nil)
	_ session.Kicker        = (*mock.NetworkEntity)(nil)
	_ session.Failer        = (*mock.NetworkEntity)(nil)
)

func TestIDs(t *testing.T) {
	a, b := session.New(nil), session.New(nil)
	if a.ID() == b.ID() || a.ID() <= 0 {
		t.Errorf("ids %d and %d", a.ID(), b.ID())
	}
	if next := service.Connections.SessionID(); next <= b.ID() {
		t.Errorf("New takes its ids elsewhere than from service.Connections: %d, then %d", b.ID(), next)
	}
	if got := session.NewWithID(nil, -7).ID(); got != -7 {
		t.Errorf("id %d, want the one that was given", got)
	}
}

func TestSendingReachesTheEntity(t *testing.T) {
	e := mock.NewNetworkEntity()
	e.SetLastMid(5)
	s := session.New(e)
	if s.NetworkEntity() != session.NetworkEntity(e) {
		t.Error("another entity")
	}
	if s.LastMid() != 5 {
		t.Errorf("LastMid %d, want 5", s.LastMid())
	}
	for name, err := range map[string]error{
		"Push":        s.Push("onChat", "hello"),
		"RPC":         s.RPC("Stats.Add", 1),
		"Response":    s.Response("now"),
		"ResponseMID": s.ResponseMID(3, "late"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := e.Pushes(); len(got) != 1 || got[0] != (mock.Pushed{Route: "onChat", Value: "hello"}) {
		t.Errorf("pushes %v", got)
	}
	if got := e.Calls(); len(got) != 1 || got[0] != (mock.Called{Route: "Stats.Add", Value: 1}) {
		t.Errorf("calls %v", got)
	}
	if e.FindResponseByMID(5) != "now" || e.FindResponseByMID(3) != "late" {
		t.Errorf("responses %v", e.Responses())
	}
	if s.RemoteAddr() != net.Addr(mock.NetAddr{}) {
		t.Errorf("address %v", s.RemoteAddr())
	}
	s.Close()
	s.Close()
	if !e.Closed() {
		t.Error("Close did not reach the entity")
	}
}

// closeOnly is an entity that cannot kick.
type closeOnly struct {
	session.NetworkEntity
	closed int
}

func (c *closeOnly) Close() error { c.closed++; return nil }

func TestKick(t *testing.T) {
	e := mock.NewNetworkEntity()
	if err := session.New(e).Kick("cheating"); err != nil {
		t.Fatal(err)
	}
	if reason, ok := e.Kicked(); !ok || reason != "cheating" {
		t.Errorf("kicked %v %q", ok, reason)
	}

	c := &closeOnly{}
	if err := session.New(c).Kick("cheating"); err != nil || c.closed != 1 {
		t.Errorf("an entity that cannot kick: %v, closed %d times, want once", err, c.closed)
	}
}

// What carries a session may be of v0.5, which knows of no errors.
func TestFailMID(t *testing.T) {
	e := mock.NewNetworkEntity()
	full := errors.New("full")
	s := session.New(e)
	if err := errors.Join(s.FailMID(3, full), s.FailMID(4, nil)); err != nil {
		t.Fatal(err)
	}
	if got := e.Failures(); len(got) != 2 || got[0] != (mock.Failed{MID: 3, Err: full}) || got[1].Err == nil {
		t.Errorf("failures %v", got)
	}
	if err := session.New(&closeOnly{}).FailMID(3, full); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an entity that cannot: %v", err)
	}
}

// Tests of applications make sessions without any network.
func TestWithoutEntity(t *testing.T) {
	s := session.New(nil)
	for name, err := range map[string]error{
		"Push":        s.Push("r", nil),
		"RPC":         s.RPC("r", nil),
		"Response":    s.Response(nil),
		"ResponseMID": s.ResponseMID(1, nil),
		"Kick":        s.Kick("x"),
		"FailMID":     s.FailMID(1, nil),
	} {
		if !errors.Is(err, session.ErrNoEntity) {
			t.Errorf("%s: %v, want ErrNoEntity", name, err)
		}
	}
	if s.NetworkEntity() != nil || s.RemoteAddr() != nil || s.LastMid() != 0 {
		t.Error("something comes from nowhere")
	}
	s.Close()
	if err := s.Bind(1); err != nil || s.UID() != 1 {
		t.Errorf("Bind: %v, uid %d", err, s.UID())
	}
}

func TestTypedValues(t *testing.T) {
	type accessor struct {
		get  func(*session.Session, string) any
		zero any
	}
	at := func(f any) func(*session.Session, string) any {
		return func(s *session.Session, key string) any {
			return reflect.ValueOf(f).Call([]reflect.Value{reflect.ValueOf(s), reflect.ValueOf(key)})[0].Interface()
		}
	}
	accessors := map[string]accessor{
		"int":     {at((*session.Session).Int), int(0)},
		"int8":    {at((*session.Session).Int8), int8(0)},
		"int16":   {at((*session.Session).Int16), int16(0)},
		"int32":   {at((*session.Session).Int32), int32(0)},
		"int64":   {at((*session.Session).Int64), int64(0)},
		"uint":    {at((*session.Session).Uint), uint(0)},
		"uint8":   {at((*session.Session).Uint8), uint8(0)},
		"uint16":  {at((*session.Session).Uint16), uint16(0)},
		"uint32":  {at((*session.Session).Uint32), uint32(0)},
		"uint64":  {at((*session.Session).Uint64), uint64(0)},
		"float32": {at((*session.Session).Float32), float32(0)},
		"float64": {at((*session.Session).Float64), float64(0)},
		"string":  {at((*session.Session).String), ""},
	}
	values := map[string]any{
		"int": -1, "int8": int8(math.MinInt8), "int16": int16(math.MinInt16), "int32": int32(math.MinInt32),
		"int64": int64(math.MinInt64), "uint": uint(1), "uint8": uint8(255), "uint16": uint16(math.MaxUint16),
		"uint32": uint32(math.MaxUint32), "uint64": uint64(math.MaxUint64),
		"float32": float32(1.5), "float64": 2.5, "string": "text",
	}
	s := session.New(nil)
	for key, v := range values {
		s.Set(key, v)
	}
	for name, a := range accessors {
		for key, v := range values {
			want := a.zero
			if key == name {
				want = v
			}
			if got := a.get(s, key); got != want {
				t.Errorf("%s of a %s: %v, want %v", name, key, got, want)
			}
		}
		if got := a.get(s, "missing"); got != a.zero {
			t.Errorf("%s of nothing: %v", name, got)
		}
	}
}

func TestValues(t *testing.T) {
	s := session.New(nil)
	if s.HasKey("a") || s.Value("a") != nil {
		t.Error("a new session has values")
	}
	s.Remove("a")
	s.Set("a", nil)
	if !s.HasKey("a") {
		t.Error("a nil value is no value")
	}
	s.Set("b", []int{1})
	s.Remove("a")
	if s.HasKey("a") || !s.HasKey("b") {
		t.Errorf("values %v after Remove", s.State())
	}
}

// A handler that changes what State returned, or what it gave to Restore, must
// not change the session, which other goroutines read.
func TestStateIsACopy(t *testing.T) {
	s := session.New(nil)
	if st := s.State(); st == nil || len(st) != 0 {
		t.Errorf("state %#v of a new session, want an empty map", st)
	}
	s.Set("a", 1)
	s.State()["a"] = 2
	if s.Int("a") != 1 {
		t.Error("State returned the map itself")
	}
	data := map[string]any{"b": 1}
	s.Restore(data)
	data["b"] = 2
	if s.Int("b") != 1 || s.HasKey("a") {
		t.Errorf("state %v after Restore", s.State())
	}
	s.Restore(nil)
	if len(s.State()) != 0 {
		t.Errorf("state %v after Restore(nil)", s.State())
	}
	s.Set("c", 1)
	if s.Int("c") != 1 {
		t.Error("no values can be set after Restore(nil)")
	}
}

func TestRouter(t *testing.T) {
	s := session.New(nil)
	r := s.Router()
	if r == nil || s.Router() != r {
		t.Fatal("another router each time")
	}
	r.Delete("Room")
	if _, ok := r.Find("Room"); ok {
		t.Error("found in an empty router")
	}
	r.Bind("Room", "10.0.0.1:80")
	r.Bind("Room", "10.0.0.2:80")
	if addr, ok := r.Find("Room"); !ok || addr != "10.0.0.2:80" {
		t.Errorf("found %q %v", addr, ok)
	}
	r.Delete("Room")
	if _, ok := r.Find("Room"); ok {
		t.Error("found after Delete")
	}
}

// near is an entity that reaches one node.
type near struct {
	*mock.NetworkEntity
	service, address string
}

func (n *near) Reaches(service, address string) bool {
	return service == n.service && address == n.address
}

// A choice of a node that is gone is none.
func TestRouterFindsWhatCanBeReached(t *testing.T) {
	e := &near{mock.NewNetworkEntity(), "Room", "10.0.0.1:80"}
	r := session.New(e).Router()
	r.Bind("Room", "10.0.0.1:80")
	r.Bind("Chat", "10.0.0.1:80")
	if addr, ok := r.Find("Room"); !ok || addr != "10.0.0.1:80" {
		t.Errorf("found %q %v", addr, ok)
	}
	if addr, ok := r.Find("Chat"); ok || addr != "" {
		t.Errorf("found %q, which does not run the service", addr)
	}
	e.address = "10.0.0.2:80"
	if addr, ok := r.Find("Room"); ok || addr != "" {
		t.Errorf("found %q, which is gone", addr)
	}
}

// Sixty thousand idle players are sixty thousand of these.
func TestSizeOfAnIdleSession(t *testing.T) {
	if size := reflect.TypeFor[session.Session]().Size(); size > 64 {
		t.Errorf("%d bytes, want at most 64", size)
	}
	e := mock.NewNetworkEntity()
	if n := testing.AllocsPerRun(100, func() { kept = session.NewWithID(e, 1) }); n > 1 {
		t.Errorf("%v allocations a session, want 1", n)
	}
}

var kept *session.Session // keeps the compiler from leaving a session out

func BenchmarkNew(b *testing.B) {
	e := mock.NewNetworkEntity()
	b.ReportAllocs()
	for b.Loop() {
		kept = session.NewWithID(e, 1)
	}
}

func BenchmarkValue(b *testing.B) {
	s := session.New(nil)
	s.Set("room", "lobby")
	b.ReportAllocs()
	for b.Loop() {
		_ = s.String("room")
	}
}

// told is an entity that wants to know of values.
type told struct {
	*mock.NetworkEntity
	keys []string
}

func (e *told) ValueChanged(s *session.Session, key string) {
	e.keys = append(e.keys, fmt.Sprintf("%s=%v", key, s.Value(key))) // it may ask the session
}

// A backend that is not told of a value plays on with the old one.
func TestValueWatcher(t *testing.T) {
	e := &told{NetworkEntity: mock.NewNetworkEntity()}
	s := session.New(e)
	for _, row := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"Set", func() { s.Set("a", 1) }, []string{"a=1"}},
		{"Set again", func() { s.Set("a", 2) }, []string{"a=2"}},
		{"Restore", func() { s.Restore(map[string]any{"b": 1, "c": 2}) }, []string{"a=<nil>", "b=1", "c=2"}},
		{"Remove", func() { s.Remove("b") }, []string{"b=<nil>"}},
		{"Clear", func() { s.Clear() }, []string{"c=<nil>"}},
		{"Clear again", func() { s.Clear() }, nil},
		{"Adopt", func() { s.Adopt(1); s.Adopt(0) }, nil}, // by the entity itself
	} {
		e.keys = nil
		row.change()
		slices.Sort(e.keys)
		if !slices.Equal(e.keys, row.want) {
			t.Errorf("%s: told of %v, want %v", row.name, e.keys, row.want)
		}
	}
}
