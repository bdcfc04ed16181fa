package nano_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// logger is v0.5's.
type logger struct{ io.Writer }

func (logger) Println(...any)        {}
func (logger) Fatal(...any)          {}
func (logger) Fatalf(string, ...any) {}

// Each option changes what it is named for, and nothing else: an option that sets the wrong field is noticed by
// players only.
func TestOptionsSetTheirFields(t *testing.T) {
	var (
		comps  = new(component.Components)
		pipe   = pipeline.New()
		format = json.NewSerializer()
		conf   = new(tls.Config)
		pages  = http.NewServeMux()
		sched  = scheduler.New()
		life   = session.NewLifetime()
		old    = logger{io.Discard}
		slogs  = slog.New(slog.DiscardHandler)
		dial   = grpc.WithUserAgent("x")
		end    = nano.Endpoint{Addr: "x", WebSocket: true, Path: "/p"}

		listener net.Listener = nanotest.NewListener()
	)
	for name, c := range map[string]struct {
		opt   nano.Option
		field map[string]any // by name; nil: only that it is not zero, for functions
	}{
		"Components":      {nano.WithComponents(comps), map[string]any{"Components": comps}},
		"IsWebsocket":     {nano.WithIsWebsocket(true), map[string]any{"IsWebsocket": true}},
		"WSPath":          {nano.WithWSPath("/p"), map[string]any{"WSPath": "/p"}},
		"TSLConfig":       {nano.WithTSLConfig("c", "k"), map[string]any{"TSLCertificate": "c", "TSLKey": "k"}},
		"CheckOrigin":     {nano.WithCheckOriginFunc(func(*http.Request) bool { return true }), map[string]any{"CheckOrigin": nil}},
		"Validator":       {nano.WithHandshakeValidator(func(*session.Session, []byte) error { return nil }), map[string]any{"Validate": nil}},
		"Logger":          {nano.WithLogger(old), map[string]any{"Logger": old}},
		"TimerPrecision":  {nano.WithTimerPrecision(time.Millisecond), map[string]any{"TimerPrecision": time.Millisecond}},
		"NodeId":          {nano.WithNodeId(7), map[string]any{"NodeID": uint64(7)}},
		"ClientAddr":      {nano.WithClientAddr("x"), map[string]any{"ClientAddr": "x"}},
		"Master":          {nano.WithMaster(), map[string]any{"IsMaster": true}},
		"AdvertiseAddr":   {nano.WithAdvertiseAddr("x"), map[string]any{"AdvertiseAddr": "x"}},
		"RetryInterval":   {nano.WithAdvertiseAddr("x", time.Second), map[string]any{"AdvertiseAddr": "x", "RetryInterval": time.Second}},
		"Label":           {nano.WithLabel("x"), map[string]any{"Label": "x"}},
		"GrpcOptions":     {nano.WithGrpcOptions(dial), map[string]any{"GrpcOptions": nil}},
		"Route":           {nano.WithCustomerRemoteServiceRoute(func(string, *session.Session, []*clusterpb.MemberInfo) *clusterpb.MemberInfo { return nil }), map[string]any{"RemoteServiceRoute": nil}},
		"Unregister":      {nano.WithUnregisterCallback(func(cluster.Member) {}), map[string]any{"UnregisterCallback": nil}},
		"Endpoint":        {nano.WithEndpoint(end), map[string]any{"Endpoints": []cluster.Endpoint{end}}},
		"HTTPHandler":     {nano.WithHTTPHandler(pages), map[string]any{"Pages": http.Handler(pages)}},
		"AllowedOrigins":  {nano.WithAllowedOrigins("*"), map[string]any{"CheckOrigin": nil}},
		"SameOrigin":      {nano.WithSameOrigin(), map[string]any{"CheckOrigin": nil}},
		"TLSConfig":       {nano.WithTLSConfig(conf), map[string]any{"TLS": conf}},
		"TrustedProxies":  {nano.WithTrustedProxies("a", "b"), map[string]any{"TrustedProxies": []string{"a", "b"}}},
		"ProxyProtocol":   {nano.WithProxyProtocol(), map[string]any{"ProxyProtocol": true}},
		"Handshake":       {nano.WithHandshake(func(*session.Session, *nano.Handshake) error { return nil }), map[string]any{"Handshake": nil}},
		"BindPolicy":      {nano.WithBindPolicy(nano.BindRefuseNew), map[string]any{"BindPolicy": session.BindRefuseNew}},
		"ErrorResponses":  {nano.WithErrorResponses(true), map[string]any{"ErrorsToAll": true}},
		"ErrorShape":      {nano.WithErrorShape(func(*session.Session, string, error) any { return nil }), map[string]any{"ErrorShape": nil}},
		"MaxPacket":       {nano.WithMaxPacket(7), map[string]any{"MaxPacket": 7}},
		"MaxConnections":  {nano.WithMaxConnections(7), map[string]any{"MaxConnections": 7}},
		"MaxHeader":       {nano.WithMaxHeader(7), map[string]any{"MaxHeader": 7}},
		"Subprotocols":    {nano.WithSubprotocols("a", "b"), map[string]any{"Subprotocols": []string{"a", "b"}}},
		"Handshake time":  {nano.WithHandshakeTimeout(7), map[string]any{"HandshakeTimeout": time.Duration(7)}},
		"Write time":      {nano.WithWriteTimeout(7), map[string]any{"WriteTimeout": time.Duration(7)}},
		"Flush time":      {nano.WithFlushTimeout(7), map[string]any{"FlushTimeout": time.Duration(7)}},
		"Shutdown time":   {nano.WithShutdownTimeout(7), map[string]any{"ShutdownTimeout": time.Duration(7)}},
		"SendQueue":       {nano.WithSendQueue(7), map[string]any{"SendQueue": 7}},
		"SlowConsumer":    {nano.WithSlowConsumer(nano.SlowDrop), map[string]any{"SlowConsumer": session.SlowDrop}},
		"WriteDelay":      {nano.WithWriteDelay(7), map[string]any{"WriteDelay": time.Duration(7)}},
		"Gzip":            {nano.WithGzip(7), map[string]any{"GzipMin": 7}},
		"SlowHandler":     {nano.WithSlowHandler(7), map[string]any{"SlowHandler": time.Duration(7)}},
		"Slog":            {nano.WithSlog(slogs), map[string]any{"Slog": slogs}},
		"Signals":         {nano.WithSignals(os.Kill), map[string]any{"Signals": []os.Signal{os.Kill}}},
		"Default signals": {nano.WithSignals(), map[string]any{"Signals": []os.Signal{syscall.SIGINT, syscall.SIGTERM}}},
		"Scheduler":       {nano.WithScheduler(sched), map[string]any{"Scheduler": sched}},
		"Lifetime":        {nano.WithLifetime(life), map[string]any{"Lifetime": life}},
		"Defaults": {nano.WithProcessDefaults(), map[string]any{
			"Scheduler": scheduler.Default(), "Lifetime": session.Lifetime, "Connections": service.Connections, "Pages": http.Handler(http.DefaultServeMux),
		}},
		"ServiceListener":  {nano.WithServiceListener(listener), map[string]any{"ServiceListener": listener}},
		"ClusterTLS":       {nano.WithClusterTLS(conf), map[string]any{"ClusterTLS": conf}},
		"ClusterToken":     {nano.WithClusterToken("x"), map[string]any{"ClusterToken": "x"}},
		"Routing":          {nano.WithRouting(nano.RouteRoundRobin()), map[string]any{"Routing": nil}},
		"Forwarded values": {nano.WithForwardedValues("a", "b"), map[string]any{"Forwarded": []string{"a", "b"}}},
		"LinkQueue":        {nano.WithLinkQueue(7), map[string]any{"LinkQueue": 7}},
		"MaxLoss":          {nano.WithMaxLoss(0.25), map[string]any{"MaxLoss": 0.25}},

		"Pipeline":         {nano.WithPipeline(pipe), map[string]any{"Pipeline": pipe}},
		"Serializer":       {nano.WithSerializer(format), map[string]any{"Serializer": format}},
		"Dictionary":       {nano.WithDictionary(map[string]uint16{"a": 1}), map[string]any{"Dictionary": map[string]uint16{"a": 1}}},
		"MissedHeartbeats": {nano.WithMissedHeartbeats(4), map[string]any{"MissedHeartbeats": 4}},
		"Heartbeat":        {nano.WithHeartbeatInterval(time.Second), map[string]any{"Heartbeat": time.Second}},
		"Debug":            {nano.WithDebugMode(), map[string]any{"Debug": true}},
	} {
		var o cluster.Options
		c.opt(&o)
		v := reflect.ValueOf(o)
		for i := range v.NumField() {
			field := v.Type().Field(i).Name
			want, set := c.field[field]
			switch {
			case !set && !v.Field(i).IsZero():
				t.Errorf("%s sets %s too", name, field)
			case set && want == nil && v.Field(i).IsZero():
				t.Errorf("%s does not set %s", name, field)
			case set && want != nil && !reflect.DeepEqual(v.Field(i).Interface(), want):
				t.Errorf("%s sets %s to %v, want %v", name, field, v.Field(i), want)
			}
		}
	}
}

