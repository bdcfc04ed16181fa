package apptest

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
)

// AcceptErrors is the handshake of a client that reads error responses.
const AcceptErrors = `{"sys":{"accept":["error"]}}`

// Funcs are raw functions by their routes.
type Funcs = map[string]func(ctx context.Context, s *session.Session, data []byte) error

// Handlers makes components of raw functions, and adds Ping.Pong, which Pong calls.
func Handlers(fns Funcs) *component.Components {
	cs := new(component.Components)
	for route, fn := range fns {
		component.HandleRaw(cs, route, fn)
	}
	component.HandleRaw(cs, "Ping.Pong", Echo)
	return cs
}

// Pong wants the next message to be the answer to a ping: nothing came before, and the connection
// lives.
func Pong(t *testing.T, c *nanotest.Client) {
	t.Helper()
	if m := c.Call("Ping.Pong", []byte("ping")); m.Err || string(m.Data) != "ping" {
		t.Fatalf("instead of the ping's answer came %v %q", m, m.Data)
	}
}

// Number is a payload that tells one message from others.
func Number(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }

// Life is a component of hooks.
type Life struct {
	OnInit, OnAfterInit, OnBeforeShutdown, OnShutdown func()
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// Init calls OnInit.
func (l *Life) Init() { call(l.OnInit) }

// AfterInit calls OnAfterInit.
func (l *Life) AfterInit() { call(l.OnAfterInit) }

// BeforeShutdown calls OnBeforeShutdown.
func (l *Life) BeforeShutdown() { call(l.OnBeforeShutdown) }

// Shutdown calls OnShutdown.
func (l *Life) Shutdown() { call(l.OnShutdown) }

// Nop is there because a component needs a handler.
func (l *Life) Nop(*session.Session, []byte) error { return nil }

// Echo is a handler that answers with what it got.
func Echo(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) }

// Notifies are notifies to a route, one behind the other.
func Notifies(n int, route string, payload int) []byte {
	body := append([]byte{byte(codec.Notify) << 1, byte(len(route))}, route...)
	body = append(body, make([]byte, payload)...)
	var all []byte
	for range n {
		all = codec.AppendPacket(all, codec.Data, body)
	}
	return all
}

// Call sends a request and wants this answer.
func Call(t *testing.T, c *nanotest.Client, route, data, want string) {
	t.Helper()
	if m := c.Call(route, []byte(data)); m.Err || string(m.Data) != want {
		t.Errorf("%s(%s) says %v %q, want %q", route, data, m, m.Data, want)
	}
}

// Requests are requests with the ids from first on, one behind the other.
func Requests(first, n int, route string) []byte {
	var all []byte
	for i := range n {
		b, err := codec.AppendData(nil, codec.Request, uint64(first+i), route, []byte("{}"), 0, nil, 1<<20)
		if err != nil {
			panic(err)
		}
		all = append(all, b...)
	}
	return all
}

// SignIn is a component by which clients become users.
func SignIn() Funcs {
	return Funcs{
		"A.Bind": func(_ context.Context, s *session.Session, data []byte) error {
			uid, err := strconv.ParseInt(string(data), 10, 64)
			if err != nil {
				return err
			}
			err = s.Bind(uid)
			return s.Response(fmt.Append(nil, err))
		},
		"A.Clear": func(_ context.Context, s *session.Session, _ []byte) error {
			s.Clear()
			return s.Response([]byte("<nil>"))
		},
	}
}

// Bind calls the A.Bind of SignIn, and wants this answer: the error of Session.Bind as text.
func Bind(t *testing.T, c *nanotest.Client, uid, want string) {
	t.Helper()
	if m := c.Call("A.Bind", []byte(uid)); string(m.Data) != want {
		t.Errorf("Bind(%s) says %s, want %q", uid, m.Data, want)
	}
}
