package describe_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lonng/nano/describe"
)

func read(t *testing.T, text string) *describe.Description {
	t.Helper()
	d := new(describe.Description)
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// What a node writes is what tools read: the same in each detail, properties in their order.
func TestRoundTrip(t *testing.T) {
	two := 2
	want := &describe.Description{
		Draft: describe.Draft, Format: describe.Format, Serializer: describe.JSON,
		Services: []describe.Service{{
			Name: "Room", Type: "*main.Room",
			Routes: []describe.Route{{
				Route: "Room.Join", Form: describe.FormRequest, NodesOnly: true,
				Request:  describe.Payload{Schema: &describe.Schema{Ref: "#/$defs/Join"}, Go: "main.Join"},
				Response: &describe.Payload{Raw: true},
			}},
			Pushes: []describe.Push{{Route: "onJoin", Payload: describe.Payload{Schema: &describe.Schema{Type: describe.Types{"string", "null"}}}}},
		}},
		Elsewhere: []string{"Hall"},
		Defs: map[string]*describe.Schema{"Join": {
			Type: describe.Types{"object"}, Required: []string{"z"},
			Properties: describe.Properties{
				{Name: "z", Schema: &describe.Schema{Type: describe.Types{"integer"}, Minimum: "0", Maximum: "18446744073709551615"}},
				{Name: "a", Schema: &describe.Schema{Type: describe.Types{"array"}, Items: &describe.Schema{}, MaxItems: &two}},
			},
		}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, string(text)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v\n%s", got, want, text)
	}
	if want.Route("Room.Join") == nil || want.Route("Room.Leave") != nil {
		t.Error("routes are not found by their names")
	}
}

func TestWhatIsNoSchema(t *testing.T) {
	for _, text := range []string{`{"properties":[]}`, `{"properties":{"a":1}}`, `{"properties":{"a":{}`, `{"type":1}`, `{"properties":1}`} {
		if err := json.Unmarshal([]byte(text), new(describe.Schema)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

// node is the description of a node with one service, whose route takes a Message with the field.
func node(service, route, field string) string {
	return `{"$schema":"x","format":1,"serializer":"json","elsewhere":["Hall","Room"],
	"services":[{"name":"` + service + `","routes":[{"route":"` + service + `.` + route + `","form":"unknown","request":{"schema":{"$ref":"#/$defs/Message"}}}],
		"pushes":[{"route":"on` + service + `","payload":{"schema":{"$ref":"#/$defs/Message"}}}]}],
	"$defs":{"Message":{"type":"object","properties":{"to":{"$ref":"#/$defs/Person"}}},
		"Person":{"type":"object","properties":{"` + field + `":{"type":"string"},"friend":{"$ref":"#/$defs/Person"}}}}}`
}

// A cluster's nodes run different services, and some the same; types of one name may be equal, or
// differ in what they refer to.
func TestMerge(t *testing.T) {
	one, same, differs := read(t, node("Room", "Join", "name")), read(t, node("Room", "Leave", "name")), read(t, node("Hall", "Look", "id"))
	before, _ := json.Marshal(differs)
	d, err := describe.Merge(one, same, differs, differs)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(differs); string(before) != string(after) {
		t.Error("Merge changed its argument")
	}
	if len(d.Services) != 2 || len(d.Services[0].Routes) != 2 || len(d.Services[0].Pushes) != 1 || len(d.Elsewhere) != 0 || len(d.Defs) != 4 {
		t.Errorf("got %+v", d)
	}
	for route, want := range map[string]string{"Room.Join": "Message", "Room.Leave": "Message", "Hall.Look": "Message2"} {
		if got := d.Route(route).Request.Schema.Ref; got != "#/$defs/"+want {
			t.Errorf("%s takes %s, want %s", route, got, want)
		}
	}
	if got := d.Defs["Message2"].Properties.Get("to").Ref; got != "#/$defs/Person2" {
		t.Errorf("the other Message refers to %s", got)
	}
	if got := d.Defs["Person2"].Properties.Get("friend").Ref; got != "#/$defs/Person2" {
		t.Errorf("the other Person refers to %s", got)
	}
}

// A gate has no services, and its serializer is whatever it was made with.
func TestMergeWithNodesThatServeNothing(t *testing.T) {
	gate, back := read(t, `{"format":1,"serializer":"protobuf","services":[],"elsewhere":["Hall","Room"]}`), read(t, node("Room", "Join", "name"))
	for _, all := range [][]*describe.Description{{gate, back}, {back, gate}, {gate, back, gate}} {
		d, err := describe.Merge(all...)
		if err != nil || d.Serializer != describe.JSON || len(d.Services) != 1 || len(d.Elsewhere) != 1 || d.Elsewhere[0] != "Hall" {
			t.Errorf("got %+v, %v", d, err)
		}
	}
	if d, err := describe.Merge(gate); err != nil || d.Serializer != describe.Protobuf {
		t.Errorf("a gate alone: %+v, %v", d, err)
	}
}

func TestMergeOfWhatDoesNotFit(t *testing.T) {
	one := read(t, node("Room", "Join", "name"))
	protobuf, newer := read(t, node("Hall", "Look", "name")), read(t, node("Hall", "Look", "name"))
	protobuf.Serializer, newer.Format = describe.Protobuf, 2
	push := read(t, node("Room", "Leave", "id"))
	for _, c := range []struct {
		other *describe.Description
		want  string
	}{
		{read(t, node("Room", "Join", "id")), `different handlers of the route "Room.Join"`},
		{push, `different pushes of the route "onRoom"`},
		{protobuf, `one node has the serializer "json", another "protobuf"`},
		{newer, "the format is 2"},
	} {
		if _, err := describe.Merge(one, c.other); err == nil || !strings.HasPrefix(err.Error(), "describe: merge: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
