package mesh

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/session"
)

// handleLegacyMessage handles a client's message that a node has sent by a call of the 0.5 series.
// gate is the session's.
func (in *inbound) handleLegacyMessage(ctx context.Context, gate string, f *link.Frame) error {
	if len(f.Route) == 0 || f.Session == 0 {
		return status.Error(codes.InvalidArgument, "nano: the message names no session or no route")
	}
	from := &sender{}
	if gate == in.addr { // a backend calls in the name of a session of this gate's
		f.Text = []byte(gate)
	} else {
		way, err := in.legacyGate(gate)
		if err != nil {
			return err
		}
		from.addr, from.epoch, from.way = gate, way.epoch, way
		if err := in.remotes.meet(ctx, way, f.Session); err != nil {
			return err
		}
	}
	calls := in.table.Begin()
	in.handleMessage(from, f, func(p dispatch.Entity, v codec.View, _ dispatch.Meter, _ int, _ []byte) { calls.Add(p, v) })
	calls.Submit()
	return nil
}

// legacyGate returns the way to a gate that a call names.
func (in *inbound) legacyGate(addr string) (*peer, error) {
	if addr == "" {
		return nil, status.Error(codes.InvalidArgument, "nano: the message names no gate")
	}
	p := in.peers.at(addr)
	if p == nil && in.cfg.Keeper == nil { // not told of it yet: its answers need a way
		in.roster.change(func(m *member.Peers) []member.Effect {
			effects, err := m.NewMember(member.Member{Addr: addr}, member.Version{})
			if err != nil {
				in.log.Warn("a message came from a gate with an odd address", "gate", addr, "err", err)
			}
			return effects
		})
		p = in.peers.at(addr)
	}
	if p == nil {
		return nil, status.Errorf(codes.InvalidArgument, "nano: gate %q is not known", addr)
	}
	return p, nil
}

// handleLegacyOutput handles a frame for a client of this gate that a node has sent by a call of
// the 0.5 series.
func (in *inbound) handleLegacyOutput(f *link.Frame) error {
	if f.Session == 0 {
		return status.Error(codes.InvalidArgument, "nano: the message names no session")
	}
	if c, _ := in.client(f.Session); c == nil {
		return status.Errorf(codes.NotFound, "nano: session %d is not connected here", f.Session)
	}
	in.handleForClient(&sender{}, f)
	return nil
}

// handleLegacyClosed ends the sessions of that id which came from gates without a link. from is the
// gate, "" if that is not known: the call itself does not say it, but nodes of ours do.
func (in *inbound) handleLegacyClosed(from string, id int64) error {
	if id == 0 {
		return status.Error(codes.InvalidArgument, "nano: the message names no session")
	}
	for _, p := range in.peers.all() {
		if p.link == nil && (from == "" || from == p.addr) {
			in.remotes.close(sessionKey{p.addr, p.epoch, id}, session.CloseReason{})
		}
	}
	return nil
}

// errKept is for who says that it is the master, where there is none.
var errKept = status.Error(codes.FailedPrecondition, "nano: this cluster's list of members is not kept by a master")

// handleTold handles the master's word that the list has changed.
func (in *inbound) handleTold(event func(*member.Peers) ([]member.Effect, error)) (err error) {
	if in.cfg.Keeper != nil {
		return errKept
	}
	in.roster.change(func(p *member.Peers) (effects []member.Effect) {
		effects, err = event(p)
		return effects
	})
	if err != nil {
		return statusOf(err)
	}
	return nil
}
