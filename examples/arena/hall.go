package main

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Hall is a backend's component for what concerns no single room: which rooms there are, and who is
// in which. It runs on the node's scheduler. What it knows of a room is an entry; what happens in
// the room is the room's, and the hall gets at it by tasks for the room's scheduler.
type Hall struct {
	component.Base

	name, addr string
	fill       int                                    // bots, see room
	round      time.Duration                          // how long one is
	sched      *scheduler.Scheduler                   // the node's
	make       func(name string) *scheduler.Scheduler // makes one for a room
	claim      func(*Claim)                           // tells all backends; nil where there is only this one
	changed    bool                                   // the list of rooms, since it was last reported
	seed       func() uint64

	rooms  map[string]*entry // by folded name
	where  map[*session.Session]*entry
	busy   map[*session.Session]bool // has a Join or Leave under way
	ending bool
}

// entry is what the hall knows of a room.
type entry struct {
	*room
	key    string
	people int // sessions that are in it, or on their way: the room has not let them in yet
}

func newHall(name, addr string, fill int) *Hall {
	return &Hall{
		name: name, addr: addr, fill: fill, round: sim.PlayTicks * tick, seed: rand.Uint64,
		rooms: make(map[string]*entry), where: make(map[*session.Session]*entry), busy: make(map[*session.Session]bool),
	}
}

// Join gives the client a place in a room, which is opened if need be. Who is in another room
// leaves it.
func (h *Hall) Join(ctx context.Context, s *session.Session, req *JoinRequest) (*JoinReply, error) {
	title, err := rules.Name("the room's name", req.Room, maxName)
	if err != nil {
		return nil, err
	}
	name, err := rules.Name("the name", req.Name, maxName)
	if err != nil {
		return nil, err
	}
	if len(req.Token) > maxToken {
		return nil, nano.Errorf(component.CodeInvalid, "this is no token")
	}
	done, err := h.begin(s)
	if err != nil {
		return nil, err
	}
	defer done()
	if old := h.where[s]; old != nil && old.key != rules.Fold(title) {
		if err := h.depart(ctx, s, old); err != nil {
			return nil, err
		}
	}
	e, err := h.open(title)
	if err != nil {
		return nil, err
	}
	h.put(s, e)
	var reply *JoinReply
	var refused error
	err = h.ask(ctx, e, func() { reply, refused = e.enter(s, name, req.Token) })
	if err == nil {
		err = refused
	}
	if err != nil {
		h.take(s)
		return nil, err
	}
	if h.where[s] != e { // while the room was asked the session has closed, or the room
		return nil, nano.Errorf(component.CodeUnavailable, "the room has closed; join again")
	}
	return reply, nil
}

// Leave takes the client out of its room.
func (h *Hall) Leave(ctx context.Context, s *session.Session, _ *Empty) (*Empty, error) { //nolint:unparam // the form of a handler
	done, err := h.begin(s)
	if err != nil {
		return nil, err
	}
	defer done()
	if e := h.where[s]; e != nil {
		err = h.depart(ctx, s, e)
	}
	return &Empty{}, err
}

// begin starts what must not happen twice at once for one session: asking a room gives the turn
// away, and the next message of the same client may be handled before the answer is there.
func (h *Hall) begin(s *session.Session) (done func(), err error) {
	switch {
	case h.busy[s]:
		return nil, nano.Errorf(component.CodeExhausted, "one at a time: wait for the answer")
	case !allowed(s):
		return nil, nano.Errorf(component.CodeExhausted, "too many messages; wait a moment")
	}
	h.busy[s] = true
	return func() { delete(h.busy, s) }, nil
}

// ask has something done on a room's scheduler, and waits for it. Meanwhile the node's other
// handlers have their turns (see scheduler.Await): what was known before has to be looked at again.
func (h *Hall) ask(ctx context.Context, e *entry, what func()) error {
	done := make(chan struct{})
	e.sched.PushTask(func() {
		defer close(done)
		what()
	})
	var err error
	h.sched.Await(func() {
		select {
		case <-done:
		case <-ctx.Done(): // the session has closed
			err = context.Cause(ctx)
		}
	})
	return err
}

// depart takes a session out of its room, and waits until the room has done so: nothing of it comes
// after that.
func (h *Hall) depart(ctx context.Context, s *session.Session, e *entry) error {
	h.take(s)
	return h.ask(ctx, e, func() { e.leave(s) })
}

// put notes that a session is in a room. Its messages to the service "room" run on that room's
// scheduler from now on.
func (h *Hall) put(s *session.Session, e *entry) {
	if h.where[s] == e {
		return
	}
	h.where[s] = e
	e.people++
	s.Set(keyRoom, e.room)
	s.Set(keyScheduler, e.sched)
	h.changed = true
}

