package nano_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

type noKeeper struct{ keeper.Keeper }

// logger is v0.5's.
type logger struct{ io.Writer }

func (logger) Println(...any)        {}
func (logger) Fatal(...any)          {}
func (logger) Fatalf(string, ...any) {}

// Each option changes what it is named for, and nothing else: an option that sets the wrong field
// is noticed by players only.
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
		"Transport":       {nano.WithTransport(nano.Portable), map[string]any{"Transport": cluster.Portable}},
		"SlowConsumer":    {nano.WithSlowConsumer(nano.SlowDrop), map[string]any{"SlowConsumer": session.SlowDrop}},
		"Resume":          {nano.WithResume(nano.Resume{Window: 3, Buffer: 4}), map[string]any{"Resume": &nano.Resume{Window: 3, Buffer: 4}}},
		"Compression":     {nano.WithCompression(7), map[string]any{"CompressMin": 7}},
		"Delivery":        {nano.WithDelivery(nano.DropWhenBusy(), "a", "b"), map[string]any{"Deliveries": map[string]session.Delivery{"a": nano.DropWhenBusy(), "b": nano.DropWhenBusy()}}},
		"NoDelay":         {nano.WithNoDelay("a", "b"), map[string]any{"NoDelay": []string{"a", "b"}}},
		"WriteDelay":      {nano.WithWriteDelay(7), map[string]any{"WriteDelay": time.Duration(7)}},
		"Gzip":            {nano.WithGzip(7), map[string]any{"GzipMin": 7}},
		"SlowHandler":     {nano.WithSlowHandler(7), map[string]any{"SlowHandler": time.Duration(7)}},
		"Slog":            {nano.WithSlog(slogs), map[string]any{"Slog": slogs}},
		"Drain":           {nano.WithDrain(nano.Drain{Timeout: 3, Spread: 4}), map[string]any{"Drain": &nano.Drain{Timeout: 3, Spread: 4}}},
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
		"No loss":          {nano.WithMaxLoss(0), map[string]any{"MaxLoss": math.SmallestNonzeroFloat64}},

		"Keeper":       {nano.WithKeeper(noKeeper{}), map[string]any{"Keeper": noKeeper{}}},
		"SessionCalls": {nano.WithSessionCalls(7), map[string]any{"SessionCalls": 7}},
		"WaitingCalls": {nano.WithWaitingCalls(7), map[string]any{"WaitingCalls": 7}},
		"Unanswered":   {nano.WithUnanswered(7), map[string]any{"Unanswered": time.Duration(7)}},
		"SendQueues":   {nano.WithSendQueues(7), map[string]any{"SendQueues": 7}},
		"Messages":     {nano.WithMessageRate(7, 8, nano.LimitKick), map[string]any{"Limits": cluster.Limits{Messages: 7, MessageBurst: 8, MessagePolicy: nano.LimitKick}}},
		"Addresses":    {nano.WithConnectionsPerAddress(7), map[string]any{"Limits": cluster.Limits{PerAddress: 7}}},
		"Accepts":      {nano.WithAcceptRate(7, 8, nano.LimitDrop), map[string]any{"Limits": cluster.Limits{Accepts: 7, AcceptBurst: 8, AcceptPolicy: nano.LimitDrop}}},
		"Handshakes":   {nano.WithConcurrentHandshakes(7, nano.LimitDrop), map[string]any{"Limits": cluster.Limits{Handshakes: 7, HandshakePolicy: nano.LimitDrop}}},

		"Pipeline":         {nano.WithPipeline(pipe), map[string]any{"Pipeline": pipe}},
		"ForwardFilter":    {nano.WithForwardFilter(func(*session.Session, *pipeline.Message) error { return nil }), map[string]any{"ForwardFilter": nil}},
		"Serializer":       {nano.WithSerializer(format), map[string]any{"Serializer": format}},
		"Dictionary":       {nano.WithDictionary(map[string]uint16{"a": 1}), map[string]any{"Dictionary": map[string]uint16{"a": 1}}},
		"MissedHeartbeats": {nano.WithMissedHeartbeats(4), map[string]any{"MissedHeartbeats": 4}},
		"Heartbeat":        {nano.WithHeartbeatInterval(time.Second), map[string]any{"Heartbeat": time.Second}},
		"Debug":            {nano.WithDebugMode(), map[string]any{"Debug": true}},
		"Tracer":           {nano.WithTracer(noTracer{}), map[string]any{"Tracer": noTracer{}}},
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

