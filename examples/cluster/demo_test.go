//go:build unix

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// A demo that ends, because a node does not start, does not wait to start another one that has
// ended, nor start it again.
func TestADemoThatEndsStartsNothingAgain(t *testing.T) {
	var out bytes.Buffer
	d := &demo{program: "/bin/sh", restart: time.Hour, out: &out}
	said := func(text string) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return strings.Contains(out.String(), text)
	}
	ready := make(chan state, 1)
	end := d.keep(context.Background(), &child{name: "node", args: []string{"-c", "echo cluster: serves"}}, ready)
	if s := <-ready; s.err != nil {
		t.Fatal(s.err)
	}
	until(t, time.Minute, "the node has not ended", func() bool { return said("has ended") })
	ended := make(chan struct{})
	go func() {
		end()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it waits for the restart of a node")
	}
	if said("is back") {
		t.Error("the node was started again")
	}
}
