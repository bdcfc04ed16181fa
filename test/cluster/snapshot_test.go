package cluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// linkTo returns the figures that a node has of its link to another one.
func linkTo(t *testing.T, n *apptest.Node, addr string) metrics.Link {
	t.Helper()
	for _, l := range n.Snapshot().Cluster.Links {
		if l.Peer == addr {
			return l
		}
	}
	t.Fatalf("%s has no figures of a link to %s", n.Addr, addr)
	return metrics.Link{}
}

// memberAt returns what a node says of another one.
func memberAt(t *testing.T, n *apptest.Node, addr string) (m metrics.Member) {
	t.Helper()
	for _, m := range n.Snapshot().Cluster.Members {
		if m.Addr == addr {
			return m
		}
	}
	return m
}

// figuresAgree fails unless the figures of a link with an empty queue are what the network carried.
func figuresAgree(t *testing.T, f *apptest.Cluster, n *apptest.Node, to string) metrics.Link {
	t.Helper()
	l := linkTo(t, n, to)
	got := nanotest.Carried{Frames: int(l.Frames), Batches: int(l.Batches), Bytes: int(l.Bytes)}
	if want := f.Carried(n.Addr, to); got != want || got.Frames == 0 {
		t.Errorf("the link from %s to %s has %+v, and %+v went over it", n.Addr, to, got, want)
	}
	if l.Unsent != 0 || l.Unacked != 0 || !l.Connected {
		t.Errorf("nothing goes on, and the link from %s to %s is %+v", n.Addr, to, l)
	}
	return l
}

// Somebody who looks for what is slow between two nodes goes by the figures of their link: they are
// what was sent.
func TestFiguresOfALink(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil), nano.WithLinkQueue(64<<10))
		var got atomic.Int64
		b := f.Start(t, "back:1", apptest.Handlers(backend(apptest.Funcs{
			"Back.Take": func(context.Context, *session.Session, []byte) error { got.Add(1); return nil },
		})))
		apptest.Meet(t, m, g, b)
		c := g.TCP.Client(t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		for range 10 {
			apptest.Call(t, c, "Back.Echo", "hello", "hello")
		}
		time.Sleep(time.Second) // until all of it is acknowledged
		synctest.Wait()
		there, back := figuresAgree(t, f, g, "back:1"), figuresAgree(t, f, b, "gate:1")
		if there.Frames < 11 || back.Frames < 10 { // an introduction and ten requests; their answers
			t.Errorf("the links have carried %d and %d frames", there.Frames, back.Frames)
		}
		if there.Sessions != 1 || back.Sessions != 0 || there.Connects != 1 || there.Resent != 0 || there.LastError != "" {
			t.Errorf("of a client's requests: %+v, and back %+v", there, back)
		}

		// While the other node takes nothing, its queue grows until there is no room.
		f.Freeze("back:1")
		const payload = 1 << 10
		sent, refused := 0, uint64(0)
		for refused < 3 && sent < 1000 {
			if err := g.Notify("Back.Take", make([]byte, payload)); err == nil {
				sent++
			} else {
				refused++
			}
			synctest.Wait()
		}
		full := linkTo(t, g, "back:1")
		if queued := full.Unsent + full.Unacked; queued < sent*payload || queued > 64<<10 || full.Unacked == 0 {
			t.Errorf("%d messages wait, in %d bytes unsent and %d unacknowledged", sent, full.Unsent, full.Unacked)
		}
		if full.Refused != refused || refused == 0 || full.Frames != there.Frames+uint64(sent) {
			t.Errorf("%d messages were taken and %d refused, and the figures are %+v", sent, refused, full)
		}
		// What was sent is sent again when the connection is another one.
		f.Cut("gate:1")
		f.Thaw("back:1")
		nanotest.Until(t, "everything has arrived", func() bool { return got.Load() == int64(sent) })
		time.Sleep(time.Second)
		synctest.Wait()
		again := linkTo(t, g, "back:1")
		if again.Connects != 2 || again.Resent == 0 || again.LastError == "" || again.Dropped != 0 {
			t.Errorf("after a reconnect: %+v", again)
		}
		if now := f.Carried("gate:1", "back:1"); uint64(now.Batches) != again.Batches || uint64(now.Bytes) != again.Bytes || now.Frames <= int(again.Frames) {
			t.Errorf("after a reconnect the link has %+v, and %+v went over it", again, now)
		}
		if again.Unsent != 0 || again.Unacked != 0 {
			t.Errorf("everything has arrived, and the queue holds %d and %d bytes", again.Unsent, again.Unacked)
		}

		// The round trip is that of the network.
		const latency = 20 * time.Millisecond
		f.Slow(latency)
		time.Sleep(30 * time.Second)
		if l := linkTo(t, g, "back:1"); l.RoundTrip < latency || l.RoundTrip > 3*latency || time.Since(l.Heard) > 5*time.Second {
			t.Errorf("the way back takes %v: the figures are %v, and something was heard %v ago", latency, l.RoundTrip, time.Since(l.Heard))
		}
		f.Slow(0)
		c.Close()
	})
}

