package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// desk is a chat whose timers the test fires by hand.
type desk struct {
	*testing.T
	chat  *Chat
	later []func()
}

func newDesk(t *testing.T) *desk {
	d := &desk{T: t, chat: NewChat()}
	d.chat.after = func(_ time.Duration, f func()) { d.later = append(d.later, f) }
	return d
}

// person is one client of the chat.
type person struct {
	*desk
	net     *mock.NetworkEntity
	session *session.Session
	key     string
}

// stranger is connected and has no name yet.
func (d *desk) stranger() *person {
	net := mock.NewNetworkEntity()
	return &person{desk: d, net: net, session: session.New(net)}
}

// enter brings somebody in, into the given rooms.
func (d *desk) enter(name string, rooms ...string) *person {
	d.Helper()
	p := d.stranger()
	reply, err := d.chat.Enter(d.Context(), p.session, &EnterRequest{Name: name})
	if err != nil {
		d.Fatalf("%s could not enter: %v", name, err)
	}
	p.key = reply.Key
	for _, room := range rooms {
		p.join(room)
	}
	return p
}

func (p *person) join(room string) *JoinReply {
	p.Helper()
	reply, err := p.chat.Join(p.Context(), p.session, &RoomRequest{Room: room})
	if err != nil {
		p.Fatalf("could not join %s: %v", room, err)
	}
	return reply
}

func (p *person) leave(room string) {
	p.Helper()
	reply, err := p.chat.Leave(p.Context(), p.session, &RoomRequest{Room: room})
	if err != nil || reply == nil { // without a reply the page would wait for it
		p.Fatalf("could not leave %s: %v, %v", room, reply, err)
	}
}

func (p *person) say(room, text string) error {
	_, err := p.chat.Say(p.Context(), p.session, &SayRequest{Room: room, Text: text})
	return err
}

// saw returns what was pushed to a person under a route, a line each.
func (p *person) saw(route string) []string {
	var lines []string
	for _, push := range p.net.Pushes() {
		if push.Route != route {
			continue
		}
		switch v := push.Value.(type) {
		case *Message:
			lines = append(lines, fmt.Sprintf("%s #%d %s: %s", v.Room, v.N, v.From, v.Text))
		case *Notice:
			line := v.Room + " " + v.Name
			if v.Stopped {
				line += " stopped"
			}
			lines = append(lines, line)
		case *RoomList:
			lines = append(lines, fmt.Sprint(v.Rooms))
		default:
			p.Errorf("%s is a %T", route, v)
		}
	}
	return lines
}

func (p *person) wantSaw(route string, want ...string) {
	p.Helper()
	if got := p.saw(route); !slices.Equal(got, want) {
		p.Errorf("%s: got %q, want %q", route, got, want)
	}
}

// wantCode checks that err is one for clients, with that code and a text that can be shown.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *component.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error with the code %s", err, code)
	}
	if e.Code != code || e.Message == "" {
		t.Errorf("got %v, want the code %s", e, code)
	}
}

// Without this the chat is no chat.
func TestMessagesReachTheRoomAndNobodyElse(t *testing.T) {
	d := newDesk(t)
	ada, ben := d.enter("Ada", "lobby"), d.enter("Ben", "lobby")
	cy := d.enter("Cy", "garden")
	if err := ada.say("lobby", "hello"); err != nil {
		t.Fatal(err)
	}
	if err := ben.say("LOBBY", "  hi\r\nthere\x00 "); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*person{ada, ben} {
		p.wantSaw(pushMessage, "lobby #1 Ada: hello", "lobby #2 Ben: hi\nthere")
	}
	cy.wantSaw(pushMessage)
	wantCode(t, cy.say("lobby", "psst"), component.CodeNotFound)
	wantCode(t, cy.say("nowhere", "psst"), component.CodeNotFound)
}

// Who comes late would not know what is talked about, or would be sent everything that was ever
// said.
func TestLateComersGetTheLast50(t *testing.T) {
	d := newDesk(t)
	ada := d.enter("Ada", "lobby")
	r := d.chat.rooms[lobby]
	for i := range 60 {
		r.say(ada.member(), fmt.Sprint("line ", i+1), "", time.Now())
	}
	reply := d.enter("Ben").join("lobby")
	if n := len(reply.Messages); n != maxHistory || reply.Last != 60 {
		t.Fatalf("got %d messages up to %d, want %d up to 60", n, reply.Last, maxHistory)
	}
	for i, m := range reply.Messages {
		if want := int64(11 + i); m.N != want || m.Text != fmt.Sprint("line ", want) {
			t.Fatalf("message %d is %+v, want number %d", i, m, want)
		}
	}
	if want := []string{"Ada", "Ben"}; !slices.Equal(reply.Members, want) {
		t.Errorf("members are %q, want %q", reply.Members, want)
	}
	// Before anything is said the list is empty, not absent: pages go through it.
	if reply := d.enter("Cy").join("new"); reply.Messages == nil {
		t.Error("an empty history is nil")
	}
}

