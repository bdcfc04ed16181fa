package mesh

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
)

// linkService is the gRPC service that takes the streams of other nodes: inboundLinks says which,
// and inbound handles the frames.
type linkService struct {
	clusterpb.UnimplementedLinkServer
	links *inboundLinks
	in    *inbound
}

// Carry takes one stream.
func (l *linkService) Carry(s grpc.BidiStreamingServer[clusterpb.Batch, clusterpb.Ack]) error {
	from, err := senderOf(s.Context())
	if err != nil {
		return err
	}
	from.peers = l.in.peers
	if err := l.links.admit(s.Context(), from); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	in, err := l.links.open(ctx, from, cancel)
	if err != nil {
		return err
	}
	defer l.links.left(from)
	stream := &serverStream{s: s, ctx: ctx, limit: from.silence * 2 / 3, heard: time.Now()}
	err = in.receiver.Serve(stream, from.epoch, func(frames *link.Reader) error { return l.in.handleBatch(from, frames) })
	if errors.Is(err, link.ErrMalformed) || errors.Is(err, link.ErrGap) {
		l.in.log.Error("the link from a node was ended", "peer", from.addr, "err", err)
		return status.Error(codes.DataLoss, err.Error())
	}
	if err == nil {
		l.links.roster.change(func(p *member.Peers) []member.Effect { return p.LinkEnded(from.addr, from.epoch) })
	}
	return err
}

// Who says which process this is.
func (l *linkService) Who(context.Context, *clusterpb.WhoRequest) (*clusterpb.WhoResponse, error) {
	return &clusterpb.WhoResponse{Epoch: l.in.epoch}, nil
}

// senderOf reads who opens a stream.
func senderOf(ctx context.Context) (*sender, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	one := func(key string) string {
		if v := md.Get(key); len(v) == 1 {
			return v[0]
		}
		return ""
	}
	epoch, err := strconv.ParseUint(one(headerEpoch), 10, 64)
	number, _ := strconv.ParseUint(one(headerNumber), 10, 64) // 0 if it is missing, as the other two
	pairedWith, _ := strconv.ParseUint(one(headerMeets), 10, 64)
	silence, _ := strconv.ParseUint(one(headerSilence), 10, 32)
	if one(headerAddr) == "" || err != nil || epoch == 0 {
		return nil, status.Errorf(codes.InvalidArgument, "nano: a link needs the headers %s and %s", headerAddr, headerEpoch)
	}
	return &sender{
		addr: one(headerAddr), epoch: epoch, number: number, pairedWith: pairedWith, silence: time.Duration(silence) * time.Millisecond,
	}, nil
}

// serverStream is a gRPC stream as a link's receiver needs it.
type serverStream struct {
	s     grpc.BidiStreamingServer[clusterpb.Batch, clusterpb.Ack]
	ctx   context.Context // ends with the stream, or before it
	limit time.Duration   // 0: none
	heard time.Time
}

var errStaleStream = status.Error(codes.Unavailable, "nano: nothing came for so long that the sender has given up what comes now")

// Recv takes nothing from a stream that was silent for so long that its sender may have given it
// up, and told clients that their requests have failed: what counts of it comes again on the next
// stream.
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
