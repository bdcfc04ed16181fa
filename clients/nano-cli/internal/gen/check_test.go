package gen_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lonng/nano/clients/nano-cli/internal/gen"
	"github.com/lonng/nano/describe"
)

// Whoever generates a client from what a stranger's server says gets an error of what is malformed:
// no panic, and no code that the server has made up.
func TestMalformedDescriptions(t *testing.T) {
	route := func(schema string) string {
		return `{"format":1,"services":[{"name":"a","routes":[{"route":"a.b","form":"request","request":{"schema":` + schema + `}}]}]}`
	}
	for _, text := range []string{
		route(`{"anyOf":[null,{"type":"null"}]}`),
		route(`{"$ref":"#/$defs/Nobody"}`),
		route(`{"$ref":"string}; import x from 'http://evil'"}`),
		route(`{"type":"array","items":{},"minItems":-1,"maxItems":-1}`),
		route(`{"type":"object","properties":{"a` + "`" + `; func init() {}":{}}}`),
		`{"format":1,"services":[],"$defs":{"A":null}}`,
		`{"format":1,"services":[{"name":"a","routes":[{"route":"a.b\nfunc init() {}","form":"notify","request":{"raw":true}}]}]}`,
		`{"format":1,"services":[{"name":"a","routes":[],"pushes":[{"route":"a\u001b[2J","payload":{"raw":true}}]}]}`,
	} {
		d := new(describe.Description)
		if err := json.Unmarshal([]byte(text), d); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := gen.Check(d); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%s: %v", text, err)
		}
	}
	d := &describe.Description{Format: 1, Serializer: describe.Protobuf, Services: []describe.Service{{Name: "a", Routes: []describe.Route{
		{Route: "a.b", Form: describe.FormNotify, Request: describe.Payload{Schema: &describe.Schema{}, Go: "evil.org/x.T) { evil() }; func init("}},
	}}}}
	if code, err := gen.Go(d, "routes"); err == nil {
		t.Errorf("a type of the server's own making:\n%s", code)
	}
}
