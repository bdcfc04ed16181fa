package cluster

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/session"
)

// Member is a node as the others see it. It is immutable.
type Member struct {
	info *clusterpb.MemberInfo
}

// String returns the address at which the other nodes reach the member, which is its identity.
func (m *Member) String() string { return m.info.GetServiceAddr() }

// MemberInfo returns what the member has told of itself. It is a copy.
func (m *Member) MemberInfo() *clusterpb.MemberInfo {
	if m.info == nil {
		return nil
	}
	return proto.CloneOf(m.info)
}

// LocalHandler tells which services a node knows. [Node.Handler] returns it. The methods may be
// called from any goroutine.
type LocalHandler struct {
	node *Node
}

// Handler returns what tells which services the node knows; nil before Startup.
func (n *Node) Handler() *LocalHandler {
	if !n.ready.Load() {
		return nil
	}
	return &LocalHandler{node: n}
}

// LocalService returns the names of the services that the node runs, sorted.
func (h *LocalHandler) LocalService() []string {
	if h == nil || h.node == nil {
		return nil
	}
	return slices.Sorted(slices.Values(h.node.runs))
}

// RemoteService returns the names of the services that other nodes of the list run, sorted.
func (h *LocalHandler) RemoteService() []string {
	if h == nil || h.node == nil || !h.node.set.Load().clustered {
		return nil
	}
	var names []string
	for _, m := range h.node.mesh.Members() {
		names = append(names, m.Services...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// CustomerRemoteServiceRoute chooses the node that serves a session's messages for a service, among
// the members that run it and take sessions. It is called at the first message: the session stays
// with that node until the node is gone or cannot be reached, or Router().Delete says otherwise.
// Returning nil refuses the message with the code "unavailable". It is called from any goroutine.
type CustomerRemoteServiceRoute func(service string, session *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo
