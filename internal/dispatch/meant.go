package dispatch

import (
	"slices"
	"strings"
)

// maxMeant is the longest route for which a similar one is looked for.
const maxMeant = 100

// meant returns the known route that is most similar to an unknown one; "" if none is similar. Of
// other nodes it knows the services only.
func meant(t *Table, route string) string {
	if len(route) > maxMeant {
		return ""
	}
	best, least := "", len(route)/3
	try := func(candidate string) {
		d := distance(route, candidate, least+1)
		if d < least || d == least && (best == "" || candidate < best) {
			best, least = candidate, d
		}
	}
	for name := range t.routes {
		try(name)
	}
	if t.cfg.Elsewhere == nil {
		return best
	}
	service, method := route, ""
	if dot := strings.LastIndexByte(route, '.'); dot >= 0 {
		service, method = route[:dot], route[dot:]
	}
	for _, other := range t.cfg.Elsewhere() {
		if other != service { // else it is the handler that is missing there
			try(other + method)
		}
	}
	return best
}

// distance returns how many bytes have to be added, removed or replaced to make b of a; at most
// limit. Upper and lower case are the same.
func distance(a, b string, limit int) int {
	if strings.EqualFold(a, b) {
		return 0
	}
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range before {
		before[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := before[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, before[j+1]+1, row[j]+1)
		}
		if slices.Min(row) >= limit {
			return limit
		}
		before, row = row, before
	}
	return min(before[len(b)], limit)
}
