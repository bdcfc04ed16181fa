package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/session"
)

// linkService takes the streams of other nodes.
type linkService struct {
	clusterpb.UnimplementedLinkServer
	mesh *Mesh
}

// origin is the node whose frames are handled, with what each batch needs anew. It belongs to one stream.
type origin struct {
	mesh  *Mesh
	addr  string
	epoch uint64
	turn  uint64 // which of its ways to this node it is, and
	meets uint64 // which of this node's it makes a pair with, see peer
	in    *inlet // nil of unary calls
	way   *peer  // back to it

	silence time.Duration // after which it gives the stream up; 0: it does not say

	frame link.Frame
	to    []*session.Session
}

// Carry takes one stream.
func (l *linkService) Carry(s grpc.BidiStreamingServer[clusterpb.Batch, clusterpb.Ack]) error {
	from, err := originOf(s.Context())
	if err != nil {
		return err
	}
	from.mesh = l.mesh
	if err := l.mesh.introduced(s.Context(), from); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	in, err := l.mesh.inlet(ctx, from, cancel)
	if err != nil {
		return err
	}
	defer l.mesh.receivers.left(from)
	stream := &serverStream{s: s, ctx: ctx, limit: from.silence * 2 / 3, heard: time.Now()}
	err = in.receiver.Serve(stream, from.epoch, func(in *link.Reader) error { return l.mesh.handle(from, in) })
	if errors.Is(err, link.ErrMalformed) || errors.Is(err, link.ErrGap) {
		l.mesh.log.Error("the link from a node was ended", "peer", from.addr, "err", err)
		return status.Error(codes.DataLoss, err.Error())
	}
	if err == nil {
		l.mesh.change(func(p *member.Peers) []member.Effect { return p.LinkEnded(from.addr, from.epoch) })
	}
	return err
}

// introduced waits until this node has heard of the process whose link comes in, and says no to others. One that has
// joined this moment may be quicker than the master's word of it, and what it asked before could not be answered.
func (n *Mesh) introduced(ctx context.Context, from *origin) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	for asked := false; ; asked = true {
		n.members.mu.Lock()
		news, master := n.members.news, n.members.master != nil
		n.members.mu.Unlock()
		p := n.peer(from.addr)
		switch {
		case p != nil && p.epoch == from.epoch:
			return nil
		case p != nil && p.epoch > from.epoch, master: // another has its address; or it would be in the list
			return errNotListed(from)
		}
		if !asked {
			n.beatNow() // the answer brings the list, if that has changed
		}
		select {
		case <-news:
		case <-ctx.Done():
			return errNotListed(from)
		}
	}
}

// errNotListed is for a process that is not, or not any more, in this node's list.
func errNotListed(from *origin) error {
	return status.Errorf(codes.FailedPrecondition, "nano: this process of node %s is not in the list of members here", from.addr)
}

// unheard tells whether nobody listens any more to what the process says.
func (o *origin) unheard() bool { return o.in != nil && o.in.dead.Load() }

// helpRounds bounds how long a link's goroutine flushes to clients between two batches.
const helpRounds = 64

func originOf(ctx context.Context) (*origin, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	one := func(key string) string {
		if v := md.Get(key); len(v) == 1 {
			return v[0]
		}
		return ""
	}
	epoch, err := strconv.ParseUint(one(headerEpoch), 10, 64)
	turn, _ := strconv.ParseUint(one(headerTurn), 10, 64) // 0 if it is missing, as the other two
	meets, _ := strconv.ParseUint(one(headerMeets), 10, 64)
	silence, _ := strconv.ParseUint(one(headerSilence), 10, 32)
	if one(headerAddr) == "" || err != nil || epoch == 0 {
		return nil, status.Errorf(codes.InvalidArgument, "nano: a link needs the headers %s and %s", headerAddr, headerEpoch)
	}
	return &origin{addr: one(headerAddr), epoch: epoch, turn: turn, meets: meets, silence: time.Duration(silence) * time.Millisecond}, nil
}

