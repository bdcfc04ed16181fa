package cluster

import (
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/session"
)

// Member is a node as the others see it. It is immutable.
type Member struct {
	info *clusterpb.MemberInfo
}

// String returns the address at which the other nodes reach the member, which is its identity.
func (m *Member) String() string { return m.info.GetServiceAddr() }

// CustomerRemoteServiceRoute chooses the node that serves a session's messages for a service, among the members
// that run it and take sessions. It is called at the first message: the session stays with that node until the node
// is gone or cannot be reached, or Router().Delete says otherwise. Returning nil refuses the message with the code
// "unavailable". It is called from any goroutine.
type CustomerRemoteServiceRoute func(service string, session *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo
