package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// comesTo comes to a gate, and again where its handshake is not answered in time, as clients do. It
// returns on which of these connections the session goes on.
func (tr *traveller) comesTo(gate string) (tries int) {
	tr.m.t.Helper()
	for tries = 1; tries <= 10; tries++ {
		if answered, resumed := tr.try(gate); answered {
			if !resumed {
				tr.m.t.Fatalf("at %s: %+v", gate, tr.said)
			}
			return tries
		}
	}
	tr.m.t.Fatalf("%s does not answer", gate)
	return tries
}

// Nodes on a slow machine take their time with everything. A session goes to another gate all the
// same, however long that takes, and loses nothing: its client comes again while it is on its way.
func TestSlowHandoverLosesNothing(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMovesWith(t, f, true, 20*time.Second, nil)
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		s := <-m.in
		tr.Notify("Room.Say", []byte("one"))
		synctest.Wait()
		f.Lag(3 * time.Second) // an answer takes 6 s, and there are two
		m.push(s, 1, 4)
		tr.Close()
		began := time.Now()
		var pushing sync.WaitGroup
		pushing.Go(func() {
			for i := 5; i <= 44; i++ {
				push := s.Push
				if i%2 == 0 {
					push = m.room.Broadcast
				}
				if err := push("n", []byte(strconv.Itoa(i))); err != nil {
					t.Errorf("push %d: %v", i, err)
				}
				time.Sleep(500 * time.Millisecond)
			}
		})
		if tries := tr.comesTo("gate:2"); tr.said.Gap || tries > 2 || *tr.said.Received != 2 {
			t.Errorf("after %v and %d connections: %+v", time.Since(began), tries, tr.said)
		}
		tr.wants(1, 44)
		pushing.Wait()
		f.Lag(0)
		time.Sleep(5 * time.Second)
		tr.Notify("Room.Say", []byte("two"))
		tr.call("Ping.Pong", "here", "here")
		if got := m.got.List(); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("the room got %q", got)
		}
		if s.Closed() || s.UID() != 7 || m.room.Count() != 1 {
			t.Errorf("closed %v, user %d, %d in the room", s.Closed(), s.UID(), m.room.Count())
		}
	})
}

// A backend is cut off from the first gate while the session goes to the second. Its client hears
// of a gap. What the backend had sent to the first gate arrives there when newer messages are with
// the client: that is dropped, and counted, so that nothing comes out of order.
func TestPushesThatAreLateAfterAGap(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMovesWith(t, f, true, 5*time.Second, nil, nano.WithErrorShape(func(_ *session.Session, _ string, err error) any {
			time.Sleep(2 * time.Second) // so the session has left when the error is there
			return map[string]string{"code": codeOf(err)}
		}))
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		s := <-m.in
		mid := tr.Request("Room.Wait", []byte("later"))
		synctest.Wait()
		f.Silence(apptest.Master, "gate:1")
		defer f.Heal()
		m.push(s, 1, 4) // on their way
		close(m.free)   // and the answer
		tr.Close()
		synctest.Wait()
		if tr.comesTo("gate:2"); !tr.said.Gap {
			t.Fatalf("at the second gate: %+v", tr.said)
		}
		m.push(s, 5, 8)
		failed := false
		for next := 5; next <= 8 || !failed; tr.received++ {
			switch msg := tr.Message(); {
			case msg.Type == codec.Push && string(msg.Data) == strconv.Itoa(next):
				next++
			case msg.Type == codec.Response && msg.ID == mid && msg.Err && !failed:
				failed = true // and there is no other answer, although that is on its way
			default:
				t.Fatalf("before push %d: %v %q", next, msg, msg.Data)
			}
		}
		f.Heal()
		time.Sleep(3 * time.Second)
		m.push(s, 9, 10)
		tr.wants(9, 10)
		if n := m.gates["gate:1"].Stats().Lost; n != 4 {
			t.Errorf("%d late pushes are counted", n)
		}
		tr.Close()
		tr.comesTo("gate:1") // which takes what comes from now on
		m.push(s, 11, 14)
		tr.wants(11, 14)
	})
}

// A backend calls a handler of the second gate in the name of a session that is on its way there:
// the handler runs when the session is there, as its user, and in order.
func TestNotifyInTheNameOfASessionOnItsWay(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		var told nanotest.Record
		hall := apptest.Handlers(apptest.Funcs{"Hall.Tell": func(_ context.Context, s *session.Session, data []byte) error {
			told.Add(fmt.Sprintf("%s of %d", data, s.UID()))
			return s.Push("n", data)
		}})
		m := startMovesWith(t, f, true, 20*time.Second, nil, nano.WithComponents(hall))
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		s := <-m.in
		s.Router().Bind("Hall", "gate:2")
		synctest.Wait()
		f.Lag(3 * time.Second)
		tr.Close()
		var calling sync.WaitGroup
		calling.Go(func() {
			time.Sleep(7 * time.Second) // the backend knows where the session goes after 6 s, and it is there after 12 s
			for i := 1; i <= 4; i++ {
				if err := s.RPC("Hall.Tell", []byte(strconv.Itoa(i))); err != nil {
					t.Errorf("notify %d: %v", i, err)
				}
			}
		})
		if tr.comesTo("gate:2"); tr.said.Gap {
			t.Errorf("at the second gate: %+v", tr.said)
		}
		calling.Wait()
		f.Lag(0)
		time.Sleep(5 * time.Second) // until what is on its way has arrived
		tr.wants(1, 4)
		if got := told.List(); !slices.Equal(got, []string{"1 of 7", "2 of 7", "3 of 7", "4 of 7"}) {
			t.Errorf("the handler was told %q", got)
		}
	})
}

// Nodes push to a user whose session goes to another gate, which is one of them: what one node
// sends arrives in order.
func TestPushesToAUserOnTheWay(t *testing.T) {
	const each = 20
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := startMovesWith(t, f, true, 20*time.Second, nil)
		nodes := []*apptest.Node{m.back, m.gates["gate:1"], m.gates["gate:2"], m.gates["gate:3"]}
		tr := &traveller{m: m}
		tr.come("gate:1")
		tr.call("Room.Join", "7", "in")
		synctest.Wait()
		f.Lag(200 * time.Millisecond)
		tr.Close()
		var pushing sync.WaitGroup
		for _, n := range nodes {
			pushing.Go(func() {
				for i := range each {
					if err := n.PushTo(7, "n", fmt.Appendf(nil, "%s %d", n.Addr, i)); err != nil {
						t.Errorf("PushTo at %s: %v", n.Addr, err)
					}
					time.Sleep(70 * time.Millisecond)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if tr.come("gate:2"); tr.said.Gap {
			t.Errorf("at the second gate: %+v", tr.said)
		}
		next := make(map[string]int)
		for range each * len(nodes) {
			from, number, _ := strings.Cut(string(tr.Push("n")), " ")
			if number != strconv.Itoa(next[from]) {
				t.Errorf("push %s of %s, want %d", number, from, next[from])
			}
			next[from]++
		}
		pushing.Wait()
		f.Lag(0)
	})
}
