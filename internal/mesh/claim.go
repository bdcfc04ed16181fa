package mesh

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// whoTimeout is how long a process may take to say that it lives. Who registers waits for that, and
// not for tellTimeout.
const whoTimeout = time.Second

// who returns the epoch of the process that answers at an address: 0 of a node of the 0.5 series,
// which does not know the question. The connection is a new one, as an old one may still lead to a
// process that is gone from there.
func (ps *peers) who(ctx context.Context, addr string) (epoch uint64, lives bool) {
	ctx, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	conn, err := ps.dial(addr, false)
	if err != nil {
		return 0, false
	}
	defer ps.background(func() { _ = conn.Close() }) // may take seconds, of one that hangs
	resp, err := clusterpb.NewLinkClient(conn).Who(ctx, &clusterpb.WhoRequest{})
	if status.Code(err) == codes.Unimplemented {
		return 0, true
	}
	return resp.GetEpoch(), err == nil
}

// checkClaim refuses a process that registers with the address of another which lives, whether or
// not the list has that: the master may not have reached it for a while, or be a new one. A process
// that was started again at its address answers there itself. Of two processes of the 0.5 series
// nobody can tell which of them answers.
func (r *roster) checkClaim(ctx context.Context, info member.Member) error {
	var old member.Member
	var listed bool
	r.do(func() { old, listed = r.master.Member(info.Addr) })
	switch {
	case info.Addr == "", listed && old.Epoch == info.Epoch: // Register says what is wrong, or it was taken in before
		return nil
	case info.Legacy() && !listed: // it would be asked itself, and does not know the question
		return nil
	}
	epoch, lives := r.peers.who(ctx, info.Addr)
	switch {
	case !lives, epoch == info.Epoch:
		return nil
	case listed && epoch == old.Epoch:
		return status.Error(codes.AlreadyExists, errAddressTaken(info.Addr, old.Label).Error())
	case epoch == 0 && info.Link < linkVersion: // it may be itself who answers, and not know the question
		return nil
	}
	return status.Error(codes.AlreadyExists, errAddressTaken(info.Addr, "").Error())
}

// errAddressTaken says what to do about two nodes that have one address. label is that of the one
// that lives, if it is known.
func errAddressTaken(addr, label string) error {
	if label != "" {
		label = fmt.Sprintf(" (label %q)", label)
	}
	return fmt.Errorf("cluster: another node%s has the service address %s, and answers there: "+
		"give each node an address of its own, at which the others reach it", label, addr)
}
