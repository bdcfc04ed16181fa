package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	jsonpayload "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// failing has handlers that fail, for clients and for nodes.
func failing() *component.Components {
	cs := new(component.Components)
	component.Handle(cs, "Back.Full", func(context.Context, *session.Session, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return nil, nano.Errorf("full", "room 3 is full")
	})
	component.Handle(cs, "Back.Echo", func(_ context.Context, _ *session.Session, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return req, nil
	})
	component.Handle(cs, "Back.Panic", func(context.Context, *session.Session, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		panic("secret")
	})
	return cs
}

// A game speaks protobuf, which has no form for an error of the framework: its clients get that as
// JSON, wherever the request has failed, and its nodes read each other's errors with their codes.
func TestErrorsWithProtobufReachClients(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		pb := nano.WithSerializer(protobuf.NewSerializer())
		m := f.Start(t, apptest.Master, apptest.Handlers(nil), pb)
		g := f.Start(t, "gate:1", apptest.Handlers(nil), pb)
		b := f.Start(t, "back:1", failing(), pb)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		hello, err := proto.Marshal(wrapperspb.String("hello"))
		if err != nil {
			t.Fatal(err)
		}
		apptest.Call(t, c, "Back.Echo", string(hello), string(hello))
		for _, r := range []struct{ route, data, code, text string }{
			{"Back.Full", "", "full", "room 3 is full"},
			{"Back.Panic", "", "internal", "internal error"},
			{"Back.Echo", "\xff", "invalid_argument", ""},
			{"Back.None", "", "not_found", `no handler for route "Back.None"`},
			{"None.None", "", "not_found", `no node runs service "None"`}, // of the gate's own
		} {
			msg := c.Call(r.route, []byte(r.data))
			var e struct{ Code, Error string }
			if err := json.Unmarshal(msg.Data, &e); err != nil || !msg.Err {
				t.Errorf("%s: answer %v %q, %v", r.route, msg, msg.Data, err)
			}
			if e.Code != r.code || r.text != "" && e.Error != r.text {
				t.Errorf("%s: told %+v, want %q and %q", r.route, e, r.code, r.text)
			}
			var failed *nano.Error
			_, err := nano.Call[wrapperspb.StringValue](g.Context(t.Context()), r.route, []byte(r.data))
			if !errors.As(err, &failed) || failed.Code != r.code {
				t.Errorf("%s: a node that calls it is told %v", r.route, err)
			}
		}
		if got, err := nano.Call[wrapperspb.StringValue](g.Context(t.Context()), "Back.Echo", wrapperspb.String("hi")); err != nil || got.GetValue() != "hi" {
			t.Errorf("a node is told %v, %v", got, err)
		}
	})
}

// The framework's own errors have a code for clients, and tell them no types. They were "internal",
// as if a handler had failed.
func TestErrorsOfTheFrameworkHaveCodes(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		back := apptest.Handlers(apptest.Funcs{
			"Back.Key": func(_ context.Context, s *session.Session, _ []byte) error {
				return s.Push("onIt", strings.Repeat("k", 2000))
			},
			"Back.Call": func(ctx context.Context, _ *session.Session, _ []byte) error {
				_, err := nano.Call[struct{}](ctx, "Back.Text", nil)
				return err
			},
			"Back.Text": func(_ context.Context, s *session.Session, _ []byte) error { return s.Response([]byte("text")) },
			"Back.Fail": func(ctx context.Context, s *session.Session, _ []byte) error {
				return s.FailMID(nano.MessageID(ctx), nil)
			},
			"Back.Enter": func(_ context.Context, s *session.Session, data []byte) error {
				s.Set("room", "of another type")
				return s.Response(data)
			},
			"Odd.Do": apptest.Echo,
		})
		component.HandleRaw(back, "Room.Say", apptest.Echo, component.WithSchedulerName("room"))
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithRouting(func(service string, _ *session.Session, c []cluster.Candidate) int {
			if service == "Odd" {
				return len(c)
			}
			return 0
		}))
		b := f.Start(t, "back:1", back, nano.WithDelivery(nano.LatestBy(func(key string) string { return key }), "onIt"))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		apptest.Call(t, c, "Back.Enter", "x", "x")
		for _, row := range []struct{ route, code, text string }{
			{"Back.Key", component.CodeInvalid, "the key of a delivery is over 1 KiB"},
			{"Back.Call", component.CodeInvalid, "the reply of a call does not parse"},
			{"Back.Fail", component.CodeInvalid, "FailMID without an error"},
			{"Room.Say", component.CodeNotFound, "the session has no scheduler for Room"},
			{"Odd.Do", component.CodeUnavailable, `the routing policy chose no node for service "Odd"`},
		} {
			var e struct{ Code, Error string }
			if m := c.Call(row.route, nil); json.Unmarshal(m.Data, &e) != nil || e.Code != row.code || e.Error != row.text {
				t.Errorf("%s: told %q, want %s: %s", row.route, m.Data, row.code, row.text)
			}
		}
	})
}

