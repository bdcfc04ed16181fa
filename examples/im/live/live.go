// Package live runs live rooms: very many people in one room, who say more than anybody can read.
// What they say is merged by the tick, sampled where it is too much, and encoded once for all.
// Nothing is stored: a room remembers its last minutes. Other nodes are told what was shown, so
// that a room goes on when it moves to one of them.
package live

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/backend"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// Bounds of a room.
const (
	maxRecent  = 100
	recentTime = 5 * time.Minute
	maxPending = 20_000          // of one tick; what is over it is dropped unread
	idleAfter  = 5 * time.Minute // without a word, a room is forgotten
	gateTime   = 5 * time.Second // a gate that says nothing for longer has no viewers any more
)

// keys are the counters of a room.
var keys = []string{"like", "heart", "clap"}

// Config says how rooms are merged.
type Config struct {
	Tick time.Duration // what is said is pushed so often; 100 ms to 1 s
	Rate int           // messages a second that are shown; 0: all
}

// Rooms are the live rooms of a node. Its methods may be called from any goroutine.
type Rooms struct {
	conf  Config
	store store.Store
	emit  func(*protocol.Event)

	stop, ended chan struct{}
	once        sync.Once
	failures    rules.Seldom // that are logged

	mu    sync.Mutex
	rooms map[string]*room
	gates map[string]viewers
}

// viewers are how many watch at a gate, by room.
type viewers struct {
	counts map[string]int
	at     time.Time
}

// room is one room; under the lock of Rooms.
type room struct {
	title    string // "" in a room that was never here
	here     bool   // this node runs it, as far as it knows
	last     int64  // of the ids
	run      string
	pending  []protocol.Bullet
	dropped  int
	recent   []protocol.Bullet
	counts   map[string]int64
	changed  bool // counts have changed since the last tick
	told     int  // viewers, as they were told last
	lastUsed time.Time
}

// New returns rooms that tick until Close. emit tells all gates, and must not wait.
func New(conf Config, s store.Store, emit func(*protocol.Event)) *Rooms {
	r := &Rooms{
		conf: conf, store: s, emit: emit, stop: make(chan struct{}), ended: make(chan struct{}),
		rooms: make(map[string]*room), gates: make(map[string]viewers),
	}
	go r.run()
	return r
}

// Close ends the ticks.
func (r *Rooms) Close() {
	r.once.Do(func() { close(r.stop) })
	<-r.ended
}

func (r *Rooms) run() {
	defer close(r.ended)
	ticker := time.NewTicker(r.conf.Tick)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for _, e := range r.tick(now) {
				r.emit(e)
			}
		case <-r.stop:
			return
		}
	}
}

// tick returns what there is to tell of each room.
func (r *Rooms) tick(now time.Time) []*protocol.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []*protocol.Event
	for gate, v := range r.gates {
		if now.Sub(v.at) > gateTime {
			delete(r.gates, gate)
		}
	}
	for id, rm := range r.rooms {
		t := protocol.Tick{Channel: id, Dropped: rm.dropped}
		t.Bullets, t.Dropped = sample(rm.pending, rm.dropped, r.conf.most())
		if rm.changed {
			t.Counts = rm.counts
		}
		viewers := r.viewersLocked(id)
		if rm.here && viewers != rm.told {
			rm.told, t.Viewers = viewers, &viewers
		}
		if len(t.Bullets) == 0 && t.Counts == nil && t.Viewers == nil {
			if now.Sub(rm.lastUsed) > idleAfter && viewers == 0 {
				delete(r.rooms, id)
			}
			continue
		}
		rm.remember(t.Bullets, now)
		data, err := json.Marshal(&t)
		if err != nil {
			slog.Error("tick not encoded", "err", err) // strings and numbers can be
			continue
		}
		rm.pending, rm.dropped, rm.changed = nil, 0, false
		events = append(events, &protocol.Event{Channel: id, Route: protocol.PushTick, Data: data})
	}
	return events
}

// most is how many messages one tick shows; 0: all.
func (c Config) most() int {
	if c.Rate <= 0 {
		return 0
	}
	return max(1, int(float64(c.Rate)*c.Tick.Seconds()))
}

// sample chooses which messages are shown: each has the same chance, and they stay in order.
func sample(all []protocol.Bullet, dropped, most int) ([]protocol.Bullet, int) {
	if most == 0 || len(all) <= most {
		return all, dropped
	}
	kept := make([]protocol.Bullet, 0, most)
	left := len(all)
	for _, b := range all {
		if rand.IntN(left) < most-len(kept) {
			kept = append(kept, b)
		}
		left--
	}
	return kept, dropped + len(all) - len(kept)
}

// remember keeps what was shown for those who come.
func (rm *room) remember(bullets []protocol.Bullet, now time.Time) {
	rm.recent = append(rm.recent, bullets...)
	old := now.Add(-recentTime).UnixMilli()
	first := max(0, len(rm.recent)-maxRecent)
	for first < len(rm.recent) && rm.recent[first].At < old {
		first++
	}
	rm.recent = slices.Clone(rm.recent[first:])
}

func (r *Rooms) viewersLocked(id string) (n int) {
	for _, v := range r.gates {
		n += v.counts[id]
	}
	return n
}

