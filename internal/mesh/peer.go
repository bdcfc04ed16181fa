package mesh

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/session"
)

// peer is the way to one process of another node: a link if it has that, unary calls else.
type peer struct {
	mesh    *Mesh
	addr    string
	epoch   uint64
	version uint32 // of its link; 0: it has none
	way     atomic.Pointer[grpc.ClientConn]
	link    *link.Sender // nil: unary
	unary   *unary       // nil: link

	// A way and the other node's way back make a pair, which begins and ends together: what the two nodes have told each
	// other holds for one pair.
	turn  uint64        // counts this node's ways to others: a later one to the same process knows nothing of the earlier
	meets atomic.Uint64 // turn of the other node's way back; 0: it has not come yet; receivers.mu is held when it changes
	taker atomic.Uint64 // which receiver of the other node has what was sent; 0: not known yet
	mute  atomic.Bool   // the last stream was never answered, or fell silent

	sessions atomic.Int64 // how many sessions it knows from here
	lost     atomic.Bool  // it is gone or cannot be reached, and its requests were failed
	listed   atomic.Bool  // the hub will call Flush
	meters

	mu    sync.Mutex
	gone  bool
	hurry func()              // not nil: the link is being drained; ends that
	calls map[uint64]*pending // calls in flight, by id
	ids   atomic.Uint64

	awaited time.Time // see awaitedUntil

	serves // under mu, too
}

var errPeerGone = fault.New(fault.Unavailable, "the node is gone")

var errForgotten = errors.New("the node has forgotten what it was told")

// Frame flags.
const (
	flagError  = 1 << iota // of Response and Reply
	flagOff                // of Bound: not any more; of Call: nobody waits for it any more
	flagHold               // of SessionOpened, to a gate: the sender has the session, and is to be told of its end
	flagVouch              // of SessionOpened: the sender is a backend, and Route is the session's gate
	flagValues             // of SessionChanged: the values in Data have changed, and nothing else
)

// newPeer makes the way to m, for the pair with the way of that turn from there (0: with whichever comes next). It connects
// by itself and goes on trying.
func (n *Mesh) newPeer(m member.Member, meets uint64) (*peer, error) {
	conn, err := n.dial(m.Addr, m.Link > 0)
	if err != nil {
		return nil, err
	}
	p := &peer{mesh: n, addr: m.Addr, epoch: m.Epoch, version: m.Link, turn: n.ways.Add(1), calls: make(map[uint64]*pending)}
	p.way.Store(conn)
	p.meets.Store(meets)
	if m.Link == 0 {
		p.unary = newUnary(p)
		return p, nil
	}
	made := make(chan struct{}) // p.link is set: the link may be up or down before NewSender has returned
	defer close(made)
	cfg := link.SenderConfig{
		Dial:        p.open,
		Epoch:       n.epoch,
		PeerEpoch:   m.Epoch,
		MaxQueue:    n.cfg.LinkQueue,
		MaxFrame:    maxMessage * 3 / 4,
		Quick:       quickBytes,
		DialTimeout: min(max(n.silence(), 2*time.Second), 5*time.Second),
		Withdrawn:   &n.refusals.Withdrawn,
		Log:         n.log.With("peer", m.Addr),
		Up:          func(uint64, bool) { <-made; p.up() },
		Down:        func(err error) { <-made; p.down(err) },
	}
	if m.Link >= answersFrom {
		cfg.Silence = n.silence()
	}
	p.link, err = link.NewSender(cfg)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("link to node %s: %w", m.Addr, err)
	}
	return p, nil
}

// quickBytes is how much may be on its way on a link before gRPC has a sender wait: it gives each stream 64 KiB that are not
// written to the connection yet, and what is not acknowledged is at least that.
const quickBytes = 48 << 10

// answersFrom is the version of the link from which on nodes answer when they are asked for a sign of life, say when they
// refuse a message, and tell by Left how long a call waits.
const answersFrom = 3

// silence is how long the node at the other end of a link may say nothing: less than three heartbeats, so that requests
// have their error within these.
func (n *Mesh) silence() time.Duration {
	return max(n.cfg.Heartbeat*5/2, time.Second)
}

// Metadata of a link's stream: who sends.
const (
	headerAddr    = "nano-addr"
	headerEpoch   = "nano-epoch"
	headerTurn    = "nano-turn"
	headerMeets   = "nano-meets"   // the turn of the receiver's own way that this one makes a pair with; 0: not known yet
	headerSilence = "nano-silence" // milliseconds without an answer after which the sender gives the stream up
)