// What an option finds wrong is told by Start, all of it, and with the option's name.
func TestOptionsComplain(t *testing.T) {
	opts := []nano.Option{
		nano.WithHeartbeatInterval(0),
		nano.WithHeartbeatInterval(-time.Second),
		nano.WithTimerPrecision(time.Microsecond),
		nano.WithTSLConfig("cert.pem", ""),
		nano.WithTSLConfig("", ""),
		nano.WithAllowedOrigins("https://example.com", "example.com"),
		nano.WithAllowedOrigins("https://example.com/path"),
		nano.WithNodeId(1 << 16),
		nil,
	}
	err := nano.New("127.0.0.1:0", append(opts, nano.WithSlog(slog.New(slog.DiscardHandler)))...).Start(t.Context())
	for _, want := range []string{
		"WithHeartbeatInterval: 0s", "WithHeartbeatInterval: -1s", "WithTimerPrecision: 1µs", `certificate "cert.pem", key ""`,
		`certificate "", key ""`, `"example.com" is no origin`, `"https://example.com/path" is no origin`, "65536",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start says %v, want %q in it", err, want)
		}
	}
	if !errors.Is(err, service.ErrNodeID) {
		t.Errorf("%v is not ErrNodeID", err)
	}
}

// One option's value is not another application's, and an option may be used for two.
func TestOptionsAreNotShared(t *testing.T) {
	dict := map[string]uint16{"a": 1}
	opt := nano.WithDictionary(dict)
	var one, two cluster.Options
	opt(&one)
	nano.WithDictionary(map[string]uint16{"b": 2})(&one)
	opt(&two)
	if len(one.Dictionary) != 2 || len(two.Dictionary) != 1 || len(dict) != 1 {
		t.Errorf("dictionaries %v, %v, %v", one.Dictionary, two.Dictionary, dict)
	}
	a, b := nano.WithEndpoint(nano.Endpoint{Addr: "a"}), nano.WithEndpoint(nano.Endpoint{Addr: "b"})
	base := cluster.Options{}
	a(&base)
	one, two = base, base
	a(&one)
	b(&two)
	if one.Endpoints[1].Addr != "a" || two.Endpoints[1].Addr != "b" {
		t.Errorf("endpoints %v, %v", one.Endpoints, two.Endpoints)
	}
}

