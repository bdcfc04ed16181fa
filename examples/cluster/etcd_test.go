//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/contrib/etcd/etcdtest"
)

// With etcd the master only counts: nodes find each other without it, those that die leave the
// list, and while etcd is away everybody plays on.
func TestTheListIsKeptByEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and waits for heartbeats")
	}
	list := etcdtest.Start(t, 1, nil)
	w := newWorld(t, 2, 1, "--etcd-endpoints", strings.Join(list.Endpoints(), ","), "--etcd-ttl", "3s", "--etcd-prefix", "chat/")
	c, err := dial(w.gates[0].tcp, t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.name, c.room = "Ada", "room"
	if err := c.join(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		t.Helper()
		if err := c.call("chat.say", SayRequest{Text: text}, &SayReply{}, 5*time.Second); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	say("with both backends")
	victim := 0
	if w.chats[1].addr == c.backend {
		victim = 1
	}
	w.kill(w.chats[victim])
	w.chats = append(w.chats[:victim], w.chats[victim+1:]...)
	t.Logf("the nodes agreed %v after the kill of a backend", w.agree(20*time.Second).Round(time.Millisecond))
	if err := c.join(5 * time.Second); err != nil || c.backend != w.chats[0].addr {
		t.Fatalf("Ada is at %s: %v", c.backend, err)
	}
	list.Kill(0)
	for i := range 10 { // longer than etcd's lease
		say(fmt.Sprint("without etcd: ", i))
		time.Sleep(talkEvery)
	}
	w.agree(20 * time.Second)
}
