package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// inRoom connects a player who wants to be in a room, and returns which backend serves them.
func inRoom(t *testing.T, g *apptest.Node, room string) string {
	t.Helper()
	c := g.TCP.Client(t)
	c.Ready()
	synctest.Wait()
	ids := g.Opened()
	g.Session(ids[len(ids)-1]).Set("room", room)
	name := string(c.Call("Room.Name", nil).Data)
	c.Close()
	return name
}

// Players of one room meet on one backend, whichever gate they came by; when a backend ends, only
// its rooms move, and when it comes back they are where they were.
func TestPlayersOfARoomMeet(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		hash := nano.WithRouting(nano.RouteHash(func(s *session.Session) string { return s.String("room") }))
		g1, all := rooms(t, f, hash)
		g2 := f.Start(t, "gate:2", apptest.Handlers(nil), hash)
		apptest.Meet(t, append(all, g2)...)
		const n = 60
		where := func() (at map[string]string) {
			at = make(map[string]string)
			for i := range n {
				room := fmt.Sprintf("room %d", i)
				at[room] = inRoom(t, g1, room)
				if other := inRoom(t, g2, room); other != at[room] {
					t.Errorf("%s is at %s from one gate, and at %s from the other", room, at[room], other)
				}
			}
			return at
		}
		before := where()
		f.Kill("back:2")
		time.Sleep(2 * time.Second)
		after := where()
		moved := 0
		for room, at := range before {
			switch {
			case at != "2" && after[room] != at:
				t.Errorf("%s was at %s, which lives, and is at %s now", room, at, after[room])
			case at == "2":
				moved++
			}
		}
		if moved < n/6 || moved > n/2 {
			t.Errorf("%d of %d rooms were at the backend that has died", moved, n)
		}
		f.Revive("back:2")
		time.Sleep(5 * time.Second)
		if again := where(); !maps.Equal(again, before) {
			t.Errorf("rooms are at %v, and were at %v", again, before)
		}
	})
}

// The choice of RouteHash depends on who is there and on the key, not on the order of the list, and
// a node that joins takes its share from all others alike.
func TestRouteHashSpreads(t *testing.T) {
	var key string
	choose := nano.RouteHash(func(*session.Session) string { return key })
	all := make([]cluster.Candidate, 8)
	for i := range all {
		all[i].Addr = fmt.Sprintf("10.0.0.%d:80", i)
	}
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	const n = 8000
	per, taken := map[string]int{}, map[string]int{}
	for i := range n {
		key = fmt.Sprint(i)
		at := all[choose("Room", nil, all)].Addr
		if other := reversed[choose("Room", nil, reversed)].Addr; other != at {
			t.Fatalf("key %s is at %s or at %s", key, at, other)
		}
		per[at]++
		fewer := all[:7]
		if was := fewer[choose("Room", nil, fewer)].Addr; was != at {
			if at != all[7].Addr {
				t.Fatalf("key %s moved from %s to %s when another node joined", key, was, at)
			}
			taken[was]++
		}
	}
	for _, c := range all {
		if got := per[c.Addr]; got < n/8*8/10 || got > n/8*12/10 {
			t.Errorf("%s has %d keys of %d", c.Addr, got, n)
		}
		if got := taken[c.Addr]; c != all[7] && (got < n/80 || got > n/40) {
			t.Errorf("the node that joined took %d keys from %s", got, c.Addr)
		}
	}
}
