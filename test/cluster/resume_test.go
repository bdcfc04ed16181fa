package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A backend notices nothing of a client whose network changes: what it pushes, broadcasts and
// answers meanwhile arrives when the client is back, and the session is not closed there.
func TestBackendKeepsTheSessionOfAClientThatComesBack(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		group := nano.NewGroup("room")
		joined, release := make(chan *session.Session, 1), make(chan struct{})
		back := f.Start(t, apptest.Master, apptest.Handlers(apptest.Funcs{
			"Room.Join": func(_ context.Context, s *session.Session, data []byte) error {
				if err := group.Add(s); err != nil {
					return err
				}
				joined <- s
				return s.Response([]byte("in"))
			},
			"Room.Wait": func(_ context.Context, s *session.Session, data []byte) error {
				mid := s.LastMid()
				go func() {
					<-release
					_ = s.ResponseMID(mid, data)
				}()
				return nil
			},
		}))
		var closed atomic.Int32
		back.Lifetime().OnClosed(func(*session.Session) { closed.Add(1) })
		gate := f.Start(t, "gate:1", new(component.Components), nano.WithResume(nano.Resume{Window: 30 * time.Second}))
		apptest.Meet(t, gate, back)

		c := gate.TCP.Client(t)
		token := resumeToken(t, c.Handshake(`{"sys":{"accept":["resume"]}}`), false)
		c.Ack()
		if m := c.Call("Room.Join", nil); string(m.Data) != "in" {
			t.Fatalf("join: %q", m.Data)
		}
		s := <-joined
		mid := c.Request("Room.Wait", []byte("later"))
		synctest.Wait()
		c.Close()
		synctest.Wait()
		for i := 1; i <= 10; i++ {
			var err error
			if i%2 == 0 {
				err = s.Push("n", []byte(strconv.Itoa(i)))
			} else {
				err = group.Broadcast("n", []byte(strconv.Itoa(i)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		close(release)
		time.Sleep(29 * time.Second)

		c = gate.WS.WebSocket(t)
		token = resumeToken(t, c.Handshake(fmt.Sprintf(`{"sys":{"accept":["resume"],"resume":{"token":%q,"received":1}}}`, token)), true)
		c.Ack()
		for i := 1; i <= 10; i++ {
			if got := c.Push("n"); string(got) != strconv.Itoa(i) {
				t.Fatalf("push %q, want %d", got, i)
			}
		}
		if m := c.Response(mid); string(m.Data) != "later" {
			t.Fatalf("answer %q", m.Data)
		}
		apptest.Pong(t, c)
		if closed.Load() != 0 {
			t.Error("closed at the backend")
		}
		c.Close()
		nanotest.Until(t, "the backend hears of the end", func() bool { return closed.Load() == 1 })
		if token == "" || group.Count() != 0 {
			t.Error("the group holds a session that has ended")
		}
	})
}

// resumeToken returns the token of a handshake's answer.
func resumeToken(t *testing.T, a nanotest.Answer, resumed bool) string {
	t.Helper()
	var said struct {
		Sys struct {
			Resume struct {
				Token   string
				Resumed bool
			}
		}
	}
	if err := json.Unmarshal(a.Body, &said); err != nil || said.Sys.Resume.Token == "" || said.Sys.Resume.Resumed != resumed {
		t.Fatalf("answer %s: %v", a.Body, err)
	}
	return said.Sys.Resume.Token
}
