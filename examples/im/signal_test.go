//go:build unix

package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// terminate ends the process as an operator does, and wants it to end in order.
func (p *process) terminate() {
	p.t.Helper()
	p.mu.Lock()
	cmd, wait := p.cmd, p.wait
	p.mu.Unlock()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	select {
	case err := <-ended:
		if err != nil {
			p.t.Errorf("%v ended with %v", p.args[:3], err)
		}
	case <-time.After(4 * patience):
		_ = cmd.Process.Kill()
		<-ended
		p.t.Errorf("%v does not end", p.args[:3])
	}
}

// Processes that are told to end drain: a gate's people go on at the other gate with their
// sessions, another node runs the channels, and everything that was said is stored once.
func TestProcessesThatAreToldToEnd(t *testing.T) {
	t.Setenv("IM_DRAIN", "20s") // on a busy machine, clients are slow to go
	w := startProcesses(t, "--data", t.TempDir())
	addr := func(gate int) string { return strings.TrimPrefix(w.urls[gate], "http://") }
	bob := (&world{t: t, addr: addr(1)}).enter("Bob", "web")
	via := newWay(t, addr(0))
	ann := (&world{t: t, addr: via.l.Addr().String()}).enter("Ann", "web")
	said := 0
	speak := func(p *person, text string) {
		t.Helper()
		said++
		message := object{"channel": channels.GlobalID, "cid": fmt.Sprint("s", said), "text": text}
		if _, err := insist[store.Message](p, "im.send", message); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	// during has both talk while something happens.
	during := func(what string, happens func()) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			happens()
		}()
		pace := time.NewTicker(100 * time.Millisecond) // who says more than people can is kicked
		defer pace.Stop()
		for ended := false; !ended; {
			<-pace.C
			select {
			case <-done:
				ended = true // and once more
			default:
			}
			for name, p := range map[string]*person{"Ann": ann, "Bob": bob} {
				speak(p, fmt.Sprintf("%s during %s: %d", name, what, said))
			}
		}
	}
	during("the end of a node that runs channels", w.logics[0].terminate)
	via.lead(addr(1)) // as a balancer does that sees the gate drain
	during("the end of a gate", w.gates[0].terminate)
	during("the end of the master", w.master.terminate)
	if err := ann.c.Err(); err != nil {
		t.Errorf("Ann's client has ended: %v", err)
	}
	ann.pushed(protocol.PushAgain, func(string) bool { return true }) // she is at another gate, and asks how things are
	if start := call[protocol.StartReply](ann, "im.start", object{}); start.Me.ID != "ann" {
		t.Errorf("at the other gate she is %+v", start.Me)
	}
	speak(bob, "the last")
	ann.heard("the last", func(m store.Message) bool { return m.Text == "the last" })

	seen := make(map[string]int)
	var last int64
	for rev := int64(0); ; {
		part := call[protocol.SyncReply](ann, "im.sync", object{"channel": channels.GlobalID, "rev": rev})
		for _, m := range part.Messages {
			seen[m.Text]++
			if m.N <= last {
				t.Errorf("%q is number %d after %d", m.Text, m.N, last)
			}
			last = m.N
		}
		if len(part.Messages) == 0 || !part.More {
			break
		}
		rev = part.Rev
	}
	if len(seen) != said {
		t.Errorf("%d messages are stored, of %d", len(seen), said)
	}
	for text, n := range seen {
		if n != 1 {
			t.Errorf("%q is stored %d times", text, n)
		}
	}
}
