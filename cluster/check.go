package cluster

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// problems collects what is wrong with options. Each error names the option, what it was given, and
// what to do.
type problems []error

func (p *problems) add(option, format string, a ...any) {
	*p = append(*p, fmt.Errorf(option+": "+format, a...))
}

// check returns everything that is wrong with the options, each as an error of its own. It is the
// only place that judges them; nothing is opened or read for it.
func (o *Options) check() error {
	var p problems
	if o.Err != nil {
		p = append(p, o.Err)
	}
	o.checkNumbers(&p)
	o.checkPolicies(&p)
	o.checkClients(&p)
	o.checkEndpoints(&p)
	o.checkCluster(&p)
	return errors.Join(p...)
}

// checkNumbers looks for durations, sizes and rates that mean nothing.
func (o *Options) checkNumbers(p *problems) {
	for _, d := range []struct {
		option, field string
		value         time.Duration
	}{
		{"WithHeartbeatInterval", "Heartbeat", o.Heartbeat},
		{"WithHandshakeTimeout", "HandshakeTimeout", o.HandshakeTimeout},
		{"WithWriteTimeout", "WriteTimeout", o.WriteTimeout},
		{"WithFlushTimeout", "FlushTimeout", o.FlushTimeout},
		{"WithShutdownTimeout", "ShutdownTimeout", o.ShutdownTimeout},
		{"WithWriteDelay", "WriteDelay", o.WriteDelay},
		{"WithAdvertiseAddr", "RetryInterval", o.RetryInterval},
		{"WithResume", "Window", o.resume().Window},
		{"WithDrain", "Timeout", o.Drain.WithDefaults().Timeout},
		{"WithDrain", "Spread", o.Drain.WithDefaults().Spread},
		{"WithTimerPrecision", "TimerPrecision", o.TimerPrecision},
	} {
		if d.value < 0 {
			p.add(d.option, "%s is %v, which is negative: set a positive one, or leave it out for the default", d.field, d.value)
		}
	}
	for _, n := range []struct {
		option, field string
		value         int
	}{
		{"WithMissedHeartbeats", "MissedHeartbeats", o.MissedHeartbeats},
		{"WithMaxPacket", "MaxPacket", o.MaxPacket},
		{"WithMaxHeader", "MaxHeader", o.MaxHeader},
		{"WithMaxConnections", "MaxConnections", o.MaxConnections},
		{"WithSendQueue", "SendQueue", o.SendQueue},
		{"WithSendQueues", "SendQueues", o.SendQueues},
		{"WithGzip", "GzipMin", o.GzipMin},
		{"WithCompression", "CompressMin", o.CompressMin},
		{"WithSessionCalls", "SessionCalls", o.SessionCalls},
		{"WithWaitingCalls", "WaitingCalls", o.WaitingCalls},
		{"WithLinkQueue", "LinkQueue", o.LinkQueue},
		{"WithResume", "Buffer", o.resume().Buffer},
		{"WithResume", "Total", o.resume().Total},
		{"WithMessageRate", "MessageBurst", o.Limits.MessageBurst},
		{"WithConnectionsPerAddress", "PerAddress", o.Limits.PerAddress},
		{"WithAcceptRate", "AcceptBurst", o.Limits.AcceptBurst},
		{"WithConcurrentHandshakes", "Handshakes", o.Limits.Handshakes},
	} {
		if n.value < 0 {
			p.add(n.option, "%s is %d, which is negative: set a positive one, or leave it out for the default", n.field, n.value)
		}
	}
	if b := o.resume().Buffer; b > MaxResumeBuffer {
		p.add("WithResume", "Buffer is %d: a session keeps at most %d", b, MaxResumeBuffer)
	}
	for _, r := range []struct {
		option, field string
		value         float64
	}{
		{"WithMessageRate", "Messages", o.Limits.Messages},
		{"WithAcceptRate", "Accepts", o.Limits.Accepts},
	} {
		if !(r.value >= 0) || math.IsInf(r.value, 1) {
			p.add(r.option, "%s is %v, which is no number a second: set a positive one, or 0 for no limit", r.field, r.value)
		}
	}
	if o.MaxPacket > 1<<24-1 {
		p.add("WithMaxPacket", "MaxPacket is %d: the length field of a packet holds at most %d", o.MaxPacket, 1<<24-1)
	}
	if o.TimerPrecision > 0 && o.TimerPrecision < time.Millisecond {
		p.add("WithTimerPrecision", "%v is less than a millisecond: set at least that, or leave it out for a second", o.TimerPrecision)
	}
	if !(o.MaxLoss >= 0 && o.MaxLoss <= 1) {
		p.add("WithMaxLoss", "MaxLoss is %v: it is a share, from 0 to 1", o.MaxLoss)
	}
	if o.NodeID > service.MaxNodeID {
		p.add("WithNodeId", "the node id is %d, and the largest is %d: %w", o.NodeID, service.MaxNodeID, service.ErrNodeID)
	}
}

