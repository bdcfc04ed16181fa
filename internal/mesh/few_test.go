package mesh

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// few has to behave as a map does, whichever of its two forms it has: a request or a node that it
// loses is one that a client waits for.
func TestFewIsAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var f few[int, int]
	want := map[int]int{}
	for step := range 20_000 {
		k := r.IntN(3 * fewMax)
		switch grow := step/500%2 == 0; { // fills, and empties, again and again
		case grow == (r.IntN(4) > 0):
			f.set(k, step)
			want[k] = step
		default:
			f.remove(k)
			delete(want, k)
		}
		if got := maps.Collect(f.all()); !maps.Equal(got, want) || f.len() != len(want) {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
		v, ok := f.get(k)
		if w, has := want[k]; v != w || ok != has {
			t.Fatalf("step %d: get gives %d, %v; want %d, %v", step, v, ok, w, has)
		}
	}
}
