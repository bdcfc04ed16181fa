package cluster_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/typepb"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/describe"
	nanojson "github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

const consoleToken = "only for this test, not for you"

// askConsole sends a request of a script to the console of a node, and reads what it answers.
func askConsole[T any](t *testing.T, n *apptest.Node, method, path, body string, status int) (v T) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+consoleToken)
	w := httptest.NewRecorder()
	console.New(n.App, console.Config{Token: consoleToken}).ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != status {
		t.Fatalf("%s %s: %d %s, %v", path, body, w.Code, w.Body, err)
	}
	return v
}

// described is the answer of api/describe.
type described struct {
	describe.Description
	At, Errors map[string]string
}

// kept is a backend that keeps protobuf messages: what it takes no gate and no page knows.
func kept() *component.Components {
	cs := new(component.Components)
	component.Handle(cs, "Types.Keep", func(_ context.Context, s *session.Session, f *typepb.Field) (*typepb.Field, error) {
		return f, s.Push("kept", f)
	}, component.WithPush[*typepb.Field]("kept"))
	component.HandleRaw(cs, "Types.Raw", func(_ context.Context, s *session.Session, d []byte) error { return s.Response(d) })
	return cs
}

// Whoever opens the playground of a gate can call each route of the cluster, with the types of the
// nodes that have them. A node of another kind is named, and costs nobody the rest.
func TestConsoleDescribesTheCluster(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		pb := nano.WithSerializer(protobuf.NewSerializer())
		gate := f.Start(t, apptest.Master, new(component.Components)) // its own serializer is JSON
		back := f.Start(t, "back:1", kept(), pb)
		twin := f.Start(t, "back:2", kept(), pb)
		other := new(component.Components)
		component.HandleNotify(other, "Hall.Look", func(context.Context, *session.Session, *struct{ N int }) error { return nil })
		odd := f.Start(t, "odd:1", other, nano.WithSerializer(nanojson.NewSerializer()))
		apptest.Meet(t, gate, back, twin, odd)
		d := askConsole[described](t, gate, "GET", "/api/describe", "", http.StatusOK)
		if len(d.Services) != 1 || d.Route("Types.Keep") == nil || d.Serializer != describe.Protobuf || d.At["Types"] != "back:1" {
			t.Errorf("the gate says %+v", d)
		}
		if len(d.Errors) != 1 || !strings.Contains(d.Errors["odd:1"], "serializer") || len(d.Elsewhere) != 1 || d.Elsewhere[0] != "Hall" {
			t.Errorf("left out are %v, and elsewhere is %v", d.Errors, d.Elsewhere)
		}
		if d := askConsole[described](t, gate, "GET", "/api/describe?node=odd:1", "", http.StatusOK); d.Route("Hall.Look") == nil || len(d.Services) != 1 {
			t.Errorf("one node says %+v", d)
		}
		askConsole[map[string]string](t, gate, "GET", "/api/describe?node=no:1", "", http.StatusNotFound)
		f.Freeze("odd:1")
		if d := askConsole[described](t, gate, "GET", "/api/describe", "", http.StatusOK); d.Route("Types.Raw") == nil || d.Errors["odd:1"] == "" {
			t.Errorf("with a node that hangs the gate says %+v", d)
		}
		f.Thaw("odd:1")
	})
}

