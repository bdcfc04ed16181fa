//go:build unix

package main

import (
	"fmt"
	"testing"
	"time"
)

// A client that names one room to the gate and another to the backend must not open the second room
// elsewhere: its new owner would claim it, and everybody in the real one would lose their place.
func TestARoomIsOpenedOnItsBackendOnly(t *testing.T) {
	w := newWorld(t, 2, 1)
	dialed := func(name, room string) *client {
		c, err := dial(w.gates[0].tcp, t)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.close)
		c.name, c.room = name, room
		return c
	}
	ada := dialed("Ada", "plaza")
	if err := ada.join(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	elsewhere := dialed("scout", "")
	until(t, 5*time.Second, "no room is on the other backend", func() bool {
		elsewhere.room += "x"
		return elsewhere.join(time.Second) == nil && elsewhere.backend != ada.backend
	})

	bob := dialed("Bob", "plaza")
	enter := map[string]string{"room": elsewhere.room, "name": "Bob"}
	if err := bob.call("gate.enter", enter, &EnterReply{}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	var reply JoinReply
	if err := bob.call("chat.join", JoinRequest{Room: "plaza", Name: "Bob"}, &reply, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if reply.Addr != ada.backend || len(reply.People) != 2 {
		t.Errorf("Bob is in #plaza at %s with %v; Ada is at %s", reply.Addr, reply.People, ada.backend)
	}

	// Nor when the two come at once: the gate's handler and its reader run beside each other.
	for i := range 200 {
		go func() { _ = bob.call("gate.enter", enter, &EnterReply{}, 5*time.Second) }()
		if err := bob.call("chat.join", JoinRequest{Room: "plaza", Name: fmt.Sprint("Bob ", i)}, &reply, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if reply.Addr != ada.backend {
			t.Fatalf("Bob is in #plaza at %s; Ada is at %s", reply.Addr, ada.backend)
		}
	}
	if err := ada.call("chat.say", SayRequest{Text: "still here"}, &SayReply{}, 5*time.Second); err != nil {
		t.Errorf("Ada has lost her place: %v", err)
	}
	if ada.moved.Load() {
		t.Error("Ada was told that the room has moved")
	}
}
