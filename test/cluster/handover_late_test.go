package cluster_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/test/internal/apptest"
)

// A backend hears late that a session goes to another gate, when that has introduced it already: it
// has the session once, and each that it has opened ends. Players would stay in rooms for ever.
func TestNodeThatHearsLateWhereASessionGoes(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMoves(t, f, true)
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		first := <-m.in
		tr.Close()
		synctest.Wait()
		f.Silence("gate:1", apptest.Master)
		if !tr.come("gate:2") || !tr.said.Gap {
			t.Errorf("the client hears %+v", tr.said)
		}
		tr.call("Room.Join", "7", "in")
		<-m.in
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
	})
}
