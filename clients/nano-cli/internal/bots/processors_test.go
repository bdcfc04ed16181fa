package bots

import "testing"

// With too few processors the bots would be slower than the server that they measure; with too many
// they cost it some of its own.
func TestProcessors(t *testing.T) {
	for _, row := range []struct {
		what       string
		now, most  int
		busy       []float64
		want       int
		afterwards int // of one more look without work
	}{
		{"nothing to do, for a moment", 4, 4, []float64{0, 0, 0}, 4, 4},
		{"nothing to do", 4, 4, many(9, 0), 4, 3},
		{"nothing to do for long", 4, 4, many(100, 0), 1, 1},
		{"a pause ends", 4, 4, append(many(9, 0), 1.8), 4, 4},
		{"more than one can do", 1, 8, []float64{0.7}, 2, 2},
		{"far more", 1, 8, []float64{0.9, 1.8, 3.9}, 8, 8},
		{"no more than there are", 2, 3, []float64{1.9, 2.9}, 3, 3},
		{"just right", 2, 4, many(100, 1), 2, 2},
		{"one is enough", 1, 4, many(100, 0.5), 1, 1},
		{"between one and two", 2, 4, many(100, 0.57), 2, 2}, // else it would go up and down
	} {
		p := processors{now: row.now, most: row.most}
		for _, b := range row.busy {
			p.next(b)
		}
		if p.now != row.want {
			t.Errorf("%s: %d, want %d", row.what, p.now, row.want)
		}
		if got := p.next(0); got != row.afterwards {
			t.Errorf("%s: afterwards %d, want %d", row.what, got, row.afterwards)
		}
	}
}

func many(n int, busy float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = busy
	}
	return all
}
