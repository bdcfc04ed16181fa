//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	people "github.com/lonng/nano/clients/client"
)

// Who signs in twice must be told at the first place, wherever the second one is. If it failed, a
// page would show a chat that is not its own any more.
func TestASecondSignInEndsTheFirst(t *testing.T) {
	w := newWorld(t, 1, 2)
	first := w.enter(0, "Ada", true)
	for _, second := range []struct {
		where string
		gate  int
		name  string
	}{{"at another gate", 1, "Ada"}, {"at the same gate, spelled otherwise", 1, "ADA"}} {
		next := w.enter(second.gate, second.name, true)
		select {
		case reason := <-first.kick:
			if reason != "signed in elsewhere" {
				t.Errorf("%s: the first was kicked for %q", second.where, reason)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the first was not kicked", second.where)
		}
		first = next
	}
	w.seated(1)
}

// Who comes back before the old connection is known to be dead must not be said to leave.
func TestNobodyLeavesWhoIsStillThere(t *testing.T) {
	w := newWorld(t, 1, 1)
	watcher := w.enter(0, "watcher", false)
	before, now := w.enter(0, "Ada", false), w.enter(0, "Ada", false)
	before.close()
	w.seated(2)
	now.close()
	w.seated(1)
	until(t, 5*time.Second, "Ada is not said to have left", func() bool { return watcher.leftCount("Ada") > 0 })
	if n := watcher.leftCount("Ada"); n != 1 {
		t.Errorf("Ada has left %d times", n)
	}
}

// Who comes back at another gate is counted there, and no more at the first.
func TestWhoChangesTheGateIsCountedOnce(t *testing.T) {
	w := newWorld(t, 1, 0)
	for _, name := range []string{"gate 1", "gate 2"} {
		w.gates = append(w.gates, w.start(w.gate(name, "--clients-resume", "30s")))
	}
	w.agree(10 * time.Second)
	conns := make(chan net.Conn, 10)
	gates := w.gates
	c, err := people.Dial(t.Context(), "tcp://either:1", people.WithDialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		at := gates[0]
		gates = gates[len(gates)-1:]
		conn, err := new(net.Dialer).DialContext(ctx, network, at.tcp)
		if err == nil {
			select {
			case conns <- conn:
			default: // nobody wants it
			}
		}
		return conn, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	counted := func(want int) {
		t.Helper()
		w.counted(fmt.Sprintf("%d people are counted at the first gate", want), func(o Overview) bool {
			return slices.ContainsFunc(o.Nodes, func(n Counted) bool { return n.Name == "gate 1" && n.Users == want }) &&
				slices.ContainsFunc(o.Nodes, func(n Counted) bool { return n.Name == "gate 2" && (n.Users > 1 || want == 1) }) // who asks is one
		})
	}
	counted(1)
	_ = (<-conns).Close()
	counted(0)
	if _, err := people.Call[EnterReply](t.Context(), c, "gate.enter", EnterRequest{}); err != nil {
		t.Error(err)
	}
}

// enter has a client go into the room, at a gate, and sign in if it is to.
func (w *world) enter(gate int, name string, signIn bool) *client {
	w.t.Helper()
	c, err := dial(w.gates[gate].tcp, w.t)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.close)
	enter := EnterRequest{}
	if signIn {
		enter.Name = name
	}
	if err := c.call("gate.enter", enter, &EnterReply{}, 5*time.Second); err != nil {
		w.t.Fatal(err)
	}
	if err := c.call("chat.join", JoinRequest{Room: "room", Name: name}, &JoinReply{}, 5*time.Second); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// seated waits until the master counts so many people in the room of the one backend.
func (w *world) seated(people int) {
	w.t.Helper()
	w.counted(fmt.Sprintf("%d people are in the room", people), func(o Overview) bool {
		for _, n := range o.Nodes {
			if n.Role == "chat" {
				return len(n.Rooms) == 1 && n.Rooms[0] == Sized{"room", people}
			}
		}
		return false
	})
}
