package session_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/lonng/nano/session"
)

// However many values a session has, and whatever is done with them, they are those of a map.
func TestValuesAreThoseOfAMap(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		s, want := session.New(nil), make(map[string]any)
		for n := range 300 {
			key := fmt.Sprint(r.IntN(20))
			switch r.IntN(20) {
			default:
				s.Set(key, n)
				want[key] = n
			case 0, 1, 2, 3, 4, 5, 6, 7:
				s.Remove(key)
				delete(want, key)
			case 8:
				s.Restore(want)
			case 9:
				s.Restore(nil)
				clear(want)
			}
			value, there := want[key]
			if s.HasKey(key) != there || s.Value(key) != value || !maps.Equal(s.State(), want) {
				t.Fatalf("seed %d, after %d steps: %v, and not %v", seed, n+1, s.State(), want)
			}
		}
	}
}

// A value, such as who the client is, costs a session little memory: there are many sessions, and
// most have one or two.
func TestAValueCostsLittle(t *testing.T) {
	all := make([]*session.Session, 10_000)
	for i := range all {
		all[i] = session.New(nil)
	}
	value := new(int)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, s := range all {
		s.Set("player", value)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(all)); each > 200 {
		t.Errorf("a value costs %d bytes", each)
	}
}
