package console

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
)

// api is the JSON of the console, for those who were let in. The page is made of it, too.
type api struct {
	app     *nano.App
	log     *slog.Logger
	sampler *sampler
	streams atomic.Int32 // pages that look now
}

// failure is the body of each answer that is an error.
type failure struct {
	Code  string `json:"code"`
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, code, text string) {
	send(w, status, failure{code, text})
}

func answer(w http.ResponseWriter, v any) { send(w, http.StatusOK, v) }

func send(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"code":"internal","error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	retryAfter(w, wait)
	fail(w, http.StatusTooManyRequests, component.CodeExhausted, "too many wrong tokens came from this address")
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
}

// failWith answers with the error of a node.
func failWith(w http.ResponseWriter, err error) {
	code, status := component.CodeInternal, http.StatusInternalServerError
	text := err.Error()
	var e *nano.Error
	switch {
	case errors.As(err, &e):
		code, text = e.Code, e.Message
	case errors.Is(err, nano.ErrOffline): // of a user's kick or push
		code = component.CodeNotFound
	}
	switch code {
	case component.CodeNotFound:
		status = http.StatusNotFound
	case component.CodeInvalid:
		status = http.StatusBadRequest
	case component.CodeUnavailable:
		status = http.StatusBadGateway
	case component.CodeDeadline:
		status = http.StatusGatewayTimeout
	case component.CodeExhausted:
		status = http.StatusServiceUnavailable
	}
	fail(w, status, code, text)
}

func invalid(w http.ResponseWriter, text string) {
	fail(w, http.StatusBadRequest, component.CodeInvalid, text)
}

// me tells the page who it is, and what it needs for changes.
func (a *api) me(w http.ResponseWriter, r *http.Request) {
	answer(w, map[string]string{"csrf": visitorOf(r).csrf})
}

func (a *api) overview(w http.ResponseWriter, _ *http.Request) {
	o := a.sampler.now()
	if o == nil {
		fail(w, http.StatusServiceUnavailable, component.CodeUnavailable, "the node has not started")
		return
	}
	answer(w, o)
}

// node answers with all figures of one node as they are.
func (a *api) node(w http.ResponseWriter, r *http.Request) {
	state, err := a.app.Operator(r.FormValue("node")).Node(r.Context())
	if err != nil {
		failWith(w, err)
		return
	}
	answer(w, state)
}

// everywhere asks the nodes, all at the same time: the one that is named, or all that can be asked.
func (a *api) everywhere(ctx context.Context, only string, ask func(ctx context.Context, node string)) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	for _, node := range a.nodes(only) {
		all.Go(func() { ask(ctx, node) })
	}
}

// nodes returns the addresses of the nodes that can be asked; this one is "".
func (a *api) nodes(only string) []string {
	if only != "" {
		return []string{only}
	}
	all := []string{""}
	if own, err := a.app.Operator("").Node(context.Background()); err == nil {
		for _, m := range own.Snapshot.Cluster.Members {
			if !m.Legacy {
				all = append(all, m.Addr)
			}
		}
	}
	return all
}

// foundAt is what a node has found.
type foundAt struct {
	Node    string `json:"node"` // "" is the node that is asked
	Total   int    `json:"total"`
	Matched int    `json:"matched"`
	Error   string `json:"error,omitempty"`
}

// foundSession is a session and its gate.
type foundSession struct {
	Node string `json:"node"`
	nano.SessionInfo
}

// sessions finds sessions at all gates.
func (a *api) sessions(w http.ResponseWriter, r *http.Request) {
	q := nano.SessionQuery{Address: r.FormValue("address"), Group: r.FormValue("group")}
	for name, to := range map[string]*int64{"id": &q.ID, "uid": &q.UID} {
		if text := r.FormValue(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				invalid(w, name+" is a number, not "+strconv.Quote(text))
				return
			}
			*to = n
		}
	}
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			invalid(w, "limit is a number from 1 on")
			return
		}
		q.Limit = n
	}
	var mu sync.Mutex
	nodes, found := []foundAt{}, []foundSession{}
	self := a.self()
	a.everywhere(r.Context(), r.FormValue("node"), func(ctx context.Context, node string) {
		list, err := a.app.Operator(node).Sessions(ctx, q)
		mu.Lock()
		defer mu.Unlock()
		at := foundAt{Node: cmp.Or(node, self)}
		if err != nil {
			at.Error = err.Error()
		} else {
			at.Total, at.Matched = list.Total, list.Matched
			for _, s := range list.Sessions {
				found = append(found, foundSession{at.Node, s})
			}
		}
		nodes = append(nodes, at)
	})
	slices.SortFunc(nodes, func(a, b foundAt) int { return strings.Compare(a.Node, b.Node) })
	slices.SortFunc(found, func(a, b foundSession) int {
		return cmp.Or(b.Since.Compare(a.Since), strings.Compare(a.Node, b.Node), cmp.Compare(b.ID, a.ID))
	})
	if limit := cmp.Or(q.Limit, 100); len(found) > limit {
		found = found[:limit]
	}
	answer(w, map[string]any{"nodes": nodes, "sessions": found})
}

func (a *api) self() string {
	if own, err := a.app.Operator("").Node(context.Background()); err == nil {
		return own.Node
	}
	return ""
}

// knownAt is what a node knows of a session.
type knownAt struct {
	Node    string            `json:"node"`
	Session *nano.SessionInfo `json:"session"`
}

