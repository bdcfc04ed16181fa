package mesh

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/link"
)

var errForgotten = errors.New("cluster: the node has forgotten what it was told")

// Metadata of a link's stream: who sends.
const (
	headerAddr    = "nano-addr"
	headerEpoch   = "nano-epoch"
	headerNumber  = "nano-turn"    // the number of the sender's way
	headerMeets   = "nano-meets"   // the number of the receiver's own way that this one makes a pair with; 0: not known yet
	headerSilence = "nano-silence" // milliseconds without an answer after which the sender gives the stream up
)

// open opens the stream of a link.
func (p *peer) open(ctx context.Context) (link.Stream, error) {
	conn := p.way.Load()
	if p.mute.Swap(true) && conn.GetState() == connectivity.Ready {
		// Nobody is heard on it, and gRPC may not notice for long. On a new one it shows at once
		// when the node is back.
		fresh, err := p.peers.dial(p.addr, true)
		if err != nil {
			return nil, err
		}
		p.way.Store(fresh)
		old := conn
		p.background(func() { _ = old.Close() }) // may take seconds
		if conn = fresh; ctx.Err() != nil {      // the way may be closed already
			_ = fresh.Close()
			return nil, context.Cause(ctx)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ctx = metadata.AppendToOutgoingContext(ctx, headerAddr, p.node.addr, headerEpoch, strconv.FormatUint(p.node.epoch, 10),
		headerNumber, strconv.FormatUint(p.number, 10), headerMeets, strconv.FormatUint(p.pairedWith.Load(), 10),
		headerSilence, strconv.FormatInt(p.silence().Milliseconds(), 10))
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

var errOtherProcess = fault.New(fault.Unavailable, "cluster: another process has the address now, of which the list does not say anything yet")

// Recv takes the word only of the process that the list names: another one at its address knows
// none of the sessions, and its own time comes when it is in the list. One that has forgotten what
// it was told gets nothing more on this way.
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
		c.peer.peers.roster.beatNow() // the list here, or there, is not the newest, or the master has lost this node
	}
	if id := a.GetReceiver(); err == nil && id != 0 && !c.peer.receiver.CompareAndSwap(0, id) && c.peer.receiver.Load() != id {
		err = errForgotten
		c.peer.startAnew()
	}
	return link.Ack{Seq: a.GetSeq(), Epoch: a.GetEpoch(), Receiver: a.GetReceiver()}, err
}

func (c *clientStream) Close() { c.cancel() }
