package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/lonng/nano/console"
	setting "github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/examples/im/store"
)

// settings are what can be set for a node: by flags, by variables of the environment (--keep-for is
// IM_KEEP_FOR), and in a file that --config names. What a role has no use for is not looked at, so
// that one file or environment does for all nodes.
type settings struct {
	Addr         string           `koanf:"addr" usage:"address of the page, of clients and of the HTTP interface; port 0 takes a free one. On a master and a node that runs channels: of the HTTP interface; empty: none"`
	APIKey       []setting.Secret `koanf:"api-key" usage:"keys for the HTTP interface of other systems; without one nobody may use it"`
	ConsoleToken setting.Secret   `koanf:"console-token" usage:"secret of at least 16 bytes that opens the console at /console/; none without it"`
	Quiet        bool             `koanf:"quiet" usage:"log no more than warnings"`
	WithParent   bool             `koanf:"with-parent" usage:"end with the process that holds the other end of the standard input"`

	// Where messages are kept.
	Data     string         `koanf:"data" usage:"folder of the embedded database; it is made if it does not exist"`
	Database setting.Secret `koanf:"database" usage:"URL of a PostgreSQL instead (postgres://...)"`
	KeepFor  time.Duration  `koanf:"keep-for" usage:"remove messages that are older; 0: never"`
	KeepLast int64          `koanf:"keep-last" usage:"remove all but so many messages of each channel; 0: none"`
	LiveTick time.Duration  `koanf:"live-tick" usage:"live rooms are told so often, 100 ms to 1 s"`
	LiveRate int            `koanf:"live-rate" usage:"messages a second that a live room shows; 0: all"`

	// How people sign in, and how gates treat them.
	Names        bool           `koanf:"names" usage:"let people sign in by any name, so that anybody can be anybody: for development (default: if there is no other way)"`
	JWTKeys      string         `koanf:"jwt-keys" usage:"let people sign in by JWTs that are signed with the keys of this file (PEM or JWKS) or address (JWKS)"`
	JWTIssuer    string         `koanf:"jwt-issuer" usage:"that such a JWT must have"`
	JWTAudience  string         `koanf:"jwt-audience" usage:"that such a JWT must have"`
	PublicURL    string         `koanf:"public-url" usage:"URL at which browsers reach the page, for those who sign in elsewhere"`
	OIDCIssuer   string         `koanf:"oidc-issuer" usage:"let people sign in by OpenID Connect at this URL"`
	OIDCID       string         `koanf:"oidc-id" usage:"id of this client there"`
	OIDCSecret   setting.Secret `koanf:"oidc-secret" usage:"secret of this client there"`
	GitHubID     string         `koanf:"github-id" usage:"let people sign in by GitHub: id of this client"`
	GitHubSecret setting.Secret `koanf:"github-secret" usage:"secret of this client at GitHub"`
	GitHubURL    string         `koanf:"github-url" usage:"URL of a GitHub of one's own"`
	WriteDelay   time.Duration  `koanf:"write-delay" usage:"pushes wait so long for others to the same client, and go in one write with them; 0: they go at once"`
	TrustedProxy []string       `koanf:"trusted-proxy" usage:"IP addresses or prefixes of proxies whose word on a client's address is taken"`

	// Of nodes of several.
	Listen    string         `koanf:"listen" usage:"address at which other nodes reach this one; port 0 takes a free one"`
	Master    string         `koanf:"master" usage:"address of the master"`
	Token     setting.Secret `koanf:"token" usage:"secret that all nodes share"`
	Heartbeat time.Duration  `koanf:"heartbeat" usage:"interval of the heartbeats, the same on all nodes"`
	Drain     time.Duration  `koanf:"drain" usage:"how long clients may take to go elsewhere when the node is told to end (SIGTERM)"`
	Etcd      setting.Etcd   `koanf:"etcd"`

	role string
}

// masterAddress is where the master is if nothing else is said.
const masterAddress = "127.0.0.1:3200"

// defaults are the settings of a role before anything is read.
func defaults(role string) *settings {
	s := &settings{
		role: role, Data: "im-data", LiveTick: 500 * time.Millisecond, LiveRate: 30,
		Heartbeat: 5 * time.Second, Drain: 10 * time.Second, Etcd: setting.Etcd{Prefix: "im/"},
	}
	switch role {
	case roleAll:
		s.Addr = "127.0.0.1:3250"
	case roleMaster:
		s.Listen = masterAddress
	case roleLogic:
		s.Listen = "127.0.0.1:3210"
	case roleGate:
		s.Addr, s.Listen = "127.0.0.1:3250", "127.0.0.1:3220"
	}
	return s
}

