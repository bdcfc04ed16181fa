package node_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/describe"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

type sayRequest struct {
	Text string `json:"text"`
}

type sayReply struct {
	N int64 `json:"n"`
}

func talk() *component.Components {
	cs := new(component.Components)
	component.Handle(cs, "Talk.Say", func(context.Context, *session.Session, *sayRequest) (*sayReply, error) { return nil, nil },
		component.WithPush[sayRequest]("onSay"))
	component.HandleNotify(cs, "Talk.Later", func(context.Context, *session.Session, *sayRequest) error { return nil })
	component.HandleRaw(cs, "Talk.Bytes", func(context.Context, *session.Session, []byte) error { return nil },
		component.WithoutAnswer(), component.WithNodesOnly())
	return cs
}

// What tools learn of a node, over HTTP; and a program may print it before it serves anybody.
func TestDescription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.New(talk())
		before, err := n.Describe()
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer n.Stop(t)
		w := httptest.NewRecorder()
		nano.DescribeHandler(n.App).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/describe", nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("status %d, %v", w.Code, w.Header())
		}
		d := new(describe.Description)
		if err := json.Unmarshal(w.Body.Bytes(), d); err != nil {
			t.Fatal(err)
		}
		if early, _ := json.Marshal(before); string(early) != compact(t, w.Body.Bytes()) {
			t.Errorf("before the start it was %s, and is %s", early, w.Body)
		}
		if d.Draft != describe.Draft || d.Format != describe.Format || d.Serializer != describe.JSON || len(d.Services) != 1 {
			t.Errorf("got %s", w.Body)
		}
		say, later, raw := d.Route("Talk.Say"), d.Route("Talk.Later"), d.Route("Talk.Bytes")
		if say.Form != describe.FormRequest || say.Request.Schema.Ref != "#/$defs/sayRequest" || say.Response.Schema.Ref != "#/$defs/sayReply" {
			t.Errorf("a handler with a reply is %+v", say)
		}
		if later.Form != describe.FormUnknown || later.Response != nil {
			t.Errorf("a handler without a reply is %+v", later)
		}
		if raw.Form != describe.FormNotify || !raw.Request.Raw || !raw.NodesOnly {
			t.Errorf("a raw handler is %+v", raw)
		}
		if p := d.Services[0].Pushes; len(p) != 1 || p[0].Route != "onSay" || p[0].Payload.Schema.Ref != "#/$defs/sayRequest" {
			t.Errorf("the pushes are %+v", p)
		}
		if got := d.Defs["sayReply"].Properties.Get("n"); got == nil || got.Format != "int64" {
			t.Errorf("the reply has %+v", got)
		}
	})
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var v describe.Description
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestDescriptionHandlerAnswersReadersOnly(t *testing.T) {
	cs := new(component.Components)
	component.HandleRaw(cs, "no route", nil)
	for _, c := range []struct {
		app          *nano.App
		method, want string
		status       int
	}{
		{nano.New(""), http.MethodPost, "only GET and HEAD", http.StatusMethodNotAllowed},
		{nano.New(""), http.MethodHead, "", http.StatusOK},
		{nano.New("", nano.WithComponents(cs)), http.MethodGet, `route "no route" is not of the form`, http.StatusInternalServerError},
	} {
		w := httptest.NewRecorder()
		nano.DescribeHandler(c.app).ServeHTTP(w, httptest.NewRequest(c.method, "/", nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: status %d, %s", c.method, w.Code, w.Body)
		}
	}
}

type gob struct{ *protobuf.Serializer }

func TestDescriptionNamesTheSerializer(t *testing.T) {
	for want, opts := range map[string][]nano.Option{
		describe.Protobuf: nil,
		"node_test.gob":   {nano.WithSerializer(gob{})},
	} {
		d, err := nano.New("", opts...).Describe()
		if err != nil || d.Serializer != want {
			t.Errorf("got %+v, %v, want %s", d, err, want)
		}
	}
}
