package nanotest

import (
	"fmt"
	"reflect"
	"strings"
)

// Layout lists the fields of a struct and the bytes that each takes, one in a line, and the size of
// the whole last. A test that compares it with a list of its own fails when the struct grows.
func Layout(t reflect.Type) string {
	var b strings.Builder
	for i := range t.NumField() {
		f := t.Field(i)
		fmt.Fprintf(&b, "%s %d\n", f.Name, f.Type.Size())
	}
	fmt.Fprintf(&b, "all %d\n", t.Size())
	return b.String()
}
