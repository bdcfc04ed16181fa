package gen

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/lonng/nano/describe"
)

// Text writes a description for people: routes with their types, then the types.
func Text(d *describe.Description) string {
	var b strings.Builder
	w := tsWriter{}
	fmt.Fprintf(&b, "serializer: %s\n", d.Serializer)
	for _, s := range d.Services {
		fmt.Fprintf(&b, "\n%s", s.Name)
		if s.Type != "" {
			fmt.Fprintf(&b, " (%s)", s.Type)
		}
		b.WriteByte('\n')
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, r := range s.Routes {
			line := w.payload(r.Request, "bytes")
			switch {
			case r.Response != nil:
				line += " -> " + w.payload(*r.Response, "bytes")
			case r.Form == describe.FormUnknown:
				line += " -> ?"
			}
			if r.NodesOnly {
				line += "  (nodes only)"
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\n", r.Form, r.Route, line)
		}
		for _, p := range s.Pushes {
			fmt.Fprintf(table, "  push\t%s\t%s\n", p.Route, w.payload(p.Payload, "bytes"))
		}
		_ = table.Flush() // writes to memory
	}
	if len(d.Elsewhere) > 0 {
		fmt.Fprintf(&b, "\nother nodes run %s\n", strings.Join(d.Elsewhere, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Defs)) {
		fmt.Fprintf(&b, "\n%s %s\n", name, w.typ(d.Defs[name], ""))
	}
	return b.String()
}
