package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
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

	"github.com/lonng/nano/contrib/config"
)

// child is a node of the demo: a process of its own, which is started again when it ends.
type child struct {
	name string
	args []string
	page string // of a gate
	addr string
}

// state is what has become of a process.
type state struct {
	pid int
	err error
}

// demo is a cluster on this machine.
type demo struct {
	program string
	env     []string
	restart time.Duration // 0: what has ended stays so

	mu  sync.Mutex
	out io.Writer
}

// readyWithin is how long a node may take to start.
const readyWithin = 15 * time.Second

// demoSettings are what can be set for all nodes at once.
type demoSettings struct {
	Restart      time.Duration `koanf:"restart" usage:"after which a node that has ended is started again; 0: never"`
	Heartbeat    time.Duration `koanf:"heartbeat" usage:"of all nodes"`
	Token        config.Secret `koanf:"token" usage:"secret that all nodes share; empty: one is made"`
	ConsoleToken config.Secret `koanf:"console-token" usage:"secret of 16 bytes or more of the gates' consoles at /console/; empty: there is none"`
	Etcd         config.Etcd   `koanf:"etcd"`
}

// startDemo runs a demo with the settings of a command line.
func startDemo(ctx context.Context, args []string) error {
	s := &demoSettings{Restart: 10 * time.Second, Heartbeat: time.Second, Etcd: config.Defaults().Etcd}
	s.Etcd.TTL = 3 * time.Second
	if _, err := config.Parse(s, config.Source{Name: "cluster", Args: args}); err != nil {
		return err
	}
	if s.Token == "" {
		s.Token = config.Secret(rand.Text())
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return runDemo(ctx, os.Stdout, self, s)
}

// environment is that of the nodes: the demo's own, with its settings in the place of what was set
// for it. Secrets are there, because everybody on a machine sees the flags of its processes.
func (s *demoSettings) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CLUSTER_") })
	e := s.Etcd
	return append(env,
		"CLUSTER_HEARTBEAT="+s.Heartbeat.String(), "CLUSTER_TOKEN="+string(s.Token), "CLUSTER_CONSOLE_TOKEN="+string(s.ConsoleToken),
		"CLUSTER_ETCD_ENDPOINTS="+strings.Join(e.Endpoints, ","), "CLUSTER_ETCD_PREFIX="+e.Prefix, "CLUSTER_ETCD_TTL="+e.TTL.String(),
		"CLUSTER_ETCD_USERNAME="+e.Username, "CLUSTER_ETCD_PASSWORD="+string(e.Password),
		"CLUSTER_ETCD_TLS_CERT="+e.TLS.Cert, "CLUSTER_ETCD_TLS_KEY="+e.TLS.Key, "CLUSTER_ETCD_TLS_CA="+e.TLS.CA)
}

// runDemo starts a master, two gates and two backends, and starts again what ends, until it is told
// to stop. The nodes are processes, so that they can be killed: that is what there is to see.
func runDemo(ctx context.Context, out io.Writer, program string, s *demoSettings) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{program: program, env: s.environment(), restart: s.Restart, out: out}

	ports := portChooser{}
	address := func(like int) string { return fmt.Sprintf("127.0.0.1:%d", ports.free(like)) }
	master := address(3300)
	var children []*child
	add := func(role, name, addr string, more ...string) *child {
		args := append([]string{role, "--name", name, "--address", addr, "--log", "warn", "--with-parent"}, more...)
		c := &child{name: name, addr: addr, args: args}
		children = append(children, c)
		return c
	}
	add("master", "master", master)
	join := []string{"--master", master}
	if len(s.Etcd.Endpoints) > 0 {
		join = nil // the list is there
	}
	for i := range 2 {
		add("chat", fmt.Sprint("backend ", i+1), address(3310+i), join...)
	}
	for i := range 2 {
		page := address(3330 + i)
		add("gate", fmt.Sprint("gate ", i+1), address(3320+i), slices.Concat(join, []string{"--clients-websocket", page})...).page = "http://" + page
	}

	// The end comes in the reverse order: first those who take clients, and the master last.
	var ends []func()
	defer func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}()
	pids := make(map[*child]int)
	for _, c := range children {
		ready := make(chan state, 1)
		ends = append(ends, d.keep(ctx, c, ready))
		select {
		case s := <-ready:
			if s.err != nil {
				return fmt.Errorf("%s: %w", c.name, s.err)
			}
			pids[c] = s.pid
		case <-time.After(readyWithin):
			return fmt.Errorf("%s has not started within %v", c.name, readyWithin)
		case <-ctx.Done():
			return nil
		}
	}
	d.say("\nA cluster of five nodes, each a process of its own:\n\n")
	for _, c := range children {
		d.say("  %-10s %-16s pid %-8d %s\n", c.name, c.addr, pids[c], c.page)
	}
	d.say("\nOpen the page at both gates, talk from one to the other, and then:\n\n" +
		"  kill -9 PID      a crash\n" +
		"  kill -STOP PID   a hang, until kill -CONT PID\n" +
		"  kill PID         an orderly end\n\n")
	if s.Restart > 0 {
		d.say("What ends is started again after %v. Ctrl-C ends all of it.\n\n", s.Restart)
	}
	<-ctx.Done()
	return nil
}

