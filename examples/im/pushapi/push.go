package pushapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// userID is a user's id: a string, or a number for systems whose users have those.
type userID string

// UnmarshalJSON reads a string or a whole number.
func (u *userID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*u = userID(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("a user is a string or a number, not %s", b)
	}
	if _, err := strconv.ParseInt(n.String(), 10, 64); err != nil {
		return fmt.Errorf("a user is a string or a whole number, not %s", b)
	}
	*u = userID(n.String())
	return nil
}

// check says what is wrong with an id.
func (u userID) check() error {
	if u == "" || len(u) > protocol.MaxID || strings.ContainsFunc(string(u), unicode.IsControl) {
		return invalid(fmt.Sprintf("a user's id has 1 to %d bytes, and no control characters", protocol.MaxID))
	}
	return nil
}

// audience says to whom a push goes.
type audience struct {
	Users     []userID `json:"users"`
	Channels  []string `json:"channels"`
	All       bool     `json:"all"`
	Platforms []string `json:"platforms"`
}

// UnmarshalJSON reads an audience. One that names platforms, and has no word of users or channels,
// means all who are there.
func (a *audience) UnmarshalJSON(b []byte) error {
	type plain audience
	names, err := strict(b, (*plain)(a))
	if len(names) == 1 && len(a.Platforms) > 0 {
		a.All = true
	}
	return err
}

// text is a push that is a message of channels.
type text struct {
	Text     string   `json:"text"`
	From     userID   `json:"from"`
	Mentions []userID `json:"mentions"`
}

// UnmarshalJSON reads a message.
func (t *text) UnmarshalJSON(b []byte) error {
	type plain text
	_, err := strict(b, (*plain)(t))
	return err
}

// pushRequest is the body of POST /api/v1/push.
type pushRequest struct {
	To      *audience       `json:"to"`
	Route   string          `json:"route"`
	Data    json.RawMessage `json:"data"`
	Keep    string          `json:"keep"`
	Message *text           `json:"message"`
}

// PushReply is the answer to a push.
type PushReply struct {
	ID      string `json:"id"`
	Reached int    `json:"reached"` // users who are connected, and were sent it
	Kept    int    `json:"kept"`    // users who are away, for whom it waits
}

// push pushes to users.
func (s *Server) push(r *http.Request) (any, error) {
	var req pushRequest
	if err := decode(r, &req, false); err != nil {
		return nil, err
	}
	keep, err := req.check()
	if err != nil {
		return nil, err
	}
	id := newID(r.Context())
	if req.Message != nil {
		return s.pushMessage(r.Context(), &req, id)
	}
	users, everybody, live, err := s.resolve(r.Context(), req.To)
	if err != nil {
		return nil, err
	}
	platforms := req.To.Platforms
	reply := &PushReply{ID: id}
	kept := ""
	if keep > 0 && (everybody || len(users) > 0) {
		kept = id
		now := time.Now()
		p := store.Push{ID: id, Route: req.Route, Data: req.Data, At: now.UnixMilli(), Expires: now.Add(keep).UnixMilli(), Platforms: platforms}
		known, err := s.keep(r.Context(), p, users, everybody)
		if err != nil {
			return nil, err
		}
		reply.Kept = known
	}
	if everybody {
		reply.Reached = s.reachedOfAll(platforms)
		s.conf.Emit(&protocol.Event{Everybody: true, Platforms: platforms, Route: req.Route, Data: req.Data, Kept: kept})
	} else {
		here := s.conf.Online.Here(users, platforms)
		reply.Reached = len(here)
		if len(here) > 0 {
			s.conf.Emit(&protocol.Event{Users: here, Platforms: platforms, Route: req.Route, Data: req.Data, Kept: kept})
		}
	}
	if kept != "" {
		reply.Kept = max(0, reply.Kept-reply.Reached)
	}
	if !everybody {
		for _, channel := range live {
			reply.Reached += s.conf.Viewers(channel)
			s.conf.Emit(&protocol.Event{Channel: channel, Platforms: platforms, Route: req.Route, Data: req.Data})
		}
	}
	return reply, nil
}

// newID returns the id of a push, of a message or of a channel. A request with an idempotency key
// has the same one each time, so that the store refuses a second one.
func newID(ctx context.Context) string {
	if id, ok := ctx.Value(idContext{}).(string); ok {
		return id
	}
	return freshID()
}

func freshID() string { return "n-" + strings.ToLower(rand.Text()[:20]) }

// check says what is wrong with a push, and returns how long it is kept.
func (p *pushRequest) check() (keep time.Duration, err error) {
	if p.To == nil {
		return 0, invalid("to is missing")
	}
	if err := p.To.check(); err != nil {
		return 0, err
	}
	if p.Message != nil {
		return 0, p.checkMessage()
	}
	switch {
	case p.Route == "":
		return 0, invalid("route is missing")
	case len(p.Route) > 200 || !utf8.ValidString(p.Route):
		return 0, invalid("route has more than 200 bytes, or is not UTF-8")
	case strings.HasPrefix(p.Route, "im.") || strings.HasPrefix(p.Route, "live."):
		return 0, invalid("routes that begin with im. or live. are the messenger's own")
	case len(p.Data) > maxData:
		return 0, invalid(fmt.Sprintf("data has more than %d bytes", maxData))
	}
	if len(p.Data) == 0 {
		p.Data = json.RawMessage("null")
	}
	return p.keepTime()
}