// Calls that wait, and what is in the queue of the node that they are for, are told on both sides.
func TestFiguresOfCallsAndCredit(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		m := f.Start(t, apptest.Master, apptest.Handlers(nil))
		g := f.Start(t, "gate:1", apptest.Handlers(nil))
		b, release := stuckNode(t, f)
		apptest.Meet(t, m, g, b)
		const calls, payload = 20, 1 << 20
		for range calls {
			if err := g.Notify("Stuck.Do", make([]byte, payload)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		l := linkTo(t, g, "back:1")
		if l.CreditLimit < calls*payload || l.Credit > calls*(payload+1<<10) || l.Credit < (calls-3)*payload { // the first one runs
			t.Errorf("%d bytes wait at the other node, and the figures are %d of %d", calls*payload, l.Credit, l.CreditLimit)
		}
		waits := make(chan error, 1)
		go func() {
			_, err := nano.Call[string](g.Context(t.Context()), "Stuck.Do", []byte("x"))
			waits <- err
		}()
		synctest.Wait()
		there, here := g.Snapshot().Cluster, b.Snapshot().Cluster
		if there.Calling != 1 || linkTo(t, g, "back:1").Calling != 1 || here.Serving != 1 || linkTo(t, b, "gate:1").Serving != 1 || there.Calls.Count != 0 {
			t.Errorf("a call waits: %d calling and %d returned at the one, %d serving at the other", there.Calling, there.Calls.Count, here.Serving)
		}
		close(release)
		<-waits // it may have no reply: the handler makes none
		time.Sleep(time.Second)
		synctest.Wait()
		there, here = g.Snapshot().Cluster, b.Snapshot().Cluster
		if there.Calling != 0 || here.Serving != 0 || there.Calls.Count != 1 {
			t.Errorf("it has returned: %d calling, %d returned; %d serving", there.Calling, there.Calls.Count, here.Serving)
		}
		if l := linkTo(t, g, "back:1"); l.Credit > l.CreditLimit/16 { // it is given back in steps of that
			t.Errorf("everything was taken, and %d bytes are counted", l.Credit)
		}
	})
}

// The console shows who is there, in which state, and how each can be reached.
func TestFiguresOfMembers(t *testing.T) {
	apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
		g := f.Start(t, apptest.Master, apptest.Handlers(nil))
		goOn := make(chan struct{})
		cs := apptest.Handlers(backend(nil))
		cs.Register(&apptest.Life{OnAfterInit: func() { <-goOn }}, component.WithName("Life"))
		b := f.Make("back:1", cs, nano.WithLabel("blue"))
		began := time.Now()
		started := make(chan error, 1)
		go func() { started <- b.Start(t.Context()) }()
		expect := func(want metrics.Member) {
			t.Helper()
			nanotest.Until(t, "the member is "+want.State+" and "+want.Reach, func() bool {
				m := memberAt(t, g, "back:1")
				return m.State == want.State && m.Reach == want.Reach
			})
		}
		expect(metrics.Member{State: "starting", Reach: "up"})
		close(goOn)
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Stop(t) })
		expect(metrics.Member{State: "working", Reach: "up"})
		m := memberAt(t, g, "back:1")
		// A node that starts later in a process is younger, also if its clock, a bubble's, says
		// less.
		if m.Label != "blue" || len(m.Services) != 3 || m.Services[0] != "Back" || m.Legacy || m.Unlisted || m.Started.Before(began.Add(-time.Second)) {
			t.Errorf("the member is %+v", m)
		}
		if other := memberAt(t, b, apptest.Master); other.State != "working" || other.Reach != "up" {
			t.Errorf("the other way round: %+v", other)
		}
		f.Block(apptest.Master, "back:1")
		for _, reach := range []string{"down", "far", "abandoned"} {
			expect(metrics.Member{State: "working", Reach: reach})
		}
		f.Allow(apptest.Master, "back:1")
		expect(metrics.Member{State: "working", Reach: "up"})
		ended := make(chan error, 1)
		go func() { ended <- b.Drain(t.Context()) }()
		expect(metrics.Member{State: "draining", Reach: "up"})
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.Stop(t)
		nanotest.Until(t, "the member is gone", func() bool { return len(g.Snapshot().Cluster.Members) == 0 })
	})
}
