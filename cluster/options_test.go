package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// A mistake in the options is told when the node starts, in words that name the option, and not
// found out later by players.
func TestCheckFindsEachContradiction(t *testing.T) {
	argument := errors.New("an argument that no field can keep")
	for _, c := range []struct {
		want string
		o    Options
	}{
		{"MissedHeartbeats is -1", Options{MissedHeartbeats: -1}},
		{"Heartbeat is -1s", Options{Heartbeat: -time.Second}},
		{"HandshakeTimeout is -1s", Options{HandshakeTimeout: -time.Second}},
		{"WriteTimeout is -1s", Options{WriteTimeout: -time.Second}},
		{"FlushTimeout is -1s", Options{FlushTimeout: -time.Second}},
		{"ShutdownTimeout is -1s", Options{ShutdownTimeout: -time.Second}},
		{"WriteDelay is -1s", Options{WriteDelay: -time.Second}},
		{"RetryInterval is -1s", Options{RetryInterval: -time.Second}},
		{"TimerPrecision is -1s", Options{TimerPrecision: -time.Second}},
		{"WithTimerPrecision: 999.999µs is less", Options{TimerPrecision: time.Millisecond - 1}},
		{"MaxPacket is -1", Options{MaxPacket: -1}},
		{"MaxPacket is 16777216", Options{MaxPacket: 1 << 24}},
		{"MaxConnections is -1", Options{MaxConnections: -1}},
		{"WithResume: Window is -1ns", Options{Resume: &Resume{Window: -1}}},
		{"WithResume: Buffer is -1", Options{Resume: &Resume{Buffer: -1}}},
		{"SendQueue is -1", Options{SendQueue: -1}},
		{"GzipMin is -1", Options{GzipMin: -1}},
		{"TLS needs both files", Options{ClientAddr: "x", TSLCertificate: "cert.pem"}},
		{"TLS needs both files", Options{ClientAddr: "x", TSLKey: "key.pem"}},
		{"no address for clients", Options{TLS: &tls.Config{MinVersion: tls.VersionTLS13}}},
		{"no address for clients", Options{TSLCertificate: "cert.pem", TSLKey: "key.pem"}},
		{"WithTLSConfig: TLS is for the client address, and there are endpoints only: set TLS of the Endpoint",
			Options{TLS: &tls.Config{MinVersion: tls.VersionTLS13}, Endpoints: []Endpoint{{Addr: ":1"}}}},
		{"set CertFile and KeyFile of the Endpoint", Options{TSLCertificate: "c", TSLKey: "k", Endpoints: []Endpoint{{Addr: ":1"}}}},
		{"set WebSocket of the Endpoint", Options{IsWebsocket: true, Endpoints: []Endpoint{{Addr: ":1"}}}},
		{"set Path of the Endpoint", Options{WSPath: "/nano", Endpoints: []Endpoint{{Addr: ":1", WebSocket: true}}}},
		{`endpoint 1 (:2) has the Path "/nano", but takes no WebSockets: set WebSocket`,
			Options{Endpoints: []Endpoint{{Addr: ":1"}, {Addr: ":2", Path: "/nano"}}}},
		{`endpoint 0 (:1) needs both files for TLS: CertFile "c", KeyFile ""`, Options{Endpoints: []Endpoint{{Addr: ":1", CertFile: "c"}}}},
		{`endpoint 0 (:1) needs both files for TLS: CertFile "", KeyFile "k"`, Options{Endpoints: []Endpoint{{Addr: ":1", KeyFile: "k"}}}},
		{"MaxHeader is -1", Options{MaxHeader: -1}},
		{`subprotocol "a, b" is no token`, Options{Subprotocols: []string{"nano", "a, b"}}},
		{`subprotocol "" is no token`, Options{Subprotocols: []string{""}}},
		{"node id is 65536", Options{NodeID: service.MaxNodeID + 1}},
		{"no proxy is trusted", Options{ProxyProtocol: true}},
		{"keep one", Options{
			Validate:  func(*session.Session, []byte) error { return nil },
			Handshake: func(*session.Session, *session.Handshake) error { return nil },
		}},
		{"WithKeeper: it is set, and a master", Options{Keeper: noKeeper{}, IsMaster: true}},
		{"WithKeeper: it is set, and a master", Options{Keeper: noKeeper{}, AdvertiseAddr: "m:1"}},
		{"MaxLoss is 1.5", Options{MaxLoss: 1.5}},
		{"MaxLoss is -0.5", Options{MaxLoss: -0.5}},
		{"MaxLoss is NaN", Options{MaxLoss: math.NaN()}},
		{argument.Error(), Options{Err: argument}},
		{"WithBindPolicy: 9 is no policy", Options{BindPolicy: 9}},
		{"WithBindPolicy: -1 is no policy", Options{BindPolicy: -1}},
		{"WithSlowConsumer: 2 is no policy", Options{SlowConsumer: 2}},
		{"WithMessageRate: 3 is no policy", Options{Limits: Limits{MessagePolicy: 3}}},
		{"WithMessageRate: Messages is -1", Options{Limits: Limits{Messages: -1}}},
		{"WithMessageRate: Messages is NaN", Options{Limits: Limits{Messages: math.NaN()}}},
		{"WithMessageRate: MessageBurst is -1", Options{Limits: Limits{MessageBurst: -1}}},
		{"WithAcceptRate: Accepts is +Inf", Options{Limits: Limits{Accepts: math.Inf(1)}}},
		{"WithAcceptRate: AcceptBurst is -1", Options{Limits: Limits{AcceptBurst: -1}}},
		{"WithAcceptRate: LimitKick is for messages", Options{Limits: Limits{AcceptPolicy: LimitKick}}},
		{"WithConcurrentHandshakes: 3 is no policy", Options{Limits: Limits{HandshakePolicy: 3}}},
		{"WithConcurrentHandshakes: Handshakes is -1", Options{Limits: Limits{Handshakes: -1}}},
		{"WithConnectionsPerAddress: PerAddress is -1", Options{Limits: Limits{PerAddress: -1}}},
		{"WithSessionCalls: SessionCalls is -1", Options{SessionCalls: -1}},
		{"WithWaitingCalls: WaitingCalls is -1", Options{WaitingCalls: -1}},
		{"WithLinkQueue: LinkQueue is -1", Options{LinkQueue: -1}},
		{"WithSendQueues: SendQueues is -1", Options{SendQueues: -1}},
		{"WithClusterToken: it is set, but the node is in no cluster", Options{ClusterToken: "secret"}},
		{"WithClusterTLS: it is set, but the node is in no cluster", Options{ClusterTLS: new(tls.Config)}},
		{"WithServiceListener: it is set, but the node is in no cluster", Options{ServiceListener: nanotest.NewListener()}},
		{"WithRouting: it and WithCustomerRemoteServiceRoute", Options{
			Routing:            RouteRandom(),
			RemoteServiceRoute: func(string, *session.Session, []*clusterpb.MemberInfo) *clusterpb.MemberInfo { return nil },
		}},
	} {
		err := c.o.check()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("check says %v, want %q in it", err, c.want)
		}
		// And the node does not start with it.
		n := &Node{Options: c.o, ServiceAddr: "a name"}
		n.Slog = slog.New(slog.DiscardHandler)
		if err := n.Startup(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "a name") {
			t.Errorf("Startup says %v, want %q in it", err, c.want)
		}
	}
}

