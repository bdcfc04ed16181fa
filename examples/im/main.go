// Command im is a messenger: channels with history, push for other systems, live rooms; on one
// machine or many.
//
//	go run ./examples/im                          # everything in one process, on an embedded database
//	go run ./examples/im --addr :8080 --data ./im # where it listens, and where it keeps what it must not lose
//
// node.go says what a node of each kind is made of, local.go how everything is one process.
// PROTOCOL.md is what clients say; docs/im.md tells how it works.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/console"
	"github.com/lonng/nano/examples/im/store"
)

func main() {
	if err := program(os.Stdout, os.Stdin).Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "im:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	addr, data string
	database   string // of PostgreSQL; empty: SQLite in the folder data
	apiKeys    []string
	names      bool
	liveTick   time.Duration
	liveRate   int
	retention  store.Retention
	proxies    []string
	writeDelay time.Duration

	jwtKeys, jwtIssuer, jwtAudience   string
	public                            string
	oidcIssuer, oidcID, oidcSecret    string
	githubURL, githubID, githubSecret string

	consoleToken string

	// Of nodes of several:
	listen, master, token              string
	etcd                               []string // keep the list of nodes, in the place of a master
	etcdPrefix, etcdUser, etcdPassword string
	heartbeat, drain                   time.Duration
}

// check says which flag makes no sense.
func (c *config) check() error {
	switch {
	case c.liveTick != 0 && (c.liveTick < 100*time.Millisecond || c.liveTick > time.Second):
		return errors.New("live-tick must be 100 ms to 1 s")
	case c.writeDelay < 0 || c.writeDelay > time.Second:
		return errors.New("write-delay must be 0 to 1 s")
	case c.liveRate < 0 || c.retention.Age < 0 || c.retention.Count < 0:
		return errors.New("live-rate, keep-for and keep-last cannot be below 0")
	case c.listen != "" && c.drain <= 0:
		return errors.New("drain must be above 0")
	case c.consoleToken != "" && len(c.consoleToken) < console.MinToken:
		return fmt.Errorf("console-token must have at least %d bytes, such as `openssl rand -hex 16` prints", console.MinToken)
	case c.listen != "" && c.token == "" && !loopback(c.listen):
		return fmt.Errorf("other machines can reach %s, so the nodes need a --token: without one, whoever calls is taken for a node", c.listen)
	}
	if c.names && c.addr != "" && !loopback(c.addr) {
		slog.Warn("anybody can sign in as anybody: end it with --names=false, and another way to sign in", "addr", c.addr)
	}
	return nil
}

// loopback reports whether only this machine can reach an address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// program returns the command line. What nodes tell of themselves goes to out; parent is watched by
// nodes that a demo has started.
func program(out io.Writer, parent io.Reader) *cli.App {
	addr := func(is, usage string) cli.Flag {
		return &cli.StringFlag{Name: "addr", Value: is, EnvVars: []string{"IM_ADDR"}, Usage: usage}
	}
	const (
		forClients = "`ADDRESS` of the page, of clients and of the HTTP interface; port 0 takes a free one"
		forSystems = "`ADDRESS` of the HTTP interface; none without it"
	)
	all := append(append([]cli.Flag{addr("127.0.0.1:3250", forClients)}, storeFlags()...), append(signInFlags(), commonFlags()...)...)
	one := func(role, usage string, flags ...cli.Flag) *cli.Command {
		return &cli.Command{Name: role, Usage: usage, Flags: append(append(flags, nodeFlags(role)...), commonFlags()...), Action: action(parent, func(ctx context.Context, conf config) error {
			n, err := newNode(ctx, role, conf)
			if err != nil {
				return err
			}
			defer n.close()
			return n.run(ctx, out)
		})}
	}
	everything := action(parent, func(ctx context.Context, conf config) error {
		n, err := newLocal(ctx, conf)
		if err != nil {
			return err
		}
		defer n.close()
		return n.run(ctx, out)
	})
	return &cli.App{
		Name: "im", Usage: "a messenger", Writer: out, ErrWriter: out, Flags: all, Action: everything,
		DisableSliceFlagSeparator: true, // a key may hold a comma
		Commands: []*cli.Command{
			{Name: "all", Usage: "everything in one process (the default)", Flags: all, Action: everything},
			one(roleMaster, "keep the list of nodes", addr("", forSystems)),
			one(roleLogic, "run channels", append(storeFlags(), addr("", forSystems))...),
			one(roleGate, "take clients", append(signInFlags(), addr("127.0.0.1:3250", forClients))...),
			fillCommand(out),
			demoCommand(out),
			loadCommand(out),
		},
	}
}