// wrong are options with values that mean nothing, or that contradict each other, and what Start
// says of each: the option, what it was given, and what to do.
var wrong = []struct {
	want string
	opts []nano.Option
}{
	{"WithHeartbeatInterval: 0s is not positive", []nano.Option{nano.WithHeartbeatInterval(0)}},
	{"WithHeartbeatInterval: Heartbeat is -1s, which is negative: set", []nano.Option{nano.WithHeartbeatInterval(-time.Second)}},
	{"WithMissedHeartbeats: MissedHeartbeats is -1", []nano.Option{nano.WithMissedHeartbeats(-1)}},
	{"WithTimerPrecision: 1µs is less than a millisecond: set", []nano.Option{nano.WithTimerPrecision(time.Microsecond)}},
	{"WithTimerPrecision: 0s is less than a millisecond", []nano.Option{nano.WithTimerPrecision(0)}},
	{"WithTimerPrecision: TimerPrecision is -1s", []nano.Option{nano.WithTimerPrecision(-time.Second)}},
	{`WithTSLConfig: TLS needs both files: certificate "cert.pem", key ""`, []nano.Option{nano.WithTSLConfig("cert.pem", "")}},
	{`WithTSLConfig: TLS needs both files: certificate "", key ""`, []nano.Option{nano.WithTSLConfig("", "")}},
	{"has a TLS configuration without a certificate: set", []nano.Option{nano.WithTLSConfig(new(tls.Config))}},
	{`WithAllowedOrigins: "example.com" is no origin: write`, []nano.Option{nano.WithAllowedOrigins("https://example.com", "example.com")}},
	{`"https://example.com/path" is no origin`, []nano.Option{nano.WithAllowedOrigins("https://example.com/path")}},
	{`WithSubprotocols: the subprotocol "a b" is no token`, []nano.Option{nano.WithSubprotocols("a b")}},
	{`WithTrustedProxies: trusted proxy "example.com" is neither`, []nano.Option{nano.WithTrustedProxies("example.com")}},
	{"WithProxyProtocol: the PROXY protocol is on, but no proxy is trusted: name", []nano.Option{nano.WithProxyProtocol()}},
	{"WithEndpoint: endpoint 0 () has both", []nano.Option{nano.WithEndpoint(nano.Endpoint{})}},
	{"WithHandshakeValidator: it and WithHandshake are both set: keep one", []nano.Option{
		nano.WithHandshake(func(*session.Session, *nano.Handshake) error { return nil }),
		nano.WithHandshakeValidator(func(*session.Session, []byte) error { return nil }),
	}},
	{"WithHandshakeTimeout: HandshakeTimeout is -1ns", []nano.Option{nano.WithHandshakeTimeout(-1)}},
	{"WithWriteTimeout: WriteTimeout is -1ns", []nano.Option{nano.WithWriteTimeout(-1)}},
	{"WithWriteDelay: WriteDelay is -1ns", []nano.Option{nano.WithWriteDelay(-1)}},
	{"WithFlushTimeout: FlushTimeout is -1ns", []nano.Option{nano.WithFlushTimeout(-1)}},
	{"WithShutdownTimeout: ShutdownTimeout is -1ns", []nano.Option{nano.WithShutdownTimeout(-1)}},
	{"WithMaxPacket: MaxPacket is 16777216: the length field", []nano.Option{nano.WithMaxPacket(1 << 24)}},
	{"WithMaxPacket: MaxPacket is -1", []nano.Option{nano.WithMaxPacket(-1)}},
	{"WithMaxHeader: MaxHeader is -1", []nano.Option{nano.WithMaxHeader(-1)}},
	{"WithMaxConnections: MaxConnections is -1", []nano.Option{nano.WithMaxConnections(-1)}},
	{"WithSendQueue: SendQueue is -1", []nano.Option{nano.WithSendQueue(-1)}},
	{"WithSendQueues: SendQueues is -1", []nano.Option{nano.WithSendQueues(-1)}},
	{"WithSlowConsumer: 7 is no policy: use", []nano.Option{nano.WithSlowConsumer(7)}},
	{"WithTransport: 7 is no transport: use", []nano.Option{nano.WithTransport(7)}},
	{"WithBindPolicy: 7 is no policy: use", []nano.Option{nano.WithBindPolicy(7)}},
	{"WithGzip: GzipMin is -1", []nano.Option{nano.WithGzip(-1)}},
	{"WithMessageRate: Messages is -1", []nano.Option{nano.WithMessageRate(-1, 1, nano.LimitWait)}},
	{"WithMessageRate: MessageBurst is -1", []nano.Option{nano.WithMessageRate(1, -1, nano.LimitWait)}},
	{"WithMessageRate: 7 is no policy", []nano.Option{nano.WithMessageRate(1, 1, 7)}},
	{"WithConnectionsPerAddress: PerAddress is -1", []nano.Option{nano.WithConnectionsPerAddress(-1)}},
	{"WithAcceptRate: Accepts is NaN", []nano.Option{nano.WithAcceptRate(math.NaN(), 1, nano.LimitWait)}},
	{"WithAcceptRate: LimitKick is for messages", []nano.Option{nano.WithAcceptRate(1, 1, nano.LimitKick)}},
	{"WithConcurrentHandshakes: Handshakes is -1", []nano.Option{nano.WithConcurrentHandshakes(-1, nano.LimitWait)}},
	{"WithDictionary: ", []nano.Option{nano.WithDictionary(map[string]uint16{"a": 1, "b": 1})}},
	{"WithSessionCalls: SessionCalls is -1", []nano.Option{nano.WithSessionCalls(-1)}},
	{"WithWaitingCalls: WaitingCalls is -1", []nano.Option{nano.WithWaitingCalls(-1)}},
	{"WithNodeId: the node id is 65536, and the largest is 65535", []nano.Option{nano.WithNodeId(1 << 16)}},
	{"WithAdvertiseAddr: RetryInterval is -1ns", []nano.Option{nano.WithAdvertiseAddr("127.0.0.1:1", -1)}},
	{"WithServiceListener: it is set, but the node is in no cluster: add", []nano.Option{nano.WithServiceListener(nanotest.NewListener())}},
	{"WithClusterTLS: it is set, but the node is in no cluster: add", []nano.Option{nano.WithClusterTLS(new(tls.Config))}},
	{"WithClusterToken: it is set, but the node is in no cluster: add", []nano.Option{nano.WithClusterToken("secret")}},
	{"WithRouting: it and WithCustomerRemoteServiceRoute are both set: keep one", []nano.Option{
		nano.WithRouting(nano.RouteRandom()),
		nano.WithCustomerRemoteServiceRoute(func(string, *session.Session, []*clusterpb.MemberInfo) *clusterpb.MemberInfo { return nil }),
	}},
	{"WithLinkQueue: LinkQueue is -1", []nano.Option{nano.WithLinkQueue(-1)}},
	{"WithMaxLoss: MaxLoss is 2: it is a share, from 0 to 1", []nano.Option{nano.WithMaxLoss(2)}},
}

