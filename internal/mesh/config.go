package mesh

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/groups"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// Config is what a mesh is made of. Nothing of it has a default here: the options of the node have.
type Config struct {
	Addr     string       // the service address, host:port; port 0 chooses one
	Listener net.Listener // used instead of listening on Addr; the mesh closes it
	Label    string       // the application's word for the node
	Services []string     // that the node runs

	IsMaster bool          // the node keeps the list
	Master   string        // the service address of the node that does
	Keeper   keeper.Keeper // keeps the list instead; nil: a master does
	NodeID   uint64        // part of session ids; 0: chosen by who keeps the list
	MaxLoss  float64       // share of its nodes that a master drops at once; 0: half

	Heartbeat     time.Duration
	RetryInterval time.Duration // between attempts to reach the master

	TLS         *tls.Config // between nodes; nil: none
	Token       string      // shared by all nodes; "": none
	GrpcOptions []grpc.DialOption
	LinkQueue   int // bytes that wait for one other node; 0: the link's default

	Forwarded    []string // keys of session values that backends see
	BindPolicy   session.BindPolicy
	Filters      bool                        // outbound filters see what goes to clients, and may keep it
	Deliveries   map[string]session.Delivery // of pushes, by route
	SessionCalls int                         // handlers of one session that wait in a Call at a time

	Users       *users.Register
	Groups      *groups.Registry
	Scheduler   *scheduler.Scheduler
	Lifetimes   *session.Lifetimes
	Connections service.Connection // counts sessions, and makes their ids until the node has an id of its own
	Serializer  serialize.Serializer
	Log         *slog.Logger

	// Choose returns the address of one of the nodes that run a service, for a session's first
	// message to it. open are those that take sessions, at least one; sessions tells how many of
	// this node's one of them has. nil: any of them.
	Choose func(service string, s *session.Session, open []member.Peer, sessions func(addr string) int64) (addr string, err error)
	// Left runs on the scheduler of the master when a member has left; nil: nothing does.
	Left func(member.Member)
	// Drain waits until everything queued on the scheduler has begun to run.
	Drain func()
	// Answer answers what another node asks of this one: see questions. nil: nothing is answered.
	Answer func(ctx context.Context, what string, data []byte) ([]byte, error)
}

// clustered tells whether the node is one of several.
func (c *Config) clustered() bool { return c.IsMaster || c.Master != "" || c.Keeper != nil }

// ErrInvalidRegister is returned to a node that registers without saying who it is.
var ErrInvalidRegister = fault.New(fault.Invalid, "cluster: register request without an address")