// checkMessage says what is wrong with a push that is a message.
func (p *pushRequest) checkMessage() error {
	switch {
	case p.Route != "" || len(p.Data) > 0 || p.Keep != "":
		return invalid("message goes without route, data and keep: a message is kept in its channel")
	case len(p.To.Channels) == 0 || len(p.To.Users) > 0 || p.To.All || len(p.To.Platforms) > 0:
		return invalid("message goes to channels, and to nobody else")
	case p.Message.From != "":
		return p.Message.From.check()
	}
	return nil
}

// keepTime reads how long a push is kept: a duration of Go ("90m", "24h") or days ("7d").
func (p *pushRequest) keepTime() (time.Duration, error) {
	if p.Keep == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(p.Keep)
	if days, ok := strings.CutSuffix(p.Keep, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(max(n, 0), 1000)) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > maxKeep {
		return 0, invalid(`keep must be a time such as "90m", "24h" or "7d", and at most 366 days`)
	}
	return d, nil
}

func (a *audience) check() error {
	named := len(a.Users) + len(a.Channels)
	switch {
	case a.All && named > 0:
		return invalid("to has all beside users or channels")
	case !a.All && named == 0:
		return invalid("to names nobody: it needs users, channels, or all")
	case len(a.Users) > maxUsers:
		return invalid(fmt.Sprintf("to has more than %d users", maxUsers))
	case len(a.Channels) > maxChannels:
		return invalid(fmt.Sprintf("to has more than %d channels", maxChannels))
	case len(a.Platforms) > 20:
		return invalid("to has more than 20 platforms")
	}
	for _, u := range a.Users {
		if err := u.check(); err != nil {
			return err
		}
	}
	for _, p := range a.Platforms {
		if !gate.Platform(p) {
			return errPlatform
		}
	}
	return nil
}

// resolve returns whom an audience means, each user once.
func (s *Server) resolve(ctx context.Context, a *audience) (users []string, everybody bool, live []string, err error) {
	if a.All {
		return nil, true, nil, nil
	}
	seen := make(map[string]bool, len(a.Users))
	add := func(id string) {
		if !seen[id] {
			seen[id] = true
			users = append(users, id)
		}
	}
	for _, u := range a.Users {
		add(string(u))
	}
	if len(a.Channels) > 0 {
		var of protocol.AudienceReply
		if err := s.conf.Backend.Call(ctx, a.Channels[0], "audience", &protocol.AudienceRequest{Channels: a.Channels}, &of); err != nil {
			return nil, false, nil, err
		}
		if of.Everybody {
			return nil, true, of.Live, nil
		}
		for _, u := range of.Users {
			add(u)
		}
		live = of.Live
	}
	return users, false, live, nil
}

// keep stores a push, and returns for how many users.
func (s *Server) keep(ctx context.Context, p store.Push, users []string, everybody bool) (int, error) {
	if err := s.conf.Backend.Call(ctx, p.ID, "keep", &protocol.KeepRequest{Push: p, Users: users, Everybody: everybody}, &protocol.Empty{}); err != nil {
		return 0, err
	}
	if !everybody {
		return len(users), nil
	}
	var sizes protocol.SizesReply
	err := s.conf.Backend.Call(ctx, p.ID, "sizes", &protocol.Empty{}, &sizes)
	return int(sizes.Users), err
}

// reachedOfAll returns how many users are connected on one of the platforms.
func (s *Server) reachedOfAll(platforms []string) int {
	if len(platforms) == 0 {
		n, _ := s.conf.Online.Count()
		return n
	}
	return s.conf.Online.CountOn(platforms)
}

// pushMessage posts a message in channels.
func (s *Server) pushMessage(ctx context.Context, req *pushRequest, id string) (any, error) {
	reply := &PushReply{ID: id}
	users, everybody, live, err := s.resolve(ctx, req.To)
	if err != nil {
		return nil, err
	}
	if len(live) > 0 { // before it stands in the other channels
		return nil, invalid("channel " + live[0] + " is a live room, which keeps no messages: push with a route")
	}
	mentions, err := ids(req.Message.Mentions)
	if err != nil {
		return nil, err
	}
	for i, channel := range req.To.Channels {
		post := &protocol.PostRequest{Channel: channel, Text: req.Message.Text, From: string(req.Message.From), CID: fmt.Sprintf("%s-%d", id, i), Mentions: mentions}
		if err := s.conf.Backend.Call(ctx, channel, "post", post, &store.Message{}); err != nil {
			return nil, err
		}
	}
	if everybody {
		var sizes protocol.SizesReply
		if err := s.conf.Backend.Call(ctx, id, "sizes", &protocol.Empty{}, &sizes); err != nil {
			return nil, err
		}
		reply.Reached = s.reachedOfAll(nil)
		reply.Kept = max(0, int(sizes.Users)-reply.Reached)
		return reply, nil
	}
	reply.Reached = s.conf.Online.Reached(users, nil)
	reply.Kept = len(users) - reply.Reached
	return reply, nil
}

// ids returns the ids of users, or what is wrong with one of them.
func ids(users []userID) ([]string, error) {
	list := make([]string, len(users))
	for i, u := range users {
		if err := u.check(); err != nil {
			return nil, err
		}
		list[i] = string(u)
	}
	return list, nil
}
