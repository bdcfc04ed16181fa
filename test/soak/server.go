//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// The node's limits. They are short, so that hostile clients meet each of them
// within a minute, but not so short that a busy machine looks hostile.
const (
	heartbeat        = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	writeTimeout     = 3 * time.Second
	sendQueue        = 1 << 20
)

// Figures is what the server tells of itself when it is asked.
type Figures struct {
	Live       uint64 // bytes that the last collection of the heap left
	Resident   float64
	Goroutines int
	Files      int
	Stats      nano.Stats
	Closed     int64          // OnClosed calls
	Twice      int64          // of those: for a session that was closed before
	Disorder   int64          // messages of players that were lost, doubled or overtaken on their way in
	Lines      map[string]int // of the log, by their message
}

// server is the node under test.
type server struct {
	app      *nano.App
	log      countingLog
	rooms    map[string]*room
	closed   atomic.Int64
	twice    atomic.Int64
	disorder atomic.Int64
}

// room numbers what it broadcasts.
type room struct {
	group *nano.Group
	seq   int64
}

// serve runs the node until the input ends. Each line of the input asks for the figures; "gc"
// collects the heap before.
func serve() error {
	sv := &server{rooms: make(map[string]*room)}
	sv.log.lines = make(map[string]int)
	logger := slog.New(&sv.log)
	slog.SetDefault(logger)
	sv.app = nano.New("127.0.0.1:0",
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}),
		nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: true}),
		nano.WithComponents(sv.components()),
		nano.WithDictionary(map[string]uint16{"Soak.Echo": 1}),
		nano.WithHeartbeatInterval(heartbeat),
		nano.WithHandshakeTimeout(handshakeTimeout),
		nano.WithWriteTimeout(writeTimeout),
		nano.WithSendQueue(sendQueue),
		nano.WithSlowHandler(-1), // a busy machine is no fault
		nano.WithSlog(logger),
	)
	sv.app.Lifetime().OnClosed(func(s *session.Session) {
		sv.closed.Add(1)
		if s.HasKey("closed") {
			sv.twice.Add(1)
		}
		s.Set("closed", true)
	})
	if err := sv.app.Start(context.Background()); err != nil {
		return err
	}
	sv.app.Scheduler().NewTimer(time.Second, sv.tick)
	addrs := sv.app.Addrs()
	fmt.Println("serves", addrs[0], addrs[1])
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "gc" {
			runtime.GC()
			runtime.GC()
		}
		b, err := json.Marshal(sv.figures())
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return sv.app.Shutdown(ctx)
}

func (sv *server) figures() Figures {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	files, _ := os.ReadDir("/proc/self/fd")
	return Figures{
		Live: live[0].Value.Uint64(), Goroutines: runtime.NumGoroutine(), Files: len(files) - 1, Stats: sv.app.Stats(),
		Closed: sv.closed.Load(), Twice: sv.twice.Load(), Disorder: sv.disorder.Load(), Lines: sv.log.count(),
	}
}

// tick broadcasts to every other room.
func (sv *server) tick() {
	now := time.Now().Unix()
	i := int64(0)
	for _, r := range sv.rooms {
		if i++; (i+now)%4 == 0 {
			r.say(0, 0)
		}
	}
}

// say broadcasts "number sender number-of-the-sender".
func (r *room) say(sender, n int64) {
	r.seq++
	_ = r.group.Broadcast("onRoom", fmt.Appendf(nil, "%d %d %d", r.seq, sender, n)) // who leaves just then is no fault
}

// numbers reads the numbers with which a payload begins.
func numbers(data []byte, n int) ([]int64, bool) {
	out := make([]int64, n)
	rest := string(data)
	for i := range out {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

// next wants the first number of a player's message to be one more than that of the message before.
func (sv *server) next(s *session.Session, data []byte) {
	n, ok := numbers(data, 1)
	if !ok || n[0] != s.Int64("in")+1 {
		sv.disorder.Add(1)
		return
	}
	s.Set("in", n[0])
}

// components are the handlers of the players, whose messages are numbered, and those of everybody.
func (sv *server) components() *component.Components {
	cs := &component.Components{}
	raw := func(route string, fn func(ctx context.Context, s *session.Session, data []byte) error) {
		component.HandleRaw(cs, route, fn)
	}
	player := func(route string, fn func(ctx context.Context, s *session.Session, data []byte) error) {
		raw(route, func(ctx context.Context, s *session.Session, data []byte) error {
			sv.next(s, data)
			return fn(ctx, s, data)
		})
	}
	player("Soak.Join", func(_ context.Context, s *session.Session, data []byte) error {
		_, name, _ := strings.Cut(string(data), " ")
		r := sv.rooms[name]
		if r == nil {
			r = &room{group: nano.NewGroup(name)}
			sv.rooms[name] = r
		}
		if err := r.group.Add(s); err != nil {
			return err
		}
		s.Set("room", r)
		return s.Response(fmt.Appendf(nil, "%d %d", s.ID(), r.seq))
	})
	player("Soak.Say", func(_ context.Context, s *session.Session, _ []byte) error {
		r, ok := s.Value("room").(*room)
		if !ok {
			return nano.Errorf("no_room", "join first")
		}
		s.Set("said", s.Int64("said")+1)
		r.say(s.ID(), s.Int64("said"))
		return nil
	})
	player("Soak.Echo", func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) })
	player("Soak.Fail", func(_ context.Context, _ *session.Session, data []byte) error {
		return nano.Errorf("teapot", "%s", data)
	})
	player("Soak.Later", func(ctx context.Context, s *session.Session, data []byte) error {
		id, data := nano.MessageID(ctx), slices.Clone(data)
		sv.app.Scheduler().NewAfterTimer(time.Duration(1+id%50)*time.Millisecond, func() { _ = s.ResponseMID(id, data) })
		return nil
	})
	player("Soak.Burst", func(_ context.Context, s *session.Session, data []byte) error {
		n, ok := numbers(data, 2)
		if !ok {
			return nano.Errorf("invalid", "no numbers")
		}
		for range n[1] {
			s.Set("burst", s.Int64("burst")+1)
			if err := s.Push("onBurst", strconv.AppendInt(nil, s.Int64("burst"), 10)); err != nil {
				return err
			}
		}
		return s.Response(data)
	})
	raw("Wild.Echo", func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) })
	raw("Wild.Panic", func(context.Context, *session.Session, []byte) error { panic("as asked") })
	raw("Wild.Fail", func(context.Context, *session.Session, []byte) error { return fmt.Errorf("a failure\nof two lines") })
	raw("Wild.Push", func(_ context.Context, s *session.Session, data []byte) error {
		n, ok := numbers(data, 2)
		if !ok || n[0] < 0 || n[0] > 10_000 || n[1] < 0 || n[1] > 1<<16 {
			return nano.Errorf("invalid", "no numbers")
		}
		for range n[0] {
			if err := s.Push("onWild", make([]byte, n[1])); err != nil {
				return err
			}
		}
		return s.Response([]byte("ok"))
	})
	return cs
}

// countingLog is a slog.Handler that counts lines by their message, and keeps nothing else.
type countingLog struct {
	mu    sync.Mutex
	lines map[string]int
}

// Enabled lets pass what a production log shows.
func (*countingLog) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle counts a line.
func (c *countingLog) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines[r.Level.String()+" "+r.Message]++
	return nil
}

// WithAttrs is without meaning here.
func (c *countingLog) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup is without meaning here.
func (c *countingLog) WithGroup(string) slog.Handler { return c }

func (c *countingLog) count() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.lines))
	for k, v := range c.lines {
		out[k] = v
	}
	return out
}