// A page that knows no protobuf sends and reads the messages of a backend all the same.
func TestConsoleSpeaksForABackend(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		pb := nano.WithSerializer(protobuf.NewSerializer())
		gate := f.Start(t, apptest.Master, new(component.Components), pb)
		back := f.Start(t, "back:1", kept(), pb)
		apptest.Meet(t, gate, back)
		post := func(path, body string) []byte {
			return askConsole[struct{ Base64 []byte }](t, gate, "POST", path, body, http.StatusOK).Base64
		}
		payload := post("/api/encode", `{"node":"back:1","route":"Types.Keep","payload":"{\"kind\":\"TYPE_INT32\",\"number\":7}"}`)
		c := gate.TCP.Client(t)
		c.Ready()
		id := c.Request("Types.Keep", payload)
		pushed := c.Push("kept")
		for name, said := range map[string]struct {
			route string
			push  bool
			data  []byte
		}{"push": {"kept", true, pushed}, "answer": {"Types.Keep", false, c.Response(id).Data}} {
			body, _ := json.Marshal(map[string]any{"node": "back:1", "route": said.route, "push": said.push, "base64": said.data})
			text := askConsole[struct{ Payload string }](t, gate, "POST", "/api/decode", string(body), http.StatusOK).Payload
			var field struct {
				Kind   string
				Number int
				Name   *string
			}
			if err := json.Unmarshal([]byte(text), &field); err != nil || field.Kind != "TYPE_INT32" || field.Number != 7 || field.Name == nil {
				t.Errorf("the %s is %s, %v", name, text, err)
			}
		}
		if raw := post("/api/encode", `{"node":"back:1","route":"Types.Raw","payload":"as it is"}`); string(raw) != "as it is" {
			t.Errorf("the payload of a raw handler is %q", raw)
		}
		for body, status := range map[string]int{
			`{"node":"back:1","route":"Types.Keep","payload":"{\"no\":1}"}`: http.StatusBadRequest,
			`{"node":"back:1","route":"Types.No","payload":"{}"}`:           http.StatusNotFound,
			`{"node":"no:1","route":"Types.Keep","payload":"{}"}`:           http.StatusNotFound,
			`{"node":"back:1","route":"nonsense","payload":"{}"}`:           http.StatusBadRequest,
			`{"route":"Types.Keep","payload":"{}"}`:                         http.StatusNotFound, // the gate itself
		} {
			askConsole[map[string]string](t, gate, "POST", "/api/encode", body, status)
		}
		for body, status := range map[string]int{
			`{"node":"back:1","route":"Types.Keep","base64":"?"}`:    http.StatusBadRequest,
			`{"node":"back:1","route":"Types.Keep","base64":"/w=="}`: http.StatusBadRequest,
			`{"node":"back:1","route":"Types.Raw","base64":""}`:      http.StatusNotFound,
			`{"node":"back:1","route":"no","push":true,"base64":""}`: http.StatusNotFound,
			`{"node":"back:1","route":"Types.Keep","push":true}`:     http.StatusNotFound,
		} {
			askConsole[map[string]string](t, gate, "POST", "/api/decode", body, status)
		}
	})
}

// An application's own serializer is the node's, too: nobody else has to know it.
func TestPayloadsOfAnySerializer(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		type point struct{ X, Y int }
		cs := new(component.Components)
		component.Handle(cs, "Map.Look", func(_ context.Context, _ *session.Session, p *point) (*point, error) { return p, nil })
		gate := f.Start(t, apptest.Master, new(component.Components), nano.WithSerializer(mirrored{}))
		back := f.Start(t, "back:1", cs, nano.WithSerializer(mirrored{}))
		apptest.Meet(t, gate, back)
		at := gate.Operator("back:1")
		payload, err := at.EncodeRequest(t.Context(), "Map.Look", []byte(`{"X":1,"Y":2}`))
		if err != nil || string(payload) != `}2:"Y",1:"X"{` {
			t.Fatalf("the payload is %s, %v", payload, err)
		}
		c := gate.TCP.Client(t)
		c.Ready()
		text, err := at.DecodeAnswer(t.Context(), "Map.Look", c.Call("Map.Look", payload).Data)
		if err != nil || string(text) != `{"X":1,"Y":2}` {
			t.Errorf("the answer is %s, %v", text, err)
		}
		if _, err := at.DecodeAnswer(t.Context(), "Map.Look", []byte(`{`)); codeOf(err) != component.CodeInvalid {
			t.Errorf("what is no answer: %v", err)
		}
	})
}

// mirrored is JSON from the end to the beginning.
type mirrored struct{}

func (mirrored) Marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return mirror(b), err
}

func (mirrored) Unmarshal(data []byte, v any) error { return json.Unmarshal(mirror(data), v) }

func mirror(b []byte) []byte {
	m := slices.Clone(b)
	slices.Reverse(m)
	return m
}
