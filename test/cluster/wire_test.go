package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lonng/nano"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// These tests pin the common language of nodes as bytes and names, without our generated code: who
// renumbers a field or renames a method there, and has all tests of ours agree with it, still cuts
// off the nodes of the 0.5 series.

// field is a field of a message: its number, and a string, []byte, uint64, int64 or []field.
type field struct {
	number protowire.Number
	value  any
}

func encode(fields ...field) (b []byte) {
	for _, f := range fields {
		switch v := f.value.(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, f.number, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, f.number, protowire.BytesType), v)
		case uint64:
			b = protowire.AppendVarint(protowire.AppendTag(b, f.number, protowire.VarintType), v)
		case int64:
			b = protowire.AppendVarint(protowire.AppendTag(b, f.number, protowire.VarintType), uint64(v))
		case []field:
			b = protowire.AppendBytes(protowire.AppendTag(b, f.number, protowire.BytesType), encode(v...))
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	return b
}

// memberInfo is MemberInfo: 1: label string, 2: serviceAddr string, 3: services repeated string.
func memberInfo(label, addr string, services ...string) []field {
	info := []field{{1, label}, {2, addr}}
	for _, s := range services {
		info = append(info, field{3, s})
	}
	return info
}

// The fields of 0.5: how many there are in a message, and whether the first is a MemberInfo.
var fields05 = map[string]struct {
	request, response protowire.Number
	member            bool
}{
	"/clusterpb.Master/Register":       {1, 1, true},
	"/clusterpb.Master/Unregister":     {1, 0, false},
	"/clusterpb.Master/Heartbeat":      {1, 0, true},
	"/clusterpb.Member/HandleRequest":  {5, 0, false},
	"/clusterpb.Member/HandleNotify":   {4, 0, false},
	"/clusterpb.Member/HandlePush":     {3, 0, false},
	"/clusterpb.Member/HandleResponse": {3, 0, false},
	"/clusterpb.Member/NewMember":      {1, 0, true},
	"/clusterpb.Member/DelMember":      {1, 0, false},
	"/clusterpb.Member/SessionClosed":  {1, 0, false},
	"/clusterpb.Member/CloseSession":   {1, 0, false},
}

// only returns the fields up to last as they are, and of the first, if it is a message, those up to
// inner.
func only(t *testing.T, b []byte, last, inner protowire.Number) (kept []byte) {
	t.Helper()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("not a message: %x", b)
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			t.Fatalf("not a message: %x", b)
		}
		switch value := b[n : n+size]; {
		case number > last: // later than 0.5
		case number == 1 && inner > 0 && kind == protowire.BytesType:
			m, _ := protowire.ConsumeBytes(value)
			kept = protowire.AppendBytes(protowire.AppendTag(kept, 1, kind), only(t, m, inner, 0))
		default:
			kept = append(kept, b[:n+size]...)
		}
		b = b[n+size:]
	}
	return kept
}

// bare is a node of which nothing is ours: it takes and makes calls as names and bytes.
type bare struct {
	t    *testing.T
	f    *apptest.Cluster
	addr string

	mu     sync.Mutex
	calls  []string
	answer map[string][]byte
}

func newBare(t *testing.T, f *apptest.Cluster, addr string) *bare {
	t.Helper()
	o := &bare{t: t, f: f, addr: addr, answer: make(map[string][]byte)}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		var b []byte
		if err := s.RecvMsg(&b); err != nil {
			return err
		}
		o.note(method, b)
		o.mu.Lock()
		answer := o.answer[method]
		o.mu.Unlock()
		return s.SendMsg(&answer)
	}))
	l := f.Listen(addr)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return o
}

// called is a call as it is compared: what 0.5 sees of it.
func called(method string, b []byte) string { return fmt.Sprintf("%s %x", method, b) }

func (o *bare) note(method string, b []byte) {
	m, ok := fields05[method]
	if !ok {
		o.t.Errorf("0.5 knows no method %s", method)
	}
	inner := protowire.Number(0)
	if m.member {
		inner = 3
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, called(method, only(o.t, b, m.request, inner)))
}

// take returns the calls since the last time, when nothing moves any more; the same again and again
// is one.
func (o *bare) take() []string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := slices.Compact(o.calls)
	o.calls = nil
	return calls
}

// expect wants this call to be among those since the last time.
func (o *bare) expect(method string, fields ...field) {
	o.t.Helper()
	if got, want := o.take(), called(method, encode(fields...)); !slices.Contains(got, want) {
		o.t.Errorf("%s was called with\n%q, want\n%q", o.addr, got, want)
	}
}

// call makes a call, and returns what 0.5 sees of the answer.
func (o *bare) call(to, method string, fields ...field) []byte {
	o.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+to, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(o.f.Dialer(o.addr)))
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request, answer := encode(fields...), []byte{}
	if err := conn.Invoke(o.t.Context(), method, &request, &answer, grpc.ForceCodec(raw{})); err != nil {
		o.t.Errorf("%s: %v", method, err)
	}
	return only(o.t, bytes.Clone(answer), fields05[method].response, 3)
}