// take notes that a session is in no room, and returns the one in which it was. Its messages run on
// the node's scheduler again, which tells the client that it is in no room.
func (h *Hall) take(s *session.Session) *entry {
	e := h.where[s]
	if e == nil {
		return nil
	}
	delete(h.where, s)
	e.people--
	s.Remove(keyRoom)
	s.Set(keyScheduler, h.sched)
	h.changed = true
	return e
}

// gone is told of each session that has closed, or whose gate has died.
func (h *Hall) gone(s *session.Session) {
	if e := h.take(s); e != nil {
		e.sched.PushTask(func() { e.lost(s) })
	}
}

// suspended is told of each session that has lost its connection, and waits for the next.
func (h *Hall) suspended(s *session.Session) {
	if e := h.where[s]; e != nil {
		e.sched.PushTask(func() { e.away(s) })
	}
}

// resumed is told of each session that goes on.
func (h *Hall) resumed(s *session.Session) {
	if e := h.where[s]; e != nil {
		e.sched.PushTask(func() { e.back(s) })
	}
}

// open returns a room, which it makes if there is none.
func (h *Hall) open(title string) (*entry, error) {
	key := rules.Fold(title)
	if e := h.rooms[key]; e != nil {
		return e, nil
	}
	if h.ending {
		return nil, nano.Errorf(component.CodeUnavailable, "%s is shutting down; try again", h.name)
	}
	if len(h.rooms) >= maxRooms {
		return nil, nano.Errorf(codeFull, "there are %d rooms here, which is the limit", maxRooms)
	}
	e := &entry{key: key}
	desert := func() { h.sched.PushTask(func() { h.deserted(e) }) }
	e.room = newRoom(title, h.name, h.make("room "+title), h.fill, h.seed(), desert)
	e.world.Length = int(h.round / tick)
	h.rooms[key] = e
	e.start()
	if h.claim != nil {
		h.claim(&Claim{Room: title, Addr: h.addr})
	}
	return e, nil
}

// deserted is told by a room that nobody is in it. If nobody is on the way either, that is its end:
// a room without people would play on for nobody.
func (h *Hall) deserted(e *entry) {
	if e.people == 0 {
		h.close(e)
	}
}

// close ends a room. Sessions that are in it are in none then.
func (h *Hall) close(e *entry) {
	if h.rooms[e.key] != e {
		return
	}
	delete(h.rooms, e.key)
	for s, at := range h.where {
		if at == e {
			h.take(s)
		}
	}
	e.sched.PushTask(e.end)
	h.changed = true
}

// move ends a room here and has its people enter it again, which is elsewhere then.
func (h *Hall) move(e *entry) {
	e.sched.PushTask(func() { e.tell(pushMoved, &Empty{}) })
	h.close(e)
}

// Claim is called by a backend that has opened a room. If it is here too, the gates have changed
// their mind about it, because a backend has come or gone: it belongs to the other one now. The
// game here is over.
func (h *Hall) Claim(s *session.Session, claim *Claim) error {
	if err := onlyNodes(s); err != nil {
		return err
	}
	if e := h.rooms[rules.Fold(claim.Room)]; e != nil && claim.Addr != h.addr {
		h.move(e)
	}
	return nil
}

// BeforeShutdown sends everybody to other backends, ends all rooms, and waits for them. It runs
// beside the scheduler, while messages are still served, so what it does with the rooms it does
// there. On a single node people have nowhere to go: there they are kicked next, and come back when
// the node does.
func (h *Hall) BeforeShutdown() {
	ended := make(chan []*entry, 1)
	h.sched.PushTask(func() {
		h.ending = true
		all := slices.Collect(maps.Values(h.rooms))
		for _, e := range all {
			if h.claim != nil {
				h.move(e)
			} else {
				h.close(e)
			}
		}
		ended <- all
	})
	for _, e := range <-ended {
		e.sched.Close()
		_ = e.sched.Wait(context.Background()) // rooms end at once: nothing in them waits
	}
}

// list is the rooms as they are listed: the fullest first.
func (h *Hall) list() []Listed {
	all := make([]Listed, 0, len(h.rooms))
	for _, e := range h.rooms {
		all = append(all, Listed{Name: e.title, People: e.people, Places: sim.Places, Backend: h.name})
	}
	slices.SortFunc(all, func(a, b Listed) int { return cmp.Or(b.People-a.People, cmp.Compare(a.Name, b.Name)) })
	return all
}

// allowed tells whether a session may ask for one thing more. Each session brings its own
// rules.Bucket, see welcome.
func allowed(s *session.Session) bool {
	b, _ := s.Value(keyMay).(*rules.Bucket)
	return b == nil || b.Take(time.Now(), callBurst, callEvery)
}

// onlyNodes refuses clients. Every handler can be called by clients, as any route can be named in a
// message: what only nodes may call has to say so. The session of a call between nodes is nobody's,
// and has no id.
func onlyNodes(s *session.Session) error {
	if s.ID() != 0 {
		return nano.Errorf(component.CodeRefused, "this is for nodes only")
	}
	return nil
}
