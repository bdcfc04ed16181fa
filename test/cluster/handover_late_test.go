package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/test/internal/apptest"
)

// A backend hears late that a session goes to another gate, when that has introduced it already: it
// has the session once, and each that it has opened ends. Players would stay in rooms for ever. The
// session of a user goes on at the new gate at once, and the backend hears of the gap, too; one of
// nobody may be another client's.
func TestNodeThatHearsLateWhereASessionGoes(t *testing.T) {
	for _, uid := range []string{"7", "0"} {
		t.Run("user "+uid, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) { hearLate(t, f, uid) })
		})
	}
}

func hearLate(t *testing.T, f *apptest.Cluster, uid string) {
	m := startMoves(t, f, true)
	tr := &traveller{m: m}
	tr.come("gate:1")
	tr.call("Room.Join", uid, "in")
	first := <-m.in
	tr.Close()
	synctest.Wait()
	f.Silence("gate:1", apptest.Master)
	defer f.Heal()
	if !tr.come("gate:2") || !tr.said.Gap {
		t.Errorf("the client hears %+v", tr.said)
	}
	if uid == "0" {
		tr.call("Room.Join", uid, "in")
		<-m.in
	} else {
		tr.call("Ping.Pong", "here", "here")
		m.push(first, 1, 1)
		tr.wants(1, 1)
		if !slices.Contains(m.told.List(), "back resumed with a gap") {
			t.Errorf("hooks were told %q", m.told.List())
		}
	}
	f.Heal()
	time.Sleep(2 * time.Second)
	m.push(first, 2, 2) // the one from before is the session
	tr.wants(2, 2)
	tr.Close()
	time.Sleep(time.Minute)
	closed := 0
	for _, line := range m.told.List() {
		if strings.HasPrefix(line, "back closed") {
			closed++
		}
	}
	if opened := len(m.back.Opened()); opened != closed {
		t.Errorf("the backend has opened %d sessions, and closed %d: %q", opened, closed, m.told.List())
	}
}