// resume returns what WithResume was given; the zero value if it was not used.
func (o *Options) resume() Resume {
	if o.Resume == nil {
		return Resume{}
	}
	return *o.Resume
}

// checkPolicies looks for values that are none of their type's.
func (o *Options) checkPolicies(p *problems) {
	if o.BindPolicy < session.BindKeepBoth || o.BindPolicy > session.BindRefuseNew {
		p.add("WithBindPolicy", "%d is no policy: use BindKeepBoth, BindKickOld or BindRefuseNew", o.BindPolicy)
	}
	if o.Transport > Portable {
		p.add("WithTransport", "%d is no transport: use EventLoop or Portable", o.Transport)
	}
	if o.SlowConsumer < session.SlowKick || o.SlowConsumer > session.SlowDrop {
		p.add("WithSlowConsumer", "%d is no policy: use SlowKick or SlowDrop", o.SlowConsumer)
	}
	for route, d := range o.Deliveries {
		if d.Class > session.DeliverUnlessBusy {
			p.add("WithDelivery", "%d, of route %q, is no class: use Latest, LatestBy or DropWhenBusy", d.Class, route)
		}
		if d.Key != nil && d.Class != session.DeliverLatest {
			p.add("WithDelivery", "the key of route %q means nothing: only DeliverLatest has one", route)
		}
	}
	if o.Limits.MessagePolicy > LimitKick {
		p.add("WithMessageRate", "%d is no policy: use LimitWait, LimitDrop or LimitKick", o.Limits.MessagePolicy)
	}
	for _, l := range []struct {
		option string
		policy LimitPolicy
	}{{"WithAcceptRate", o.Limits.AcceptPolicy}, {"WithConcurrentHandshakes", o.Limits.HandshakePolicy}} {
		switch {
		case l.policy == LimitKick:
			p.add(l.option, "LimitKick is for messages: a connection that is over a limit has no session yet; use LimitDrop")
		case l.policy > LimitKick:
			p.add(l.option, "%d is no policy: use LimitWait or LimitDrop", l.policy)
		}
	}
}

// checkClients looks at what concerns all clients, wherever they connect.
func (o *Options) checkClients(p *problems) {
	for _, name := range o.Subprotocols {
		if !isToken(name) {
			p.add("WithSubprotocols", "the subprotocol %q is no token of letters, digits and !#$%%&'*+-.^_`|~", name)
		}
	}
	if _, err := prefixes(o.TrustedProxies); err != nil {
		p.add("WithTrustedProxies", "%w", err)
	}
	if o.ProxyProtocol && len(o.TrustedProxies) == 0 {
		p.add("WithProxyProtocol", "the PROXY protocol is on, but no proxy is trusted: name them with WithTrustedProxies")
	}
	if o.Validate != nil && o.Handshake != nil {
		p.add("WithHandshakeValidator", "it and WithHandshake are both set: keep one")
	}
	if _, err := codec.NewDictionary(o.Dictionary); err != nil {
		p.add("WithDictionary", "%w", err)
	}
}

