package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/lonng/nano"
)

// Node holds the settings that a node of any role has. Embed it in a struct with the program's own
// ones, and begin with [Defaults]. What a setting means is its usage, which --help shows.
type Node struct {
	Address   string        `koanf:"address" usage:"host:port at which other nodes reach this one: its name in the cluster"`
	Listen    string        `koanf:"listen" usage:"host:port that is opened for other nodes; empty: the address"`
	Name      string        `koanf:"name" usage:"how people call this node"`
	Keeps     bool          `koanf:"keeps-list" usage:"this node is the master, which keeps the list of nodes"`
	Master    string        `koanf:"master" usage:"address of the master"`
	Token     Secret        `koanf:"token" usage:"secret that all nodes share"`
	Heartbeat time.Duration `koanf:"heartbeat" usage:"interval of the heartbeats, the same on all nodes"`
	Shutdown  time.Duration `koanf:"shutdown" usage:"how long the end of the node may take"`
	Drain     time.Duration `koanf:"drain" usage:"how long clients have to leave after SIGTERM, before the node ends; 0: none"`
	Log       string        `koanf:"log" usage:"least level of lines in the log: debug, info, warn, error"`
	TLS       Certificate   `koanf:"tls"`
	Etcd      Etcd          `koanf:"etcd"`
	Clients   Clients       `koanf:"clients"`
}

// Clients holds the settings of a gate.
type Clients struct {
	WebSocket    string        `koanf:"websocket" usage:"address for WebSockets under /nano; empty: none"`
	TCP          string        `koanf:"tcp" usage:"address for plain TCP; empty: none"`
	Max          int           `koanf:"max" usage:"most connections; 0: no limit"`
	PerAddress   int           `koanf:"per-address" usage:"most connections of one address; 0: no limit"`
	Rate         float64       `koanf:"rate" usage:"most messages per second of one session; 0: no limit"`
	Proxies      []string      `koanf:"proxies" usage:"addresses or prefixes of trusted proxies"`
	ProxyHeaders bool          `koanf:"proxy-headers" usage:"trusted proxies send PROXY headers on TCP"`
	Resume       time.Duration `koanf:"resume" usage:"how long a session waits for its client to come back; 0: it does not"`
}

// Certificate names files with a certificate, and with whom it trusts.
type Certificate struct {
	Cert string `koanf:"cert" usage:"file with the certificate (PEM)"`
	Key  string `koanf:"key" usage:"file with its key"`
	CA   string `koanf:"ca" usage:"file with the authorities that sign the others' certificates"`
}

// Etcd says where etcd keeps the list in the place of a master. A program makes the Keeper itself,
// by contrib/etcd.
type Etcd struct {
	Endpoints []string      `koanf:"endpoints" usage:"client addresses of etcd's members; none: a master keeps the list"`
	Username  string        `koanf:"username" usage:"of etcd's users"`
	Password  Secret        `koanf:"password" usage:"of that user"`
	Prefix    string        `koanf:"prefix" usage:"begins the keys of this cluster"`
	TTL       time.Duration `koanf:"ttl" usage:"how long a node that says nothing stays in the list; at most three heartbeats"`
	TLS       Certificate   `koanf:"tls"`
}

// Defaults returns the settings with their defaults.
func Defaults() Node {
	return Node{
		Address: "127.0.0.1:3250", Heartbeat: 5 * time.Second, Shutdown: 15 * time.Second, Log: "info",
		Etcd: Etcd{Prefix: "nano/", TTL: 5 * time.Second},
	}
}

// minToken is how long a token must be, for example 32 hexadecimal digits.
const minToken = 16

