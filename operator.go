package nano

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/fault"
)

// Operator tells and does, for one node of the cluster, what the people who run it need: a console
// is made of it. The node may be this one or any that this one has a link to. It answers outside of
// its schedulers, so a node whose handlers stand still answers, too.
//
// Each method takes a context; without a deadline it waits for cluster.DefaultCallTimeout. Its
// error is an *Error: "unavailable" for a node that cannot be reached or is of v0.5, "not_found"
// for a node, session or scheduler that is not there, "resource_exhausted" for a node that is asked
// too much at once. All methods are safe for concurrent use.
//
// There is no check of who asks: a program that hands this on to people checks that itself, as
// package console does.
type Operator struct {
	app  *App
	node string
}

// What nodes ask of each other. The names go between nodes: they do not change.
const (
	askSessions = "sessions"
	askSession  = "session"
	askKick     = "kick"
	askClose    = "close"
	askPush     = "push"
	askLog      = "log"
	askRebind   = "rebind"
	askNode     = "node"
	askStack    = "stack"
	askDrain    = "drain"
	askDescribe = "describe"
	askEncode   = "encode"
	askDecode   = "decode"
)

// ask asks the node, and unmarshals its answer into reply, unless that is nil.
func (o *Operator) ask(ctx context.Context, what string, req, reply any) error {
	data, err := json.Marshal(req)
	if err != nil {
		return coded(fmt.Errorf("nano: ask for %s: %w", what, err))
	}
	answer, err := o.app.node.Inspector().Ask(ctx, o.node, what, data)
	if err != nil || reply == nil {
		return coded(err)
	}
	if err := json.Unmarshal(answer, reply); err != nil {
		return coded(fmt.Errorf("nano: node %s has answered %s with something else: %w", o.node, what, err))
	}
	return nil
}

// coded makes an *Error of err, with the code of an error of the framework, else with "internal":
// whoever asks runs the nodes, and may read the text.
func coded(err error) error {
	if e := (*Error)(nil); err == nil || errors.As(err, &e) {
		return err
	}
	if code, _, ok := fault.Of(err); ok {
		return component.Errorf(code, "%w", err)
	}
	return component.Errorf(component.CodeInternal, "%w", err)
}

// answers are what this node tells and does when a node, this one or another, asks.
type answers struct{ app *App }

func (a answers) answer(ctx context.Context, what string, data []byte) ([]byte, error) {
	switch what {
	case askSessions:
		return answerTo(data, func(q SessionQuery) (any, error) { return a.findSessions(ctx, q) })
	case askSession:
		return answerTo(data, a.describeSession)
	case askKick, askClose, askPush:
		return answerTo(data, func(act sessionAct) (any, error) { return nil, a.act(what, act) })
	case askRebind:
		return answerTo(data, a.rebind)
	case askLog:
		return answerTo(data, func(after uint64) (any, error) { return a.app.node.Inspector().LogLines(after), nil })
	case askNode:
		return answerTo(data, func(any) (any, error) { return a.state(), nil })
	case askStack:
		return answerTo(data, func(name string) (any, error) {
			stack, ok := a.app.SchedulerStack(name)
			if !ok {
				return nil, component.Errorf(component.CodeNotFound, "the node has no scheduler %q", name)
			}
			return stack, nil
		})
	case askDescribe:
		return answerTo(data, func(any) (any, error) { return a.app.Describe() })
	case askEncode:
		return answerTo(data, func(p payloadOf) (any, error) { return a.app.node.Inspector().EncodeRequest(p.Route, p.Data) })
	case askDecode:
		return answerTo(data, func(p payloadOf) (any, error) {
			if p.Push {
				return a.app.node.Inspector().DecodePush(p.Route, p.Data)
			}
			return a.app.node.Inspector().DecodeAnswer(p.Route, p.Data)
		})
	case askDrain:
		return answerTo(data, func(within time.Duration) (any, error) {
			a.beginDrain(within)
			return nil, nil
		})
	}
	return nil, component.Errorf(component.CodeNotFound, "the node does not know the question %q", what)
}

// answerTo answers a question of type Req.
func answerTo[Req any](data []byte, fn func(Req) (any, error)) ([]byte, error) {
	var req Req
	if err := json.Unmarshal(data, &req); err != nil {
		return nil, component.Errorf(component.CodeInvalid, "the question makes no sense: %w", err)
	}
	answer, err := fn(req)
	if err != nil {
		return nil, coded(err)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return nil, component.Errorf(component.CodeInternal, "the answer cannot be encoded: %w", err)
	}
	return b, nil
}

// Sessions finds sessions of the node's clients.
func (o *Operator) Sessions(ctx context.Context, q SessionQuery) (*SessionList, error) {
	list := new(SessionList)
	if err := o.ask(ctx, askSessions, q, list); err != nil {
		return nil, err
	}
	return list, nil
}

// Session returns what the node knows of one session: of a client of its own, with gate "" or the
// node's address, or of a client of that gate which the node serves as a backend.
func (o *Operator) Session(ctx context.Context, gate string, id int64) (*SessionInfo, error) {
	info := new(SessionInfo)
	if err := o.ask(ctx, askSession, sessionRef{gate, id}, info); err != nil {
		return nil, err
	}
	return info, nil
}