// open opens the stream of a link.
func (p *peer) open(ctx context.Context) (link.Stream, error) {
	conn := p.way.Load()
	if p.mute.Swap(true) && conn.GetState() == connectivity.Ready {
		// Nobody is heard on it, and gRPC may not notice for long. On a new one it shows at once when the node is back.
		fresh, err := p.mesh.dial(p.addr, true)
		if err != nil {
			return nil, err
		}
		p.way.Store(fresh)
		old := conn
		p.mesh.background(func() { _ = old.Close() }) // may take seconds
		if conn = fresh; ctx.Err() != nil {           // the way may be closed already
			_ = fresh.Close()
			return nil, context.Cause(ctx)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ctx = metadata.AppendToOutgoingContext(ctx, headerAddr, p.mesh.addr, headerEpoch, strconv.FormatUint(p.mesh.epoch, 10),
		headerTurn, strconv.FormatUint(p.turn, 10), headerMeets, strconv.FormatUint(p.meets.Load(), 10),
		headerSilence, strconv.FormatInt(p.mesh.silence().Milliseconds(), 10))
	s, err := clusterpb.NewLinkClient(conn).Carry(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return &clientStream{peer: p, s: s, cancel: cancel}, nil
}

// clientStream is a gRPC stream as a link's sender needs it.
type clientStream struct {
	peer   *peer
	s      grpc.BidiStreamingClient[clusterpb.Batch, clusterpb.Ack]
	cancel context.CancelFunc
}

func (c *clientStream) Send(seq uint64, frames []byte) error {
	return c.s.Send(&clusterpb.Batch{Seq: seq, Frames: frames})
}

func (c *clientStream) CloseSend() error { return c.s.CloseSend() }

var errOtherProcess = fault.New(fault.Unavailable, "another process has the address now, of which the list does not say anything yet")

// Recv takes the word only of the process that the list names: another one at its address knows none of the sessions, and
// its own time comes when it is in the list. One that has forgotten what it was told gets nothing more on this way.
func (c *clientStream) Recv() (link.Ack, error) {
	a, err := c.s.Recv()
	if code := status.Code(err); code != codes.Canceled && code != codes.DeadlineExceeded {
		c.peer.mute.Store(false)
	}
	other := err == nil && a.GetEpoch() != 0 && a.GetEpoch() != c.peer.epoch
	if other {
		err = errOtherProcess
	}
	if other || status.Code(err) == codes.FailedPrecondition {
		c.peer.mesh.beatNow() // the list here, or there, is not the newest, or the master has lost this node
	}
	if id := a.GetReceiver(); err == nil && id != 0 && !c.peer.taker.CompareAndSwap(0, id) && c.peer.taker.Load() != id {
		err = errForgotten
		c.peer.mesh.startAnew(c.peer)
	}
	return link.Ack{Seq: a.GetSeq(), Epoch: a.GetEpoch(), Receiver: a.GetReceiver()}, err
}

func (c *clientStream) Close() { c.cancel() }

// up is told of the process that the list names, see clientStream.Recv.
func (p *peer) up() { p.mesh.linkUp(p) }

func (p *peer) down(err error) {
	p.mu.Lock()
	hurry := p.hurry
	p.mu.Unlock()
	if hurry != nil {
		hurry()
	}
	if errors.Is(err, link.ErrSilent) {
		p.mute.Store(true)
	}
	p.mesh.linkDown(p, err)
}

// downSince is when a link that is down now was of use last.
func (p *peer) downSince(now time.Time) time.Time {
	if p.link != nil {
		if heard := p.link.Stats().Heard; !heard.IsZero() && now.Sub(heard) > p.mesh.silence()/2 {
			return heard
		}
	}
	return now
}

// oneWay tells whether the node cannot be connected to, and so gets no answer to what it may send here.
func (p *peer) oneWay() bool { return p.lost.Load() && p.way.Load().GetState() != connectivity.Ready }

// Flush sends what is queued. It is for the hub.
func (p *peer) Flush() {
	p.listed.Store(false)
	if p.link != nil {
		p.link.Flush()
	}
}

// send queues a frame. It never blocks.
func (p *peer) send(f *link.Frame) error {
	if p.link == nil {
		return p.unary.send(f)
	}
	dirty, err := p.link.Queue(f)
	if dirty && !p.listed.Swap(true) {
		p.mesh.gate.Dirty(p)
	}
	return p.sent(f, err)
}

// sent is what becomes of the link's answer to a frame.
func (p *peer) sent(f *link.Frame, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, link.ErrFull) && !f.Kind.Bulk() {
		p.mesh.startAnew(p)
	}
	return fmt.Errorf("send to node %s: %w", p.addr, err)
}

// sendNow queues a frame and sends it without waiting for more.
func (p *peer) sendNow(f *link.Frame) error {
	if p.link == nil {
		return p.unary.send(f)
	}
	dirty, err := p.link.Queue(f)
	if dirty {
		p.link.Flush()
	}
	return p.sent(f, err)
}

// Multicast pushes v to sessions that are behind this gate, in one frame.
func (p *peer) Multicast(route string, v any, to []*session.Session) error {
	data, err := p.mesh.serialize(v)
	if err != nil {
		return err
	}
	if err := checkPush(route, data); err != nil {
		return err
	}
	f := link.Frame{Kind: link.Multicast, Route: []byte(route), Data: data, Sessions: make([]int64, len(to))}
	for i, s := range to {
		f.Sessions[i] = s.ID()
	}
	if err := p.send(&f); err != nil && !errors.Is(err, link.ErrClosed) && !errors.Is(err, errPeerGone) {
		return err
	}
	return nil // with the gate its sessions end
}

// withdraw takes back what is queued and was answered with an error. A lane of unary calls asks before each of them.
func (p *peer) withdraw() {
	if p.link != nil {
		p.link.Withdraw()
	}
}

// close ends the way to the node, after what is queued if ctx allows.
func (p *peer) close(ctx context.Context) {
	p.drain(ctx)
	p.fail(errPeerGone)
	_ = p.way.Load().Close()
}

// discard ends the way to the node and drops what is queued.
func (p *peer) discard() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.close(ctx)
}

// drain refuses more, and sends what is queued if ctx allows: not for long to a node that hangs, and not at all to one
// that is not there. It tells whether the node has taken it.
func (p *peer) drain(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	p.mu.Lock()
	p.gone, p.hurry = true, cancel
	p.mu.Unlock()
	if p.link == nil {
		p.unary.close(ctx)
		return ctx.Err() == nil
	}
	if !p.link.Stats().Connected {
		cancel()
	}
	return p.link.Close(ctx) == nil // else it is lost with the node
}

// fail ends the calls in flight.
func (p *peer) fail(err error) {
	p.mu.Lock()
	calls := p.calls
	p.calls = make(map[uint64]*pending)
	p.mu.Unlock()
	for _, c := range calls {
		c.end(nil, component.Errorf(component.CodeUnavailable, "node %s: %w", p.addr, err))
	}
}