// Somebody who mistypes an option is told at the start which one it is, and of all mistakes at
// once.
func TestWrongOptionsFailAtTheStart(t *testing.T) {
	start := func(opts ...nano.Option) error {
		return nano.New("127.0.0.1:0", append(opts, quiet(), nil)...).Start(t.Context())
	}
	for _, c := range wrong {
		err := start(c.opts...)
		if err == nil || !strings.HasPrefix(err.Error(), "cluster: node 127.0.0.1:0: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Start returned %v, want %q in it", err, c.want)
		}
		if n := strings.Count(fmt.Sprint(err), "\n"); n != 0 && len(c.opts) == 1 && !strings.Contains(c.want, "is no origin") {
			t.Errorf("%d lines for one mistake: %v", n+1, err)
		}
	}
	err := start(nano.WithNodeId(1<<16), nano.WithMaxPacket(-1), nano.WithHeartbeatInterval(0), nano.WithTimerPrecision(0))
	if got := strings.Count(fmt.Sprint(err), "\n") + 1; got != 4 || !errors.Is(err, service.ErrNodeID) {
		t.Errorf("%d lines for four mistakes: %v", got, err)
	}
}

// Every option has one text, with its default, and is tested: go doc must not be silent about one,
// or say of a field what its option does not say.
func TestOptionsAreDocumentedOnce(t *testing.T) {
	texts := map[string]string{} // of the options, by name
	for _, file := range []string{"options_clients.go", "options_app.go", "options_delivery.go", "options_cluster.go"} {
		for _, d := range parse(t, file).Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Type.Results != nil && types.ExprString(f.Type.Results.List[0].Type) == "Option" {
				texts[f.Name.Name] = f.Doc.Text()
			}
		}
	}
	tested, err := os.ReadFile("options_test.go")
	if err != nil {
		t.Fatal(err)
	}
	rows, _, _ := strings.Cut(string(tested), "var wrong = ")
	for name, text := range texts {
		if !strings.Contains(text, "Default:") {
			t.Errorf("the comment of %s does not say its default", name)
		}
		if !strings.Contains(rows, "{nano."+name+"(") {
			t.Errorf("%s has no row in TestOptionsSetTheirFields", name)
		}
	}
	named := map[string]bool{}
	ast.Inspect(parse(t, "cluster/options.go"), func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Options" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			found := regexp.MustCompile(`\bWith\w+`).FindAllString(f.Doc.Text()+f.Comment.Text(), -1)
			for _, option := range found {
				named[option] = true
				if _, ok := texts[option]; !ok {
					t.Errorf("the field %s refers to %s, which is no option", f.Names[0], option)
				}
			}
			if len(found) == 0 && f.Doc.Text() == "" {
				t.Errorf("the field %s has neither an option nor a text", f.Names[0])
			}
		}
		return false
	})
	for name := range texts {
		if !named[name] && name != "WithSameOrigin" && name != "WithProcessDefaults" { // of several fields, or another's
			t.Errorf("no field of cluster.Options refers to %s", name)
		}
	}
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f
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

// A page elsewhere must not be able to use a visitor's cookies against the game; one of the game's
// own may.
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

// A session id without the node's part may be another node's session id too: a push would reach a
// stranger.
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

type noTracer struct{ tracing.Tracer }
