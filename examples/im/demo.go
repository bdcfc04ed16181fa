package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	setting "github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/examples/im/store/postgrestest"
)

// demoSettings are what can be set for all nodes at once.
type demoSettings struct {
	Data     string           `koanf:"data" usage:"folder of the database where there is no PostgreSQL"`
	Database setting.Secret   `koanf:"database" usage:"URL of a PostgreSQL; without it one is started that is gone afterwards, if it is installed"`
	APIKey   []setting.Secret `koanf:"api-key" usage:"keys for the HTTP interface of other systems"`
	Token    setting.Secret   `koanf:"token" usage:"secret that all nodes share; empty: one is made"`
	Restart  time.Duration    `koanf:"restart" usage:"after which a node that has ended is started again"`
	Etcd     setting.Etcd     `koanf:"etcd"`
}

// demoCommand starts a messenger of five processes, of four with etcd.
func demoCommand(out io.Writer) *cli.Command {
	return &cli.Command{
		Name: "demo", SkipFlagParsing: true,
		Usage: "start a master, two gates and two nodes that run channels, each a process of its own, to be killed; im demo --help lists its settings",
		Action: func(c *cli.Context) error {
			s := &demoSettings{Data: "im-data", Restart: 5 * time.Second, Etcd: setting.Etcd{Prefix: "im/"}}
			_, err := setting.Parse(s, setting.Source{Name: "im", Args: c.Args().Slice()})
			switch {
			case errors.Is(err, flag.ErrHelp):
				return nil
			case err != nil:
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
			defer stop()
			d := &demo{program: self, restart: s.Restart, out: out, free: new(ports).free, patience: readyWithin}
			return d.run(ctx, s)
		},
	}
}

// environment is that of the nodes: the demo's own, with its settings in the place of what was set
// for it. Secrets are there, because everybody on a machine sees the flags of its processes.
func (s *demoSettings) environment(database string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "IM_") && !strings.HasPrefix(v, "IM_TEST_") })
	keys := make([]string, len(s.APIKey))
	for i, key := range s.APIKey {
		keys[i] = string(key)
	}
	e := s.Etcd
	return append(env,
		"IM_HEARTBEAT=1s", "IM_TOKEN="+cmp.Or(string(s.Token), rand.Text()), "IM_API_KEY="+strings.Join(keys, ","), "IM_DATA="+s.Data, "IM_DATABASE="+database,
		"IM_ETCD_ENDPOINTS="+strings.Join(e.Endpoints, ","), "IM_ETCD_PREFIX="+e.Prefix, "IM_ETCD_TTL="+e.TTL.String(),
		"IM_ETCD_USERNAME="+e.Username, "IM_ETCD_PASSWORD="+string(e.Password),
		"IM_ETCD_TLS_CERT="+e.TLS.Cert, "IM_ETCD_TLS_KEY="+e.TLS.Key, "IM_ETCD_TLS_CA="+e.TLS.CA)
}

// demo is a messenger of several processes on this machine.
type demo struct {
	program  string
	env      []string
	restart  time.Duration
	patience time.Duration         // how long a node may take to start
	free     func(like int) string // an address that nobody uses, with this port if it can be

	mu  sync.Mutex
	out io.Writer
}

// child is a node of the demo.
type child struct {
	name string
	args []string
}

// readyWithin is how long a node may take to start, on a machine that people use.
const readyWithin = 20 * time.Second

func (d *demo) say(format string, a ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format, a...)
}

// run starts the nodes, and starts again what ends, until ctx ends.
func (d *demo) run(ctx context.Context, s *demoSettings) error {
	database := string(s.Database)
	if database == "" {
		server, err := postgrestest.Start(ctx)
		switch {
		case errors.Is(err, postgrestest.ErrMissing):
			d.say("im: there is no PostgreSQL, so the nodes share a file in %s\n", s.Data)
		case err != nil:
			return err
		default:
			defer server.Stop()
			database = server.URL
		}
	}
	d.env = s.environment(database)
	children := d.children(len(s.Etcd.Endpoints) == 0)
	var ends []func()
	defer func() {
		for _, end := range slices.Backward(ends) { // those who take clients first, the master last
			end()
		}
	}()
	for _, c := range children {
		ready := make(chan error, 1)
		own, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.keep(own, c, ready)
		}()
		ends = append(ends, func() {
			cancel()
			<-done
		})
		select {
		case err := <-ready:
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		case <-time.After(d.patience):
			return fmt.Errorf("%s has not started within %v", c.name, d.patience)
		case <-ctx.Done():
			return nil
		}
	}
	d.say("\nSign in at both gates, talk from one to the other, and kill what you like: kill -9 PID. What ends is started again after %v.\nCtrl-C ends all of it.\n\n", d.restart)
	<-ctx.Done()
	return nil
}

// children are the nodes. Without a master etcd keeps their list.
func (d *demo) children(master bool) (all []*child) {
	var join []string
	if master {
		at := d.free(3200)
		join = []string{"--master", at}
		all = append(all, &child{name: "master", args: []string{roleMaster, "--listen", at}})
	}
	for i := range 2 {
		args := append([]string{roleLogic, "--listen", d.free(3210 + i)}, join...)
		all = append(all, &child{name: fmt.Sprint("logic ", i+1), args: args})
	}
	for i := range 2 {
		args := append([]string{roleGate, "--listen", d.free(3220 + i), "--addr", d.free(3250 + i)}, join...)
		all = append(all, &child{name: fmt.Sprint("gate ", i+1), args: args})
	}
	return all
}

// keep runs a child, and again when it has ended, until ctx ends. The first start is told to ready.
func (d *demo) keep(ctx context.Context, c *child, ready chan<- error) {
	for {
		if err := d.once(ctx, c, ready); err != nil && ctx.Err() == nil {
			d.say("%s has ended: %v\n", c.name, err)
		}
		ready = make(chan error, 1)
		select {
		case <-ctx.Done():
		case <-time.After(d.restart):
		}
		if ctx.Err() != nil {
			return // though the time has passed as well
		}
	}
}

// once runs a child until it or ctx ends. It says its first line when it serves.
func (d *demo) once(ctx context.Context, c *child, ready chan<- error) error {
	cmd := exec.Command(d.program, append(c.args, "--quiet", "--with-parent")...) //nolint:gosec,noctx // the program is this one, and it ends when its input does
	cmd.Env = d.env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		ready <- err
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		ready <- err
		return err
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	write.Close()
	if err != nil {
		ready <- err
		return err
	}
	stop := context.AfterFunc(ctx, func() { stdin.Close() })
	defer stop()
	serves := false
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "im: "); ok && !serves {
			serves = true
			d.say("  %-8s pid %-8d %s\n", c.name, cmd.Process.Pid, text)
			ready <- nil
			continue
		}
		d.say("[%s] %s\n", c.name, lines.Text())
	}
	err = cmd.Wait()
	if !serves {
		err = errors.Join(errors.New("it has ended before it served"), err)
		ready <- err
	}
	return err
}

// ports finds ports that nobody uses.
type ports struct{ given []string }

// free returns an address with the port that is asked for if it is free, and with any other else.
func (p *ports) free(like int) string {
	for port := like; ; port = 0 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		addr := l.Addr().String()
		l.Close()
		if !slices.Contains(p.given, addr) {
			p.given = append(p.given, addr)
			return addr
		}
	}
}
