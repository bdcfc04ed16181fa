package main

import (
	"net"
	"testing"
)

// However many connections say nothing, the next one is served.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSplit(l, 1)
	defer s.ended.Wait()
	defer s.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 { // the first one is waited for
		c, err := s.rest.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}
