package mesh

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
)

const (
	lanes         = 8                      // calls to one node at a time; a session keeps to one lane, so its order stays
	laneMax       = 4096                   // calls waiting in a lane
	legacyTimeout = 5 * time.Second        // the most for one call
	callBack      = 300 * time.Millisecond // within which a node that lives can be connected to
)

var errLaneFull = fault.New(fault.Exhausted, "cluster: too many calls wait for the node")

// legacyClient speaks to a node that has no link, one of the 0.5 series: a call for each frame.
type legacyClient struct {
	*node
	peer *peer

	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup // lanes
	done   sync.WaitGroup // watch

	mu     sync.Mutex
	closed bool
	lanes  [lanes]chan *link.Frame
}

func newLegacyClient(p *peer) *legacyClient {
	c := &legacyClient{node: p.node, peer: p}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.done.Add(1)
	go c.watch()
	return c
}

// patience is how long a call may take. A node that is silent for callBack more is not there.
func (c *legacyClient) patience() time.Duration { return min(legacyTimeout, c.silence()-callBack) }

// watch keeps the node connected, and sees when it is not: that is all by which its death shows
// before its heartbeats are missed.
func (c *legacyClient) watch() {
	defer c.done.Done()
	down := false
	for {
		conn := c.peer.way.Load()
		state := conn.GetState()
		switch {
		case state == connectivity.Ready:
			down = false
			c.up()
		case state == connectivity.Idle: // at first, and whenever a connection was lost
			conn.Connect()
		case state == connectivity.TransientFailure && !down:
			down = true
			c.peer.down(errPeerGone)
		}
		if !conn.WaitForStateChange(c.ctx, state) {
			return
		}
	}
}

// send queues a frame; frames that have no call are for other nodes and are left out.
func (c *legacyClient) send(f *link.Frame) error {
	switch f.Kind {
	case link.Multicast:
		errs := make([]error, 0, len(f.Sessions))
		for _, id := range f.Sessions {
			errs = append(errs, c.queue(&link.Frame{Kind: link.Push, Session: id, Route: f.Route, Data: f.Data}))
		}
		return errors.Join(errs...)
	case link.Request, link.Notify, link.Push, link.Response, link.SessionClosed, link.Close, link.Kick:
		return c.queue(f)
	}
	return nil
}

func (c *legacyClient) queue(f *link.Frame) error {
	own := *f
	own.Route, own.Text, own.Data, own.Sessions = bytes.Clone(f.Route), bytes.Clone(f.Text), slices.Clone(f.Data), nil
	i := uint64(f.Session) % lanes
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errPeerGone
	}
	if c.lanes[i] == nil {
		c.lanes[i] = make(chan *link.Frame, laneMax)
		c.calls.Add(1)
		go c.run(c.lanes[i])
	}
	select {
	case c.lanes[i] <- &own:
		return nil
	default:
		return errLaneFull
	}
}

// run makes the calls of one lane.
func (c *legacyClient) run(lane chan *link.Frame) {
	defer c.calls.Done()
	for f := range lane {
		if f.Kind == link.Request && len(f.Text) == 0 && !c.peer.peers.sessions.awaits(f.Session, f.ID) {
			c.refusals.Withdrawn.Add(1)
			continue // it was answered with an error while it waited here
		}
		conn := c.peer.way.Load()
		ctx, cancel := context.WithTimeout(c.ctx, c.patience())
		err := c.call(ctx, clusterpb.NewMemberClient(conn), f)
		late := errors.Is(ctx.Err(), context.DeadlineExceeded)
		cancel()
		if err != nil && c.ctx.Err() == nil {
			c.log.Warn("a call to a node failed", "peer", c.peer.addr, "kind", f.Kind, "session", f.Session, "err", err)
			if f.Kind == link.Request {
				c.peer.peers.sessions.fail(f.Session, f.ID, c.peer.addr)
			}
			if late {
				c.leave(conn)
			}
		}
	}
}

// leave puts another connection in the place of one on which a call was not answered: gRPC may not
// notice for long that nobody is heard on it. If the node can be connected to it is only slow, and
// the other calls on the old connection go on. Else it is not there.
func (c *legacyClient) leave(conn *grpc.ClientConn) {
	fresh, err := c.peer.peers.dial(c.peer.addr, false)
	if err != nil {
		return // the options are those of the first one
	}
	if !c.peer.way.CompareAndSwap(conn, fresh) { // another lane was first
		_ = fresh.Close()
		return
	}
	fresh.Connect()
	c.background(func() {
		defer func() { _ = conn.Close() }() // may take seconds
		if c.ready(fresh, callBack) {
			wait := time.NewTimer(c.patience())
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-c.ctx.Done():
			}
			return
		}
		if c.ctx.Err() == nil {
			c.peer.down(link.ErrSilent)
		}
		if fresh.GetState() == connectivity.Ready { // and watch may have said so before that
			c.up()
		}
	})
}

// ready tells whether a connection is made within d.
func (c *legacyClient) ready(conn *grpc.ClientConn, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(c.ctx, d)
	defer cancel()
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return true
		}
		if !conn.WaitForStateChange(ctx, state) {
			return false
		}
	}
}

func (c *legacyClient) up() {
	c.peer.mute.Store(false)
	c.peer.up()
}

func (c *legacyClient) call(ctx context.Context, to clusterpb.MemberClient, f *link.Frame) (err error) {
	ctx = metadata.AppendToOutgoingContext(ctx, headerAddr, c.node.addr)
	gate := string(f.Text)
	if gate == "" {
		gate = c.node.addr
	}
	switch f.Kind {
	case link.Request:
		_, err = to.HandleRequest(ctx, &clusterpb.RequestMessage{GateAddr: gate, SessionId: f.Session, Id: f.ID, Route: string(f.Route), Data: f.Data})
	case link.Notify:
		_, err = to.HandleNotify(ctx, &clusterpb.NotifyMessage{GateAddr: gate, SessionId: f.Session, Route: string(f.Route), Data: f.Data})
	case link.Push:
		_, err = to.HandlePush(ctx, &clusterpb.PushMessage{SessionId: f.Session, Route: string(f.Route), Data: f.Data})
	case link.Response:
		if f.Flags&flagError != 0 { // an old gate would take it for an answer
			return nil
		}
		_, err = to.HandleResponse(ctx, &clusterpb.ResponseMessage{SessionId: f.Session, Id: f.ID, Data: f.Data})
	case link.SessionClosed:
		_, err = to.SessionClosed(ctx, &clusterpb.SessionClosedRequest{SessionId: f.Session})
	case link.Close, link.Kick:
		_, err = to.CloseSession(ctx, &clusterpb.CloseSessionRequest{SessionId: f.Session})
	}
	return err
}

// close makes the calls that wait, as far as ctx allows.
func (c *legacyClient) close(ctx context.Context) {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		for _, l := range c.lanes {
			if l != nil {
				close(l)
			}
		}
	}
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, c.cancel)
	c.calls.Wait()
	stop()
	c.cancel()
	c.done.Wait()
}
