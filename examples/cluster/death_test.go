//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano/component"
)

// clients is how many clients make the load.
const clients = 16

// patience is how long the nodes may take to agree: five heartbeats, and the time until they have
// reported it.
const patience = 5*beat + beat/2

// noticed is how long after the death of a node requests for it may fail. It is a second, unless
// the machine has other things to do.
const noticed = 3 * beat

// A backend that crashes takes the game away from its players until they are somewhere else: at
// most for a second.
func TestABackendIsKilled(t *testing.T) {
	w := newWorld(t, 2, 2)
	l := w.load(clients, w.gates, "")
	time.Sleep(500 * time.Millisecond)

	victim := w.chats[0]
	began := l.mark()
	w.kill(victim)
	w.chats = w.chats[1:]
	t.Logf("the nodes agreed %v after the kill", w.agree(patience).Round(time.Millisecond))
	l.report(t, "SIGKILL of a backend", began)
	lost, _, requests := l.failed()
	for _, f := range lost {
		if f.backend != victim.addr {
			t.Errorf("a request to the backend %s, which lives, failed: %v", f.backend, f.err)
		}
		if after := f.at.Sub(began); after > noticed {
			t.Errorf("a request still failed %v after the kill: %v", after, f.err)
		}
	}
	if requests < clients { // each has gone on
		t.Errorf("%d requests", requests)
	}
	fresh, err := dial(w.gates[0].tcp, t)
	if err != nil {
		t.Fatal(err)
	}
	fresh.name, fresh.room = "fresh", "fresh"
	if err := fresh.join(0); err != nil {
		t.Errorf("a new session: %v", err)
	}

	// Started again, it is used again.
	w.chats = append(w.chats, w.start(victim))
	t.Logf("the nodes agreed %v after the restart", w.agree(patience).Round(time.Millisecond))
	n := 0
	until(t, patience, "no new room is on the backend that has come back", func() bool {
		n++
		fresh.room = fmt.Sprint("fresh ", n)
		return fresh.join(0) == nil && fresh.backend == victim.addr
	})
}

// A backend that hangs must not be noticed by who does not play there, and the gate must not keep
// what is for it.
func TestABackendHangs(t *testing.T) {
	w := newWorld(t, 2, 1)
	gate := w.gates[0]
	l := w.load(clients, w.gates, "")
	time.Sleep(500 * time.Millisecond)

	victim := w.chats[0]
	before := descriptors(t, gate)
	began := l.mark()
	w.signal(victim, syscall.SIGSTOP)
	// Clients come and go meanwhile, and ask the one that hangs.
	for i := range 40 {
		c, err := dial(gate.tcp, t)
		if err != nil {
			t.Fatal(err)
		}
		c.name, c.room = "guest", fmt.Sprint("guest ", i)
		_ = c.call("gate.enter", EnterRequest{}, &EnterReply{}, time.Second)
		go func() { _ = c.call("chat.join", JoinRequest{Room: c.room, Name: c.name}, &JoinReply{}, time.Second) }()
		time.Sleep(10 * time.Millisecond)
		c.close()
	}
	time.Sleep(6 * time.Second)
	l.report(t, "SIGSTOP of a backend for 7 s", began)
	lost, _, _ := l.failed()
	for _, f := range lost {
		if f.backend != victim.addr {
			t.Errorf("a request to the backend %s, which works, failed: %v", f.backend, f.err)
		}
		if after := f.at.Sub(began); after > 6*beat {
			t.Errorf("a request still failed %v after the hang: %v", after, f.err)
		}
	}
	l.wantQuick(t)
	until(t, 5*time.Second, fmt.Sprintf("the gate has %d descriptors open, and had %d before", descriptors(t, gate), before), func() bool {
		return descriptors(t, gate) <= before
	})

	w.signal(victim, syscall.SIGCONT)
	t.Logf("the nodes agreed %v after it went on", w.agree(patience).Round(time.Millisecond))
}

