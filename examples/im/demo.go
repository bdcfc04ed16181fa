package main

import (
	"bufio"
	"context"
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

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/examples/im/store/postgrestest"
)

// demoCommand starts a messenger of five processes.
func demoCommand(out io.Writer) *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "start a master, two gates and two nodes that run channels, each a process of its own, to be killed",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Value: "im-data", Usage: "`FOLDER` of the database where there is no PostgreSQL"},
			&cli.StringFlag{Name: "database", EnvVars: []string{"IM_DATABASE"}, Usage: "`URL` of a PostgreSQL; without it one is started that is gone afterwards, if it is installed"},
			&cli.StringFlag{Name: "api-key", EnvVars: []string{"IM_API_KEY"}, Usage: "`KEY` for the HTTP interface of other systems"},
			&cli.DurationFlag{Name: "restart", Value: 5 * time.Second, Usage: "after which a node that has ended is started again"},
		},
		Action: func(c *cli.Context) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
			defer stop()
			d := &demo{program: self, restart: c.Duration("restart"), out: out, ports: &ports{}, patience: readyWithin}
			return d.run(ctx, c.String("database"), c.String("data"), c.String("api-key"))
		},
	}
}

// demo is a messenger of several processes on this machine.
type demo struct {
	program  string
	restart  time.Duration
	patience time.Duration // how long a node may take to start
	ports    *ports

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
func (d *demo) run(ctx context.Context, database, data, key string) error {
	where := []string{"--database", database}
	if database == "" {
		server, err := postgrestest.Start(ctx)
		switch {
		case errors.Is(err, postgrestest.ErrMissing):
			d.say("im: there is no PostgreSQL, so the nodes share a file in %s\n", data)
			where = []string{"--data", data}
		case err != nil:
			return err
		default:
			defer server.Stop()
			where = []string{"--database", server.URL}
		}
	}
	ports := d.ports
	master := ports.free(3200)
	common := []string{"--quiet", "--with-parent", "--heartbeat", "1s"}
	if key != "" {
		common = append(common, "--api-key", key)
	}
	children := []*child{{name: "master", args: slices.Concat([]string{"master", "--listen", master}, common)}}
	for i := range 2 {
		args := slices.Concat([]string{"logic", "--listen", ports.free(3210 + i), "--master", master}, common, where)
		children = append(children, &child{name: fmt.Sprint("logic ", i+1), args: args})
	}
	for i := range 2 {
		args := slices.Concat([]string{"gate", "--listen", ports.free(3220 + i), "--addr", ports.free(3250 + i), "--master", master}, common)
		children = append(children, &child{name: fmt.Sprint("gate ", i+1), args: args})
	}
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

// keep runs a child, and again when it has ended, until ctx ends. The first start is told to ready.
func (d *demo) keep(ctx context.Context, c *child, ready chan<- error) {
	for {
		if err := d.once(ctx, c, ready); err != nil && ctx.Err() == nil {
			d.say("%s has ended: %v\n", c.name, err)
		}
		ready = make(chan error, 1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(d.restart):
		}
	}
}

// once runs a child until it or ctx ends. It says its first line when it serves.
func (d *demo) once(ctx context.Context, c *child, ready chan<- error) error {
	cmd := exec.Command(d.program, c.args...) //nolint:gosec,noctx // the program is this one, and it ends when its input does
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
type ports struct {
	any   bool // whichever it is
	given []string
}

// free returns an address with the port that is asked for if it is free, and with any other else.
func (p *ports) free(like int) string {
	if p.any {
		like = 0
	}
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
