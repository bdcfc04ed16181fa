package mesh

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
)

const (
	lanes        = 8               // calls to one node at a time; a session keeps to one lane, so its order stays
	laneMax      = 4096            // calls waiting in a lane
	unaryTimeout = 5 * time.Second // for one call
)

var errLaneFull = fault.New(fault.Exhausted, "too many calls wait for the node")

// unary speaks to a node that has no link, one of the 0.5 series: a call for each frame.
type unary struct {
	mesh   *Mesh
	client clusterpb.MemberClient
	addr   string

	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup // lanes
	done   sync.WaitGroup // watch

	mu     sync.Mutex
	closed bool
	lanes  [lanes]chan *link.Frame
}

func newUnary(p *peer) *unary {
	u := &unary{mesh: p.mesh, client: clusterpb.NewMemberClient(p.way.Load()), addr: p.addr}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.done.Add(1)
	go u.watch(p)
	return u
}

// watch keeps the node connected, and sees when it is not: that is all by which its death shows before its heartbeats
// are missed.
func (u *unary) watch(p *peer) {
	defer u.done.Done()
	down := false
	conn := p.way.Load()
	for state := conn.GetState(); ; state = conn.GetState() {
		switch {
		case state == connectivity.Ready:
			down = false
			p.up()
		case state == connectivity.Idle: // at first, and whenever a connection was lost
			conn.Connect()
		case state == connectivity.TransientFailure && !down:
			down = true
			p.down(errPeerGone)
		}
		if !conn.WaitForStateChange(u.ctx, state) {
			return
		}
	}
}

// send queues a frame; frames that have no call are for other nodes and are left out.
func (u *unary) send(f *link.Frame) error {
	switch f.Kind {
	case link.Multicast:
		errs := make([]error, 0, len(f.Sessions))
		for _, id := range f.Sessions {
			errs = append(errs, u.queue(&link.Frame{Kind: link.Push, Session: id, Route: f.Route, Data: f.Data}))
		}
		return errors.Join(errs...)
	case link.Request, link.Notify, link.Push, link.Response, link.SessionClosed, link.Close, link.Kick:
		return u.queue(f)
	}
	return nil
}

func (u *unary) queue(f *link.Frame) error {
	c := *f
	c.Route, c.Text, c.Data, c.Sessions = bytes.Clone(f.Route), bytes.Clone(f.Text), slices.Clone(f.Data), nil
	i := uint64(f.Session) % lanes
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return errPeerGone
	}
	if u.lanes[i] == nil {
		u.lanes[i] = make(chan *link.Frame, laneMax)
		u.calls.Add(1)
		go u.run(u.lanes[i])
	}
	select {
	case u.lanes[i] <- &c:
		return nil
	default:
		return errLaneFull
	}
}

// run makes the calls of one lane.
func (u *unary) run(lane chan *link.Frame) {
	defer u.calls.Done()
	for f := range lane {
		if f.Kind == link.Request && len(f.Text) == 0 && !u.mesh.awaited(f.Session, f.ID) {
			u.mesh.refusals.Withdrawn.Add(1)
			continue // it was answered with an error while it waited here
		}
		ctx, cancel := context.WithTimeout(u.ctx, unaryTimeout)
		err := u.call(ctx, f)
		cancel()
		if err != nil && u.ctx.Err() == nil {
			u.mesh.log.Warn("a call to a node failed", "peer", u.addr, "kind", f.Kind, "session", f.Session, "err", err)
			if f.Kind == link.Request {
				u.mesh.requestFailed(f.Session, f.ID, u.addr)
			}
		}
	}
}

func (u *unary) call(ctx context.Context, f *link.Frame) (err error) {
	ctx = metadata.AppendToOutgoingContext(ctx, headerAddr, u.mesh.addr)
	gate := string(f.Text)
	if gate == "" {
		gate = u.mesh.addr
	}
	switch f.Kind {
	case link.Request:
		_, err = u.client.HandleRequest(ctx, &clusterpb.RequestMessage{GateAddr: gate, SessionId: f.Session, Id: f.ID, Route: string(f.Route), Data: f.Data})
	case link.Notify:
		_, err = u.client.HandleNotify(ctx, &clusterpb.NotifyMessage{GateAddr: gate, SessionId: f.Session, Route: string(f.Route), Data: f.Data})
	case link.Push:
		_, err = u.client.HandlePush(ctx, &clusterpb.PushMessage{SessionId: f.Session, Route: string(f.Route), Data: f.Data})
	case link.Response:
		if f.Flags&flagError != 0 { // an old gate would take it for an answer
			return nil
		}
		_, err = u.client.HandleResponse(ctx, &clusterpb.ResponseMessage{SessionId: f.Session, Id: f.ID, Data: f.Data})
	case link.SessionClosed:
		_, err = u.client.SessionClosed(ctx, &clusterpb.SessionClosedRequest{SessionId: f.Session})
	case link.Close, link.Kick:
		_, err = u.client.CloseSession(ctx, &clusterpb.CloseSessionRequest{SessionId: f.Session})
	}
	return err
}

// close makes the calls that wait, as far as ctx allows.
func (u *unary) close(ctx context.Context) {
	u.mu.Lock()
	if !u.closed {
		u.closed = true
		for _, l := range u.lanes {
			if l != nil {
				close(l)
			}
		}
	}
	u.mu.Unlock()
	stop := context.AfterFunc(ctx, u.cancel)
	u.calls.Wait()
	stop()
	u.cancel()
	u.done.Wait()
}
