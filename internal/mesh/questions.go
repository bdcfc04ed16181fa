package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/link"
)

// questions are what nodes ask of each other about themselves, for people who run them: figures,
// sessions, the kick of one. A question travels as a call with a flag. It is answered by the node,
// outside of all schedulers, so a node whose scheduler stands still answers, too. Only a frame of a
// link bears the flag, so no client can ask. The methods may be called concurrently.
type questions struct {
	*node
	peers *peers
	calls *calls
	slots chan struct{} // one for each that is being answered
}

const (
	maxQuestions = 16               // of other nodes that are answered at a time
	maxAnswering = 30 * time.Second // however long the other node says that it waits
)

func newQuestions(n *node, ps *peers) *questions {
	return &questions{node: n, peers: ps, slots: make(chan struct{}, maxQuestions)}
}

// Ask asks the node at an address, this one for its own or "", and waits for the answer. Without a
// deadline in ctx it waits for DefaultCallTimeout.
func (q *questions) Ask(ctx context.Context, addr, what string, data []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultCallTimeout)
		defer cancel()
	}
	if addr == "" || addr == q.addr {
		return q.answer(ctx, what, data)
	}
	p := q.peers.at(addr)
	if p == nil {
		return nil, component.Errorf(component.CodeNotFound, "node %s is not in the list of this node", addr)
	}
	call := newPendingCall()
	if err := q.calls.send(ctx, p, call, &link.Frame{Flags: flagNode, Route: []byte(what), Data: data}); err != nil {
		return nil, err
	}
	dispatch.Await(ctx, func() {
		select {
		case <-call.done:
		case <-ctx.Done():
		}
	})
	call.end(nil, fmt.Errorf("cluster: node %s has not answered %q: %w", addr, what, context.Cause(ctx)))
	p.calls.remove(call.id)
	return call.data, call.err
}

// handle answers a question of another node, on a goroutine of its own.
func (q *questions) handle(from *sender, f *link.Frame) {
	from.Spent(costOf(f))
	way, id, what, data := from.way, f.ID, string(f.Route), bytes.Clone(f.Data)
	select {
	case q.slots <- struct{}{}:
	default:
		q.reply(way, id, nil, component.Errorf(component.CodeExhausted, "the node is answering %d questions", maxQuestions))
		return
	}
	left := min(max(f.Left, time.Millisecond), maxAnswering)
	q.background(func() {
		defer func() { <-q.slots }()
		ctx, cancel := context.WithTimeout(q.ctx, left)
		defer cancel()
		answer, err := q.answer(ctx, what, data)
		q.reply(way, id, answer, err)
	})
}

// answer has the node answer. A panic there is an error.
func (q *questions) answer(ctx context.Context, what string, data []byte) (answer []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			q.log.Error("answering a question about the node panicked", "call", what, "panic", v, "stack", string(debug.Stack()))
			err = component.Errorf(component.CodeInternal, "the answer panicked: %v", v)
		}
	}()
	if q.cfg.Answer == nil {
		return nil, component.Errorf(component.CodeNotFound, "the node answers no questions")
	}
	return q.cfg.Answer(ctx, what, data)
}

// reply sends an answer, or why there is none. The text is for people who run nodes, so that of any
// error is sent. An answer that the link does not take, because it is too large or has no room, is
// such an error: whoever asked does not wait in vain.
func (q *questions) reply(way *peer, id uint64, answer []byte, err error) {
	if way == nil || way.link == nil {
		return
	}
	f := &link.Frame{Kind: link.Reply, ID: id, Data: answer}
	if err == nil {
		var dirty bool
		if dirty, err = way.link.Queue(f); err == nil {
			if dirty {
				way.link.Flush()
			}
			return
		}
		err = component.Errorf(component.CodeExhausted, "the answer of %d bytes was not sent: %v", len(answer), err)
		q.log.Debug("an answer about the node was not sent", "peer", way.addr, "err", err)
	}
	e := (*component.Error)(nil)
	if !errors.As(err, &e) {
		e = component.Errorf(component.CodeInternal, "%v", err)
	}
	f.Flags = flagError
	f.Data, _ = json.Marshal(dispatch.DefaultShape(e)) // two strings can be encoded
	_ = way.sendNow(f)                                 // a link that has no room for this begins anew, which ends the question
}
