package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// What is in a channel is for its members: by no request does a stranger get at it, change it, or
// hear of it.
func TestOtherPeoplesChannels(t *testing.T) {
	w := newWorld(t)
	ann, bob, eve := w.enter("Ann", "web"), w.enter("Bob", "web"), w.enter("Eve", "web")
	group := call[protocol.Channel](ann, "im.create", object{"title": "Team", "invite": []string{"bob"}})
	call[protocol.Channel](bob, "im.accept", object{"channel": group.ID})
	private := call[protocol.Channel](ann, "im.private", object{"user": "bob"})
	token := w.token("Ann")
	for _, channel := range []string{group.ID, private.ID} {
		ann.say(channel, "the secret word")
		p, status := w.upload(token, channel, "image/png", picture(t, 9, 5))
		if status != http.StatusOK || p.Width != 9 || p.Height != 5 || p.Type != "image/png" {
			t.Fatalf("upload: %d %+v", status, p)
		}
		m := call[store.Message](ann, "im.send", object{"channel": channel, "cid": "pic" + channel, "picture": p.ID})
		if m.Picture == nil || *m.Picture != p {
			t.Errorf("sent %+v", m)
		}
		for _, path := range []string{"/pictures/" + p.ID, "/pictures/" + p.ID + "/thumb"} {
			if status := w.do(http.MethodGet, path, nil, nil, "Authorization", "Bearer "+w.token("Bob")); status != http.StatusOK {
				t.Errorf("bob's look at %s: %d", path, status)
			}
			if status := w.do(http.MethodGet, path, nil, nil, "Authorization", "Bearer "+w.token("Eve")); status != http.StatusNotFound {
				t.Errorf("eve's look at %s: %d", path, status)
			}
			if status := w.do(http.MethodGet, path, nil, nil); status != http.StatusUnauthorized {
				t.Errorf("a stranger's look at %s: %d", path, status)
			}
		}
		if _, status := w.upload(w.token("Eve"), channel, "image/png", picture(t, 1, 1)); status != http.StatusNotFound {
			t.Errorf("eve's upload: %d", status)
		}
		for route, req := range map[string]object{
			"im.send": {"cid": "1", "text": "x"}, "im.edit": {"n": 1, "text": "x"}, "im.delete": {"n": 1}, "im.history": {}, "im.get": {"numbers": []int{1}},
			"im.sync": {"rev": 0}, "im.read": {"n": 1}, "im.members": {}, "im.invite": {"users": []string{"eve"}}, "im.accept": {}, "im.decline": {},
			"im.remove": {"user": "bob"}, "im.role": {"user": "eve", "role": "owner"}, "im.rename": {"title": "Mine"}, "im.leave": {}, "live.enter": {},
			"live.say": {"cid": "1", "text": "x"},
		} {
			req["channel"] = channel
			req["by"] = object{"id": "ann", "name": "Ann"} // and it does not help to say that one is Ann
			if _, err := try[object](eve, route, req); client.CodeOf(err) != client.CodeNotFound {
				t.Errorf("eve's %s: %v", route, err)
			}
		}
		if _, err := try[store.Message](eve, "im.send", object{"channel": channels.GlobalID, "cid": "steal", "picture": p.ID}); client.CodeOf(err) != client.CodeNotFound {
			t.Errorf("eve sends ann's picture: %v", err)
		}
	}
	if found := call[protocol.SearchReply](eve, "im.search", object{"find": "secret"}); len(found.Messages) != 0 {
		t.Errorf("eve finds %+v", found)
	}
	ann.say(channels.GlobalID, "for all")
	eve.heard("what is for all", func(m store.Message) bool { return m.Text == "for all" })
	eve.mu.Lock()
	defer eve.mu.Unlock()
	for _, m := range eve.messages {
		if m.Channel != channels.GlobalID {
			t.Errorf("eve has heard %+v", m)
		}
	}
	for _, p := range eve.pushes {
		if strings.Contains(p.data, group.ID) || strings.Contains(p.data, private.ID) {
			t.Errorf("eve was told %+v", p)
		}
	}
}

