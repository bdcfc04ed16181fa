package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lonng/nano/examples/im/protocol"
)

// ticks returns what a person was told of a live room.
func (p *person) ticks() (bullets []protocol.Bullet, dropped int, counts map[string]int64, viewers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.pushes {
		if x.route != protocol.PushTick {
			continue
		}
		var t protocol.Tick
		if err := json.Unmarshal([]byte(x.data), &t); err != nil {
			p.t.Error(err)
		}
		bullets, dropped = append(bullets, t.Bullets...), dropped+t.Dropped
		if t.Counts != nil {
			counts = t.Counts
		}
		if t.Viewers != nil {
			viewers = *t.Viewers
		}
	}
	return bullets, dropped, counts, viewers
}

// In a live room everything is shown where nothing is sampled, merged and in order, with counters
// and viewers.
func TestLiveRoomShowsAll(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.enter("Ann", "web"), w.enter("Bob", "web")
	for _, p := range []*person{ann, bob} {
		if r := call[protocol.LiveReply](p, "live.enter", object{"channel": "live"}); r.Title != "Live" || r.Tick != 100 {
			t.Errorf("entered %+v", r)
		}
	}
	const n = 50
	for i := range n {
		b := call[protocol.Bullet](ann, "live.say", object{"channel": "live", "cid": fmt.Sprint(i), "text": fmt.Sprint("b", i)})
		if b.ID == "" || b.From != "ann" {
			t.Fatalf("said %+v", b)
		}
	}
	for range 3 {
		if err := bob.c.Notify(t.Context(), "live.count", object{"channel": "live", "key": "like", "add": 2}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "bob was not told everything", func() bool {
		bullets, _, counts, viewers := bob.ticks()
		return len(bullets) == n && counts["like"] == 6 && viewers == 2
	})
	bullets, dropped, _, _ := bob.ticks()
	for i, b := range bullets {
		if b.Text != fmt.Sprint("b", i) {
			t.Fatalf("bullet %d is %+v", i, b)
		}
	}
	if dropped != 0 {
		t.Errorf("%d were dropped", dropped)
	}
	if r := call[protocol.LiveReply](w.enter("Eve", "web"), "live.enter", object{"channel": "live"}); len(r.Recent) != n || r.Counts["like"] != 6 {
		t.Errorf("who comes later sees %d bullets and %v", len(r.Recent), r.Counts)
	}
	ann.c.Close()
	until(t, "nobody told that ann has gone", func() bool {
		_, _, _, viewers := bob.ticks()
		return viewers == 2 // bob and eve
	})
	for route, req := range map[string]any{
		"live.say":   object{"channel": "global", "cid": "1", "text": "x"},
		"live.enter": object{"channel": "global"},
	} {
		if _, err := try[protocol.Bullet](bob, route, req); err == nil || !strings.Contains(err.Error(), "not_found") {
			t.Errorf("%s where there is no live room: %v", route, err)
		}
	}
}

// Where people say more than anybody can read, a part is shown, and what is left out is counted.
func TestLiveRoomIsSampled(t *testing.T) {
	w := newWorld(t, func(c *config) { c.liveRate = 20 }) // 2 of each tick of 100 ms
	ann := w.enter("Ann", "web")
	call[protocol.LiveReply](ann, "live.enter", object{"channel": "live"})
	var all sync.WaitGroup
	const n = 50
	for i := range n {
		all.Go(func() {
			call[protocol.Bullet](ann, "live.say", object{"channel": "live", "cid": fmt.Sprint(i), "text": "x"})
		})
	}
	all.Wait()
	until(t, "not everything was shown or counted", func() bool {
		bullets, dropped, _, _ := ann.ticks()
		return len(bullets)+dropped == n
	})
	if _, dropped, _, _ := ann.ticks(); dropped == 0 {
		t.Error("nothing was left out")
	}
}
