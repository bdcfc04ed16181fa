package cluster

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/log"
	"github.com/lonng/nano/internal/member"
	"github.com/lonng/nano/internal/mesh"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

// settings is what a node works with: its Options, checked, copied, and with the defaults filled
// in. Start makes it once, and nothing changes it. Nothing of a node that has started reads its
// Options.
type settings struct {
	gate  gate.Config     // without the table, the log and the callbacks, which are the node's
	mesh  mesh.Config     // without what the node makes, and the services
	table dispatch.Config // without what the node makes, and the services

	log             *slog.Logger
	components      *component.Components // never nil
	endpoints       []Endpoint            // the client address first
	clustered       bool                  // the node is one of several
	scheduler       *scheduler.Scheduler
	ownScheduler    bool // the node configures, runs and ends it
	lifetimes       *session.Lifetimes
	connections     service.Connection // nil: the process's, with the node's id
	nodeID          uint64
	slowHandler     time.Duration // 0: never
	timerPrecision  time.Duration // 0: the scheduler's default
	waitingCalls    int           // 0: the scheduler's default
	shutdownTimeout time.Duration
	drain           Drain

	serializerUnset bool   // nobody has chosen protobuf
	unusedPath      string // a WebSocket's path for a client address that takes none
}

// resolve checks the options and returns what they mean.
func (o *Options) resolve() (*settings, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &settings{
		log:             o.logger(),
		components:      cmp.Or(o.Components, &component.Components{}),
		endpoints:       o.endpoints(),
		clustered:       o.clustered(),
		scheduler:       cmp.Or(o.Scheduler, scheduler.Default()),
		lifetimes:       cmp.Or(o.Lifetime, session.Lifetime),
		connections:     o.Connections,
		nodeID:          o.NodeID,
		slowHandler:     max(cmp.Or(o.SlowHandler, DefaultSlowHandler), 0),
		timerPrecision:  o.TimerPrecision,
		waitingCalls:    o.WaitingCalls,
		shutdownTimeout: o.endTimeout(),
		drain:           o.Drain.WithDefaults(),
		serializerUnset: o.Serializer == nil,
	}
	s.ownScheduler = o.OwnScheduler || s.scheduler == scheduler.Default()
	if o.ClientAddr != "" && !o.IsWebsocket {
		s.unusedPath = o.WSPath
	}
	if s.connections == nil && s.nodeID == 0 {
		s.connections = service.Connections
	}
	var err error
	if s.gate, err = o.gateConfig(); err != nil {
		return nil, err
	}
	s.table = dispatch.Config{
		Scheduler:    s.scheduler,
		Serializer:   s.gate.Serializer,
		AliasesInput: aliases(s.gate.Serializer),
		Pipeline:     o.Pipeline,
		Forwarded:    o.ForwardFilter,
		Dictionary:   s.gate.Dictionary,
		MaxPayload:   s.gate.MaxPacket,
		Shape:        o.ErrorShape,
		Debug:        o.Debug,
		MessageLog:   s.log,
		Tracer:       o.Tracer,
		Unanswered:   max(cmp.Or(o.Unanswered, DefaultUnanswered), 0),
	}
	s.mesh = o.meshConfig()
	s.mesh.Scheduler, s.mesh.Lifetimes, s.mesh.Serializer = s.scheduler, s.lifetimes, s.gate.Serializer
	return s, nil
}