// serverStream is a gRPC stream as a link's receiver needs it.
type serverStream struct {
	s     grpc.BidiStreamingServer[clusterpb.Batch, clusterpb.Ack]
	ctx   context.Context // ends with the stream, or before it
	limit time.Duration   // 0: none
	heard time.Time
}

var errStaleStream = status.Error(codes.Unavailable, "nano: nothing came for so long that the sender has given up what comes now")

// Recv takes nothing from a stream that was silent for so long that its sender may have given it up, and told clients that
// their requests have failed: what counts of it comes again on the next stream.
func (s *serverStream) Recv() (seq uint64, frames []byte, err error) {
	b, err := s.s.Recv()
	now := time.Now()
	if err == nil && s.limit > 0 && now.Sub(s.heard) > s.limit {
		return 0, nil, errStaleStream
	}
	s.heard = now
	return b.GetSeq(), b.GetFrames(), err
}

func (s *serverStream) Send(a link.Ack) error {
	return s.s.Send(&clusterpb.Ack{Seq: a.Seq, Epoch: a.Epoch, Receiver: a.Receiver})
}

func (s *serverStream) Context() context.Context { return s.ctx }

// handle takes one batch of frames. What goes out to clients is written once after it, and calls of handlers are
// handed over at its end.
func (n *Mesh) handle(from *origin, in *link.Reader) error {
	calls := n.table.BeginMetered()
	n.gate.BatchBegin()
	var err error
	for {
		var ok bool
		if ok, err = in.Next(&from.frame); !ok {
			break
		}
		n.takeFrame(from, &from.frame, calls)
	}
	n.gate.BatchEnd()
	rounds := 0
	n.gate.Help(func() bool { rounds++; return rounds > helpRounds }) // others flush too: the next batch is not kept waiting
	calls.Submit()
	if err != nil {
		return fmt.Errorf("frames of node %s: %w", from.addr, err)
	}
	return nil
}