// Check returns everything that is wrong with the settings. A struct that embeds Node and has a
// Check of its own calls this one.
func (n *Node) Check() error {
	var wrong []error
	bad := func(format string, a ...any) { wrong = append(wrong, fmt.Errorf("config: "+format, a...)) }
	addr := func(name, text string, needed, anywhere bool) {
		if text == "" {
			if needed {
				bad("%s: it is missing", name)
			}
			return
		}
		host, _, err := net.SplitHostPort(text)
		switch ip, _ := netip.ParseAddr(host); {
		case err != nil:
			bad("%s: %q is not host:port", name, text)
		case !anywhere && (host == "" || ip.IsValid() && ip.IsUnspecified()):
			bad("%s: %q is no address that others can reach; set listen to it, and this to the one that they dial", name, text)
		}
	}
	addr("address", n.Address, true, false)
	addr("listen", n.Listen, false, true)
	addr("master", n.Master, false, false)
	addr("clients.websocket", n.Clients.WebSocket, false, true)
	addr("clients.tcp", n.Clients.TCP, false, true)
	if ways := count(n.Keeps, n.Master != "", len(n.Etcd.Endpoints) > 0); ways > 1 {
		bad("keeps-list, master, etcd.endpoints: %d of them are set; the list is kept by this node, by a master or by etcd", ways)
	} else if ways == 1 && n.Token == "" && n.TLS.CA == "" {
		bad("token: a node of a cluster needs a token, or tls.ca: whoever reaches its address is a node otherwise")
	}
	if n.Token != "" && len(n.Token) < minToken {
		bad("token: it has fewer than %d characters", minToken)
	}
	if n.Heartbeat <= 0 {
		bad("heartbeat: %v is not above 0", n.Heartbeat)
	}
	if n.Shutdown <= 0 {
		bad("shutdown: %v is not above 0", n.Shutdown)
	}
	if n.Drain < 0 {
		bad("drain: %v is below 0", n.Drain)
	}
	if e := n.Etcd; len(e.Endpoints) > 0 && e.TTL > 3*n.Heartbeat {
		bad("etcd.ttl: %v is more than three heartbeats of %v", e.TTL, n.Heartbeat)
	}
	if (n.Etcd.Username == "") != (n.Etcd.Password == "") {
		bad("etcd.username and etcd.password: one is set without the other")
	}
	if _, err := n.level(); err != nil {
		bad("log: %q is none of debug, info, warn and error", n.Log)
	}
	c := n.Clients
	if c.Max < 0 || c.PerAddress < 0 || c.Rate < 0 || c.Resume < 0 {
		bad("clients: a limit is below 0")
	}
	if _, err := n.TLS.Config(); err != nil {
		bad("tls: %w", err)
	}
	if _, err := n.Etcd.TLS.Config(); err != nil {
		bad("etcd.tls: %w", err)
	}
	return errors.Join(wrong...)
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func (n *Node) level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(n.Log))
	return l, err
}

// Config reads the files. It is nil if none is named.
func (c Certificate) Config() (*tls.Config, error) {
	if c == (Certificate{}) {
		return nil, nil
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("cert and key: one is set without the other")
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s", c.CA)
		}
	}
	return conf, nil
}

// Logger returns a logger to stderr with the level of the settings.
func (n *Node) Logger() *slog.Logger {
	l, _ := n.level() // Check has seen it
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}

// Options returns the options of the node that the settings describe. Call [Node.Check] before,
// which Parse does. With etcd, add [nano.WithKeeper]. A listener is opened if the node listens on
// another address than its own.
func (n *Node) Options() ([]nano.Option, error) {
	options := []nano.Option{
		nano.WithLabel(n.Name), nano.WithHeartbeatInterval(n.Heartbeat), nano.WithShutdownTimeout(n.Shutdown),
		nano.WithSlog(n.Logger()), nano.WithSignals(os.Interrupt, syscall.SIGTERM),
	}
	if n.Drain > 0 {
		options = append(options, nano.WithDrain(nano.Drain{Timeout: n.Drain}))
	}
	if n.Keeps {
		options = append(options, nano.WithMaster())
	}
	if n.Master != "" {
		options = append(options, nano.WithAdvertiseAddr(n.Master))
	}
	if n.Token != "" {
		options = append(options, nano.WithClusterToken(string(n.Token)))
	}
	conf, err := n.TLS.Config()
	if err != nil {
		return nil, fmt.Errorf("config: tls: %w", err)
	}
	if conf != nil {
		if conf.RootCAs != nil {
			conf.ClientCAs, conf.ClientAuth = conf.RootCAs, tls.RequireAndVerifyClientCert
		}
		options = append(options, nano.WithClusterTLS(conf))
	}
	options = append(options, n.Clients.options()...)
	if n.Listen != "" && n.Listen != n.Address {
		l, err := net.Listen("tcp", n.Listen)
		if err != nil {
			return nil, fmt.Errorf("config: listen: %w", err)
		}
		options = append(options, nano.WithServiceListener(l))
	}
	return options, nil
}

func (c *Clients) options() (options []nano.Option) {
	if c.WebSocket != "" {
		options = append(options, nano.WithEndpoint(nano.Endpoint{Addr: c.WebSocket, WebSocket: true, Path: "/nano"}))
	}
	if c.TCP != "" {
		options = append(options, nano.WithEndpoint(nano.Endpoint{Addr: c.TCP}))
	}
	if c.Max > 0 {
		options = append(options, nano.WithMaxConnections(c.Max))
	}
	if c.PerAddress > 0 {
		options = append(options, nano.WithConnectionsPerAddress(c.PerAddress))
	}
	if c.Rate > 0 {
		options = append(options, nano.WithMessageRate(c.Rate, int(max(1, 2*c.Rate)), nano.LimitWait))
	}
	if len(c.Proxies) > 0 {
		options = append(options, nano.WithTrustedProxies(c.Proxies...))
	}
	if c.ProxyHeaders {
		options = append(options, nano.WithProxyProtocol())
	}
	if c.Resume > 0 {
		options = append(options, nano.WithResume(nano.Resume{Window: c.Resume}))
	}
	return options
}

var _ Checker = (*Node)(nil)

// String returns the node's address and name.
func (n *Node) String() string { return strings.TrimSpace(n.Address + " " + n.Name) }
