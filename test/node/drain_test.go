package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

// drain begins to drain a node, and returns where the result will be.
func drain(ctx context.Context, n *apptest.Node) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- n.Drain(ctx) }()
	return ended
}

// A node that is drained asks its players to leave, one after the other; nobody is cut off, and
// those who come back to it all the same are asked again.
func TestDrainAsksThoseWhoCanComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startResuming(t, nano.Resume{Window: window}, nano.WithHeartbeatInterval(time.Hour), nano.WithDrain(nano.Drain{Spread: 2 * time.Second}))
		var players []*player
		for i := range 20 {
			p := &player{t: t, n: n, websocket: i%2 == 0}
			p.come()
			apptest.Pong(t, p.Client)
			p.received++
			players = append(players, p)
		}
		old := n.TCP.Client(t)
		old.Ready()
		if n.Draining() {
			t.Error("draining before Drain")
		}
		began := time.Now()
		ended := drain(t.Context(), n.Node)
		when := make(chan time.Duration, len(players))
		for _, p := range players {
			go func() {
				if got := p.Push("nano.drain"); string(got) != "{}" {
					t.Errorf("payload %q", got)
				}
				when <- time.Since(began)
			}()
		}
		first, last, half := time.Hour, time.Duration(0), 0
		for range players {
			at := <-when
			first, last = min(first, at), max(last, at)
			if at <= time.Second {
				half++
			}
		}
		if first > 200*time.Millisecond || last < 1900*time.Millisecond || last > 2100*time.Millisecond || half < 9 || half > 11 {
			t.Errorf("asked from %v to %v, %d in the first half: want them spread over 2 s", first, last, half)
		}
		if !n.Draining() {
			t.Error("not draining after Drain")
		}
		apptest.Pong(t, players[0].Client) // it is served until it leaves
		players[0].received += 2
		before := players[0].Client
		players[0].come()
		players[0].resumed(2)
		before.Ended()
		if got := players[0].Push("nano.drain"); string(got) != "{}" || time.Since(began) < 5*time.Second {
			t.Errorf("asked again after %v", time.Since(began))
		}
		for _, p := range players {
			p.goodbye()
		}
		apptest.Pong(t, old) // old clients are not disturbed
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			t.Fatalf("ended with a client left: %v", err)
		default:
		}
		old.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// New clients are turned away as if the connection had been lost: that makes each kind of client
// try again, elsewhere, and none gives up.
func TestDrainedNodeTurnsNewClientsAway(t *testing.T) {
	eachKind(t, func(t *testing.T, websocket bool) {
		n := startResuming(t, nano.Resume{Window: window})
		p := &player{t: t, n: n, websocket: websocket}
		p.come()
		apptest.Pong(t, p.Client)
		p.received++
		p.Close()
		n.heard(t, "suspended")
		ctx, cancel := context.WithCancel(t.Context())
		ended := drain(ctx, n.Node)
		synctest.Wait()

		stranger := `,"resume":{"token":"AAAA","received":1}`
		for _, body := range []string{"", `{"sys":{"accept":["error","resume"]}}`, `{"sys":{"accept":["resume"]` + stranger + `}}`} {
			c := n.TCP.Client(t)
			if websocket {
				c = n.WS.WebSocket(t)
			}
			c.WritePacket(1, []byte(body))
			_, err := c.Next()
			var closed *nanotest.ClosedError
			if err == nil || websocket && (!errors.As(err, &closed) || closed.Code != 1013) {
				t.Errorf("%s: the connection ends with %v", body, err)
			}
		}
		p.come() // who is here may come back
		p.resumed(1)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 connected") {
			t.Errorf("drain: %v", err)
		}
		if kicked := n.Stats().Kicked; kicked != 0 {
			t.Errorf("%d kicked by the drain", kicked)
		}
	})
}

// Where nobody can come back, balancers hear at the upgrade that another node is to be asked.
func TestDrainedNodeWithoutResumeRefusesUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, apptest.Handlers(nil))
		old := n.WS.WebSocket(t)
		old.Ready()
		ctx, cancel := context.WithCancel(t.Context())
		ended := drain(ctx, n)
		synctest.Wait()
		c := n.WS.Client(t)
		c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
		answer := make([]byte, 1024)
		k, err := c.Conn().Read(answer)
		if got := string(answer[:k]); err != nil || !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After: ") {
			t.Errorf("the upgrade is answered with %q, %v", got, err)
		}
		n.TCP.Client(t).Ended()
		apptest.Pong(t, old)
		cancel()
		<-ended
		go n.Stop(t)
		if reason := old.Kicked(); reason != "server shutdown" {
			t.Errorf("kicked with %q", reason)
		}
	})
}

// A drain before the start is a mistake that is told. Two at once ask the clients once.
func TestDrainTwiceAndTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := apptest.New(apptest.Handlers(nil)).Drain(t.Context()); err == nil {
			t.Error("a node is drained that has not started")
		}
		n := startResuming(t, nano.Resume{Window: window}, nano.WithHeartbeatInterval(time.Hour))
		p := &player{t: t, n: n}
		p.come()
		apptest.Pong(t, p.Client)
		p.received++
		first, cancel := context.WithCancel(t.Context())
		one, two := drain(first, n.Node), drain(t.Context(), n.Node)
		p.Push("nano.drain")
		apptest.Pong(t, p.Client) // and not another one before it
		cancel()
		if err := <-one; err == nil {
			t.Error("no error of the context")
		}
		p.Push("nano.drain") // the other goes on
		p.goodbye()
		if err := <-two; err != nil {
			t.Error(err)
		}
	})
}

// Shutdown during a drain, or a client that never comes back, does not hold it up.
func TestDrainEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, n *lives, p *player){
		"the client does not come back": func(_ *testing.T, _ *lives, p *player) { p.Close() },
		"shutdown":                      func(t *testing.T, n *lives, _ *player) { n.Stop(t) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := startResuming(t, nano.Resume{Window: window})
				p := &player{t: t, n: n}
				p.come()
				ended, began := drain(t.Context(), n.Node), time.Now()
				synctest.Wait()
				go end(t, n, p)
				if err := <-ended; err != nil || time.Since(began) > window+time.Second {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				if n.Stats().Sessions != 0 {
					t.Error(fmt.Sprint("sessions left: ", n.Stats().Sessions))
				}
			})
		})
	}
}