// A page elsewhere must not be able to use a visitor's cookies against the game; one of the game's own may.
func TestAllowedOrigins(t *testing.T) {
	for _, c := range []struct {
		allowed []string
		origin  string
		want    bool
	}{
		{nil, "", true}, // no browser
		{nil, "https://game.example.com", true},
		{nil, "https://GAME.example.com", true},
		{nil, "https://evil.example.com", false},
		{nil, "https://game.example.com:8443", false},
		{nil, "null", false},
		{nil, ":// no url", false},
		{[]string{"https://pages.example.com"}, "https://pages.example.com", true},
		{[]string{"https://pages.example.com"}, "https://Pages.example.com", true},
		{[]string{"https://pages.example.com"}, "http://pages.example.com", false},
		{[]string{"https://pages.example.com"}, "https://pages.example.com.evil.com", false},
		{[]string{"https://pages.example.com"}, "https://game.example.com", true},
		{[]string{"https://a.com", "*"}, "https://evil.example.com", true},
	} {
		var o cluster.Options
		nano.WithAllowedOrigins(c.allowed...)(&o)
		if o.Err != nil {
			t.Errorf("%v: %v", c.allowed, o.Err)
		}
		r := httptest.NewRequest(http.MethodGet, "http://game.example.com/", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if got := o.CheckOrigin(r); got != c.want {
			t.Errorf("allowed %v, origin %q: %v", c.allowed, c.origin, got)
		}
	}
}

// A single node serves its clients at the address it is given, unless told otherwise.
func TestWhereClientsConnect(t *testing.T) {
	quiet := nano.WithSlog(slog.New(slog.DiscardHandler))
	l := nanotest.NewListener()
	for name, c := range map[string]struct {
		addr string
		opts []nano.Option
		want []string // prefixes of the addresses
	}{
		"the address": {"127.0.0.1:0", nil, []string{"127.0.0.1:"}},
		"nowhere":     {"", nil, nil},
		"client addr": {"a name", []nano.Option{nano.WithClientAddr("127.0.0.1:0")}, []string{"127.0.0.1:"}},
		"an endpoint": {"a name", []nano.Option{nano.WithEndpoint(nano.Endpoint{Listener: l})}, []string{l.Addr().String()}},
		"both":        {"a name", []nano.Option{nano.WithClientAddr("127.0.0.1:0"), nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.2:0"})}, []string{"127.0.0.1:", "127.0.0.2:"}},
	} {
		app := nano.New(c.addr, append(c.opts, quiet)...)
		if app.Addr() != nil || len(app.Addrs()) != 0 {
			t.Errorf("%s: addresses before the start: %v", name, app.Addrs())
		}
		if err := app.Start(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		all := app.Addrs()
		if len(all) != len(c.want) {
			t.Errorf("%s: addresses %v, want %v", name, all, c.want)
		}
		for i, want := range c.want {
			if got := all[i].String(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
				t.Errorf("%s: address %s, want %s...", name, got, want)
			}
		}
		if len(all) > 0 && app.Addr().String() != all[0].String() || len(all) == 0 && app.Addr() != nil {
			t.Errorf("%s: Addr is %v", name, app.Addr())
		}
		if err := app.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A session id without the node's part may be another node's session id too: a push would reach a stranger.
func TestNodeIDStandsInSessionIDs(t *testing.T) {
	for name, opts := range map[string][]nano.Option{
		"an application's own ids": nil,
		"the process's default":    {nano.WithProcessDefaults()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { service.ResetNodeId(0) })
			opened := make(chan int64, 1)
			life := session.NewLifetime()
			life.OnOpened(func(s *session.Session) { opened <- s.ID() })
			l := nanotest.NewListener()
			app := nano.New("", append(opts, nano.WithNodeId(5), nano.WithLifetime(life), nano.WithEndpoint(nano.Endpoint{Listener: l}), quiet())...)
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer shutdown(t, app)
			c := l.Client(t)
			c.Ready()
			if id := <-opened; id>>47 != 5 {
				t.Errorf("the session id %d bears the node id %d, want 5", id, id>>47)
			}
			c.Close()
		})
	}
}
