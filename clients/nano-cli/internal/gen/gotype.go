package gen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lonng/nano/describe"
)

// typ writes a Go type that encoding/json reads and writes as the schema says.
func (w *goWriter) typ(s *describe.Schema) string {
	if in, null := nullable(s); null {
		t := w.typ(in)
		if pointless(t) {
			return t
		}
		return "*" + t
	}
	switch {
	case s.Ref != "":
		return w.names[strings.TrimPrefix(s.Ref, toDef)]
	case len(s.AnyOf) > 0 || s.Not != nil:
		return "any"
	}
	switch one(s) {
	case "boolean":
		return "bool"
	case "integer":
		return w.integer(s)
	case "number":
		return "float64"
	case "string":
		switch {
		case s.ContentEncoding == "base64":
			return "[]byte"
		case s.Format == "date-time":
			w.imports["time"] = "time"
			return "time.Time"
		}
		return "string"
	case "array":
		if s.Items == nil {
			return "[]any"
		}
		if s.MaxItems != nil && *s.MaxItems == s.MinItems {
			return fmt.Sprintf("[%d]%s", s.MinItems, w.typ(s.Items))
		}
		return "[]" + w.typ(s.Items)
	case "object":
		return w.object(s)
	}
	return "any"
}

// pointless reports whether a type has a nil without a pointer.
func pointless(t string) bool {
	return t == "any" || strings.HasPrefix(t, "[]") || strings.HasPrefix(t, "map[") || strings.HasPrefix(t, "*")
}

// integers are the types of integers by their bounds.
var integers = map[[2]string]string{
	{"-128", "127"}:               "int8",
	{"-32768", "32767"}:           "int16",
	{"-2147483648", "2147483647"}: "int32",
	{"0", "255"}:                  "uint8",
	{"0", "65535"}:                "uint16",
	{"0", "4294967295"}:           "uint32",
}

func (w *goWriter) integer(s *describe.Schema) string {
	if s.Format == "int64" || s.Format == "uint64" {
		return s.Format
	}
	if t := integers[[2]string{string(s.Minimum), string(s.Maximum)}]; t != "" {
		return t
	}
	w.imports["encoding/json"] = "json"
	return "json.Number" // of any size
}

func (w *goWriter) object(s *describe.Schema) string {
	if len(s.Properties) == 0 && s.AdditionalProperties != nil {
		return "map[string]" + w.typ(s.AdditionalProperties)
	}
	var b strings.Builder
	b.WriteString("struct {\n")
	used := make(map[string]bool)
	for _, p := range s.Properties {
		t, options := w.typ(p.Schema), ""
		if !slices.Contains(s.Required, p.Name) {
			options = ",omitempty"
			switch {
			case p.Schema.Ref != "" || strings.HasPrefix(t, "struct"):
				t = "*" + t
			case t == "time.Time" || strings.HasPrefix(t, "["): // an array is never empty
				options = ",omitzero"
			}
		}
		if strings.HasPrefix(t, "[]") {
			options = strings.Replace(options, "zero", "empty", 1)
		}
		fmt.Fprintf(&b, "%s %s `json:%q`", unique(used, camel(p.Name)), t, p.Name+options)
		if d := p.Schema.Description; d != "" {
			fmt.Fprintf(&b, " // %s", strings.Join(strings.Fields(d), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("}")
	return b.String()
}
