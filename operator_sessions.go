package nano

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/mesh"
	"github.com/lonng/nano/session"
)

// How much one answer tells.
const (
	defaultSessions = 100
	maxSessions     = 1000
	maxGroupNames   = 100
	maxValues       = 200
	maxText         = 500 // bytes of a value or name
	lookEvery       = 1024
)

// findSessions answers a SessionQuery.
func (a answers) findSessions(ctx context.Context, q SessionQuery) (*SessionList, error) {
	all := a.app.node.Inspector().Sessions()
	list := &SessionList{Total: len(all), Sessions: []SessionInfo{}}
	switch { // the register knows these
	case q.ID != 0:
		all = nil
		if s := a.app.Session(q.ID); s != nil {
			all = append(all, s)
		}
	case q.UID != 0:
		all = a.app.SessionsOf(q.UID)
	}
	fits := all[:0:0]
	for i, s := range all {
		if i%lookEvery == 0 && ctx.Err() != nil {
			return nil, component.Errorf(component.CodeDeadline, "%d of %d sessions were looked at: %w", i, len(all), ctx.Err())
		}
		if q.fits(s) {
			fits = append(fits, s)
		}
	}
	list.Matched = len(fits)
	slices.SortFunc(fits, func(x, y *session.Session) int { return cmp.Compare(y.ID(), x.ID()) })
	limit := min(cmp.Or(max(q.Limit, 0), defaultSessions), maxSessions)
	for _, s := range fits[:min(limit, len(fits))] {
		list.Sessions = append(list.Sessions, sessionInfo(s))
	}
	return list, nil
}

// fits tells whether a session is one that is wanted. Those with an id or a user that is asked for
// are looked up.
func (q *SessionQuery) fits(s *session.Session) bool {
	if q.UID != 0 && s.UID() != q.UID {
		return false
	}
	if q.Address != "" {
		if a := s.RemoteAddr(); a == nil || !strings.HasPrefix(strings.TrimPrefix(a.String(), "["), strings.TrimPrefix(q.Address, "[")) {
			return false
		}
	}
	return q.Group == "" || slices.ContainsFunc(s.Observers(), func(o session.Observer) bool {
		m, ok := o.(*members)
		return ok && m.group().Name() == q.Group
	})
}

// sessionInfo returns what is told of each session of a list.
func sessionInfo(s *session.Session) SessionInfo {
	info := SessionInfo{ID: s.ID(), UID: s.UID(), Since: s.Since()}
	if c, ok := s.NetworkEntity().(*gate.Conn); ok {
		d := c.Describe()
		info.Transport, info.Suspended, info.Queued, info.Kept = "tcp", d.Suspended, d.Queued, d.Kept
		if d.WebSocket {
			info.Transport = "websocket"
		}
		if d.Addr != nil {
			info.Address = d.Addr.String()
		}
		if d.Known {
			info.Traffic = &SessionTraffic{BytesIn: d.Traffic.In, BytesOut: d.Traffic.Out, RTT: d.Traffic.RTT, Quiet: d.Traffic.Quiet}
		}
	} else {
		info.Gate = mesh.GateOf(s)
		if addr := s.RemoteAddr(); addr != nil {
			info.Address = addr.String()
		}
	}
	for _, o := range s.Observers() {
		if m, ok := o.(*members); ok {
			info.In++
			if len(info.Groups) < maxGroupNames {
				info.Groups = append(info.Groups, short(m.group().Name()))
			}
		}
	}
	slices.Sort(info.Groups)
	return info
}

// sessionRef names a session of a client of a gate.
type sessionRef struct {
	Gate string `json:"gate"`
	ID   int64  `json:"id"`
}

// describeSession returns all that is told of a session.
func (a answers) describeSession(ref sessionRef) (any, error) {
	s := a.app.node.Inspector().RemoteSession(ref.Gate, ref.ID)
	if s == nil && (ref.Gate == "" || ref.Gate == a.app.node.ServiceAddr) {
		s = a.app.Session(ref.ID)
	}
	if s == nil {
		return nil, component.Errorf(component.CodeNotFound, "the node does not know session %d of gate %q", ref.ID, ref.Gate)
	}
	info := sessionInfo(s)
	info.Routes = s.Routes()
	info.Values = make(map[string]any)
	state := s.State()
	for i, key := range slices.Sorted(maps.Keys(state)) {
		if i == maxValues {
			break
		}
		info.Values[short(key)] = plain(state[key])
	}
	return &info, nil
}

// plain returns a value as it may be shown. Only what nobody can change meanwhile is looked into: a
// map, or what a pointer points to, belongs to the application's goroutines.
func plain(v any) any {
	switch v := v.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v
	case time.Time:
		if _, err := v.MarshalText(); err != nil { // of a year or a zone that RFC 3339 does not have
			return short(v.String())
		}
		return v
	case float32, float64: // JSON has no infinity
		return fmt.Sprint(v)
	case time.Duration:
		return v.String()
	case string:
		return short(v)
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	}
	return fmt.Sprintf("(%T)", v)
}

func short(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// group returns a handle of the group.
func (m *members) group() *Group { return &Group{m} }
