package schema

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is a property of a struct, as encoding/json sees it.
type field struct {
	name     string
	tagged   bool // the name stands in the tag
	index    []int
	typ      reflect.Type
	optional bool // omitempty, omitzero, or behind an embedded pointer
	quoted   bool // the option string
}

// level is a struct whose fields are properties: the type itself, or one that it embeds.
type level struct {
	typ     reflect.Type
	index   []int
	pointer bool // it is embedded as a pointer, so its fields may be missing
}

// fields returns the properties of a struct in the order of its fields, by the rules of
// encoding/json: those of an embedded struct count as the outer one's, unless it has a name in its
// tag; of several with one name, the least deep wins, then the one with a tag; and if that does not
// decide, none is there.
func fields(t reflect.Type) []field {
	var all []field
	next := []level{{typ: t}}
	times := map[reflect.Type]int{t: 1}
	seen := make(map[reflect.Type]bool)
	for len(next) > 0 {
		current, count := next, times
		next, times = nil, make(map[reflect.Type]int)
		for _, l := range current {
			if seen[l.typ] {
				continue
			}
			seen[l.typ] = true
			for i := range l.typ.NumField() {
				f, embedded, ok := parse(l, i)
				switch {
				case !ok:
				case !embedded:
					all = append(all, f)
					if count[l.typ] > 1 { // embedded twice at this depth: none of its fields wins
						all = append(all, f)
					}
				default:
					at := elem(f.typ)
					if times[at]++; times[at] == 1 {
						next = append(next, level{typ: at, index: f.index, pointer: l.pointer || f.typ.Kind() == reflect.Pointer})
					}
				}
			}
		}
	}
	return dominant(all)
}

func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		return t.Elem()
	}
	return t
}

// parse reads one field of a struct. embedded says that its own fields take its place.
func parse(l level, i int) (f field, embedded, ok bool) {
	sf := l.typ.Field(i)
	if !sf.IsExported() && (!sf.Anonymous || elem(sf.Type).Kind() != reflect.Struct) {
		return f, false, false
	}
	tag := sf.Tag.Get("json")
	if tag == "-" {
		return f, false, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if !isName(name) {
		name = ""
	}
	has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
	f = field{
		name: cmp.Or(name, sf.Name), tagged: name != "", typ: sf.Type,
		index:    append(slices.Clone(l.index), i),
		optional: l.pointer || has("omitempty") || has("omitzero"),
		quoted:   has("string") && isScalar(elem(sf.Type)),
	}
	if sf.Anonymous && name == "" && elem(sf.Type).Kind() == reflect.Struct {
		return f, true, true
	}
	return f, false, sf.IsExported() || sf.Anonymous
}

func isScalar(t reflect.Type) bool {
	k := t.Kind()
	return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String
}

// isName reports whether encoding/json takes a name out of a tag.
func isName(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return s != ""
}

// dominant leaves one field of each name, or none.
func dominant(all []field) []field {
	byName := make(map[string][]field)
	for _, f := range all {
		byName[f.name] = append(byName[f.name], f)
	}
	var kept []field
	for _, same := range byName {
		slices.SortStableFunc(same, func(a, b field) int { return cmp.Or(len(a.index)-len(b.index), rank(a)-rank(b)) })
		if len(same) > 1 && len(same[0].index) == len(same[1].index) && same[0].tagged == same[1].tagged {
			continue
		}
		kept = append(kept, same[0])
	}
	slices.SortFunc(kept, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return kept
}

func rank(f field) int {
	if f.tagged {
		return 0
	}
	return 1
}