// sessionAct is what is to be done with a session of the node's.
type sessionAct struct {
	ID      int64  `json:"id"`
	Reason  string `json:"reason,omitempty"`
	Route   string `json:"route,omitempty"`
	Payload []byte `json:"payload,omitempty"`
}

// Kick ends a session of the node's client and tells it the reason.
func (o *Operator) Kick(ctx context.Context, id int64, reason string) error {
	return o.ask(ctx, askKick, sessionAct{ID: id, Reason: reason}, nil)
}

// Close ends a session of the node's client without a reason.
func (o *Operator) Close(ctx context.Context, id int64) error {
	return o.ask(ctx, askClose, sessionAct{ID: id}, nil)
}

// Push pushes a payload, as it is, to the node's client with that session.
func (o *Operator) Push(ctx context.Context, id int64, route string, payload []byte) error {
	return o.ask(ctx, askPush, sessionAct{ID: id, Route: route, Payload: payload}, nil)
}

// act does what is to be done with a session of this node's.
func (a answers) act(what string, act sessionAct) error {
	s := a.app.Session(act.ID)
	if s == nil {
		return component.Errorf(component.CodeNotFound, "the node has no session %d", act.ID)
	}
	switch what {
	case askKick:
		a.app.log().Info("session kicked by an operator", "session", act.ID, "uid", s.UID(), "reason", act.Reason)
		return s.Kick(act.Reason)
	case askClose:
		a.app.log().Info("session closed by an operator", "session", act.ID, "uid", s.UID())
		s.Close()
		return nil
	}
	if act.Route == "" {
		return component.Errorf(component.CodeInvalid, "a push needs a route")
	}
	a.app.log().Info("push sent by an operator", "session", act.ID, "uid", s.UID(), "route", act.Route, "bytes", len(act.Payload))
	return s.Push(act.Route, act.Payload)
}

// Log returns the last lines of the node's log with a number above after, the oldest first.
func (o *Operator) Log(ctx context.Context, after uint64) ([]cluster.LogLine, error) {
	var lines []cluster.LogLine
	if err := o.ask(ctx, askLog, after, &lines); err != nil {
		return nil, err
	}
	return lines, nil
}

// NewLogRing returns a slog handler that passes lines on to next, and keeps the last of them for
// consoles; lines is how many, 0 for 500. A node keeps its own lines by itself. To see those of the
// application among them, log to a LogRing and give the same logger to [WithSlog]:
//
//	ring := nano.NewLogRing(slog.NewTextHandler(os.Stderr, nil), 0)
//	slog.SetDefault(slog.New(ring))
//	app := nano.New(addr, nano.WithSlog(slog.Default()))
func NewLogRing(next slog.Handler, lines int) *cluster.LogRing {
	return cluster.NewLogRing(next, lines)
}

// SessionQuery says which sessions are wanted. All that is set has to fit.
type SessionQuery struct {
	ID  int64 `json:"id,omitempty"`
	UID int64 `json:"uid,omitempty"`
	// Address is the beginning of the client's address, such as "10.0.0.7" or "10.0.0.7:5123".
	Address string `json:"address,omitempty"`
	// Group is the name of a group of this node.
	Group string `json:"group,omitempty"`
	// Limit is how many are returned, the newest first; 0 means 100, and 1000 is the most.
	Limit int `json:"limit,omitempty"`
}

// SessionList is the answer to a SessionQuery.
type SessionList struct {
	Total    int           `json:"total"`   // live sessions of the node
	Matched  int           `json:"matched"` // of these, those that fit
	Sessions []SessionInfo `json:"sessions"`
}

// SessionInfo is what a node tells of a session.
type SessionInfo struct {
	ID        int64     `json:"id,string"`
	UID       int64     `json:"uid,string,omitempty"` // 0: bound to nobody
	Gate      string    `json:"gate,omitempty"`       // on a backend: the client's gate
	Address   string    `json:"address,omitempty"`
	Since     time.Time `json:"since"`               // when the node got to know it
	Transport string    `json:"transport,omitempty"` // tcp or websocket; empty on a backend
	Suspended bool      `json:"suspended,omitempty"` // it has no connection, and its client may come back
	Queued    int       `json:"queued,omitempty"`    // bytes that wait for the client
	Kept      int       `json:"kept,omitempty"`      // bytes that are kept in case it comes back
	// Traffic is of the present connection, by the kernel's count, as on Linux; nil where it does
	// not tell.
	Traffic *SessionTraffic `json:"traffic,omitempty"`
	Groups  []string        `json:"groups,omitempty"` // names, sorted; at most 100 of them
	In      int             `json:"inGroups"`         // how many groups it is in

	// These are not in lists.
	Values map[string]any    `json:"values,omitempty"` // numbers, texts, truth values, times; of others the type
	Routes map[string]string `json:"routes,omitempty"` // the node that serves it, by service
}

// SessionTraffic is what the kernel has counted of a connection.
type SessionTraffic struct {
	BytesIn  uint64        `json:"bytesIn"`
	BytesOut uint64        `json:"bytesOut"`
	RTT      time.Duration `json:"rtt"`   // in ns, to the client or the proxy before it
	Quiet    time.Duration `json:"quiet"` // in ns, since something came last
}