// storeFlags say where messages are kept.
func storeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Value: "im-data", EnvVars: []string{"IM_DATA"}, Usage: "`FOLDER` of the embedded database; it is made if it does not exist"},
		&cli.StringFlag{Name: "database", EnvVars: []string{"IM_DATABASE"}, Usage: "`URL` of a PostgreSQL instead (postgres://...)"},
		&cli.DurationFlag{Name: "keep-for", EnvVars: []string{"IM_KEEP_FOR"}, Usage: "remove messages that are older; 0: never"},
		&cli.Int64Flag{Name: "keep-last", EnvVars: []string{"IM_KEEP_LAST"}, Usage: "remove all but so many messages of each channel; 0: none"},
		&cli.DurationFlag{Name: "live-tick", Value: 500 * time.Millisecond, Usage: "live rooms are told so often, 100 ms to 1 s"},
		&cli.IntFlag{Name: "live-rate", Value: 30, Usage: "messages a second that a live room shows, 0: all"},
	}
}

// signInFlags say how people sign in.
func signInFlags() []cli.Flag {
	text := func(name, env, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, EnvVars: []string{env}, Usage: usage}
	}
	return []cli.Flag{
		&cli.BoolFlag{Name: "names", EnvVars: []string{"IM_NAMES"}, DefaultText: "if there is no other way", Usage: "let people sign in by any name, so that anybody can be anybody: for development"},
		text("jwt-keys", "IM_JWT_KEYS", "let people sign in by JWTs that are signed with the keys of this `FILE` (PEM or JWKS) or address (JWKS)"),
		text("jwt-issuer", "IM_JWT_ISSUER", "that such a JWT must have"),
		text("jwt-audience", "IM_JWT_AUDIENCE", "that such a JWT must have"),
		text("public-url", "IM_PUBLIC_URL", "`URL` at which browsers reach the page, for those who sign in elsewhere"),
		text("oidc-issuer", "IM_OIDC_ISSUER", "let people sign in by OpenID Connect at this `URL`"),
		text("oidc-id", "IM_OIDC_ID", "id of this client there"),
		text("oidc-secret", "IM_OIDC_SECRET", "secret of this client there"),
		text("github-id", "IM_GITHUB_ID", "let people sign in by GitHub: id of this client"),
		text("github-secret", "IM_GITHUB_SECRET", "secret of this client at GitHub"),
		text("github-url", "IM_GITHUB_URL", "`URL` of a GitHub of one's own"),
		&cli.DurationFlag{Name: "write-delay", EnvVars: []string{"IM_WRITE_DELAY"}, Usage: "pushes wait so long for others to the same client, and go in one write with them; 0: they go at once"},
		&cli.StringSliceFlag{Name: "trusted-proxy", Usage: "IP address or prefix of a proxy whose word on a client's address is taken"},
	}
}

// commonFlags are those of all nodes.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "api-key", EnvVars: []string{"IM_API_KEY"}, Usage: "`KEY` for the HTTP interface of other systems; without one nobody may use it"},
		&cli.StringFlag{Name: "console-token", EnvVars: []string{"IM_CONSOLE_TOKEN"}, Usage: "`SECRET` of at least 16 bytes that opens the console at /console/; none without it"},
		&cli.BoolFlag{Name: "quiet", Usage: "log no more than warnings"},
		&cli.BoolFlag{Name: "with-parent", Hidden: true, Usage: "end with the process that holds the other end of the standard input"},
	}
}