// takeFrame takes one frame. A panic, in code of the application's that it comes to, costs that frame.
func (n *Mesh) takeFrame(from *origin, f *link.Frame, calls *dispatch.Batch) {
	defer func() {
		if v := recover(); v != nil {
			n.log.Error("a frame of another node panicked", "peer", from.addr, "kind", f.Kind, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	switch f.Kind {
	case link.Request, link.Notify:
		n.takeMessage(from, f, calls.AddMetered)
	case link.Call, link.Cast:
		n.takeCall(from, f, calls.AddMetered)
	case link.SessionOpened, link.SessionChanged, link.SessionClosed: // after the messages that came before
		calls.Hand()
		n.take(from, f)
	default:
		n.take(from, f)
	}
}

// keyOf names the session of a message, and the way to its gate: that is the sender, or the one that it names.
func (n *Mesh) keyOf(from *origin, f *link.Frame) (key remoteKey, way *peer) {
	if len(f.Text) == 0 || string(f.Text) == from.addr {
		return remoteKey{from.addr, from.epoch, f.Session}, from.way
	}
	if way = n.peer(string(f.Text)); way != nil {
		key = remoteKey{way.addr, way.epoch, f.Session}
	}
	return key, way
}

// takeMessage takes a client's message that is for this node's handlers. A session that nobody has introduced has no user
// and no values: what comes of it is refused. Only gates of the 0.5 series, and who calls as they do, introduce nobody.
func (n *Mesh) takeMessage(from *origin, f *link.Frame, add addCall) {
	if from.unheard() {
		return
	}
	if string(f.Text) == n.addr { // a backend has called in the name of a session of this gate's
		if c, _ := n.client(f.Session); c != nil {
			add(c, codec.View{Type: codec.Notify, Route: f.Route, Data: f.Data}, from, costOf(f))
		} else {
			from.Spent(costOf(f))
		}
		return
	}
	key, way := n.keyOf(from, f)
	r := n.remote(key)
	if r == nil && way != nil && way.link == nil {
		r, _ = n.remoteFor(key, way)
	}
	if r == nil {
		n.refuse(from, f)
		return
	}
	v := codec.View{Type: codec.Notify, Route: f.Route, Data: f.Data}
	if f.Kind == link.Request {
		v.Type, v.ID = codec.Request, f.ID
	}
	r.settle(f.Route)
	var m dispatch.Meter = r
	if len(f.Text) > 0 { // a backend sends it, in the session's name
		m = from
	}
	add(r, v, m, costOf(f))
}

// refuse tells the sender of a message that its session is not known here.
func (n *Mesh) refuse(from *origin, f *link.Frame) {
	n.refusals.Unknown.Add(1)
	n.log.Debug("a message of an unknown session was refused", "peer", from.addr, "gate", string(f.Text), "session", f.Session, "kind", f.Kind)
	if len(f.Text) > 0 {
		from.Spent(costOf(f))
	}
	if from.in == nil {
		return // of a unary call, which has its own answer
	}
	no := link.Frame{Kind: link.Refused, Session: f.Session, Text: f.Text}
	if f.Kind == link.Request {
		no.ID = f.ID
	}
	if from.way.version < answersFrom {
		if no.ID == 0 {
			return
		}
		no.Kind, no.Flags = link.Response, flagError
		no.Data, _ = json.Marshal(dispatch.DefaultShape(unavailable(n.addr))) // two strings can be encoded
	}
	_ = from.way.send(&no) // with the link gone, its requests fail
}

// takeRefused takes the word of a node that it does not know a session: the session's next message introduces it.
func (n *Mesh) takeRefused(from *origin, f *link.Frame) {
	if len(f.Text) > 0 { // this node has spoken in the name of another gate's session
		if g := n.peer(string(f.Text)); g != nil {
			if r := n.remote(remoteKey{g.addr, g.epoch, f.Session}); r != nil {
				r.untold(from.way)
			}
		}
		return
	}
	_, s := n.client(f.Session)
	if s == nil {
		return
	}
	if u, ok := n.upstreams.Load(s); ok {
		u.(*upstream).forgets(from.way)
	}
	if f.ID != 0 {
		n.requestFailed(f.Session, f.ID, from.addr)
	}
}

// take takes a frame that needs no handler.
func (n *Mesh) take(from *origin, f *link.Frame) {
	if from.unheard() {
		return
	}
	key := remoteKey{from.addr, from.epoch, f.Session}
	switch f.Kind {
	case link.SessionOpened:
		if f.Flags&flagHold != 0 {
			n.takeHold(from, f)
			return
		}
		if f.Flags&flagVouch != 0 {
			n.takeVouch(f)
			return
		}
		if r, _ := n.remoteFor(key, from.way); r != nil {
			r.take(f)
			n.remotes.arrived(key)
		}
	case link.SessionChanged:
		if r := n.remote(key); r != nil {
			r.take(f)
		}
	case link.SessionClosed:
		n.closeRemote(key, session.CloseReason{Kind: session.CloseKind(min(f.ID, math.MaxUint8)), Reason: string(f.Text)})
	case link.Bound:
		n.directory.take(n, from, f)
	case link.Reply:
		if p := n.peer(from.addr); p != nil && p.epoch == from.epoch {
			p.takeReply(f)
		}
	case link.Credit:
		n.takeCredit(from, f)
	case link.Refused:
		n.takeRefused(from, f)
	case link.Multicast:
		n.takeMulticast(from, f)
	case link.Kick:
		if f.Session == 0 {
			n.takeKickUser(from, f)
			return
		}
		n.takeForClient(from, f)
	default:
		n.takeForClient(from, f)
	}
}

// client returns the connection of a client of this node.
func (n *Mesh) client(id int64) (*gate.Conn, *session.Session) {
	s := n.users.Session(id)
	if s == nil {
		return nil, nil
	}
	c, _ := s.NetworkEntity().(*gate.Conn)
	return c, s
}

// takeVouch takes what a backend knows of a session that it is about to send messages of. What is known here already
// is of the gate, or of another backend, and newer.
func (n *Mesh) takeVouch(f *link.Frame) {
	p := n.peer(string(f.Route))
	if p == nil {
		return // as is said when the message comes
	}
	if r, fresh := n.remoteFor(remoteKey{p.addr, p.epoch, f.Session}, p); fresh {
		r.take(f)
		_ = r.send(&link.Frame{Kind: link.SessionOpened, Flags: flagHold})
	}
}

// takeHold notes that a backend has a session of this gate's.
func (n *Mesh) takeHold(from *origin, f *link.Frame) {
	p := n.peer(from.addr)
	if p == nil || p.epoch != from.epoch {
		return
	}
	_, s := n.client(f.Session)
	if s == nil || !n.upstreamOf(s).holds(p) {
		_ = p.send(&link.Frame{Kind: link.SessionClosed, Session: f.Session})
		return
	}
	if n.users.Session(s.ID()) != s { // it ended in between: who told of its end may not have known of p
		n.endUpstream(s)
	}
}

// takeForClient takes a frame for one client of this gate.
func (n *Mesh) takeForClient(from *origin, f *link.Frame) {
	c, s := n.client(f.Session)
	if c == nil {
		if p := n.peer(from.addr); p != nil && f.Kind != link.Close {
			_ = p.send(&link.Frame{Kind: link.SessionClosed, Session: f.Session})
		}
		return
	}
	var err error
	switch f.Kind {
	case link.Push:
		err = c.Push(string(f.Route), n.own(f.Data))
	case link.Response:
		if u, ok := n.upstreams.Load(s); ok && !u.(*upstream).answered(f.ID) {
			return // it has its answer: that the node could not be reached
		}
		if f.Flags&flagError != 0 {
			c.Fail(f.ID, n.own(f.Data))
		} else {
			err = c.ResponseMid(f.ID, n.own(f.Data))
		}
	case link.Kick:
		err = c.Kick(string(f.Text))
	case link.Close:
		err = c.Close()
	case link.Bind:
		uid := f.UID
		bind := n.directory.expect(uid)
		n.sched.PushTaskTo(laneOf(s), func() {
			defer func() {
				if reason, kicked := n.directory.met(bind); kicked {
					_ = s.Kick(reason) // one that has closed meanwhile is as well
				}
			}()
			n.bindFor(s, uid)
		})
	default:
		n.log.Debug("frame ignored", "peer", from.addr, "kind", f.Kind)
	}
	if err != nil {
		n.log.Debug("output for a client was refused", "peer", from.addr, "session", f.Session, "kind", f.Kind, "err", err)
	}
}

// own makes a copy of borrowed bytes if a filter might keep them.
func (n *Mesh) own(b []byte) []byte {
	if n.cfg.Filters {
		return append([]byte(nil), b...)
	}
	return b
}

// bindFor binds a session on behalf of a backend.
func (n *Mesh) bindFor(s *session.Session, uid int64) {
	if uid == 0 {
		s.Clear()
		return
	}
	if err := s.Bind(uid); errors.Is(err, session.ErrUIDTaken) {
		_ = s.Kick("already signed in") // the backend was told that it worked: this session lost a race
	} else if err != nil && !errors.Is(err, session.ErrClosed) {
		n.log.Warn("a backend's Bind failed", "session", s.ID(), "uid", uid, "err", err)
	}
}

// takeMulticast pushes one payload to many of this gate's clients, encoded once.
func (n *Mesh) takeMulticast(from *origin, f *link.Frame) {
	from.to = n.users.Sessions(f.Sessions, from.to[:0])
	if err := n.gate.Multicast(string(f.Route), n.own(f.Data), from.to); err != nil {
		n.log.Debug("a multicast did not reach everybody", "peer", from.addr, "err", err)
	}
	clear(from.to)
}