// gateConfig returns the settings of the client side of the node.
func (o *Options) gateConfig() (gate.Config, error) {
	dict, err := codec.NewDictionary(maps.Clone(o.Dictionary))
	if err != nil {
		return gate.Config{}, err
	}
	trusted, err := prefixes(o.TrustedProxies)
	if err != nil {
		return gate.Config{}, err
	}
	cfg := gate.Config{
		MaxPacket:        cmp.Or(o.MaxPacket, codec.DefaultMaxPacket),
		MaxConns:         o.MaxConnections,
		MaxHeader:        cmp.Or(o.MaxHeader, DefaultMaxHeader),
		Subprotocols:     slices.Clone(o.Subprotocols),
		Heartbeat:        cmp.Or(o.Heartbeat, DefaultHeartbeat),
		MissedBeats:      cmp.Or(o.MissedHeartbeats, DefaultMissedHeartbeats),
		HandshakeTimeout: cmp.Or(o.HandshakeTimeout, DefaultHandshakeTimeout),
		WriteTimeout:     cmp.Or(o.WriteTimeout, DefaultWriteTimeout),
		FlushTimeout:     cmp.Or(o.FlushTimeout, DefaultFlushTimeout),
		WriteDelay:       o.WriteDelay,
		NoDelay:          setOf(o.NoDelay),
		Deliveries:       maps.Clone(o.Deliveries),
		Resume:           o.Resume.gate(),
		SendQueue:        cmp.Or(o.SendQueue, DefaultSendQueue),
		SendQueues:       cmp.Or(o.SendQueues, DefaultSendQueues),
		DropSlow:         o.SlowConsumer == session.SlowDrop,
		ErrorsToAll:      o.ErrorsToAll,
		GzipMin:          o.GzipMin,
		CompressMin:      o.CompressMin,
		Debug:            o.Debug,
		Portable:         o.Transport == Portable,
		Dictionary:       dict,
		Serializer:       o.Serializer,
		Pipeline:         o.Pipeline,
		Handshake:        o.Handshake,
		CheckOrigin:      o.CheckOrigin,
		Pages:            o.Pages,
		Trusted:          trusted,
		TrustUnix:        slices.Contains(o.TrustedProxies, unixProxy),
		ProxyProtocol:    o.ProxyProtocol,
		Limits:           o.Limits.gate(),
	}
	if cfg.Serializer == nil {
		cfg.Serializer = protobuf.NewSerializer()
	}
	if cfg.Pages == nil {
		cfg.Pages = http.DefaultServeMux
	}
	if v := o.Validate; v != nil {
		cfg.Handshake = func(s *session.Session, h *session.Handshake) error { return v(s, h.Payload) }
	}
	if g, ok := o.Tracer.(tracing.Greeter); ok {
		hook := cfg.Handshake
		cfg.Handshake = func(s *session.Session, h *session.Handshake) error {
			g.Handshake(s, h)
			if hook == nil {
				return nil
			}
			return hook(s, h)
		}
	}
	return cfg, nil
}

// setOf returns the set of the names.
func setOf(names []string) map[string]struct{} {
	set := make(map[string]struct{}, len(names))
	for _, name := range names {
		set[name] = struct{}{}
	}
	return set
}

// meshConfig returns the settings of the node's part of the cluster.
func (o *Options) meshConfig() mesh.Config {
	cfg := mesh.Config{
		Listener: o.ServiceListener, Label: o.Label,
		IsMaster: o.IsMaster, Master: o.AdvertiseAddr, Keeper: o.Keeper, NodeID: o.NodeID, MaxLoss: o.MaxLoss,
		Heartbeat:     cmp.Or(o.Heartbeat, DefaultHeartbeat),
		RetryInterval: cmp.Or(o.RetryInterval, DefaultRetryInterval),
		TLS:           o.ClusterTLS, Token: o.ClusterToken, GrpcOptions: slices.Clone(o.GrpcOptions), LinkQueue: o.LinkQueue,
		Answer:    o.Answer,
		Forwarded: slices.Clone(o.Forwarded), BindPolicy: o.BindPolicy,
		Deliveries:   maps.Clone(o.Deliveries),
		Filters:      o.Pipeline != nil && !pipeline.Empty(o.Pipeline.Outbound()),
		SessionCalls: cmp.Or(o.SessionCalls, DefaultSessionCalls),
	}
	switch {
	case o.RemoteServiceRoute != nil:
		cfg.Choose = chooseByFunction(o.RemoteServiceRoute)
	case o.Routing != nil:
		cfg.Choose = chooseByPolicy(o.Routing)
	}
	if left := o.UnregisterCallback; left != nil {
		cfg.Left = func(m member.Member) { left(Member{info: mesh.ToInfo(m)}) }
	}
	return cfg
}

// clustered tells whether the node is one of several.
func (o *Options) clustered() bool { return o.IsMaster || o.AdvertiseAddr != "" || o.Keeper != nil }

// endTimeout returns how long a shutdown may take that has no context of its own.
func (o *Options) endTimeout() time.Duration {
	return cmp.Or(o.ShutdownTimeout, DefaultShutdownTimeout)
}

// logger returns what the node logs to.
func (o *Options) logger() *slog.Logger {
	switch {
	case o.Slog != nil:
		return o.Slog
	case o.Logger != nil:
		level := slog.LevelInfo
		if o.Debug {
			level = slog.LevelDebug
		}
		return log.New(o.Logger, level)
	}
	return slog.Default()
}

// unixProxy stands for who connects to a Unix socket, among the trusted proxies.
const unixProxy = "unix"

// prefixes reads IP addresses and prefixes.
func prefixes(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		if s == unixProxy {
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			a = a.Unmap()
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q is neither an IP address nor a prefix such as 10.0.0.0/8, nor %q", s, unixProxy)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