// Check says who keeps the list of nodes if the settings do not, and everything that is wrong.
func (s *settings) Check() error {
	var wrong []error
	switch joins := s.role == roleLogic || s.role == roleGate; {
	case joins && len(s.Etcd.Endpoints) == 0:
		s.Master = cmp.Or(s.Master, masterAddress)
	case joins && s.Master != "":
		wrong = append(wrong, errors.New("im: master, etcd.endpoints: both are set; a master keeps the list of nodes, or etcd does"))
	}
	bad := func(is bool, format string, a ...any) {
		if is {
			wrong = append(wrong, fmt.Errorf("im: "+format, a...))
		}
	}
	several := s.role != roleAll
	bad(s.Addr == "" && (s.role == roleAll || s.role == roleGate), "addr: it is missing")
	bad(s.LiveTick != 0 && (s.LiveTick < 100*time.Millisecond || s.LiveTick > time.Second), "live-tick: it must be 100 ms to 1 s")
	bad(s.WriteDelay < 0 || s.WriteDelay > time.Second, "write-delay: it must be 0 to 1 s")
	bad(s.LiveRate < 0 || s.KeepFor < 0 || s.KeepLast < 0, "live-rate, keep-for, keep-last: one is below 0")
	bad(len(s.ConsoleToken) > 0 && len(s.ConsoleToken) < console.MinToken,
		"console-token: it must have at least %d bytes, such as `openssl rand -hex 16` prints", console.MinToken)
	bad(several && s.Listen == "", "listen: it is missing")
	bad(several && s.Heartbeat <= 0, "heartbeat: it must be above 0")
	bad(several && s.Drain <= 0, "drain: it must be above 0")
	bad(several && s.Listen != "" && s.Token == "" && !loopback(s.Listen),
		"listen: other machines can reach %s, so the nodes need a token: without one, whoever calls is taken for a node", s.Listen)
	wrong = append(wrong, s.checkEtcd())
	return errors.Join(wrong...)
}

// checkEtcd returns what is wrong with an etcd that keeps the list of nodes.
func (s *settings) checkEtcd() error {
	switch e := s.Etcd; {
	case len(e.Endpoints) == 0 || s.role == roleAll:
		return nil
	case s.role == roleMaster:
		return errors.New("im: etcd.endpoints: with etcd there is no master, since etcd keeps the list of nodes")
	case s.Token == "": // clients come back to other gates by what is signed with it
		return errors.New("im: token: with etcd the nodes need one")
	case e.TTL > 3*s.Heartbeat:
		return fmt.Errorf("im: etcd.ttl: %v is more than three heartbeats of %v", e.TTL, s.Heartbeat)
	}
	_, err := s.Etcd.TLS.Config()
	if err != nil {
		err = fmt.Errorf("im: etcd.tls: %w", err)
	}
	return err
}

// read reads the settings of a node.
func read(role string, args []string) (conf config, report *setting.Report, err error) {
	s := defaults(role)
	if report, err = setting.Parse(s, setting.Source{Name: "im", Args: args}); err != nil {
		return config{}, nil, err
	}
	if report.From("names") == "" {
		s.Names = s.JWTKeys == "" && s.OIDCIssuer == "" && s.GitHubID == ""
	}
	conf = config{
		addr: s.Addr, data: s.Data, database: string(s.Database), names: s.Names, consoleToken: string(s.ConsoleToken),
		liveTick: s.LiveTick, liveRate: s.LiveRate, retention: store.Retention{Age: s.KeepFor, Count: s.KeepLast},
		proxies: s.TrustedProxy, writeDelay: s.WriteDelay,
		jwtKeys: s.JWTKeys, jwtIssuer: s.JWTIssuer, jwtAudience: s.JWTAudience, public: strings.TrimSuffix(s.PublicURL, "/"),
		oidcIssuer: s.OIDCIssuer, oidcID: s.OIDCID, oidcSecret: string(s.OIDCSecret),
		githubURL: s.GitHubURL, githubID: s.GitHubID, githubSecret: string(s.GitHubSecret),
		listen: s.Listen, master: s.Master, token: string(s.Token), heartbeat: s.Heartbeat, drain: s.Drain, etcd: s.Etcd,
		quiet: s.Quiet, withParent: s.WithParent,
	}
	for _, key := range s.APIKey {
		conf.apiKeys = append(conf.apiKeys, string(key))
	}
	return conf, report, nil
}

// loopback reports whether only this machine can reach an address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
