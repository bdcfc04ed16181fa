//go:build !linux

package transport

// unsent is not known here.
func unsent(int) int { return 0 }

func traffic(int) (t Traffic, ok bool) { return t, false }
