// Package gate is where clients of the messenger connect: it knows their sessions and which
// channels they are in, hands their requests to the nodes that run channels, and pushes to them
// what those nodes tell.
package gate

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/session"
)

// Backend runs channels, on this node or on others.
type Backend interface {
	// Call calls a function of the node that key belongs to, and waits.
	Call(ctx context.Context, key, name string, req, resp any) error
	// Send stores a message. Calls from one goroutine keep their order for each channel. done is
	// called once, from any goroutine.
	Send(ctx context.Context, req *protocol.SendRequest, done func(*store.Message, error))
	// Typing tells that somebody is typing.
	Typing(ctx context.Context, req *protocol.TypingRequest)
}

// Platforms are those that are usual, the default one first. A client may name another one.
var Platforms = []string{"web", "app", "desktop"}

// Platform reports whether a name can be that of a platform.
var Platform = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`).MatchString

// maxPlatforms is on how many platforms a user can be connected at a time, at one gate.
const maxPlatforms = 8

// keySeat is the session's value that holds its seat.
const keySeat = "seat"

// seat is what a gate knows of a session.
type seat struct {
	user     store.User
	platform string
	token    string // id of the one by which it was signed in
	session  *session.Session
	since    int64 // when its handshake came: the newer one of two stays

	// Under the gate's lock:
	channels []string            // whose pushes it gets, in order; nil before im.start, and after the end
	left     map[string]struct{} // channels that it has left while their list was on its way
	live     map[string]struct{} // live rooms that it watches
}

// Gate serves the clients of one node. Its methods may be called from any goroutine.
type Gate struct {
	name    string
	backend Backend
	online  *online.Registry
	app     *nano.App
	hooks   Hooks

	mu     sync.RWMutex
	seats  map[string][]*seat     // by user id
	groups map[string]*nano.Group // sessions here by channel
	all    *nano.Group

	watched map[string]int // sessions by live room

	signedOut signedOut

	paces paces

	outMu sync.Mutex
	out   []func() // what is to be sent

	talkMu sync.Mutex
	talked map[string]time.Time // when something was last said in a channel
}

// Hooks tell other nodes what happens here. They must not wait.
type Hooks struct {
	// Emit tells all gates, this one included.
	Emit func(*protocol.Event)
	// Came tells the other nodes of a connection, and Went of its end.
	Came, Went func(u store.User, platform string, since int64)
}

// New returns a gate. Attach completes it.
func New(name string, b Backend, r *online.Registry, h Hooks) *Gate {
	gob.Register(&seat{}) // so that it goes to another gate with its session
	return &Gate{
		name: name, backend: b, online: r, hooks: h,
		seats: make(map[string][]*seat), groups: make(map[string]*nano.Group), all: nano.NewGroup("everybody"), watched: make(map[string]int), talked: make(map[string]time.Time),
		paces: paces{users: make(map[string]*user)},
	}
}

// Attach gives the gate its application, before that starts.
func (g *Gate) Attach(app *nano.App) {
	g.app = app
	app.Lifetime().OnOpened(g.opened)
	app.Lifetime().OnResumed(g.resumed)
	app.Lifetime().OnClosed(g.closed)
}

// Welcome makes a session that of a user, who has signed in by the token with that id, and returns
// its platform: for the hook of handshakes. came is when the handshake arrived: it may have waited
// for longer than one that arrived after it.
func (g *Gate) Welcome(s *session.Session, u store.User, platform, tokenID string, came time.Time) (string, error) {
	if platform == "" {
		platform = Platforms[0]
	}
	if !Platform(platform) {
		return "", nano.Refuse(protocol.RefuseCode, "the platform must have 1 to 16 letters, digits and hyphens")
	}
	if others := slices.DeleteFunc(g.of(u.ID), func(st *seat) bool { return st.platform == platform }); len(others) >= maxPlatforms {
		return "", nano.Refuse(protocol.RefuseCode, "you are connected on too many platforms")
	}
	s.Set(keySeat, &seat{user: u, platform: platform, token: tokenID, session: s, since: came.UnixMicro()})
	return platform, s.Bind(u.UID())
}

func seatOf(s *session.Session) *seat {
	st, _ := s.Value(keySeat).(*seat)
	return st
}

// opened enters a session that was signed in here. One that comes from another gate is not, yet:
// see resumed.
func (g *Gate) opened(s *session.Session) {
	if st := seatOf(s); st != nil && st.session == s && nano.GateOf(s) == "" { // else it has gone to another gate already
		g.enter(st)
	}
}

// enter enters a session. The older one of two of the same user and platform has to go. That is the
// new one if its handshake has waited, and its client has tried again meanwhile.
func (g *Gate) enter(st *seat) {
	if g.all.Add(st.session) != nil {
		return // it has closed
	}
	g.mu.Lock()
	late := slices.ContainsFunc(g.seats[st.user.ID], func(other *seat) bool { return other.platform == st.platform && other.since > st.since })
	g.seats[st.user.ID] = append(g.seats[st.user.ID], st)
	_, out := g.signedOut.at[st.token]
	g.mu.Unlock()
	if late {
		_ = st.session.Kick(protocol.KickElsewhere) // it has ended by itself
	}
	if out {
		_ = st.session.Kick(protocol.KickSignedOut) // it has ended by itself
	}
	g.online.Set(g.name, st.user.ID, st.user.Name, st.platform, true)
	g.supersede(st.user.ID, st.platform, st.since)
	g.hooks.Came(st.user, st.platform, st.since)
}

// supersede kicks the sessions of a user on a platform that are older than one that has just come,
// here or elsewhere.
func (g *Gate) supersede(user, platform string, since int64) {
	for _, old := range g.of(user) {
		if old.platform == platform && old.since < since {
			_ = old.session.Kick(protocol.KickElsewhere) // it has ended by itself
		}
	}
}

// hereLocked reports whether the gate has a seat.
func (g *Gate) hereLocked(st *seat) bool { return slices.Contains(g.seats[st.user.ID], st) }

// of returns the seats of a user at this gate.
func (g *Gate) of(user string) []*seat {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.seats[user])
}

// offlineAfter is how long somebody may be away before others are told: connections come back.
const offlineAfter = 3 * time.Second

// closed clears up after a session.
func (g *Gate) closed(s *session.Session) {
	if st := seatOf(s); st != nil {
		g.gone(st)
	}
}

// gone clears up after a session that has ended, or has gone to another gate.
func (g *Gate) gone(st *seat) {
	g.mu.Lock()
	if !g.hereLocked(st) {
		g.mu.Unlock()
		return // it is gone already
	}
	list := slices.DeleteFunc(g.seats[st.user.ID], func(other *seat) bool { return other == st })
	last := !slices.ContainsFunc(list, func(other *seat) bool { return other.platform == st.platform })
	if len(list) == 0 {
		delete(g.seats, st.user.ID)
	} else {
		g.seats[st.user.ID] = list
	}
	in := st.channels
	st.channels = nil
	for _, id := range in {
		g.outLocked(st, id)
	}
	for id := range st.live {
		g.unwatchLocked(st, id)
	}
	st.live = nil
	g.mu.Unlock()
	_ = g.all.Leave(st.session) // it has left by itself, if it has ended
	if !last {
		return // a newer one has its place
	}
	g.online.Set(g.name, st.user.ID, st.user.Name, st.platform, false)
	g.hooks.Went(st.user, st.platform, st.since)
	g.app.Scheduler().NewAfterTimer(offlineAfter, func() {
		if !g.online.Online(st.user.ID, nil) {
			g.tellPresence(st.user, in)
		}
	})
}

// enterLocked has a session hear of a channel.
func (g *Gate) enterLocked(st *seat, channel string) {
	if st.channels == nil {
		return
	}
	if at, there := slices.BinarySearch(st.channels, channel); !there && g.inLocked(st, channel) {
		st.channels = slices.Insert(st.channels, at, channel)
	}
}

// inLocked puts a session into a group, and reports whether it is there.
func (g *Gate) inLocked(st *seat, channel string) bool {
	group := g.groups[channel]
	if group == nil {
		group = nano.NewGroup(channel)
		g.groups[channel] = group
	}
	if group.Add(st.session) == nil {
		return true
	}
	if group.Count() == 0 {
		delete(g.groups, channel)
	}
	return false
}

// leaveLocked has a session hear no more of a channel, if it does.
func (g *Gate) leaveLocked(st *seat, channel string) {
	if at, there := slices.BinarySearch(st.channels, channel); there {
		st.channels = slices.Delete(st.channels, at, at+1)
		g.outLocked(st, channel)
	}
}

// outLocked takes a session out of a group, which ends with its last one.
func (g *Gate) outLocked(st *seat, channel string) {
	group := g.groups[channel]
	if group == nil {
		return
	}
	_ = group.Leave(st.session) // it may have left by itself
	if group.Count() == 0 {
		delete(g.groups, channel)
		_ = group.Close() // it is closed once
	}
}

// later runs f on the scheduler, in the order of the calls. What waits runs in one go: what it
// sends to one client is one write then, the answer to a message and all that others have said
// meanwhile.
func (g *Gate) later(f func()) {
	g.outMu.Lock()
	g.out = append(g.out, f)
	first := len(g.out) == 1
	g.outMu.Unlock()
	if first {
		g.app.Scheduler().PushTask(g.flush)
	}
}

func (g *Gate) flush() {
	g.outMu.Lock()
	out := g.out
	g.out = nil
	g.outMu.Unlock()
	for _, f := range out {
		f()
	}
}

// Deliver pushes an event to the sessions here that it concerns, soon. Events keep their order.
func (g *Gate) Deliver(e *protocol.Event) { g.later(func() { g.deliver(e) }) }

func (g *Gate) deliver(e *protocol.Event) {
	if len(e.Enter) > 0 || len(e.Leave) > 0 {
		g.move(e)
	}
	if e.Kick != "" {
		g.kick(e)
	}
	if e.Route == "" {
		return
	}
	switch {
	case e.Users != nil:
		for _, user := range e.Users {
			for _, st := range g.of(user) {
				if reaches(e, st) {
					report(e.Route, st.session.Push(e.Route, []byte(e.Data)))
					if e.Kept != "" {
						report(protocol.PushKept, st.session.Push(protocol.PushKept, protocol.Kept{ID: e.Kept}))
					}
				}
			}
		}
	case e.Everybody:
		g.tell(g.all, e)
	default:
		g.mu.RLock()
		group := g.groups[e.Channel]
		g.mu.RUnlock()
		if group != nil {
			if e.Route == protocol.PushMessage {
				g.noteTalk(e.Channel)
			}
			g.tell(group, e)
		}
	}
}

// maxTalked bounds what a gate remembers of when channels have talked.
const maxTalked = 20_000

// noteTalk remembers that something was said in a channel now.
func (g *Gate) noteTalk(channel string) {
	g.talkMu.Lock()
	defer g.talkMu.Unlock()
	if len(g.talked) >= maxTalked {
		clear(g.talked)
	}
	g.talked[channel] = time.Now()
}

// Talking returns the channels here in which something was said within a time.
func (g *Gate) Talking(within time.Duration) []string {
	g.talkMu.Lock()
	defer g.talkMu.Unlock()
	var list []string
	for id, at := range g.talked {
		if time.Since(at) <= within {
			list = append(list, id)
		} else {
			delete(g.talked, id)
		}
	}
	return list
}

// kick ends the sessions of users.
func (g *Gate) kick(e *protocol.Event) {
	if e.Token != "" {
		g.mu.Lock()
		g.signedOut.note(e.Token)
		g.mu.Unlock()
	}
	for _, user := range e.Users {
		for _, st := range g.of(user) {
			if reaches(e, st) {
				_ = st.session.Kick(e.Kick) // it has ended by itself
			}
		}
	}
}

// tell pushes an event to a group: once encoded for all of it.
func (g *Gate) tell(group *nano.Group, e *protocol.Event) {
	tell := group.Broadcast
	if len(e.Platforms) > 0 {
		tell = func(route string, v any) error {
			return group.Multicast(route, v, func(s *session.Session) bool { return reaches(e, seatOf(s)) })
		}
	}
	report(e.Route, tell(e.Route, []byte(e.Data)))
	if e.Kept != "" {
		report(protocol.PushKept, tell(protocol.PushKept, protocol.Kept{ID: e.Kept}))
	}
}

func reaches(e *protocol.Event, st *seat) bool {
	return st != nil && (len(e.Platforms) == 0 || slices.Contains(e.Platforms, st.platform)) && (e.Token == "" || e.Token == st.token)
}

// maxShown is of how many who come into a channel at once the others there are told that they are
// online.
const maxShown = 20

// move enters users into a channel, or takes them out of it.
func (g *Gate) move(e *protocol.Event) {
	var came []store.User
	g.mu.Lock()
	for _, user := range e.Enter {
		for i, st := range g.seats[user] {
			delete(st.left, e.Channel)
			g.enterLocked(st, e.Channel)
			if i == 0 && len(came) < maxShown {
				came = append(came, st.user)
			}
		}
	}
	for _, user := range e.Leave {
		for _, st := range g.seats[user] {
			if st.left != nil {
				st.left[e.Channel] = struct{}{}
			}
			g.leaveLocked(st, e.Channel)
		}
	}
	g.mu.Unlock()
	for _, u := range came {
		g.tellPresence(u, []string{e.Channel})
	}
}

// report logs what a push met. A connection that has just ended is the usual reason.
func report(route string, err error) {
	if err != nil {
		slog.Debug("push", "route", route, "err", err)
	}
}

// tellPresence tells those with whom a user shares channels whether the user is there.
func (g *Gate) tellPresence(u store.User, in []string) {
	platforms := g.online.Platforms(u.ID)
	data, err := json.Marshal(protocol.Presence{User: u.ID, Online: len(platforms) > 0, Platforms: platforms})
	if err != nil {
		return // strings can be encoded
	}
	for _, id := range in {
		if id != channels.GlobalID {
			g.hooks.Emit(&protocol.Event{Channel: id, Route: protocol.PushPresence, Data: data})
		}
	}
}

var errSignedOut = nano.Errorf(component.CodeUnauthenticated, "sign in first")