// Groups have ranks: each does what it may, and no more; who has left hears nothing.
func TestGroups(t *testing.T) {
	w := newWorld(t)
	ann, bob, eve := w.enter("Ann", "web"), w.enter("Bob", "web"), w.enter("Eve", "web")
	g := call[protocol.Channel](ann, "im.create", object{"title": "Team", "invite": []string{"bob", "eve", "nobody"}}).ID
	refused := func(p *person, route, code string, req object) {
		t.Helper()
		req["channel"] = g
		if _, err := try[object](p, route, req); client.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", route, err, code)
		}
	}
	refused(bob, "im.send", client.CodeNotFound, object{"cid": "1", "text": "x"}) // invited only
	refused(bob, "im.history", client.CodeNotFound, object{})
	call[protocol.Channel](bob, "im.accept", object{"channel": g})
	ann.pushed(protocol.PushAbout, func(data string) bool {
		return strings.Contains(data, `"members":2,"people":[{"id":"bob","name":"Bob","role":"member"}]`)
	})
	ann.pushed(protocol.PushPresence, func(data string) bool { return strings.Contains(data, `"bob","online":true`) })
	call[protocol.Channel](eve, "im.accept", object{"channel": g})
	said := ann.say(g, "hello")
	refused(bob, "im.edit", client.CodeRefused, object{"n": said.N, "text": "changed"})
	refused(bob, "im.delete", client.CodeRefused, object{"n": said.N})
	refused(bob, "im.rename", client.CodeRefused, object{"title": "Bob's"})
	refused(bob, "im.remove", client.CodeRefused, object{"user": "eve"})
	refused(bob, "im.role", client.CodeRefused, object{"user": "bob", "role": "owner"})
	refused(bob, "im.invite", client.CodeRefused, object{"users": []string{"x"}})
	refused(ann, "im.role", client.CodeInvalid, object{"user": "bob", "role": "god"})
	call[protocol.Empty](ann, "im.role", object{"channel": g, "user": "bob", "role": "admin"})
	refused(bob, "im.remove", client.CodeRefused, object{"user": "ann"})
	if c := call[protocol.Channel](bob, "im.rename", object{"channel": g, "title": "Crew"}); c.Title != "Crew" || c.Role != store.Admin || c.Members != 3 {
		t.Errorf("renamed: %+v", c)
	}
	for _, want := range []string{`"Crew"`, `"bob"`, `"members":3`} { // what all are told
		eve.pushed(protocol.PushAbout, func(data string) bool { return strings.Contains(data, want) })
	}
	mine := eve.say(g, "mine")
	call[store.Message](bob, "im.delete", object{"channel": g, "n": mine.N}) // an admin may
	eve.heard("the deletion", func(m store.Message) bool { return m.N == mine.N && m.Deleted && m.Text == "" })
	edited := call[store.Message](ann, "im.edit", object{"channel": g, "n": said.N, "text": "hello all"})
	sync := call[protocol.SyncReply](eve, "im.sync", object{"channel": g, "rev": 2})
	if len(sync.Messages) != 2 || sync.Messages[1].Text != "hello all" || sync.Rev != edited.Rev {
		t.Errorf("since rev 2: %+v", sync)
	}
	call[protocol.ReadReply](eve, "im.read", object{"channel": g, "n": 2})
	ann.pushed(protocol.PushReads, func(data string) bool { return strings.Contains(data, `"eve":2`) })
	call[protocol.Empty](bob, "im.remove", object{"channel": g, "user": "eve"})
	ann.pushed(protocol.PushAbout, func(data string) bool { return strings.Contains(data, `"members":2,"gone":["eve"]`) })
	eve.pushed(protocol.PushGone, func(data string) bool { return strings.Contains(data, "removed") })
	refused(eve, "im.history", client.CodeNotFound, object{})
	call[protocol.Empty](ann, "im.leave", object{"channel": g}) // bob is the owner then
	last := bob.say(g, "alone")
	refused(ann, "im.history", client.CodeNotFound, object{})
	members := call[protocol.MembersReply](bob, "im.members", object{"channel": g})
	if len(members.Members) != 1 || members.Members[0].Role != store.Owner || !members.Members[0].Online {
		t.Errorf("left is %+v", members)
	}
	bob.heard("himself", func(m store.Message) bool { return m.N == last.N })
	for name, p := range map[string]*person{"ann": ann, "eve": eve} {
		p.mu.Lock()
		for _, m := range p.messages {
			if m.Channel == g && m.N == last.N {
				t.Errorf("%s has left, and heard %+v", name, m)
			}
		}
		p.mu.Unlock()
	}
	p := call[protocol.Channel](ann, "im.private", object{"user": "eve"})
	if again := call[protocol.Channel](eve, "im.private", object{"user": "ann"}); again.ID != p.ID || again.With == nil || again.With.ID != "ann" || !again.With.Online {
		t.Errorf("from the other side the private channel is %+v", again)
	}
	for _, user := range []string{"nobody", "ann", ""} {
		if _, err := try[object](ann, "im.private", object{"user": user}); client.CodeOf(err) != client.CodeNotFound {
			t.Errorf("private with %q: %v", user, err)
		}
	}
}