// A gate of ours beside a master and a backend of the 0.5 series: what it says, and how it is
// spoken to.
func TestBytesOfAGateAreThoseOfV05(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		master, back := newBare(t, f, apptest.Master), newBare(t, f, "old:2")
		master.answer["/clusterpb.Master/Register"] = encode(field{1, memberInfo("m", apptest.Master)}, field{1, memberInfo("b", "old:2", "Other", "Old")})
		g := f.Make("gate:1", apptest.Handlers(nil), nano.WithLabel("ours"))
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer g.Stop(t)
		self := field{1, memberInfo("ours", "gate:1", "Ping")}
		master.expect("/clusterpb.Master/Register", self)
		time.Sleep(3 * time.Second)
		master.expect("/clusterpb.Master/Heartbeat", self)

		c := g.TCP.Client(t)
		c.Ready()
		synctest.Wait() // until the session is opened, which the client does not hear of
		sid := g.Opened()[0]
		id := c.Request("Old.Echo", []byte("hello"))
		back.expect("/clusterpb.Member/HandleRequest", field{1, "gate:1"}, field{2, sid}, field{3, id}, field{4, "Old.Echo"}, field{5, "hello"})
		c.Notify("Old.Note", []byte("word"))
		back.expect("/clusterpb.Member/HandleNotify", field{1, "gate:1"}, field{2, sid}, field{3, "Old.Note"}, field{4, "word"})
		back.call("gate:1", "/clusterpb.Member/HandlePush", field{1, sid}, field{2, "pushed"}, field{3, []byte("x")})
		if got := c.Push("pushed"); string(got) != "x" {
			t.Errorf("pushed %q", got)
		}
		back.call("gate:1", "/clusterpb.Member/HandleResponse", field{1, sid}, field{2, id}, field{3, []byte("world")})
		if got := c.Response(id); string(got.Data) != "world" {
			t.Errorf("answered %q", got.Data)
		}
		back.call("gate:1", "/clusterpb.Member/CloseSession", field{1, sid})
		c.Ended()
		c.Close()
		back.expect("/clusterpb.Member/SessionClosed", field{1, sid})

		master.call("gate:1", "/clusterpb.Member/NewMember", field{1, memberInfo("l", "old:3", "Late")})
		if got := apptest.Members(g); !slices.Equal(got, []string{apptest.Master, "old:2", "old:3"}) {
			t.Errorf("it knows %v", got)
		}
		master.call("gate:1", "/clusterpb.Member/DelMember", field{1, "old:3"})
		if got := apptest.Members(g); !slices.Equal(got, []string{apptest.Master, "old:2"}) {
			t.Errorf("it knows %v", got)
		}
		g.Stop(t)
		master.expect("/clusterpb.Master/Unregister", field{1, "gate:1"})
	})
}

// A gate of the 0.5 series beside a master and a backend of ours.
func TestBytesOfABackendAreThoseOfV05(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil), nano.WithLabel("m"))
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{"Back.Say": func(_ context.Context, s *session.Session, data []byte) error {
			return s.Push("said", data)
		}})), nano.WithLabel("b"))
		closed := watch(b)
		apptest.Meet(t, m, b)
		o := newBare(t, f, "old:1")
		self := field{1, memberInfo("o", "old:1", "Old")}
		list := encode(field{1, memberInfo("m", apptest.Master, "Ping")}, field{1, memberInfo("b", "back:1", "Back", "Ping")})
		if got := o.call(apptest.Master, "/clusterpb.Master/Register", self); !bytes.Equal(got, list) {
			t.Errorf("the master told %x, want %x", got, list)
		}
		for range 6 {
			time.Sleep(time.Second)
			o.call(apptest.Master, "/clusterpb.Master/Heartbeat", self)
		}
		if got := apptest.Members(m); !slices.Equal(got, []string{"back:1", "old:1"}) {
			t.Errorf("the master knows %v", got)
		}

		o.call("back:1", "/clusterpb.Member/HandleRequest", field{1, "old:1"}, field{2, int64(5)}, field{3, uint64(300)}, field{4, "Back.Echo"}, field{5, "hello"})
		o.expect("/clusterpb.Member/HandleResponse", field{1, int64(5)}, field{2, uint64(300)}, field{3, "hello"})
		o.call("back:1", "/clusterpb.Member/HandleNotify", field{1, "old:1"}, field{2, int64(5)}, field{3, "Back.Say"}, field{4, "words"})
		o.expect("/clusterpb.Member/HandlePush", field{1, int64(5)}, field{2, "said"}, field{3, "words"})
		o.call("back:1", "/clusterpb.Member/HandleNotify", field{1, "old:1"}, field{2, int64(5)}, field{3, "Back.Kick"}, field{4, "x"})
		o.expect("/clusterpb.Member/CloseSession", field{1, int64(5)})
		o.call("back:1", "/clusterpb.Member/SessionClosed", field{1, int64(5)})
		synctest.Wait()
		if got := closed.list(); len(got) != 1 {
			t.Errorf("OnClosed: %v", got)
		}

		late := f.Make("back:2", apptest.Handlers(nil), nano.WithLabel("l"))
		if err := late.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.expect("/clusterpb.Member/NewMember", field{1, memberInfo("l", "back:2", "Ping")})
		late.Stop(t)
		o.expect("/clusterpb.Member/DelMember", field{1, "back:2"})
		o.call(apptest.Master, "/clusterpb.Master/Unregister", field{1, "old:1"})
		synctest.Wait()
		if got := apptest.Members(m); !slices.Equal(got, []string{"back:1"}) {
			t.Errorf("the master knows %v", got)
		}
	})
}