// Watched notes how many watch at a gate.
func (r *Rooms) Watched(_ context.Context, req *protocol.ViewersRequest) (*protocol.Empty, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gates[req.Gate] = viewers{req.Channels, time.Now()}
	return &protocol.Empty{}, nil
}

// Viewers returns how many watch a room.
func (r *Rooms) Viewers(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.viewersLocked(id)
}

var (
	errNoRoom = nano.Errorf(component.CodeNotFound, "there is no such live room")
	errAway   = nano.Errorf(component.CodeUnavailable, "live rooms do not work right now; try again")
)

// away logs why a room could not be read, once a second, and returns what clients are told.
func (r *Rooms) away(err error) error {
	if r.failures.Now() {
		slog.Warn("live rooms not read", "err", err)
	}
	return errAway
}

// with runs f with a room, under the lock. A room that is not here yet is looked up.
func (r *Rooms) with(ctx context.Context, id string, f func(*room)) error {
	r.mu.Lock()
	rm := r.rooms[id]
	if rm == nil || rm.title == "" {
		r.mu.Unlock()
		c, err := r.store.Channel(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && c.Kind != store.Live:
			return errNoRoom
		case err != nil:
			return r.away(err)
		}
		r.mu.Lock()
		rm = r.roomLocked(id)
		rm.title = c.Title
	}
	defer r.mu.Unlock()
	rm.here, rm.lastUsed = true, time.Now()
	f(rm)
	return nil
}

// roomLocked returns a room, which is empty if it is new here.
func (r *Rooms) roomLocked(id string) *room {
	rm := r.rooms[id]
	if rm == nil {
		rm = &room{counts: make(map[string]int64), run: crand.Text()[:8]}
		r.rooms[id] = rm
	}
	return rm
}

// Shown notes what another node has shown in a room: if the room comes here, it goes on from there.
func (r *Rooms) Shown(t *protocol.Tick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rm, now := r.roomLocked(t.Channel), time.Now()
	rm.here, rm.lastUsed = false, now
	rm.remember(t.Bullets, now)
	for key, n := range t.Counts {
		rm.counts[key] = max(rm.counts[key], n)
	}
}

// Enter returns a room as one comes in.
func (r *Rooms) Enter(ctx context.Context, req *protocol.ChannelRequest) (*protocol.LiveReply, error) {
	reply := &protocol.LiveReply{Channel: req.Channel, Tick: r.conf.Tick.Milliseconds(), Counts: make(map[string]int64)}
	err := r.with(ctx, req.Channel, func(rm *room) {
		reply.Title, reply.Viewers, reply.Recent = rm.title, r.viewersLocked(req.Channel), append([]protocol.Bullet{}, rm.recent...)
		for k, n := range rm.counts {
			reply.Counts[k] = n
		}
	})
	return reply, err
}

// Say says something in a room: with the next tick.
func (r *Rooms) Say(ctx context.Context, req *protocol.BulletRequest) (*protocol.Bullet, error) {
	text, err := rules.Text("the message", req.Text, protocol.MaxBullet)
	if err != nil {
		return nil, err
	}
	b := &protocol.Bullet{From: req.By.ID, Name: req.By.Name, Text: text, At: time.Now().UnixMilli()}
	err = r.with(ctx, req.Channel, func(rm *room) {
		rm.last++
		b.ID = rm.run + "-" + strconv.FormatInt(rm.last, 36)
		if len(rm.pending) >= maxPending {
			rm.dropped++
			return
		}
		rm.pending = append(rm.pending, *b)
	})
	return b, err
}

// Count adds to a counter.
func (r *Rooms) Count(ctx context.Context, req *protocol.CountRequest) (*protocol.Empty, error) {
	if !slices.Contains(keys, req.Key) {
		return nil, nano.Errorf(component.CodeInvalid, "there is no counter of that name")
	}
	return &protocol.Empty{}, r.with(ctx, req.Channel, func(rm *room) {
		rm.counts[req.Key] += min(max(req.Add, 1), protocol.MaxCount)
		rm.changed = true
	})
}

// maxListed is how many rooms a list has.
const maxListed = 200

// List returns the rooms that there are.
func (r *Rooms) List(ctx context.Context, _ *protocol.RoomsRequest) (*protocol.LiveRooms, error) {
	list, err := r.store.Channels(ctx, store.Live, "", maxListed)
	if err != nil {
		return nil, r.away(err)
	}
	reply := &protocol.LiveRooms{Rooms: []protocol.LiveRoom{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range list {
		reply.Rooms = append(reply.Rooms, protocol.LiveRoom{ID: c.ID, Title: c.Title, Viewers: r.viewersLocked(c.ID)})
	}
	return reply, nil
}

// Table returns the functions by name. Watched is none of those that one node is asked: gates tell
// all nodes.
func (r *Rooms) Table() map[string]backend.Func {
	return map[string]backend.Func{
		"liverooms": backend.Function[protocol.RoomsRequest, protocol.LiveRooms](r.List),
		"liveenter": backend.Function[protocol.ChannelRequest, protocol.LiveReply](r.Enter),
		"livesay":   backend.Function[protocol.BulletRequest, protocol.Bullet](r.Say),
		"livecount": backend.Function[protocol.CountRequest, protocol.Empty](r.Count),
	}
}