// A gate that crashes must not leave ghosts in the rooms, nor slow down who came by another gate.
func TestAGateIsKilled(t *testing.T) {
	w := newWorld(t, 2, 2)
	ghosts := w.load(clients, w.gates[1:], "room")
	l := w.loadWithin(answerAtAll, clients, w.gates[:1], "other")
	watcher, err := dial(w.gates[0].tcp, t)
	if err != nil {
		t.Fatal(err)
	}
	watcher.name, watcher.room = "watcher", "room"
	if err := watcher.join(answerAtAll); err != nil {
		t.Fatal(err)
	}
	victim := w.gates[1]
	began := l.mark()
	w.kill(victim)
	w.gates = w.gates[:1]
	until(t, 5*beat, "not everybody behind the dead gate has left the room", func() bool {
		for _, c := range ghosts.clients {
			if watcher.leftCount(c.name) == 0 {
				return false
			}
		}
		return true
	})
	t.Logf("the dead gate's %d clients had left the room after %v", clients, time.Since(began).Round(time.Millisecond))
	w.agree(patience)
	for _, c := range ghosts.clients {
		if n := watcher.leftCount(c.name); n != 1 {
			t.Errorf("%s has left %d times", c.name, n)
		}
	}
	l.report(t, "SIGKILL of a gate", began)
	wantNoFailure(t, l)
	l.wantQuick(t)

	w.gates = append(w.gates, w.start(victim))
	w.agree(patience)
}

// A gate that hangs must not be noticed by who came by another one, though there are broadcasts to
// both.
func TestAGateHangs(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.load(clients, w.gates[1:], "room")
	l := w.loadWithin(answerAtAll, clients, w.gates[:1], "room")
	speaker := l.clients[0]
	time.Sleep(300 * time.Millisecond)
	began := l.mark()
	w.signal(w.gates[1], syscall.SIGSTOP)
	var waited time.Duration // for lines that took longer than answerWithin
	for i := range 10 {
		said := time.Now()
		if err := speaker.call("chat.say", SayRequest{Text: fmt.Sprint("line ", i)}, &SayReply{}, answerAtAll); err != nil {
			t.Errorf("a message to the room: %v", err)
		}
		if took := time.Since(said); took > answerWithin {
			waited += took
		}
		time.Sleep(600 * time.Millisecond)
	}
	l.report(t, "SIGSTOP of a gate for 6 s", began)
	wantNoFailure(t, l)
	l.wantQuick(t)
	wantNoWaiting(t, began, waited)
	w.signal(w.gates[1], syscall.SIGCONT)
	w.agree(patience)
}

// Without its master the cluster plays on, and a new master finds everybody, though another node
// joins meanwhile.
func TestTheMasterIsKilledAndAnotherJoinsMeanwhile(t *testing.T) {
	w := newWorld(t, 1, 1)
	l := w.loadWithin(answerAtAll, clients, w.gates, "")
	began := l.mark()
	w.kill(w.master)
	late := w.chat("late")
	ready := w.launch(late) // and waits for its master
	time.Sleep(2 * beat)
	w.start(w.master)
	<-ready
	w.chats = append(w.chats, late)
	t.Logf("the nodes agreed %v after the master's restart", w.agree(patience).Round(time.Millisecond))
	l.report(t, "SIGKILL of the master, back after 2 s", began)
	wantNoFailure(t, l)
}

// The master hangs for longer than anybody waits for it, and comes back.
func TestTheMasterHangs(t *testing.T) {
	w := newWorld(t, 1, 1)
	l := w.loadWithin(answerAtAll, clients, w.gates, "")
	began := l.mark()
	w.signal(w.master, syscall.SIGSTOP)
	time.Sleep(7 * time.Second)
	w.signal(w.master, syscall.SIGCONT)
	t.Logf("the nodes agreed %v after it went on", w.agree(patience).Round(time.Millisecond))
	l.report(t, "SIGSTOP of the master for 7 s", began)
	wantNoFailure(t, l)
}