// session answers with what all nodes know of one session.
func (a *api) session(w http.ResponseWriter, r *http.Request) {
	self := a.self()
	gate := cmp.Or(r.FormValue("node"), self)
	id, err := strconv.ParseInt(r.FormValue("id"), 10, 64)
	if err != nil {
		invalid(w, "id is the number of a session")
		return
	}
	info, err := a.app.Operator(gate).Session(r.Context(), "", id)
	if err != nil {
		failWith(w, err)
		return
	}
	var mu sync.Mutex
	elsewhere := []knownAt{}
	a.everywhere(r.Context(), "", func(ctx context.Context, node string) {
		if cmp.Or(node, self) == gate {
			return
		}
		if s, err := a.app.Operator(node).Session(ctx, gate, id); err == nil { // most nodes do not know it
			mu.Lock()
			defer mu.Unlock()
			elsewhere = append(elsewhere, knownAt{cmp.Or(node, self), s})
		}
	})
	slices.SortFunc(elsewhere, func(a, b knownAt) int { return strings.Compare(a.Node, b.Node) })
	answer(w, map[string]any{"node": gate, "session": info, "elsewhere": elsewhere})
}

// stack answers with where a scheduler's call is now.
func (a *api) stack(w http.ResponseWriter, r *http.Request) {
	stack, err := a.app.Operator(r.FormValue("node")).Stack(r.Context(), r.FormValue("scheduler"))
	if err != nil {
		failWith(w, err)
		return
	}
	answer(w, map[string]string{"stack": stack})
}

// lineAt is a line of a node's log.
type lineAt struct {
	Node string `json:"node"`
	cluster.LogLine
}

// logLines answers with the last lines of the log of one node, or of all in the order of their
// times.
func (a *api) logLines(w http.ResponseWriter, r *http.Request) {
	var after uint64
	if text := r.FormValue("after"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || r.FormValue("node") == "" {
			invalid(w, "after is the number of a line of one node's log: it needs node")
			return
		}
		after = n
	}
	self := a.self()
	var mu sync.Mutex
	lines, failed := []lineAt{}, map[string]string{}
	a.everywhere(r.Context(), r.FormValue("node"), func(ctx context.Context, node string) {
		some, err := a.app.Operator(node).Log(ctx, after)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed[cmp.Or(node, self)] = err.Error()
		}
		for _, l := range some {
			lines = append(lines, lineAt{cmp.Or(node, self), l})
		}
	})
	slices.SortStableFunc(lines, func(a, b lineAt) int { return a.Time.Compare(b.Time) })
	if most := cluster.DefaultLogLines; len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	answer(w, map[string]any{"lines": lines, "errors": failed})
}

// number is an int64 that JSON may have as a number or, as it is too large for some, as a text.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	i, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(i)
	return err
}

// change is what a POST asks for.
type change struct {
	Node   string `json:"node"`
	ID     number `json:"id"`
	UID    number `json:"uid"` // of all sessions of a user instead
	Reason string `json:"reason"`
	Route  string `json:"route"`
	// Payload is sent as it is, Base64 decoded.
	Payload string `json:"payload"`
	Base64  string `json:"base64"`
	Seconds int    `json:"seconds"`
	Push    bool   `json:"push"` // it is of a push, not of an answer
}

const (
	maxBody  = 1 << 20
	maxDrain = 7 * 24 * 60 * 60 // seconds
)

// take reads what a POST asks for, or answers it.
func take(w http.ResponseWriter, r *http.Request) (ch change, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&ch); err != nil {
		invalid(w, "the body is not the JSON that the path takes: "+err.Error())
		return ch, false
	}
	return ch, true
}

// done answers a change.
func done(w http.ResponseWriter, err error) {
	if err != nil {
		failWith(w, err)
		return
	}
	answer(w, map[string]bool{"ok": true})
}

func (a *api) kick(w http.ResponseWriter, r *http.Request) {
	ch, ok := take(w, r)
	switch {
	case !ok:
	case ch.UID != 0 && ch.ID == 0:
		a.log.Info("user kicked at the console", "uid", ch.UID, "reason", ch.Reason, "remote", r.RemoteAddr)
		done(w, a.app.KickUser(int64(ch.UID), ch.Reason))
	default:
		done(w, a.app.Operator(ch.Node).Kick(r.Context(), int64(ch.ID), ch.Reason))
	}
}

func (a *api) close(w http.ResponseWriter, r *http.Request) {
	if ch, ok := take(w, r); ok {
		done(w, a.app.Operator(ch.Node).Close(r.Context(), int64(ch.ID)))
	}
}

func (a *api) push(w http.ResponseWriter, r *http.Request) {
	ch, ok := take(w, r)
	if !ok {
		return
	}
	payload := []byte(ch.Payload)
	if ch.Base64 != "" {
		b, err := base64.StdEncoding.DecodeString(ch.Base64)
		if err != nil {
			invalid(w, "base64 is not in base64")
			return
		}
		payload = b
	}
	switch {
	case ch.Route == "":
		invalid(w, "a push needs a route")
	case ch.UID != 0 && ch.ID == 0:
		a.log.Info("push to a user at the console", "uid", ch.UID, "route", ch.Route, "bytes", len(payload), "remote", r.RemoteAddr)
		done(w, a.app.PushTo(int64(ch.UID), ch.Route, payload))
	default:
		done(w, a.app.Operator(ch.Node).Push(r.Context(), int64(ch.ID), ch.Route, payload))
	}
}

func (a *api) drain(w http.ResponseWriter, r *http.Request) {
	ch, ok := take(w, r)
	if !ok {
		return
	}
	if ch.Node == "" {
		invalid(w, "a drain needs the node's address")
		return
	}
	if ch.Seconds < 0 || ch.Seconds > maxDrain {
		invalid(w, "seconds is a number from 0 to "+strconv.Itoa(maxDrain))
		return
	}
	done(w, a.app.Operator(ch.Node).Drain(r.Context(), time.Duration(ch.Seconds)*time.Second))
}
