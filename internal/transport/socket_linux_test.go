package transport

import (
	"testing"
	"unsafe"
)

// Each byte here is a megabyte of a node with a million clients.
func TestSocketIsSmall(t *testing.T) {
	const most = 64
	if n := unsafe.Sizeof(Socket{}); n > most {
		t.Errorf("a socket has %d bytes, more than %d", n, most)
	}
}