func (p *person) member() *member { return p.session.Value("member").(*member) }

// People would talk to those who left, and be talked about without knowing.
func TestComingAndGoingIsTold(t *testing.T) {
	d := newDesk(t)
	ada, ben := d.enter("Ada", "lobby"), d.enter("Ben", "lobby", "garden")
	ada.wantSaw(pushJoined, "lobby Ada", "lobby Ben")

	ben.join("lobby") // again: no stir
	ada.wantSaw(pushJoined, "lobby Ada", "lobby Ben")

	ben.leave("lobby")
	ben.leave("lobby")
	ben.leave("nowhere")
	ada.wantSaw(pushLeft, "lobby Ben")
	if err := ada.say("lobby", "gone?"); err != nil {
		t.Fatal(err)
	}
	ben.wantSaw(pushMessage)

	ben.join("lobby")
	d.chat.gone(ben.session) // the connection ended
	d.chat.gone(ben.session)
	ada.wantSaw(pushLeft, "lobby Ben", "lobby Ben")
	d.enter("Ben") // the name is free again
}

// The wrong person would speak under a name.
func TestNames(t *testing.T) {
	d := newDesk(t)
	ada := d.enter("Ada")
	_, err := d.chat.Enter(t.Context(), ada.session, &EnterRequest{Name: "Eve"})
	wantCode(t, err, component.CodeExists)

	for _, c := range []struct{ name, key, code string }{
		{"", "", component.CodeInvalid},
		{" \t ", "", component.CodeInvalid},
		{strings.Repeat("é", 25), "", component.CodeInvalid},
		{"a\u202eb", "", component.CodeInvalid},
		{"a\x00b", "", component.CodeInvalid},
		{"\u200d", "", component.CodeInvalid},
		{"\u0301", "", component.CodeInvalid},
		{"Ada", "", component.CodeExists},
		{"  ADA ", "", component.CodeExists},
		{"A\u200dda", "", component.CodeExists},
		{"Ada", "guess", component.CodeExists},
		{strings.Repeat("é", 24), "", ""},
		{"Ben 🦊", "", ""},
		{"👩‍🚀", "", ""},
		{"山田", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := d.chat.Enter(t.Context(), d.stranger().session, &EnterRequest{Name: c.name, Key: c.key})
			if c.code != "" {
				wantCode(t, err, c.code)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever is not in must not be able to do anything.
func TestStrangersAreRefused(t *testing.T) {
	d := newDesk(t)
	s := d.stranger().session
	_, err := d.chat.Join(t.Context(), s, &RoomRequest{Room: "lobby"})
	wantCode(t, err, component.CodeUnauthenticated)
	_, err = d.chat.Leave(t.Context(), s, &RoomRequest{Room: "lobby"})
	wantCode(t, err, component.CodeUnauthenticated)
	_, err = d.chat.Say(t.Context(), s, &SayRequest{Room: "lobby", Text: "x"})
	wantCode(t, err, component.CodeUnauthenticated)
	wantCode(t, d.chat.Typing(t.Context(), s, &TypingRequest{Room: "lobby"}), component.CodeUnauthenticated)
	d.chat.gone(s)
	d.chat.gone(d.stranger().session) // who never asked for anything
}

// A phone that changes its network would find its own name taken until the server notices that the
// old connection is dead; and when it does, the new one must not be taken out.
func TestReconnectingTakesTheNameAndSeatsOver(t *testing.T) {
	d := newDesk(t)
	ada, ben := d.enter("Ada", "lobby", "garden"), d.enter("Ben", "lobby")
	again := d.stranger()
	reply, err := d.chat.Enter(t.Context(), again.session, &EnterRequest{Name: "ada", Key: ada.key})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Name != "Ada" || reply.Key != ada.key {
		t.Errorf("came back as %s with another key: %t", reply.Name, reply.Key != ada.key)
	}
	if reason, ok := ada.net.Kicked(); !ok || reason != kickMoved {
		t.Errorf("the old connection was told %q, want %q", reason, kickMoved)
	}
	d.chat.gone(ada.session)
	again.join("lobby")
	if err := ben.say("lobby", "still there?"); err != nil {
		t.Fatal(err)
	}
	again.wantSaw(pushMessage, "lobby #1 Ben: still there?")
	ada.wantSaw(pushMessage)
	ben.wantSaw(pushLeft)
	ben.wantSaw(pushJoined, "lobby Ben")
	wantCode(t, func() error {
		_, err := d.chat.Enter(t.Context(), d.stranger().session, &EnterRequest{Name: "Ada"})
		return err
	}(), component.CodeExists)
}

// The page sends a message again when the connection ended before the answer: it would be there
// twice.
func TestAMessageSentTwiceIsSaidOnce(t *testing.T) {
	d := newDesk(t)
	ada, ben := d.enter("Ada", "lobby"), d.enter("Ben", "lobby")
	for _, p := range []*person{ada, ada, ben} {
		reply, err := d.chat.Say(t.Context(), p.session, &SayRequest{Room: "lobby", Text: "once", Ref: "r1"})
		if err != nil || (p == ada) != (reply.N == 1) {
			t.Fatalf("got %v, %v", reply, err)
		}
	}
	ben.wantSaw(pushMessage, "lobby #1 Ada: once", "lobby #2 Ben: once")
	_, err := d.chat.Say(t.Context(), ada.session, &SayRequest{Room: "lobby", Text: "x", Ref: strings.Repeat("r", maxRef+1)})
	wantCode(t, err, component.CodeInvalid)
}

func TestMessageLimits(t *testing.T) {
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"empty", "", false},
		{"blank", " \n\t ", false},
		{"only control characters", "\x00\x1b", false},
		{"one rune", "é", true},
		{"500 runes of 4 bytes", strings.Repeat("🦊", 500), true},
		{"501 runes", strings.Repeat("a", 501), false},
		{"500 runes and blanks around", "  " + strings.Repeat("a", 500) + "\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := newDesk(t).enter("Ada", "lobby").say("lobby", c.text)
			if c.ok && err != nil {
				t.Error(err)
			} else if !c.ok {
				wantCode(t, err, component.CodeInvalid)
			}
		})
	}
}

// One visitor could fill the server's memory with rooms, or everybody's screen with messages.
func TestRoomsAreBounded(t *testing.T) {
	d := newDesk(t)
	var people []*person
	for i := range maxRooms - 1 { // and the lobby
		if i%maxJoined == 0 {
			people = append(people, d.enter(fmt.Sprint("p", i)))
		}
		people[len(people)-1].join(fmt.Sprint("room ", i))
	}
	for i := range maxJoined + 1 {
		_, err := d.chat.Join(t.Context(), people[0].session, &RoomRequest{Room: fmt.Sprint("more ", i)})
		wantCode(t, err, component.CodeExhausted)
	}
	late := d.enter("late", "lobby")
	_, err := d.chat.Join(t.Context(), late.session, &RoomRequest{Room: "one more"})
	wantCode(t, err, component.CodeExhausted)

	// A room in which something was said stays when it is empty, until its place is needed.
	if err := people[0].say("room 0", "remember"); err != nil {
		t.Fatal(err)
	}
	people[0].leave("room 0")
	if reply := late.join("room 0"); len(reply.Messages) != 1 {
		t.Errorf("history is %v, want the one message", reply.Messages)
	}
	late.leave("room 0")
	late.join("one more")
	if len(d.chat.rooms) != maxRooms || d.chat.rooms["room 0"] != nil {
		t.Errorf("%d rooms, room 0 there: %t", len(d.chat.rooms), d.chat.rooms["room 0"] != nil)
	}
	late.leave("one more") // nothing was said there
	if d.chat.rooms["one more"] != nil {
		t.Error("an empty room without history stays")
	}
	late.leave("lobby")
	if d.chat.rooms[lobby] == nil {
		t.Error("the lobby is gone")
	}
}

func TestARoomIsFull(t *testing.T) {
	d := newDesk(t)
	for i := range maxMembers {
		d.enter(fmt.Sprint("p", i), "lobby")
	}
	late := d.enter("late")
	_, err := d.chat.Join(t.Context(), late.session, &RoomRequest{Room: "lobby"})
	wantCode(t, err, component.CodeExhausted)
}

// Everybody hears of rooms soon, and once for many changes.
func TestTheListOfRoomsIsSentOnceForManyChanges(t *testing.T) {
	d := newDesk(t)
	ada := d.enter("Ada", "lobby", "garden", "attic")
	d.enter("Ben", "garden")
	ada.wantSaw(pushRooms)
	if len(d.later) != 1 {
		t.Fatalf("%d timers, want 1", len(d.later))
	}
	d.later[0]()
	ada.wantSaw(pushRooms, "[{garden 2} {attic 1} {lobby 1}]")
	ada.leave("attic")
	d.later[1]()
	ada.wantSaw(pushRooms, "[{garden 2} {attic 1} {lobby 1}]", "[{garden 2} {lobby 1}]")
}

// A script that floods a room would make it unreadable for everybody.
func TestFloodingIsRefusedAndThenEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		ada, ben := d.enter("Ada", "lobby"), d.enter("Ben", "lobby")
		for range talkBurst {
			if err := ada.say("lobby", "x"); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, ada.say("lobby", "x"), component.CodeExhausted)
		if err := ben.say("lobby", "me too"); err != nil {
			t.Errorf("the others suffer: %v", err)
		}

		time.Sleep(talkEvery) // on the test's own clock
		if err := ada.say("lobby", "x"); err != nil {
			t.Errorf("still refused after %v: %v", talkEvery, err)
		}
		wantCode(t, ada.say("lobby", "x"), component.CodeExhausted)

		for range refuseBurst - 2 {
			wantCode(t, ada.say("lobby", "x"), component.CodeExhausted)
		}
		if _, ok := ada.net.Kicked(); ok {
			t.Error("kicked too soon")
		}
		for range 2 {
			wantCode(t, ada.say("lobby", "x"), component.CodeExhausted)
		}
		if reason, ok := ada.net.Kicked(); !ok || reason != kickFlood {
			t.Errorf("kicked: %t, for %q; want %q", ok, reason, kickFlood)
		}
		if _, ok := ben.net.Kicked(); ok {
			t.Error("the wrong one was kicked")
		}
	})
}