// A shape that cannot be encoded costs itself, on one node and behind a gate. The request had no
// answer, and the log said nothing.
func TestErrorShapeThatCannotBeEncoded(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		full := func(context.Context, *session.Session, []byte) error { return nano.Errorf("full", "the room is full") }
		shape := nano.WithErrorShape(func(*session.Session, string, error) any { return map[string]any{"f": func() {}} })
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{"Gate.Full": full}), shape)
		b := f.Start(t, "back:1", apptest.Handlers(apptest.Funcs{"Back.Full": full}), shape)
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Ready(apptest.AcceptErrors)
		for route, n := range map[string]*apptest.Node{"Gate.Full": g, "Back.Full": b} {
			if m := c.Call(route, nil); !m.Err || string(m.Data) != `{"code":"full","error":"the room is full"}` {
				t.Errorf("%s: answer %v %q", route, m, m.Data)
			}
			apptest.Pong(t, c)
			if got := n.Log.Lines("WARN", route); len(got) != 1 || !strings.Contains(got[0], "error shape") {
				t.Errorf("%s: logged %q", route, got)
			}
		}
	})
}

// The application shapes its errors, and its clients read them: the node where the request has
// failed shapes them, for a client behind a gate as for its own. What a shape is made of need not
// be what the serializer takes.
func TestErrorShapeHoldsBehindAGate(t *testing.T) {
	shape := func(where string, as func(text string) any) nano.Option {
		return nano.WithErrorShape(func(s *session.Session, route string, err error) any {
			var e *nano.Error
			if !errors.As(err, &e) {
				e = nano.Errorf(component.CodeInternal, "oops")
			}
			return as(fmt.Sprintf("%s %s %s uid %d", where, route, e.Code, s.UID()))
		})
	}
	message := func(text string) any { return wrapperspb.String(text) }
	plain := func(text string) any { return map[string]string{"msg": text} }
	read := func(data []byte) string {
		var s wrapperspb.StringValue
		if proto.Unmarshal(data, &s) == nil && s.GetValue() != "" {
			return s.GetValue()
		}
		var p map[string]string
		if json.Unmarshal(data, &p) == nil {
			return p["msg"]
		}
		return string(data)
	}
	for name, c := range map[string]struct {
		serializer nano.Option
		as         func(string) any
		empty      string // a payload
	}{
		"JSON":                       {nano.WithSerializer(jsonpayload.NewSerializer()), plain, "{}"},
		"protobuf":                   {nano.WithSerializer(protobuf.NewSerializer()), message, ""},
		"JSON where protobuf cannot": {nano.WithSerializer(protobuf.NewSerializer()), plain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := f.Start(t, apptest.Master, apptest.Handlers(nil), c.serializer)
				g := f.Start(t, "gate:1", apptest.Handlers(apptest.SignIn()), c.serializer, shape("gate", c.as))
				b := f.Start(t, "back:1", failing(), c.serializer, shape("back", c.as))
				apptest.Meet(t, m, g, b)
				behind, old := g.TCP.Client(t), g.TCP.Client(t)
				behind.Ready(apptest.AcceptErrors)
				old.Ready()
				apptest.Bind(t, behind, "7", "<nil>")
				fails := func(client *nanotest.Client, route, want string) {
					t.Helper()
					if msg := client.Call(route, []byte(c.empty)); !msg.Err || read(msg.Data) != want {
						t.Errorf("%s: answer %v %q, want %q", route, msg, msg.Data, want)
					}
				}
				fails(behind, "Back.Full", "back Back.Full full uid 7")
				fails(behind, "Back.Panic", "back Back.Panic internal uid 7")
				fails(behind, "None.None", "gate None.None not_found uid 7")
				local := b.TCP.Client(t)
				local.Ready(apptest.AcceptErrors)
				fails(local, "Back.Full", "back Back.Full full uid 0")
				old.Request("Back.Full", nil)
				apptest.Pong(t, old)
			})
		})
	}
}

// Clients see that the node is gone, and not where it is: service addresses are inside. A link that
// takes no more is another code than a node that is gone, so that a client knows whether to come
// again at once.
func TestErrorsForClientsHoldNoServiceAddress(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(apptest.Funcs{
			"Gate.Ask": func(ctx context.Context, _ *session.Session, data []byte) error {
				_, err := nano.Call[string](ctx, string(data), nil)
				return err
			},
		}), nano.WithLinkQueue(8<<10))
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Never": func(context.Context, *session.Session, []byte) error { return nil },
		})))
		apptest.Meet(t, m, g, b)
		var all []*nanotest.Client
		for range 2 {
			c := g.TCP.Client(t)
			c.Beats = true
			c.Ready(apptest.AcceptErrors)
			apptest.Call(t, c, "Back.Echo", "x", "x")
			all = append(all, c)
		}
		wants := func(m *codec.Message, code string) {
			t.Helper()
			if !m.Err || !strings.Contains(string(m.Data), code) || strings.Contains(string(m.Data), "back:1") || strings.Count(string(m.Data), "node") > 1 {
				t.Errorf("the client is told %v %s, want %s", m, m.Data, code)
			}
		}
		c := all[0]
		f.Freeze("back:1")
		c.Notify("Back.Echo", make([]byte, 6<<10))
		synctest.Wait()
		wants(c.Call("Back.Echo", make([]byte, 4<<10)), "resource_exhausted")
		f.Thaw("back:1")
		time.Sleep(time.Second)

		one, two := c.Request("Back.Never", nil), all[1].Request("Gate.Ask", []byte("Back.Never"))
		synctest.Wait()
		f.Kill("back:1")
		wants(c.Response(one), "unavailable")
		wants(all[1].Response(two), "unavailable")
	})
}
