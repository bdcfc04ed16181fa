package online_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/lonng/nano/examples/im/online"
)

// However people come and go, the digest of a gate is that of who is there, and says so when
// somebody is missing.
func TestDigestIsThatOfWhoIsThere(t *testing.T) {
	r, fresh := online.New(), online.New()
	there := make(map[[3]string]bool) // gate, user and platform
	for range 5000 {
		c := [3]string{fmt.Sprint("gate", rand.IntN(3)), fmt.Sprint("u", rand.IntN(20)), fmt.Sprint("p", rand.IntN(3))}
		here := rand.IntN(2) == 0
		r.Set(c[0], c[1], c[1], c[2], here)
		if there[c] = here; !here {
			delete(there, c)
		}
	}
	for c := range there {
		fresh.Set(c[0], c[1], c[1], c[2], true)
	}
	users, platforms := r.Count()
	if n, by := fresh.Count(); n != users || !reflect.DeepEqual(by, platforms) {
		t.Errorf("%d users on %v, of whom %d on %v are there", users, platforms, n, by)
	}
	for i := range 3 {
		gate := fmt.Sprint("gate", i)
		if r.Digest(gate) != fresh.Digest(gate) {
			t.Errorf("%s has the digest %v, not %v", gate, r.Digest(gate), fresh.Digest(gate))
		}
		copied := online.New()
		copied.Gate(gate, r.At(gate))
		if copied.Digest(gate) != r.Digest(gate) {
			t.Errorf("a copy of %s has the digest %v, not %v", gate, copied.Digest(gate), r.Digest(gate))
		}
		list := r.At(gate)
		slices.SortFunc(list, func(a, b online.Person) int { return len(a.Platforms) - len(b.Platforms) })
		r.Set(gate, list[0].ID, "", list[0].Platforms[0], false)
		if copied.Digest(gate) == r.Digest(gate) {
			t.Errorf("%s has the same digest without %v", gate, list[0])
		}
		r.Gate(gate, nil)
		if r.Digest(gate) != (online.Digest{}) || len(r.At(gate)) != 0 {
			t.Errorf("%s is empty, and has %v", gate, r.Digest(gate))
		}
	}
	if users, platforms := r.Count(); users != 0 || len(platforms) != 0 {
		t.Errorf("nobody is there, and %d are counted on %v", users, platforms)
	}
}
