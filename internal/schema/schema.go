// Package schema makes JSON Schemas of Go types as encoding/json writes them, and of protobuf
// messages as protojson does.
package schema

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/lonng/nano/describe"
)

// Builder makes the schemas of one description. Named types are definitions, and what uses them
// refers to these. One goroutine uses it.
type Builder struct {
	protobuf bool // the serializer takes protobuf messages only
	custom   bool // it is the application's own, of which nothing is known
	types    map[reflect.Type]*definition
	messages map[string]*describe.Schema // by full name
}

// definition is a named Go type. Its name in the description is known once all types are.
type definition struct {
	schema *describe.Schema
	uses   []*describe.Schema // their Ref is filled in at the end
	order  int                // how many types were there before
}

// New returns a builder for payloads of the serializer, as describe.Description names it.
func New(serializer string) *Builder {
	return &Builder{
		protobuf: serializer == describe.Protobuf,
		custom:   serializer != describe.Protobuf && serializer != describe.JSON,
		types:    make(map[reflect.Type]*definition),
		messages: make(map[string]*describe.Schema),
	}
}

var typeOfBytes = reflect.TypeFor[[]byte]()

// Payload describes what a value of type t is on the wire. A pointer is what it points to.
func (b *Builder) Payload(t reflect.Type) describe.Payload {
	if t == typeOfBytes {
		return describe.Payload{Raw: true}
	}
	elem := t
	if t.Kind() == reflect.Pointer {
		elem = t.Elem()
	}
	p := describe.Payload{Go: goName(elem)}
	isMessage := t.Implements(typeOfMessage) || t.Implements(typeOfMessageV1)
	switch {
	case isMessage && (b.protobuf || b.custom):
		p.Schema = b.message(t)
	case b.protobuf:
		p.Schema = &describe.Schema{Not: &describe.Schema{}, Description: "no protobuf message, so the serializer refuses it"}
	default:
		p.Schema = b.of(elem)
	}
	return p
}

var (
	typeOfMessage   = reflect.TypeFor[proto.Message]()
	typeOfMessageV1 = reflect.TypeFor[protoadapt.MessageV1]()
)

// goName is the package's path and the name of a type that a program can name.
func goName(t reflect.Type) string {
	if t.Name() == "" || t.PkgPath() == "" || strings.Contains(t.Name(), "[") {
		return ""
	}
	return t.PkgPath() + "." + t.Name()
}

// Defs names all definitions, and lets what refers to them do so. It is called once, at the end.
//
// A type has the name that it has in its package. Where two have the same, the last part of the
// package's path comes before it, and a number behind it if that does not tell them apart either.
func (b *Builder) Defs() map[string]*describe.Schema {
	defs := maps.Clone(b.messages)
	byName := make(map[string][]reflect.Type)
	for t := range b.types {
		byName[shortName(t)] = append(byName[shortName(t)], t)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		same := byName[name]
		slices.SortFunc(same, func(x, y reflect.Type) int {
			return cmp.Or(strings.Compare(x.PkgPath(), y.PkgPath()), b.types[x].order-b.types[y].order)
		})
		for _, t := range same {
			as := name
			if len(same) > 1 {
				as = path.Base(t.PkgPath()) + "." + name
			}
			as = unused(defs, as)
			d := b.types[t]
			defs[as] = d.schema
			for _, use := range d.uses {
				use.Ref = "#/$defs/" + as
			}
		}
	}
	return defs
}

func unused(defs map[string]*describe.Schema, name string) string {
	if defs[name] == nil {
		return name
	}
	for i := 2; ; i++ {
		if numbered := fmt.Sprintf("%s%d", name, i); defs[numbered] == nil {
			return numbered
		}
	}
}

// qualifier is what stands before a type's name in the name of a generic type: its package.
var qualifier = regexp.MustCompile(`[\w.~/-]*[./]`)

// shortName is the name of a type, of letters, digits and underlines: Page_Item for
// Page[example.com/shop.Item].
func shortName(t reflect.Type) string {
	name := qualifier.ReplaceAllString(t.Name(), "")
	name = strings.Map(func(r rune) rune {
		switch r {
		case '[', ',':
			return '_'
		case '_', ']', '*', ' ', '·':
			return -1
		}
		return r
	}, strings.ReplaceAll(name, "_", "\x00"))
	return strings.ReplaceAll(name, "\x00", "_")
}
