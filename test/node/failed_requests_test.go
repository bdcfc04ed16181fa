package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// unable is a serializer that can read everything and write nothing but Told.
type unable struct{ serialize.Serializer }

type Told struct{ Text string }

// failures are the ways in which a request can fail.
func failures() (*component.Components, []nano.Option) {
	cs := apptest.Handlers(apptest.Funcs{
		"A.Error": func(context.Context, *session.Session, []byte) error { return errors.New("secret") },
		"A.Coded": func(context.Context, *session.Session, []byte) error {
			return nano.Errorf("full", "room %d is full", 3)
		},
		"A.Panic":  func(context.Context, *session.Session, []byte) error { panic("secret") },
		"A.Refuse": func(context.Context, *session.Session, []byte) error { return nil },
		"A.NotOut": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte("not out")) },
		"A.Bad":    func(_ context.Context, s *session.Session, _ []byte) error { return s.Response(struct{}{}) },
		"A.Twice": func(_ context.Context, s *session.Session, _ []byte) error {
			if err := s.Response([]byte("first")); err != nil {
				return err
			}
			return errors.New("after the answer")
		},
		"A.TwicePanic": func(_ context.Context, s *session.Session, _ []byte) error {
			if err := s.Response([]byte("first")); err != nil {
				return err
			}
			panic("after the answer")
		},
	})
	component.Handle(cs, "A.Typed", func(context.Context, *session.Session, *Told) (*Told, error) { return &Told{"ok"}, nil })
	component.Handle(cs, "A.BadReply", func(context.Context, *session.Session, *Told) (*struct{}, error) { return new(struct{}), nil })
	component.HandleRaw(cs, "Room.Say", func(context.Context, *session.Session, []byte) error { return nil }, component.WithSchedulerName("room"))
	p := pipeline.New()
	p.Inbound().PushBack(func(_ *session.Session, m *pipeline.Message) error {
		if m.Route == "A.Refuse" {
			return errors.New("secret")
		}
		return nil
	})
	p.Outbound().PushBack(func(_ *session.Session, m *pipeline.Message) error {
		if string(m.Data) == "not out" {
			return errors.New("secret")
		}
		return nil
	})
	return cs, []nano.Option{nano.WithPipeline(p), nano.WithSerializer(unable{})}
}

// A request that fails has exactly one answer for a client that accepts errors, and
// none for an old one, whose connection lives on.
func TestFailedRequestHasOneAnswer(t *testing.T) {
	rows := []struct {
		route, data string
		code, text  string // of the error
		first       bool   // the handler has answered before it failed
	}{
		{"No.Such", "", "not_found", `no handler for route "No.Such"`, false},
		{"A.Typed", "bad", "invalid_argument", "does not parse", false},
		{"A.Refuse", "", "permission_denied", "refused", false},
		{"A.Error", "", "internal", "internal error", false},
		{"A.Coded", "", "full", "room 3 is full", false},
		{"A.Panic", "", "internal", "internal error", false},
		{"A.NotOut", "", "internal", "internal error", false},
		{"A.Bad", "", "internal", "internal error", false},
		{"A.BadReply", "", "internal", "internal error", false},
		{"Room.Say", "", "not_found", "the session has no scheduler for Room", false},
		{"A.Twice", "", "", "", true},
		{"A.TwicePanic", "", "", "", true},
	}
	for _, kind := range []string{"tcp", "ws"} {
		for _, accepts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, accepts errors: %v", kind, accepts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cs, opts := failures()
					n := apptest.Start(t, cs, opts...)
					var c *nanotest.Client
					if kind == "tcp" {
						c = n.TCP.Client(t)
					} else {
						c = n.WS.WebSocket(t)
					}
					if accepts {
						if a := c.Ready(`{"sys":{"accept":["error","words","unknown"]}}`); fmt.Sprint(a.Sys.Accepted) != "[error]" {
							t.Errorf("accepted %v", a.Sys.Accepted)
						}
					} else {
						c.Ready()
					}
					for _, r := range rows {
						id := c.Request(r.route, []byte(r.data))
						switch {
						case r.first:
							if m := c.Response(id); m.Err || string(m.Data) != "first" {
								t.Errorf("%s: answer %v %q", r.route, m, m.Data)
							}
						case accepts:
							m := c.Response(id)
							var f struct{ Code, Error string }
							if err := json.Unmarshal(m.Data, &f); err != nil || !m.Err {
								t.Errorf("%s: answer %v %q, %v", r.route, m, m.Data, err)
							}
							if f.Code != r.code || !strings.Contains(f.Error, r.text) || strings.Contains(f.Error, "secret") {
								t.Errorf("%s: told %+v, want %q and %q", r.route, f, r.code, r.text)
							}
						}
						apptest.Pong(t, c)
						c.Notify(r.route, []byte(r.data)) // has no outcome to tell
						apptest.Pong(t, c)
					}
					if m := c.Call("A.Typed", nil); string(m.Data) != "ok" {
						t.Errorf("got %q", m.Data)
					}
					if got := n.Stats().Failed; got != uint64(2*len(rows))-1 {
						// A.BadReply has no reply to send to a notify.
						t.Errorf("%d failures counted of %d", got, 2*len(rows)-1)
					}
				})
			})
		}
	}
}

// The application says that all its clients read errors, and what they look like.
func TestErrorsToEverybodyReachOldClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, apptest.Handlers(nil), nano.WithErrorResponses(true), nano.WithErrorShape(func(s *session.Session, route string, err error) any {
			return map[string]string{"where": route}
		}))
		c := n.TCP.Client(t)
		c.Ready()
		if m := c.Call("No.Such", nil); !m.Err || string(m.Data) != `{"where":"No.Such"}` {
			t.Errorf("answer %v %q", m, m.Data)
		}
		apptest.Pong(t, c)
	})
}

// A client that starts over with its ids gets its errors all the same.
func TestReusedRequestIDsGetErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{
			"A.Error": func(context.Context, *session.Session, []byte) error { return errors.New("why") },
		}), nano.WithErrorResponses(true))
		c := n.TCP.Client(t)
		c.Ready()
		for range 3 {
			c.WriteMessage(&codec.Message{Type: codec.Request, ID: 1, Route: "Ping.Pong", Data: []byte("x")})
			if m := c.Response(1); m.Err {
				t.Errorf("answer %v", m)
			}
			c.WriteMessage(&codec.Message{Type: codec.Request, ID: 1, Route: "A.Error"})
			if m := c.Response(1); !m.Err {
				t.Errorf("answer %v", m)
			}
		}
	})
}
