package gen

import (
	"cmp"
	"errors"
	"fmt"
	"go/format"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/lonng/nano/describe"
)

// Go writes a package with a function for each route and push, over clients/client. With JSON it
// has the types of payloads, too; with protobuf it imports the generated messages.
func Go(d *describe.Description, pkg string) ([]byte, error) {
	if !token.IsIdentifier(pkg) || pkg == "_" {
		return nil, fmt.Errorf("%q cannot be the name of a package", pkg)
	}
	pushed, err := pushes(d)
	if err != nil {
		return nil, err
	}
	w := goWriter{
		protobuf: d.Serializer == describe.Protobuf,
		imports:  map[string]string{"github.com/lonng/nano/clients/client": "client"},
		used:     make(map[string]bool),
	}
	for _, name := range []string{"client", "context", "json", "time", pkg} {
		w.used[name] = true
	}
	if !w.protobuf {
		w.names = names(d)
		w.definitions(d)
	}
	for _, name := range w.names {
		w.used[name] = true
	}
	routes(d, w.route)
	for _, p := range pushed {
		w.push(p)
	}
	if len(w.errs) > 0 {
		return nil, errors.Join(w.errs...)
	}
	out, err := format.Source([]byte(w.head(pkg) + w.b.String()))
	if err != nil {
		return nil, fmt.Errorf("generated code does not parse: %w", err)
	}
	return out, nil
}

type goWriter struct {
	b        strings.Builder
	protobuf bool
	names    map[string]string // of definitions
	used     map[string]bool   // identifiers of the package
	imports  map[string]string // names by paths
	errs     []error
}

func (w *goWriter) head(pkg string) string {
	var b strings.Builder
	fmt.Fprintf(&b, notice, "go")
	fmt.Fprintf(&b, "\npackage %s\n\nimport (\n", pkg)
	paths := slices.SortedFunc(maps.Keys(w.imports), func(x, y string) int {
		return cmp.Or(cmp.Compare(strings.Count(x[:dot(x)], "."), strings.Count(y[:dot(y)], ".")), strings.Compare(x, y))
	})
	for i, p := range paths {
		if i > 0 && strings.Contains(p[:dot(p)], ".") && !strings.Contains(paths[i-1][:dot(paths[i-1])], ".") {
			b.WriteByte('\n') // after the standard library
		}
		if name := w.imports[p]; name != path.Base(p) {
			fmt.Fprintf(&b, "%s ", name)
		}
		fmt.Fprintf(&b, "%q\n", p)
	}
	b.WriteString(")\n")
	return b.String()
}

// dot is the length of a path's first part: that of a module outside the standard library has a
// dot.
func dot(p string) int {
	if i := strings.IndexByte(p, '/'); i >= 0 {
		return i
	}
	return len(p)
}

func (w *goWriter) definitions(d *describe.Description) {
	for _, def := range slices.Sorted(maps.Keys(d.Defs)) {
		s, name := d.Defs[def], w.names[def]
		fmt.Fprintf(&w.b, "\n// %s is a payload, or part of one.\n", name)
		fmt.Fprintf(&w.b, "type %s %s\n", name, w.typ(s))
	}
}

// payload writes the type of what is sent or comes: of a parameter, or behind a pointer.
func (w *goWriter) payload(route string, p describe.Payload) (typ string, isStruct bool) {
	switch {
	case p.Raw || p.Schema == nil:
		return "[]byte", false
	case !w.protobuf:
		return w.typ(p.Schema), p.Schema.Ref != "" || one(p.Schema) == "object" && p.Schema.AdditionalProperties == nil
	}
	at := strings.LastIndexByte(p.Go, '.')
	if at < 0 || p.Go[:at] == "main" || !token.IsIdentifier(p.Go[at+1:]) {
		w.errs = append(w.errs, fmt.Errorf("route %q: the message %q is in no package that a client can import", route, p.Go))
		return "any", false
	}
	return w.importing(p.Go[:at]) + p.Go[at:], true
}

func (w *goWriter) importing(p string) string {
	name, ok := w.imports[p]
	if !ok {
		base := strings.ToLower(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, path.Base(p)))
		if base == "" || !unicode.IsLetter([]rune(base)[0]) {
			base = "p" + base
		}
		name = unique(w.used, base)
		w.imports[p] = name
	}
	return name
}

func (w *goWriter) route(r *describe.Route) {
	w.imports["context"] = "context"
	name := camel(r.Route)
	in, isStruct := w.payload(r.Route, r.Request)
	if isStruct {
		in = "*" + in
	}
	args := "ctx context.Context, c *client.Client, req " + in
	switch {
	case r.Form == describe.FormNotify:
		w.notify(unique(w.used, name), r.Route, args)
	case r.Response == nil:
		name = unique(w.used, name)
		fmt.Fprintf(&w.b, "\n// %s requests %s, and reads the answer into reply, whose type the node does not tell: a pointer, or\n// nil for none.\n", name, r.Route)
		fmt.Fprintf(&w.b, "func %s(%s, reply any) error {\nreturn c.Request(ctx, %q, req, reply)\n}\n", name, args, r.Route)
		w.notify(unique(w.used, name+"Notify"), r.Route, args)
	default:
		w.request(unique(w.used, name), r, args)
	}
}

func (w *goWriter) notify(name, route, args string) {
	fmt.Fprintf(&w.b, "\n// %s notifies %s, which does not answer.\n", name, route)
	fmt.Fprintf(&w.b, "func %s(%s) error {\nreturn c.Notify(ctx, %q, req)\n}\n", name, args, route)
}

func (w *goWriter) request(name string, r *describe.Route, args string) {
	out, isStruct := w.payload(r.Route, *r.Response)
	fmt.Fprintf(&w.b, "\n// %s requests %s and waits for the answer.\n", name, r.Route)
	if isStruct {
		fmt.Fprintf(&w.b, "func %s(%s) (*%s, error) {\nreturn client.Call[%s](ctx, c, %q, req)\n}\n", name, args, out, out, r.Route)
		return
	}
	fmt.Fprintf(&w.b, "func %s(%s) (reply %s, err error) {\nerr = c.Request(ctx, %q, req, &reply)\nreturn reply, err\n}\n", name, args, out, r.Route)
}

// push writes a function that is called On and the route; a route onMessage has its On already.
func (w *goWriter) push(p describe.Push) {
	name := camel(p.Route)
	if !strings.HasPrefix(name, "On") || len(name) < 3 || !unicode.IsUpper(rune(name[2])) {
		name = "On" + name
	}
	name = unique(w.used, name)
	typ, isStruct := w.payload(p.Route, p.Payload)
	call := "client.On(c, %q, fn)"
	switch {
	case p.Payload.Raw:
		call = "c.On(%q, fn)"
	case isStruct:
		typ = "*" + typ
	default:
		call = "client.On(c, %q, func(msg *" + typ + ") { fn(*msg) })"
	}
	fmt.Fprintf(&w.b, "\n// %s calls fn with each push of %s until remove is called.\n", name, p.Route)
	fmt.Fprintf(&w.b, "func %s(c *client.Client, fn func(msg %s)) (remove func()) {\nreturn "+call+"\n}\n", name, typ, p.Route)
}