// checkEndpoints looks for endpoints that could serve nobody, and for fields that say nothing where
// they stand.
func (o *Options) checkEndpoints(p *problems) {
	if (o.TSLCertificate == "") != (o.TSLKey == "") {
		p.add("WithTSLConfig", "TLS needs both files: certificate %q, key %q", o.TSLCertificate, o.TSLKey)
	}
	if o.ClientAddr == "" {
		for _, f := range []struct {
			set           bool
			field, option string
			of            string // of an endpoint, what says the same
		}{
			{o.TLS != nil, "TLS", "WithTLSConfig", "TLS"},
			{o.TSLCertificate != "", "TSLCertificate", "WithTSLConfig", "CertFile and KeyFile"},
			{o.IsWebsocket && len(o.Endpoints) > 0, "IsWebsocket", "WithIsWebsocket", "WebSocket"},
			{o.WSPath != "" && len(o.Endpoints) > 0, "WSPath", "WithWSPath", "Path"},
		} {
			switch {
			case f.set && len(o.Endpoints) > 0:
				p.add(f.option, "%s is for the client address, and there are endpoints only: set %s of the Endpoint", f.field, f.of)
			case f.set:
				p.add(f.option, "%s is set, but no address for clients: add WithClientAddr, or leave it out", f.field)
			}
		}
	}
	for i := range o.Endpoints {
		e := &o.Endpoints[i]
		bad := func(format string, a ...any) {
			p.add("WithEndpoint", "endpoint %d (%s) "+format, append([]any{i, e.where()}, a...)...)
		}
		if (e.Addr == "") == (e.Listener == nil) {
			bad("has both an Addr and a Listener, or neither: it needs either an address or a listener")
		}
		if e.Path != "" && !e.WebSocket {
			bad("has the Path %q, but takes no WebSockets: set WebSocket, too", e.Path)
		}
		if (e.CertFile == "") != (e.KeyFile == "") {
			bad("needs both files for TLS: CertFile %q, KeyFile %q", e.CertFile, e.KeyFile)
		}
	}
	for _, e := range o.endpoints() {
		e.checkTLS(p)
	}
}

// checkTLS looks for a TLS configuration without a certificate, or with two.
func (e *Endpoint) checkTLS(p *problems) {
	if e.TLS == nil {
		return
	}
	own := len(e.TLS.Certificates) > 0
	switch {
	case e.CertFile == "" && e.KeyFile == "" && !own && e.TLS.GetCertificate == nil && e.TLS.GetConfigForClient == nil:
		p.add("WithTLSConfig or WithEndpoint", "the address %s has a TLS configuration without a certificate: set Certificates or GetCertificate", e.where())
	case e.CertFile != "" && own:
		p.add("WithTLSConfig or WithEndpoint", "the address %s has a certificate in TLS and another in %q: keep one", e.where(), e.CertFile)
	}
}

// checkCluster looks at what other nodes are told.
func (o *Options) checkCluster(p *problems) {
	if !o.clustered() {
		for _, f := range []struct {
			option string
			set    bool
		}{
			{"WithServiceListener", o.ServiceListener != nil},
			{"WithClusterTLS", o.ClusterTLS != nil},
			{"WithClusterToken", o.ClusterToken != ""},
		} {
			if f.set {
				p.add(f.option, "it is set, but the node is in no cluster: add WithMaster, WithAdvertiseAddr or WithKeeper")
			}
		}
	}
	if o.Keeper != nil && (o.IsMaster || o.AdvertiseAddr != "") {
		p.add("WithKeeper", "it is set, and a master, too (WithMaster, WithAdvertiseAddr): keep one")
	}
	if o.Routing != nil && o.RemoteServiceRoute != nil {
		p.add("WithRouting", "it and WithCustomerRemoteServiceRoute are both set: keep one")
	}
}

// isToken tells whether s may stand in a list of an HTTP header.
func isToken(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c) {
			return false
		}
	}
	return s != ""
}
