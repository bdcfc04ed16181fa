package mock_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lonng/nano/mock"
)

var errFull = errors.New("full")

func TestRecords(t *testing.T) {
	for name, e := range map[string]*mock.NetworkEntity{"made": mock.NewNetworkEntity(), "zero": {}} {
		t.Run(name, func(t *testing.T) {
			if e.LastMid() != 1 || e.LastResponse() != nil || e.FindResponseByMID(1) != nil || e.FindResponseByRoute("r") != nil {
				t.Error("something was there before")
			}
			for what, err := range map[string]error{
				"first push": e.Push("r", 1), "second push": e.Push("q", 2), "third push": e.Push("r", 3),
				"call": e.RPC("Stats.Add", 4),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			_ = e.Response("a")
			if got := e.FindResponseByMID(1); got != nil {
				t.Errorf("Response is found under id 1, where tests written for v0.5 find nothing: %v", got)
			}
			_ = e.ResponseMid(7, "b")
			e.SetLastMid(9)
			_ = e.Response("c")
			if err := e.ResponseMid(7, "d"); err == nil {
				t.Error("a second answer is no error")
			}

			if got := len(e.Pushes()); got != 3 {
				t.Errorf("%d pushes", got)
			}
			if got := e.FindResponseByRoute("q"); got != 2 {
				t.Errorf("push of q: %v", got)
			}
			want := []mock.Responded{{1, "a"}, {7, "b"}, {9, "c"}}
			if got := e.Responses(); !slices.Equal(got, want) {
				t.Errorf("responses %v, want %v", got, want)
			}
			if e.FindResponseByMID(7) != "b" || e.FindResponseByMID(9) != "c" || e.LastResponse() != "c" {
				t.Errorf("%v, %v, %v", e.FindResponseByMID(7), e.FindResponseByMID(9), e.LastResponse())
			}
			_ = e.FailMid(8, errFull)
			if got := e.Failures(); !slices.Equal(got, []mock.Failed{{8, errFull}}) || !errors.Is(e.FailMid(0, errFull), mock.ErrNotify) {
				t.Errorf("failures %v", got)
			}
			if got := e.Calls(); !slices.Equal(got, []mock.Called{{"Stats.Add", 4}}) {
				t.Errorf("calls %v", got)
			}
		})
	}
}

// A handler that fills one buffer again and again is right on a node, and so it has to be here.
func TestBytesAreCopied(t *testing.T) {
	e := mock.NewNetworkEntity()
	b := []byte("one")
	_ = e.Push("r", b)
	_ = e.Response(b)
	_ = e.RPC("Stats.Add", b)
	copy(b, "two")
	for what, v := range map[string]any{"push": e.Pushes()[0].Value, "response": e.LastResponse(), "call": e.Calls()[0].Value} {
		if got, _ := v.([]byte); string(got) != "one" {
			t.Errorf("the %s is %q", what, got)
		}
	}
}

// What tests that were written for v0.5 look for.
func TestFindsAsV05(t *testing.T) {
	e := mock.NewNetworkEntity()
	_ = e.Push("onScore", 1)
	_ = e.Push("onScore", 2)
	if got := e.FindResponseByRoute("onScore"); got != 1 {
		t.Errorf("push %v, want the first", got)
	}
	_ = e.Response("now")
	_ = e.ResponseMid(7, "later")
	if got := e.LastResponse(); got != "now" {
		t.Errorf("last response %v, want that of Response", got)
	}
}

// A handler that answers a notify is found by its test, not by its players.
func TestResponseToANotify(t *testing.T) {
	e := mock.NewNetworkEntity()
	e.SetLastMid(0)
	if err := e.Response("x"); !errors.Is(err, mock.ErrNotify) || len(e.Responses()) != 0 {
		t.Errorf("%v, %v", err, e.Responses())
	}
}

func TestEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*mock.NetworkEntity) error
		reason string
		kicked bool
	}{
		"close": {(*mock.NetworkEntity).Close, "", false},
		"kick":  {func(e *mock.NetworkEntity) error { return e.Kick("cheat") }, "cheat", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := mock.NewNetworkEntity()
			done := e.Done()
			if e.Closed() {
				t.Fatal("closed before")
			}
			if err := c.end(e); err != nil {
				t.Fatal(err)
			}
			<-done
			<-e.Done()
			reason, kicked := e.Kicked()
			if !e.Closed() || reason != c.reason || kicked != c.kicked {
				t.Errorf("closed %v, kicked %v %q", e.Closed(), kicked, reason)
			}
			for what, err := range map[string]error{
				"push": e.Push("r", 1), "rpc": e.RPC("r", 1), "response": e.Response(1),
				"late response": e.ResponseMid(3, 1), "kick": e.Kick("again"),
			} {
				if !errors.Is(err, mock.ErrClosed) {
					t.Errorf("%s after the end: %v", what, err)
				}
			}
			if err := e.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
			if len(e.Pushes())+len(e.Calls())+len(e.Responses()) != 0 {
				t.Error("something was recorded after the end")
			}
			if again, _ := e.Kicked(); again != c.reason {
				t.Errorf("the reason became %q", again)
			}
		})
	}
}

func TestCopies(t *testing.T) {
	e := mock.NewNetworkEntity()
	_ = e.Push("r", 1)
	e.Pushes()[0].Value = 2
	if e.FindResponseByRoute("r") != 1 {
		t.Error("a test that changes what it got changes the record")
	}
}

func TestConcurrentUse(t *testing.T) {
	e := mock.NewNetworkEntity()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 100 {
				_ = e.Push("r", n)
				_ = e.RPC("r", n)
				_ = e.Response(n)
				e.SetLastMid(uint64(n + 1))
				_ = e.Pushes()
				_ = e.Responses()
				_ = e.Calls()
				_ = e.LastResponse()
			}
		})
	}
	wg.Wait()
	if len(e.Pushes()) != 800 || len(e.Calls()) != 800 || len(e.Responses()) != 800 {
		t.Errorf("%d pushes, %d calls, %d responses, want 800 each", len(e.Pushes()), len(e.Calls()), len(e.Responses()))
	}
	_ = e.Close()
	wg.Go(func() { _ = e.Close() })
	wg.Go(func() { _ = e.Kick("x") })
	wg.Wait()
}

func TestAddr(t *testing.T) {
	a := mock.NewNetworkEntity().RemoteAddr()
	if a != (mock.NetAddr{}) || a.Network() != "mock" || a.String() != "mock-addr" {
		t.Errorf("%v %s", a, a.Network())
	}
}
