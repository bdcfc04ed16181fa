package codec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Dictionary maps routes to the two-byte codes that stand for them on the wire. It
// never changes once made and may be used by any number of goroutines. A nil
// *Dictionary is an empty one.
type Dictionary struct {
	codes  map[string]uint16
	routes map[uint16]string
}

// NewDictionary makes a dictionary of a copy of m, and trims blanks around routes. It returns
// an [ErrDictionary], which names all faults, for routes that are empty or longer than
// [MaxRoute] bytes, two routes with one code, and one route with two codes (which trimming
// can lead to).
func NewDictionary(m map[string]uint16) (*Dictionary, error) {
	d := &Dictionary{
		codes:  make(map[string]uint16, len(m)),
		routes: make(map[uint16]string, len(m)),
	}
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrDictionary}, args...)...))
	}
	for _, raw := range slices.Sorted(maps.Keys(m)) {
		route, code := strings.TrimSpace(raw), m[raw]
		if route == "" {
			refuse("code %d has an empty route", code)
			continue
		}
		if len(route) > MaxRoute {
			refuse("route of %d bytes, begins with %.32q", len(route), route)
			continue
		}
		if other, ok := d.codes[route]; ok && other != code {
			refuse("route %q has the codes %d and %d", route, other, code)
			continue
		}
		if other, ok := d.routes[code]; ok && other != route {
			refuse("code %d stands for %q and %q", code, other, route)
			continue
		}
		d.codes[route], d.routes[code] = code, route
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return d, nil
}

// Code returns the code of a route, and whether there is one.
func (d *Dictionary) Code(route string) (uint16, bool) {
	if d == nil {
		return 0, false
	}
	code, ok := d.codes[route]
	return code, ok
}

// Route returns the route that a code stands for, and whether there is one.
func (d *Dictionary) Route(code uint16) (string, bool) {
	if d == nil {
		return "", false
	}
	route, ok := d.routes[code]
	return route, ok
}

// Map returns a copy as a map, never nil: what a handshake tells the client.
func (d *Dictionary) Map() map[string]uint16 {
	m := make(map[string]uint16, d.Len())
	if d != nil {
		maps.Copy(m, d.codes)
	}
	return m
}

// Len returns the number of routes.
func (d *Dictionary) Len() int {
	if d == nil {
		return 0
	}
	return len(d.codes)
}
