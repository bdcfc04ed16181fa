package gen

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/lonng/nano/describe"
)

// TypeScript writes the types of a node's payloads, and an interface called name that the
// JavaScript client takes as its type parameter.
func TypeScript(d *describe.Description, name string) ([]byte, error) {
	if !identifier.MatchString(name) {
		return nil, fmt.Errorf("%q cannot be the name of an interface", name)
	}
	pushed, err := pushes(d)
	if err != nil {
		return nil, err
	}
	w := tsWriter{names: names(d, name)}
	fmt.Fprintf(&w.b, notice, "ts")
	if d.Serializer == describe.Protobuf {
		w.b.WriteString("// Payloads are protobuf messages. The types are those of their JSON form.\n")
	}
	for _, def := range slices.Sorted(maps.Keys(d.Defs)) {
		w.b.WriteByte('\n')
		w.definition(w.names[def], d.Defs[def])
	}
	w.routes(d, name, pushed)
	return []byte(w.b.String()), nil
}

type tsWriter struct {
	b     strings.Builder
	names map[string]string // of definitions; nil: as they are
}

// definition writes an interface where it can, since compilers show its name in messages.
func (w *tsWriter) definition(name string, s *describe.Schema) {
	w.comment("", s.Description)
	if one(s) == "object" && len(s.Properties) > 0 {
		fmt.Fprintf(&w.b, "export interface %s %s\n", name, w.object(s, ""))
		return
	}
	fmt.Fprintf(&w.b, "export type %s = %s;\n", name, w.typ(s, ""))
}

// comment writes what a schema says of itself.
func (w *tsWriter) comment(indent, text string) {
	if text != "" {
		fmt.Fprintf(&w.b, "%s/** %s */\n", indent, strings.ReplaceAll(text, "*/", "*\\/"))
	}
}

func (w *tsWriter) routes(d *describe.Description, name string, pushed []describe.Push) {
	var requests, notifies []string
	routes(d, func(r *describe.Route) {
		request := w.payload(r.Request, "ArrayBuffer | ArrayBufferView")
		key := quote(r.Route)
		if r.Form != describe.FormNotify {
			response := "unknown"
			if r.Response != nil {
				response = w.payload(*r.Response, "Uint8Array")
			}
			requests = append(requests, fmt.Sprintf("%s: [%s, %s];", key, request, response))
		}
		if r.Form != describe.FormRequest {
			notifies = append(notifies, fmt.Sprintf("%s: %s;", key, request))
		}
	})
	fmt.Fprintf(&w.b, "\n/** The routes, for connect<%s>(url). */\nexport interface %s {\n", name, name)
	w.part("requests", requests)
	w.part("notifies", notifies)
	if len(pushed) > 0 { // else nothing is known of them, and the client takes all
		all := make([]string, 0, len(pushed))
		for _, p := range pushed {
			all = append(all, fmt.Sprintf("%s: %s;", quote(p.Route), w.payload(p.Payload, "Uint8Array")))
		}
		w.part("pushes", all)
	}
	w.b.WriteString("}\n")
}

// part writes one kind of routes. An empty one allows none.
func (w *tsWriter) part(name string, lines []string) {
	if len(lines) == 0 {
		fmt.Fprintf(&w.b, "  %s: {};\n", name)
		return
	}
	fmt.Fprintf(&w.b, "  %s: {\n    %s\n  };\n", name, strings.Join(lines, "\n    "))
}

func (w *tsWriter) payload(p describe.Payload, raw string) string {
	if p.Raw || p.Schema == nil {
		return raw
	}
	return w.typ(p.Schema, "    ")
}

// typ writes a type as an expression. indent is that of the line on which it begins.
func (w *tsWriter) typ(s *describe.Schema, indent string) string {
	switch {
	case s.Not != nil:
		return "never"
	case s.Ref != "":
		return w.ref(s.Ref)
	case len(s.AnyOf) > 0:
		var all []string
		for _, part := range s.AnyOf {
			all = append(all, w.typ(part, indent))
		}
		return strings.Join(all, " | ")
	case len(s.Enum) > 0:
		var all []string
		for _, v := range s.Enum {
			text, err := json.Marshal(v)
			if err != nil {
				return "unknown"
			}
			all = append(all, string(text))
		}
		return strings.Join(all, " | ")
	case len(s.Type) == 0:
		return "unknown"
	}
	var all []string
	for _, t := range s.Type {
		all = append(all, w.plain(t, s, indent))
	}
	return strings.Join(all, " | ")
}

func (w *tsWriter) ref(ref string) string {
	name := strings.TrimPrefix(ref, toDef)
	if as, ok := w.names[name]; ok {
		return as
	}
	return name
}

// plain writes one of the types of a schema.
func (w *tsWriter) plain(t string, s *describe.Schema, indent string) string {
	switch t {
	case "integer":
		return "number"
	case "array":
		return w.array(s, indent)
	case "object":
		return w.object(s, indent)
	case "string", "number", "boolean", "null":
		return t
	}
	return "unknown"
}

// maxTuple is the longest array of a fixed length that is written element by element.
const maxTuple = 8

func (w *tsWriter) array(s *describe.Schema, indent string) string {
	if s.Items == nil {
		return "unknown[]"
	}
	item := w.typ(s.Items, indent)
	if s.MaxItems != nil && *s.MaxItems == s.MinItems && s.MinItems <= maxTuple {
		return "[" + strings.TrimSuffix(strings.Repeat(item+", ", s.MinItems), ", ") + "]"
	}
	if strings.Contains(item, " | ") {
		item = "(" + item + ")"
	}
	return item + "[]"
}

func (w *tsWriter) object(s *describe.Schema, indent string) string {
	if len(s.Properties) == 0 {
		if s.AdditionalProperties == nil {
			return "Record<string, never>"
		}
		return "Record<string, " + w.typ(s.AdditionalProperties, indent) + ">"
	}
	var in tsWriter
	in.names = w.names
	in.b.WriteString("{\n")
	for _, p := range s.Properties {
		in.comment(indent+"  ", p.Schema.Description)
		mark := "?"
		if slices.Contains(s.Required, p.Name) {
			mark = ""
		}
		fmt.Fprintf(&in.b, "%s  %s%s: %s;\n", indent, property(p.Name), mark, in.typ(p.Schema, indent+"  "))
	}
	if s.AdditionalProperties != nil {
		fmt.Fprintf(&in.b, "%s  [key: string]: %s;\n", indent, in.typ(s.AdditionalProperties, indent+"  "))
	}
	in.b.WriteString(indent + "}")
	return in.b.String()
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][\w$]*$`)

func property(name string) string {
	if identifier.MatchString(name) {
		return name
	}
	return quote(name)
}

// quote writes a string as JSON does, which is how TypeScript reads it.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(text)
}