// nodeFlags are those of nodes of several.
func nodeFlags(role string) []cli.Flag {
	listen := map[string]string{roleMaster: "127.0.0.1:3200", roleLogic: "127.0.0.1:3210", roleGate: "127.0.0.1:3220"}[role]
	all := []cli.Flag{
		&cli.StringFlag{Name: "listen", Value: listen, EnvVars: []string{"IM_LISTEN"}, Usage: "`ADDRESS` at which other nodes reach this one; port 0 takes a free one"},
		&cli.StringFlag{Name: "token", EnvVars: []string{"IM_TOKEN"}, Usage: "secret that all nodes share"},
		&cli.DurationFlag{Name: "heartbeat", Value: 5 * time.Second, EnvVars: []string{"IM_HEARTBEAT"}, Usage: "the same on all nodes"},
		&cli.DurationFlag{Name: "drain", Value: 10 * time.Second, EnvVars: []string{"IM_DRAIN"}, Usage: "how long clients may take to go elsewhere when the node is told to end (SIGTERM)"},
	}
	members := []cli.Flag{
		&cli.StringFlag{Name: "master", Value: "127.0.0.1:3200", EnvVars: []string{"IM_MASTER"}, Usage: "`ADDRESS` of the master"},
		&cli.StringFlag{Name: "etcd", EnvVars: []string{"IM_ETCD"}, Usage: "`ADDRESSES` of all members of an etcd, with commas between: it keeps the list of nodes in the place of a master"},
		&cli.StringFlag{Name: "etcd-prefix", Value: "im/", EnvVars: []string{"IM_ETCD_PREFIX"}, Usage: "of the keys there, one for each messenger"},
		&cli.StringFlag{Name: "etcd-user", EnvVars: []string{"IM_ETCD_USER"}, Usage: "who signs in at etcd"},
		&cli.StringFlag{Name: "etcd-password", EnvVars: []string{"IM_ETCD_PASSWORD"}, Usage: "with this"},
	}
	if role == roleMaster {
		return all
	}
	return slices.Concat(all, members)
}

// action reads the flags, and runs a node with them.
func action(parent io.Reader, run func(context.Context, config) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		ctx := c.Context
		if c.Bool("with-parent") {
			signal.Ignore(os.Interrupt) // Ctrl-C reaches all processes of a terminal; this one is ended by its parent
			var end context.CancelFunc
			ctx, end = context.WithCancel(ctx)
			defer end()
			go func() {
				_, _ = io.Copy(io.Discard, parent) // ends when the parent does, however that ends
				end()
			}()
		}
		if c.Bool("quiet") {
			slog.SetLogLoggerLevel(slog.LevelWarn)
		}
		conf := config{
			addr: c.String("addr"), data: c.String("data"), database: c.String("database"), apiKeys: c.StringSlice("api-key"), names: c.Bool("names"),
			liveTick: c.Duration("live-tick"), liveRate: c.Int("live-rate"), retention: store.Retention{Age: c.Duration("keep-for"), Count: c.Int64("keep-last")},
			proxies: c.StringSlice("trusted-proxy"), writeDelay: c.Duration("write-delay"),
			jwtKeys: c.String("jwt-keys"), jwtIssuer: c.String("jwt-issuer"), jwtAudience: c.String("jwt-audience"), public: strings.TrimSuffix(c.String("public-url"), "/"),
			oidcIssuer: c.String("oidc-issuer"), oidcID: c.String("oidc-id"), oidcSecret: c.String("oidc-secret"),
			githubURL: c.String("github-url"), githubID: c.String("github-id"), githubSecret: c.String("github-secret"),
			listen: c.String("listen"), master: c.String("master"), token: c.String("token"), heartbeat: c.Duration("heartbeat"), drain: c.Duration("drain"),
			etcd: strings.FieldsFunc(c.String("etcd"), func(r rune) bool { return r == ',' || r == ' ' }), etcdPrefix: c.String("etcd-prefix"), etcdUser: c.String("etcd-user"), etcdPassword: c.String("etcd-password"),
			consoleToken: c.String("console-token"),
		}
		if !c.IsSet("names") {
			conf.names = conf.jwtKeys == "" && conf.oidcIssuer == "" && conf.githubID == ""
		}
		if err := conf.check(); err != nil {
			return err
		}
		return run(ctx, conf)
	}
}