// Requests without messages are limited too, before a name was given as well.
func TestTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		p := d.stranger()
		for range callBurst {
			_, err := d.chat.Enter(t.Context(), p.session, &EnterRequest{})
			wantCode(t, err, component.CodeInvalid)
		}
		_, err := d.chat.Enter(t.Context(), p.session, &EnterRequest{Name: "Ada"})
		wantCode(t, err, component.CodeExhausted)
		time.Sleep(callEvery)
		if _, err := d.chat.Enter(t.Context(), p.session, &EnterRequest{Name: "Ada"}); err != nil {
			t.Errorf("still refused after %v: %v", callEvery, err)
		}
	})
}

func TestTypingReachesTheOthersNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		ada, ben := d.enter("Ada", "lobby"), d.enter("Ben", "lobby")
		for range 3 {
			ada.typing("lobby", false)
		}
		time.Sleep(typingEvery)
		ada.typing("lobby", false)
		ben.wantSaw(pushTyping, "lobby Ada", "lobby Ada")
		ada.wantSaw(pushTyping)
	})
}

// Who has stopped typing is not said to type: whether the text was taken back, sent, or is for
// another room now.
func TestTypingEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		ada, ben := d.enter("Ada", "lobby", "garden"), d.enter("Ben", "lobby", "garden")
		ada.typing("lobby", true) // nobody has seen her type
		ada.typing("lobby", false)
		ada.typing("lobby", true)
		ada.typing("lobby", true)
		ben.wantSaw(pushTyping, "lobby Ada", "lobby Ada stopped")

		ada.typing("lobby", false) // at once again
		if err := ada.say("lobby", "hello"); err != nil {
			t.Fatal(err)
		}
		ada.typing("lobby", true) // the message has said so
		ben.wantSaw(pushTyping, "lobby Ada", "lobby Ada stopped", "lobby Ada")

		ada.typing("lobby", false)
		ada.typing("garden", false)
		again := d.stranger()
		if _, err := d.chat.Enter(t.Context(), again.session, &EnterRequest{Name: "Ada", Key: ada.key}); err != nil {
			t.Fatal(err)
		}
		ben.wantSaw(pushTyping, "lobby Ada", "lobby Ada stopped", "lobby Ada",
			"lobby Ada", "lobby Ada stopped", "garden Ada", "garden Ada stopped")
	})
}

func (p *person) typing(room string, stopped bool) {
	p.Helper()
	if err := p.chat.Typing(p.Context(), p.session, &TypingRequest{Room: room, Stopped: stopped}); err != nil {
		p.Fatal(err)
	}
}
