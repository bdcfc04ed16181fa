package main

import (
	"testing"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// What is acknowledged is stored, heard by everybody on all platforms, and there after a restart.
func TestAMessageIsKeptAndHeard(t *testing.T) {
	data := t.TempDir()
	w := newWorldIn(t, data)
	ann, phone, bob := w.enter("Ann", "web"), w.enter("Ann", "app"), w.enter("Bob", "web")
	m := ann.say(channels.GlobalID, "hello 👋")
	if m.N != 1 || m.From != "ann" || m.Name != "Ann" || m.Text != "hello 👋" {
		t.Errorf("stored as %+v", m)
	}
	for _, p := range []*person{ann, phone, bob} {
		p.heard("the message", func(got store.Message) bool { return got.N == 1 && got.Text == m.Text })
	}
	// Everybody is in the channel of everybody, page by page.
	first := call[protocol.MembersReply](bob, "im.members", object{"channel": channels.GlobalID, "limit": 1})
	rest := call[protocol.MembersReply](bob, "im.members", object{"channel": channels.GlobalID, "after": "ann"})
	if !first.More || len(first.Members) != 1 || first.Members[0].Name != "Ann" || !first.Members[0].Online || rest.More || len(rest.Members) != 1 || rest.Members[0].ID != "bob" {
		t.Errorf("in the channel of everybody are %+v and %+v", first, rest)
	}
	again := call[store.Message](bob, "im.send", object{"channel": channels.GlobalID, "cid": "same", "text": "hi"})
	if twice := call[store.Message](bob, "im.send", object{"channel": channels.GlobalID, "cid": "same", "text": "hi"}); twice.N != again.N {
		t.Errorf("sent again, it has the number %d, not %d", twice.N, again.N)
	}
	w.stop()

	w = newWorldIn(t, data)
	ann = w.enter("Ann", "web")
	if c := ann.start.Channels[0]; c.N != 2 || c.Unread != 1 || ann.start.Unread != 1 || c.Last == nil || c.Last.Text != "hi" { // her own message is not unread
		t.Errorf("after the restart the channel is %+v", c)
	}
	page := call[protocol.HistoryReply](ann, "im.history", object{"channel": channels.GlobalID})
	if len(page.Messages) != 2 || page.Messages[0].Text != m.Text {
		t.Errorf("after the restart the history is %+v", page)
	}
	if n := ann.say(channels.GlobalID, "back").N; n != 3 {
		t.Errorf("after the restart a message has the number %d", n)
	}
}

// A second connection on a platform replaces the first; other platforms stay.
func TestOneConnectionAPlatform(t *testing.T) {
	w := newWorld(t)
	first, phone := w.enter("Ann", "web"), w.enter("Ann", "app")
	second := w.enter("Ann", "web")
	<-first.c.Done()
	var kick *client.KickError
	if err := first.c.Err(); !asKick(err, &kick) || kick.Reason != protocol.KickElsewhere {
		t.Errorf("the first one ended with %v", err)
	}
	second.say(channels.GlobalID, "still here")
	phone.heard("the message", func(m store.Message) bool { return m.Text == "still here" })
}