func (d *demo) say(format string, a ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format, a...)
}

// keep runs a child, and again when it has ended, until the function that is returned is called; it
// waits for the child. The first start is told to ready. When asked ends, what ends is not worth a
// word any more.
func (d *demo) keep(asked context.Context, c *child, ready chan<- state) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.supervise(ctx, asked, c, ready)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (d *demo) supervise(ctx, asked context.Context, c *child, ready chan<- state) {
	for {
		stdin, ended, err := d.start(c, ready)
		if err != nil {
			ready <- state{err: err}
			return
		}
		select {
		case s := <-ended:
			if asked.Err() != nil {
				return
			}
			d.say("%s (pid %d) has ended: %s\n", c.name, s.pid, how(s.err))
		case <-ctx.Done():
			stdin.Close()
			<-ended
			return
		}
		if d.restart == 0 {
			return
		}
		select {
		case <-time.After(d.restart):
		case <-asked.Done():
		case <-ctx.Done():
		}
		if asked.Err() != nil || ctx.Err() != nil {
			return // though the time has passed as well
		}
		again := make(chan state, 1)
		ready = again
		go func() { // ends with the start
			if s := <-again; s.err == nil {
				d.say("%s is back: pid %d\n", c.name, s.pid)
			}
		}()
	}
}

func how(err error) string {
	if err == nil {
		return "in order"
	}
	return err.Error()
}

// start starts a child. Its first line says that it serves, which ready is told; what else it
// writes is shown with its name. It ends when its input is closed.
func (d *demo) start(c *child, ready chan<- state) (io.Closer, <-chan state, error) {
	cmd := exec.Command(d.program, c.args...) //nolint:gosec,noctx // the program is this one, and it ends when its input does
	cmd.Env = d.env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	write.Close()
	if err != nil {
		read.Close()
		return nil, nil, err
	}
	pid := cmd.Process.Pid
	ended := make(chan state, 1)
	go func() {
		serves := false
		for lines := bufio.NewScanner(read); lines.Scan(); {
			if !serves && strings.HasPrefix(lines.Text(), "cluster: ") {
				serves = true
				ready <- state{pid: pid}
				continue
			}
			d.say("[%s] %s\n", c.name, lines.Text())
		}
		read.Close()
		err := cmd.Wait()
		if !serves {
			ready <- state{pid, errors.New("it ended before it was ready: " + how(err))}
		}
		ended <- state{pid, err}
	}()
	return stdin, ended, nil
}

// portChooser finds ports that nobody uses.
type portChooser struct{ given []int }

// free returns the port that is asked for if it is free, and any other else.
func (p *portChooser) free(like int) int {
	for port := like; ; port = 0 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		port = l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !slices.Contains(p.given, port) {
			p.given = append(p.given, port)
			return port
		}
	}
}