// A connection without a good token is refused, and so is that of another site's page.
func TestWhoIsNotSignedIn(t *testing.T) {
	w := newWorld(t)
	for name, user := range map[string]object{
		"nobody": {}, "a forged token": {"token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJhdWQiOiJuYW5vLWltIiwiZXhwIjo5OTk5OTk5OTk5fQ."},
		"a strange platform": {"token": w.token("Ann"), "platform": "<script>"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := client.Dial(ctx, "ws://"+w.addr+"/nano", client.WithUser(user))
		cancel()
		if err == nil {
			c.Close()
			t.Errorf("%s is let in", name)
		}
	}
	_, status := w.cookie("Ann")
	if status == "" {
		t.Fatal("there is no cookie")
	}
	for origin, ok := range map[string]bool{"http://" + w.addr: true, "https://evil.example": false} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := client.Dial(ctx, "ws://"+w.addr+"/nano", client.WithUser(object{}), client.WithHeader(http.Header{"Cookie": {status}, "Origin": {origin}}))
		cancel()
		if err == nil {
			c.Close()
		}
		if (err == nil) != ok {
			t.Errorf("a page of %s: %v", origin, err)
		}
	}
}

// The page of another site gets at nothing by the cookie of who looks at it: no picture, no upload,
// no figures; and no answer says that it may be read there.
func TestOtherSitesGetNothing(t *testing.T) {
	w := newWorld(t)
	_, cookie := w.cookie("Ann")
	p, status := w.upload(w.token("Ann"), channels.GlobalID, "image/png", picture(t, 9, 9))
	if status != http.StatusOK {
		t.Fatal(status)
	}
	own := []string{"Cookie", cookie, "Origin", "http://" + w.addr, "Sec-Fetch-Site", "same-origin"}
	if status := w.do(http.MethodGet, "/pictures/"+p.ID, nil, nil, own...); status != http.StatusOK {
		t.Errorf("the own page is answered %d", status)
	}
	for name, headers := range map[string][]string{
		"another origin": {"Origin", "https://evil.example"}, "a file": {"Origin", "null"}, "another port": {"Origin", "http://127.0.0.1:1"},
		"a page elsewhere": {"Sec-Fetch-Site", "cross-site"}, "a page of the same domain": {"Sec-Fetch-Site", "same-site"},
	} {
		for _, c := range []struct {
			method, path string
			status       int
		}{
			{"GET", "/pictures/" + p.ID, 401}, {"GET", "/pictures/" + p.ID + "/thumb", 401}, {"POST", "/pictures?channel=global", 401},
			{"POST", "/auth/name", 403}, {"POST", "/auth/logout", 403}, {"GET", "/auth/ways", 200},
			{"OPTIONS", "/pictures?channel=global", 405}, {"OPTIONS", "/auth/name", 405}, {"OPTIONS", "/api/v1/push", 401}, {"POST", "/api/v1/push", 401}, {"GET", "/metrics", 401},
		} {
			req, err := http.NewRequest(c.method, "http://"+w.addr+c.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range [][]string{{"Cookie", cookie, "Content-Type", "image/png", "Access-Control-Request-Method", "POST"}, headers} {
				for i := 0; i < len(h); i += 2 {
					req.Header.Set(h[i], h[i+1])
				}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != c.status || bytes.Contains(body, []byte(`"ann"`)) {
				t.Errorf("%s: %s %s is answered %d %s, %v", name, c.method, c.path, resp.StatusCode, body, err)
			}
			for header := range resp.Header {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("%s: %s %s has the header %s", name, c.method, c.path, header)
				}
			}
		}
	}
}

// Requests by HTTP that are too large are refused wherever they go, and the messenger goes on.
func TestOversizedRequests(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 2<<20)
	for _, c := range []struct{ method, path, header, body string }{
		{"GET", "/", long, ""}, {"GET", "/auth/ways?" + long, "", ""}, {"GET", "/pictures/" + long, "", ""}, {"GET", "/api/v1/online?after=" + long, "", ""},
		{"POST", "/auth/name", "", `{"name":"` + long + `"}`}, {"POST", "/auth/token", "", `{"token":"` + long + `"}`}, {"POST", "/auth/logout", "", `{"x":"` + long + `"}`},
		{"POST", "/api/v1/push", long, "{}"}, {"POST", "/api/v1/push", "", `{"x":"` + strings.Repeat(long, 5) + `"}`},
	} {
		req, err := http.NewRequest(c.method, "http://"+w.addr+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(key[0], key[1])
		if c.header != "" {
			req.Header.Set("X-Long", c.header)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // it has hung up in the middle
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%s %.20s is answered %d", c.method, c.path, resp.StatusCode)
		}
	}
	w.enter("Ann", "web").say(channels.GlobalID, "still here")
}

// cookie signs somebody in as a page does.
func (w *world) cookie(name string) (int, string) {
	w.t.Helper()
	resp, err := http.Post("http://"+w.addr+"/auth/name", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	value, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	return resp.StatusCode, value
}

// What is too large or makes no sense is refused, and markup comes out as the text that went in.
func TestHostileMessages(t *testing.T) {
	w := newWorld(t)
	ann := w.enter("<script>alert(1)</script>", "web")
	if ann.start.Me.Name != "<script>alert(1)</script>" {
		t.Errorf("the name is %q", ann.start.Me.Name)
	}
	const evil = `<img src=x onerror=alert(1)> "quoted" & 'so' \u0000 ${x} ');DROP TABLE messages;--`
	if m := ann.say(channels.GlobalID, evil); m.Text != evil {
		t.Errorf("said %q", m.Text)
	}
	if page := call[protocol.HistoryReply](ann, "im.history", object{"channel": channels.GlobalID}); page.Messages[0].Text != evil {
		t.Errorf("stored %q", page.Messages[0].Text)
	}
	for name, req := range map[string]object{
		"no text":       {"cid": "1"},
		"only blanks":   {"cid": "2", "text": " \n\t "},
		"very long":     {"cid": "3", "text": strings.Repeat("x", protocol.MaxText+1)},
		"no cid":        {"text": "x"},
		"a long cid":    {"cid": strings.Repeat("c", protocol.MaxCID+1), "text": "x"},
		"many mentions": {"cid": "5", "text": "x", "mentions": make([]string, protocol.MaxMentions+1)},
		"reply below 0": {"cid": "6", "text": "x", "reply": -1},
		"a wrong type":  {"cid": 7, "text": "x"},
	} {
		req["channel"] = channels.GlobalID
		if _, err := try[store.Message](ann, "im.send", req); client.CodeOf(err) != client.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		route string
		req   object
	}{
		"a long title":  {"im.create", object{"title": strings.Repeat("t", protocol.MaxTitle+1)}},
		"no title":      {"im.create", object{"title": "\u202e"}},
		"many invited":  {"im.create", object{"title": "x", "invite": make([]string, protocol.MaxInvite+1)}},
		"a long search": {"im.search", object{"find": strings.Repeat("x", 300)}},
		"many numbers":  {"im.get", object{"channel": channels.GlobalID, "numbers": make([]int, protocol.MaxPage+1)}},
	} {
		if _, err := try[object](ann, c.route, c.req); client.CodeOf(err) != client.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A page is so large, whatever is asked for.
	for _, route := range []string{"im.history", "im.members"} {
		for _, limit := range []int{-1, 0, 1 << 40} {
			if reply := call[struct{ Messages, Members []object }](ann, route, object{"channel": channels.GlobalID, "limit": limit, "before": -1, "around": -1}); len(reply.Messages)+len(reply.Members) > protocol.MaxPage {
				t.Errorf("%s with the limit %d gives %d", route, limit, len(reply.Messages)+len(reply.Members))
			}
		}
	}
	for _, channel := range []string{"", "none", "a\x00b", strings.Repeat("x", 10_000), "global' OR 1=1", "../global"} {
		for _, route := range []string{"im.history", "im.members", "im.read", "im.sync", "im.accept", "im.leave", "live.enter"} {
			if _, err := try[object](ann, route, object{"channel": channel, "n": 1}); client.CodeOf(err) != client.CodeNotFound && client.CodeOf(err) != client.CodeInvalid {
				t.Errorf("%s of the channel %.20q: %v", route, channel, err)
			}
		}
	}
	// A packet that is larger than all that may be said ends the connection that sent it, and no
	// other.
	bob := w.enter("Bob", "web")
	big := client.New("ws://"+w.addr+"/nano", client.WithUser(object{"token": w.token("Eve")}), client.WithMaxPacket(1<<20))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := big.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	if err := big.Request(ctx, "im.send", object{"channel": channels.GlobalID, "cid": "b", "text": strings.Repeat("x", 200<<10)}, nil); err == nil {
		t.Error("a very large packet is taken")
	}
	bob.say(channels.GlobalID, "still here")
}

// What many others are told of goes at a pace, also for who connects again and on other platforms;
// and in the channel of everybody nobody is told who types.
func TestWhatOthersAreToldHasAPace(t *testing.T) {
	w := newWorld(t)
	ann, phone, bob := w.enter("Ann", "web"), w.enter("Ann", "app"), w.enter("Bob", "web")
	private := call[protocol.Channel](ann, "im.private", object{"user": "bob"}).ID
	refused := false
	for i := 0; i < 400 && !refused; i++ {
		if i == 40 {
			ann = w.enter("Ann", "web")
		}
		p := []*person{ann, phone}[i%2]
		if _, err := try[protocol.Channel](p, "im.create", object{"title": fmt.Sprint("group ", i), "invite": []string{"bob"}}); err != nil {
			refused = client.CodeOf(err) == client.CodeExhausted
		}
	}
	if !refused {
		t.Error("one user invites as often as there are groups")
	}
	for _, channel := range []string{channels.GlobalID, private} {
		if err := ann.c.Notify(t.Context(), "im.typing", object{"channel": channel}); err != nil {
			t.Fatal(err)
		}
	}
	bob.pushed(protocol.PushTyping, func(data string) bool { return strings.Contains(data, private) })
	bob.mu.Lock()
	defer bob.mu.Unlock()
	for _, p := range bob.pushes {
		if p.route == protocol.PushTyping && strings.Contains(p.data, channels.GlobalID) {
			t.Errorf("everybody is told %v", p)
		}
	}
}

// Who floods is slowed down, then kicked; others do not notice.
func TestFloodIsKicked(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.enter("Ann", "web"), w.enter("Bob", "web")
	for i := 0; i < 3000 && ann.c.Err() == nil; i++ {
		_ = ann.c.Notify(t.Context(), "im.send", object{"channel": channels.GlobalID, "cid": fmt.Sprint("f", i), "text": "x"})
	}
	select {
	case <-ann.c.Done():
	case <-time.After(patience):
		t.Fatal("ann is still there")
	}
	var kick *client.KickError
	if !asKick(ann.c.Err(), &kick) || kick.Reason != protocol.KickFlood {
		t.Errorf("ann's connection ended with %v", ann.c.Err())
	}
	bob.say(channels.GlobalID, "I am here")
}