type noKeeper struct{ keeper.Keeper }

// All mistakes are told at once: nobody wants to start a node once for each.
func TestCheckTellsAll(t *testing.T) {
	o := Options{Heartbeat: -1, MaxPacket: -1, ProxyProtocol: true}
	err := o.check()
	for _, want := range []string{"Heartbeat", "MaxPacket", "proxy"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestCheckTakesWhatIsRight(t *testing.T) {
	for name, o := range map[string]Options{
		"nothing":                           {},
		"limits":                            {MaxPacket: 1<<24 - 1, TimerPrecision: time.Millisecond, NodeID: service.MaxNodeID},
		"certificate":                       {ClientAddr: "x", TSLCertificate: "cert.pem", TSLKey: "key.pem"},
		"websocket":                         {ClientAddr: "x", IsWebsocket: true, WSPath: "/a/", Subprotocols: []string{"nano.v1", "x-!"}},
		"both kinds":                        {ClientAddr: "x", TLS: nanotest.NewTLS(t).Server, Endpoints: []Endpoint{{Addr: ":1", WebSocket: true, Path: "/a"}}},
		"a backend with its gate's options": {IsWebsocket: true, WSPath: "/nano"},
		"keeper":                            {Keeper: noKeeper{}, ClusterToken: "secret"},
		"proxies":                           {ProxyProtocol: true, TrustedProxies: []string{"10.0.0.1"}},
		"unix proxy":                        {ProxyProtocol: true, TrustedProxies: []string{"unix"}},
	} {
		if err := o.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is written as defaults in the comments is what a node gets.
func TestDefaults(t *testing.T) {
	cfg, err := new(Options).gateConfig()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want any }{
		"MaxPacket":        {cfg.MaxPacket, codec.DefaultMaxPacket},
		"Heartbeat":        {cfg.Heartbeat, 30 * time.Second},
		"HandshakeTimeout": {cfg.HandshakeTimeout, 10 * time.Second},
		"WriteTimeout":     {cfg.WriteTimeout, 10 * time.Second},
		"FlushTimeout":     {cfg.FlushTimeout, 5 * time.Second},
		"SendQueue":        {cfg.SendQueue, 4 << 20},
		"MaxConns":         {cfg.MaxConns, 0},
		"WriteDelay":       {cfg.WriteDelay, time.Duration(0)},
		"DropSlow":         {cfg.DropSlow, false},
		"ErrorsToAll":      {cfg.ErrorsToAll, false},
		"Serializer":       {fmt.Sprintf("%T", cfg.Serializer), "*protobuf.Serializer"},
		"Pages":            {cfg.Pages, http.Handler(http.DefaultServeMux)},
		"EndTimeout":       {new(Node).EndTimeout(), 15 * time.Second},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
}

func TestOldValidatorIsTheHandshakes(t *testing.T) {
	why := errors.New("why")
	o := Options{Validate: func(_ *session.Session, payload []byte) error {
		if string(payload) != "payload" {
			t.Errorf("payload %q", payload)
		}
		return why
	}}
	cfg, err := o.gateConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Handshake(nil, &session.Handshake{Payload: []byte("payload")}); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestTrustedProxiesAndDictionaryAreChecked(t *testing.T) {
	for _, c := range []struct {
		want string
		o    Options
	}{
		{"WithTrustedProxies: trusted proxy", Options{TrustedProxies: []string{"10.0.0.1", "proxy.example.com"}}},
		{"WithTrustedProxies: trusted proxy", Options{TrustedProxies: []string{"10.0.0.0/40"}}},
		{"", Options{TrustedProxies: []string{"10.0.0.1", "::1", "::ffff:10.0.0.2", "10.1.2.3/8", "fd00::/8"}}},
		{"WithDictionary: ", Options{Dictionary: map[string]uint16{"a": 1, "b": 1}}},
		{"WithDictionary: ", Options{Dictionary: map[string]uint16{"": 1}}},
	} {
		err := c.o.check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v %v: %v, want %q", c.o.TrustedProxies, c.o.Dictionary, err, c.want)
		}
	}
	all, err := prefixes([]string{"::ffff:10.0.0.2", "10.1.2.3/8"})
	if err != nil || all[0].String() != "10.0.0.2/32" || all[1].String() != "10.0.0.0/8" {
		t.Errorf("prefixes %v, %v", all, err)
	}
}

// An endpoint that could never serve anybody is an error of the start, not of each client.
func TestEndpointsAreChecked(t *testing.T) {
	cert := nanotest.NewTLS(t)
	nowhere := filepath.Join(t.TempDir(), "none.pem")
	listener := nanotest.NewListener()
	for _, c := range []struct {
		name string
		e    Endpoint
		want string // of the error; "" for none
	}{
		{"address", Endpoint{Addr: "127.0.0.1:0"}, ""},
		{"listener", Endpoint{Listener: listener}, ""},
		{"neither", Endpoint{}, "either an address or a listener"},
		{"both", Endpoint{Addr: "127.0.0.1:0", Listener: listener}, "either an address or a listener"},
		{"TLS", Endpoint{Addr: "127.0.0.1:0", TLS: cert.Server}, ""},
		{"files", Endpoint{Addr: "127.0.0.1:0", CertFile: cert.CertFile, KeyFile: cert.KeyFile}, ""},
		{"files and settings", Endpoint{Addr: "127.0.0.1:0", CertFile: cert.CertFile, KeyFile: cert.KeyFile, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}, ""},
		{"two certificates", Endpoint{Addr: "127.0.0.1:0", CertFile: cert.CertFile, KeyFile: cert.KeyFile, TLS: cert.Server}, "keep one"},
		{"missing file", Endpoint{Addr: "127.0.0.1:0", CertFile: nowhere, KeyFile: cert.KeyFile}, "none.pem"},
		{"one file", Endpoint{Addr: "127.0.0.1:0", CertFile: cert.CertFile}, "needs both files"},
		{"TLS without a certificate", Endpoint{Addr: "127.0.0.1:0", TLS: &tls.Config{MinVersion: tls.VersionTLS13}}, "without a certificate"},
		{"TLS that finds its certificate", Endpoint{Addr: "127.0.0.1:0", TLS: &tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert.Server.Certificates[0], nil },
		}}, ""},
		{"no such port", Endpoint{Addr: "127.0.0.1:99999"}, "open the client address"},
	} {
		var all []endpoint
		err := (&Options{Endpoints: []Endpoint{c.e}}).check()
		if err == nil {
			all, err = open([]Endpoint{c.e})
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && all != nil {
			t.Errorf("%s: an error and %d listeners", c.name, len(all))
		}
		closeAll(all)
	}
}

// With the second address taken, the first one is free again.
func TestOpenOpensAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	brought := nanotest.NewListener()
	if _, err := open([]Endpoint{{Listener: brought}, {Addr: taken.Addr().String()}}); err == nil {
		t.Fatal("two listeners on one port")
	}
	if _, err := brought.Dial(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first one is open still: %v", err)
	}
	// A certificate that cannot be read is found before anything is opened.
	addr := nanotest.FreeAddr(t)
	if _, err := open([]Endpoint{{Addr: addr}, {Addr: "127.0.0.1:0", CertFile: "none.pem", KeyFile: "none.pem"}}); err == nil {
		t.Fatal("a certificate out of nothing")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("left open: %v", err)
	}
	_ = l.Close()
}

// oldLogger is v0.5's logger.
type oldLogger struct{ lines []string }

func (p *oldLogger) Println(v ...any)      { p.lines = append(p.lines, fmt.Sprint(v...)) }
func (p *oldLogger) Fatal(...any)          { panic("a library ended the process") }
func (p *oldLogger) Fatalf(string, ...any) { panic("a library ended the process") }

func TestWhichLogger(t *testing.T) {
	out := new(oldLogger)
	o := Node{Options: Options{Logger: out}}
	o.Log().Debug("quiet")
	o.Log().Info("loud")
	o.Debug = true
	o.Log().Debug("loud too")
	if got := strings.Join(out.lines, "; "); !strings.Contains(got, "loud; ") || !strings.Contains(got, "loud too") || strings.Contains(got, "quiet") {
		t.Errorf("lines %q", got)
	}
	logger, lines := nanotest.NewLog()
	o.Slog = logger
	o.Log().Info("to slog")
	if !lines.Has("to slog") || len(out.lines) != 2 {
		t.Error("slog does not come first")
	}
	if new(Node).Log() != slog.Default() {
		t.Error("the default is not slog's")
	}
}

// An option that is set and does nothing is found by players only.
func TestOptionsReachTheSettings(t *testing.T) {
	sched, life := scheduler.New(), session.NewLifetime()
	comps, listener := new(component.Components), nanotest.NewListener()
	o := Options{
		ClientAddr: "c", WSPath: "/p", Subprotocols: []string{"s"}, TrustedProxies: []string{"10.0.0.1", "unix"}, ProxyProtocol: true,
		HandshakeTimeout: 1, Heartbeat: 2, MissedHeartbeats: 3, MaxPacket: 4, MaxHeader: 5, MaxConnections: 6,
		Limits: Limits{Messages: 7, MessageBurst: 8, MessagePolicy: LimitKick, PerAddress: 9, Accepts: 10, AcceptBurst: 11, Handshakes: 12,
			AcceptPolicy: LimitDrop, HandshakePolicy: LimitDrop},
		WriteTimeout: 13, WriteDelay: 14, NoDelay: []string{"n"}, Resume: &Resume{Window: 26, Buffer: 27}, Drain: &Drain{Timeout: 28}, FlushTimeout: 15, SendQueue: 16, SendQueues: 17, SlowConsumer: session.SlowDrop,
		Deliveries: map[string]session.Delivery{"d": {Class: session.DeliverLatest}}, Transport: Portable, GzipMin: 18, CompressMin: 26, ErrorsToAll: true,
		Components: comps, Scheduler: sched, Lifetime: life, BindPolicy: session.BindKickOld, SessionCalls: 19, WaitingCalls: 20,
		SlowHandler: -1, Unanswered: 21, TimerPrecision: time.Second, ShutdownTimeout: 22, Debug: true, OwnScheduler: true,
		IsMaster: true, AdvertiseAddr: "m", RetryInterval: 23, NodeID: 24, Label: "l", ServiceListener: listener, ClusterToken: "t",
		Forwarded: []string{"f"}, LinkQueue: 25, MaxLoss: 0.5, Routing: RouteRandom(), UnregisterCallback: func(Member) {},
		ForwardFilter: func(*session.Session, *pipeline.Message) error { return nil },
	}
	s, err := o.resolve()
	if err != nil {
		t.Fatal(err)
	}
	g, m := s.gate, s.mesh
	for name, c := range map[string]struct{ got, want any }{
		"times of clients": {[]time.Duration{g.HandshakeTimeout, g.Heartbeat, g.WriteTimeout, g.WriteDelay, g.FlushTimeout}, []time.Duration{1, 2, 13, 14, 15}},
		"sizes":            {[]int{g.MissedBeats, g.MaxPacket, g.MaxHeader, g.MaxConns, g.SendQueue, g.SendQueues, g.GzipMin, g.CompressMin}, []int{3, 4, 5, 6, 16, 17, 18, 26}},
		"limits": {g.Limits, gate.Limits{Messages: 7, MessageBurst: 8, MessagePolicy: gate.LimitKick, PerAddress: 9, Accepts: 10, AcceptBurst: 11,
			AcceptPolicy: gate.LimitDrop, Handshakes: 12, HandshakeLimit: gate.LimitDrop}},
		"switches":     {[]bool{g.Portable, g.DropSlow, g.ErrorsToAll, g.Debug, g.ProxyProtocol, g.TrustUnix, s.table.Debug, s.ownScheduler, s.clustered}, []bool{true, true, true, true, true, true, true, true, true}},
		"texts":        {[]string{g.Subprotocols[0], g.Trusted[0].String(), s.unusedPath, s.endpoints[0].Addr}, []string{"s", "10.0.0.1/32", "/p", "c"}},
		"application":  {[]any{s.components, s.scheduler, s.lifetimes, s.table.Scheduler, m.Scheduler, m.Lifetimes}, []any{comps, sched, life, sched, sched, life}},
		"times":        {[]time.Duration{s.slowHandler, s.table.Unanswered, s.timerPrecision, s.shutdownTimeout, m.RetryInterval, m.Heartbeat}, []time.Duration{0, 21, time.Second, 22, 23, 2}},
		"calls":        {[]int{m.SessionCalls, s.waitingCalls, m.LinkQueue, s.table.MaxPayload}, []int{19, 20, 25, 4}},
		"cluster":      {[]string{m.Master, m.Label, m.Token, m.Forwarded[0]}, []string{"m", "l", "t", "f"}},
		"more cluster": {[]any{m.IsMaster, m.NodeID, s.nodeID, m.Listener, m.MaxLoss, m.BindPolicy}, []any{true, uint64(24), uint64(24), net.Listener(listener), 0.5, session.BindKickOld}},
		"resume":       {g.Resume, gate.ResumeConfig{Window: 26, Buffer: 27, Total: DefaultResumeTotal}},
		"routes": {[]any{g.NoDelay, g.Deliveries, m.Deliveries}, []any{map[string]struct{}{"n": {}},
			map[string]session.Delivery{"d": {Class: session.DeliverLatest}}, map[string]session.Delivery{"d": {Class: session.DeliverLatest}}}},
		"functions": {[]bool{m.Choose != nil, m.Left != nil, s.connections == nil, s.table.Forwarded != nil}, []bool{true, true, true, true}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

// What is changed in the options of a node that runs must not reach it halfway.
func TestOptionsAreCopiedAtTheStart(t *testing.T) {
	o := Options{
		Endpoints: []Endpoint{{Addr: "a"}}, Subprotocols: []string{"a"}, Forwarded: []string{"a"},
		Dictionary: map[string]uint16{"a": 1}, ShutdownTimeout: time.Second,
	}
	set, err := o.resolve()
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoints[0].Addr, o.Subprotocols[0], o.Forwarded[0], o.ShutdownTimeout = "b", "b", "b", time.Hour
	o.Dictionary["b"] = 2
	if set.endpoints[0].Addr != "a" || set.gate.Subprotocols[0] != "a" || set.mesh.Forwarded[0] != "a" {
		t.Errorf("the settings share memory with the options: %v, %v, %v", set.endpoints, set.gate.Subprotocols, set.mesh.Forwarded)
	}
	if _, ok := set.gate.Dictionary.Code("b"); ok || set.shutdownTimeout != time.Second {
		t.Errorf("the settings follow the options: dictionary has b: %v, timeout %v", ok, set.shutdownTimeout)
	}
}

// Programs of v0.5 ask a node which services there are.
func TestHandlerTellsServices(t *testing.T) {
	n := &Node{ServiceAddr: "a name"}
	if n.Handler() != nil {
		t.Error("there is a handler before the start")
	}
	comps := &component.Components{}
	comps.Register(&Service{}, component.WithName("B"))
	comps.Register(&Service{}, component.WithName("A"))
	n.Components, n.Slog = comps, slog.New(slog.DiscardHandler)
	if err := n.Startup(); err != nil {
		t.Fatal(err)
	}
	defer n.Shutdown()
	if got := n.Handler().LocalService(); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("local services %v", got)
	}
	if got := n.Handler().RemoteService(); len(got) != 0 {
		t.Errorf("remote services %v of a node alone", got)
	}
	var zero LocalHandler
	if zero.LocalService() != nil || zero.RemoteService() != nil || new(Member).MemberInfo() != nil {
		t.Error("zero values know something")
	}
	m := Member{info: &clusterpb.MemberInfo{Label: "l", ServiceAddr: "a:1", Services: []string{"S"}}}
	m.MemberInfo().Label = "changed"
	if got := m.MemberInfo(); got.GetLabel() != "l" || got.GetServiceAddr() != "a:1" || len(got.GetServices()) != 1 {
		t.Errorf("MemberInfo is %v", got)
	}
}

// Service is a component.
type Service struct{ component.Base }

// Do is a handler.
func (*Service) Do(*session.Session, []byte) error { return nil }
