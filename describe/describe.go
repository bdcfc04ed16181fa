// Package describe says what a node takes and answers: its services, their routes, and the types
// of what clients send and get, as JSON Schema (draft 2020-12). nano.App.Describe returns it, and
// the command nano-cli prints it and generates typed clients from it.
//
//	d, err := app.Describe()
//	...
//	for _, s := range d.Services {
//		for _, r := range s.Routes {
//			fmt.Println(r.Route, r.Form)
//		}
//	}
//
// A description is JSON as a whole: its "$defs" hold the named types, and every "$ref" in it leads
// there. The package holds values only. They are not safe for concurrent change.
package describe

// Format is the number of the form that this package reads and writes. A form that older readers
// would misread gets another number.
const Format = 1

// Draft is the dialect of the schemas.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// The serializers of package nano, by the names that [Description] has for them.
const (
	JSON     = "json"
	Protobuf = "protobuf"
)

// Description is what one node takes and answers, or several nodes together (see [Merge]).
type Description struct {
	Draft  string `json:"$schema"` // [Draft]
	Format int    `json:"format"`  // [Format]
	// Serializer is what payloads are: [JSON], [Protobuf], or the Go type of the application's own.
	// With protobuf, the schemas are those of the messages' JSON form (protojson), and the names of
	// their types are the messages' full names.
	Serializer string    `json:"serializer"`
	Services   []Service `json:"services"` // in the order of registration
	// Elsewhere names the services that other nodes run, as far as this node knows; sorted.
	Elsewhere []string           `json:"elsewhere,omitempty"`
	Defs      map[string]*Schema `json:"$defs,omitempty"` // the named types
}

// Service is a service with its routes.
type Service struct {
	Name   string  `json:"name"`
	Type   string  `json:"type,omitempty"`   // the Go type of the component; "" if it has functions only
	Routes []Route `json:"routes"`           // sorted
	Pushes []Push  `json:"pushes,omitempty"` // what component.WithPush has declared; sorted
}

// Form says who may use a route, and for what.
type Form string

// The forms of a route.
const (
	// FormRequest answers each request. A notify to it runs the handler and answers nothing.
	FormRequest Form = "request"
	// FormNotify answers nothing (component.WithoutAnswer).
	FormNotify Form = "notify"
	// FormUnknown may do either: the handler returns no reply, and answers requests by itself or
	// not at all. Neither component.WithAnswer nor component.WithoutAnswer says which.
	FormUnknown Form = "unknown"
)

// Route is a route and its payloads.
type Route struct {
	Route   string  `json:"route"` // "Service.Method"
	Form    Form    `json:"form"`
	Request Payload `json:"request"` // what the client sends
	// Response is the answer to a request; nil if there is none, or it is not known.
	Response  *Payload `json:"response,omitempty"`
	NodesOnly bool     `json:"nodesOnly,omitempty"` // clients are refused (component.WithNodesOnly)
}

// Push is a route that the service pushes to clients.
type Push struct {
	Route   string  `json:"route"`
	Payload Payload `json:"payload"`
}

// Payload is the type of what is sent.
type Payload struct {
	Raw    bool    `json:"raw,omitempty"`    // bytes as they are, without the serializer
	Schema *Schema `json:"schema,omitempty"` // nil if Raw
	// Go is the Go type: the path of its package, a dot, and its name. "" if the type has no name.
	Go string `json:"go,omitempty"`
}

// Route returns the route of that name; nil if there is none.
func (d *Description) Route(name string) *Route {
	for i := range d.Services {
		for j := range d.Services[i].Routes {
			if r := &d.Services[i].Routes[j]; r.Route == name {
				return r
			}
		}
	}
	return nil
}