// Two nodes die at once.
func TestABackendAndAGateAreKilledTogether(t *testing.T) {
	w := newWorld(t, 2, 2)
	l := w.load(clients, w.gates[:1], "")
	began := l.mark()
	chat, gate := w.chats[0], w.gates[1]
	w.signal(chat, syscall.SIGKILL)
	w.signal(gate, syscall.SIGKILL)
	<-chat.ended
	<-gate.ended
	w.chats, w.gates = w.chats[1:], w.gates[:1]
	t.Logf("the nodes agreed after %v", w.agree(patience).Round(time.Millisecond))
	l.report(t, "SIGKILL of a backend and a gate", began)
	lost, _, _ := l.failed()
	for _, f := range lost {
		if f.backend != chat.addr || f.at.Sub(began) > noticed {
			t.Errorf("%v after the kill a request to %s failed: %v", f.at.Sub(began), f.backend, f.err)
		}
	}
}

// A new version is rolled out while people play: no request is to fail.
func TestRollingRestartOfTheBackends(t *testing.T) {
	w := newWorld(t, 3, 1)
	l := w.loadWithin(answerAtAll, clients, w.gates, "")
	began := l.mark()
	for i, p := range w.chats {
		w.stop(p, 10*time.Second)
		w.start(p)
		t.Logf("backend %d: the nodes agreed %v after its restart", i+1, w.agree(patience).Round(time.Millisecond))
	}
	l.report(t, "rolling restart of 3 backends", began)
	wantNoFailure(t, l)
}

// An operator ends a gate: its clients are told, the rooms forget them at once, and the process
// ends in order.
func TestAGateIsToldToEnd(t *testing.T) {
	w := newWorld(t, 1, 2)
	l := w.load(clients, w.gates[1:], "room")
	watcher, err := dial(w.gates[0].tcp, t)
	if err != nil {
		t.Fatal(err)
	}
	watcher.name, watcher.room = "watcher", "room"
	if err := watcher.join(answerAtAll); err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{"tally.report", "tally.overview", "gate.overview", "chat.claim", "chat.keep"} {
		var e *callError
		if err := watcher.call(route, Empty{}, &Empty{}, answerAtAll); !errors.As(err, &e) || e.Code != component.CodeRefused {
			t.Errorf("a client that calls %s, which is for nodes, gets %v", route, err)
		}
	}
	began := time.Now()
	gate := w.gates[1]
	w.stop(gate, 10*time.Second)
	w.gates = w.gates[:1]
	t.Logf("SIGTERM of a gate with %d clients: it ended after %v", clients, time.Since(began).Round(time.Millisecond))
	for _, c := range l.clients {
		select {
		case reason := <-c.kick:
			if reason != "server shutdown" {
				t.Errorf("%s was kicked for %q", c.name, reason)
			}
		case <-time.After(answerAtAll):
			t.Errorf("%s was not told", c.name)
		}
	}
	until(t, noticed, "somebody is still in the room", func() bool { // of a gate that has died, the rooms hear later
		for _, c := range l.clients {
			if watcher.leftCount(c.name) == 0 {
				return false
			}
		}
		return true
	})
	w.agree(patience)
	for _, c := range l.clients {
		if n := watcher.leftCount(c.name); n != 1 {
			t.Errorf("%s has left %d times", c.name, n)
		}
	}
	if out := gate.output(); strings.Contains(out, "panic") {
		t.Errorf("the gate wrote\n%s", out)
	}
}

// wantNoFailure ends the requests, and wants that some were made, none has failed, and clients have
// not spent their time waiting for a few answers, as they do if these wait for a dead node.
func wantNoFailure(t *testing.T, l *load) {
	t.Helper()
	l.stop()
	l.done.Wait() // for the answers that are still to come
	lost, _, requests := l.failed()
	if len(lost) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(lost), requests, lost[0].err)
	}
	if requests == 0 {
		t.Error("no request was made")
	}
	wantNoWaiting(t, l.since, l.waited/time.Duration(len(l.clients)))
}

// wantNoWaiting wants that a client has spent little of its time with waiting for answers that took
// more than answerWithin. On a busy machine a few do.
func wantNoWaiting(t *testing.T, since time.Time, waited time.Duration) {
	t.Helper()
	if all := time.Since(since); waited > all/3 {
		t.Errorf("of %v, a client has waited %v for answers that took more than %v", all, waited, answerWithin)
	}
}

// descriptors counts the open files of a process.
func descriptors(t *testing.T, p *process) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no /proc here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
