// Package etcdtest runs etcd for tests: members that are processes of their own, which can be
// killed, hung and cut off from each other.
package etcdtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/lonng/nano/internal/nanotest"
)

// program is what the members of all clusters run.
var program struct {
	once   sync.Once
	folder string // where it is, made by the first who needs it
	err    error
}

// build compiles the member: without the race detector, which would take minutes for etcd's server
// and is for the code that is tested here.
func build() (path string, err error) {
	program.once.Do(func() {
		if program.folder, program.err = os.MkdirTemp("", "nano-etcd-"); program.err != nil {
			return
		}
		out, err := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(program.folder, "member"),
			"github.com/lonng/nano/contrib/etcd/etcdtest/member").CombinedOutput()
		if err != nil {
			program.err = fmt.Errorf("build a member of etcd: %w\n%s", err, out)
		}
	})
	return filepath.Join(program.folder, "member"), program.err
}

// Clean removes what Start has built, if it has. Call it at the end of TestMain: no cluster can be
// started after it.
func Clean() {
	program.once.Do(func() { program.err = errors.New("start etcd: Clean was called before") })
	if program.folder != "" {
		_ = os.RemoveAll(program.folder)
	}
}

// T is what a cluster needs of a test: a testing.TB has it.
type T interface {
	Helper()
	Fatal(a ...any)
	Fatalf(format string, a ...any)
	Cleanup(fn func())
	TempDir() string
}

// TLS names the files of a cluster that talks with clients by TLS and wants their certificates.
type TLS struct{ Cert, Key, CA string }

// Cluster is an etcd of several members on this machine.
type Cluster struct {
	t       T
	path    string   // of the members' program
	args    []string // of all members
	members []*member
}

type member struct {
	name   string
	dir    string
	client string // its own address for clients
	peer   string // its own address for other members
	way    *proxy // to peer
	id     string // as other members know it; empty until it is asked for

	cmd   *exec.Cmd // nil: it does not run
	stdin io.Closer // it ends when this does
}

// Start starts a cluster of n members, which ends with the test, and waits until it has a leader.
// tls may be nil.
func Start(t T, n int, tls *TLS) *Cluster {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t: t, path: path}
	var all []string
	for i := range n {
		m := &member{name: "m" + strconv.Itoa(i), dir: t.TempDir(), client: nanotest.FreeAddr(t), peer: nanotest.FreeAddr(t)}
		m.way = newProxy(t, m.peer, true)
		c.members = append(c.members, m)
		all = append(all, m.name+"=http://"+m.way.addr())
	}
	c.args = []string{"-cluster", strings.Join(all, ",")}
	if tls != nil {
		c.args = append(c.args, "-cert", tls.Cert, "-key", tls.Key, "-ca", tls.CA)
	}
	t.Cleanup(func() {
		for i := range c.members {
			c.Kill(i)
		}
	})
	ready := make([]<-chan error, n)
	for i := range n {
		ready[i] = c.start(i)
	}
	for i := range n {
		if err := <-ready[i]; err != nil {
			t.Fatalf("etcd's member %d does not start: %v", i, err)
		}
	}
	return c
}

// Endpoints returns the addresses for clients.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, m := range c.members {
		all = append(all, m.client)
	}
	return all
}

// start starts a member, and returns a channel that is told when it is ready.
func (c *Cluster) start(i int) <-chan error {
	m := c.members[i]
	ready := make(chan error, 1)
	m.cmd = exec.CommandContext(context.Background(), c.path, append([]string{
		"-name", m.name, "-dir", m.dir, "-client", m.client, "-peer", m.peer, "-advertised", m.way.addr(),
	}, c.args...)...)
	out, err := m.cmd.StdoutPipe()
	if err == nil {
		m.stdin, err = m.cmd.StdinPipe()
	}
	if err == nil {
		m.cmd.Stderr = io.Discard
		err = m.cmd.Start()
	}
	if err != nil {
		m.cmd = nil
		ready <- err
		return ready
	}
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil && line != "ready\n" {
			err = fmt.Errorf("it says %q", line)
		}
		ready <- err
	}()
	return ready
}

// Restart starts a member that was killed, and waits until it serves. Name all that were killed if
// no majority lives: one alone does not serve.
func (c *Cluster) Restart(members ...int) {
	c.t.Helper()
	var ready []<-chan error
	for _, i := range members {
		ready = append(ready, c.start(i))
	}
	for n, r := range ready {
		if err := <-r; err != nil {
			c.t.Fatalf("etcd's member %d does not start again: %v", members[n], err)
		}
	}
}

// Kill kills a member's process.
func (c *Cluster) Kill(i int) {
	m := c.members[i]
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
}

// Wipe removes the data of a member that was killed.
func (c *Cluster) Wipe(i int) {
	c.t.Helper()
	if err := os.RemoveAll(c.members[i].dir); err != nil {
		c.t.Fatal(err)
	}
}

// Hang stops a member's process, so that it accepts connections and answers nothing, or has it go
// on.
func (c *Cluster) Hang(i int, hung bool) {
	c.t.Helper()
	s := syscall.SIGSTOP
	if !hung {
		s = syscall.SIGCONT
	}
	if err := c.members[i].cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// Cut cuts a member off from the others, though clients reach it, or lets it talk again.
func (c *Cluster) Cut(i int, cut bool) {
	c.t.Helper()
	m := c.members[i]
	if m.id == "" {
		m.id = c.id(i)
	}
	for n, other := range c.members {
		switch {
		case !cut:
			other.way.cut(nil)
		case n == i:
			other.way.cut(func(string) bool { return true })
		default:
			other.way.cut(func(from string) bool { return from == m.id })
		}
	}
}

// Client returns a client of the cluster, or of these members of it. It is closed with the test.
func (c *Cluster) Client(conf clientv3.Config, members ...int) *clientv3.Client {
	c.t.Helper()
	conf.Endpoints, conf.Logger = c.Endpoints(), zap.NewNop()
	if len(members) > 0 {
		conf.Endpoints = nil
		for _, i := range members {
			conf.Endpoints = append(conf.Endpoints, c.members[i].client)
		}
	}
	client, err := clientv3.New(conf)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Leader returns the member that leads, as the members that are named see it; all if none is.
func (c *Cluster) Leader(asked ...int) int {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		for i := range c.members {
			if len(asked) > 0 && !slices.Contains(asked, i) || c.members[i].cmd == nil {
				continue
			}
			if r := c.status(i); r != nil && r.Leader == r.Header.MemberId {
				return i
			}
		}
		if time.Now().After(end) {
			c.t.Fatal("etcd has no leader")
		}
	}
}

func (c *Cluster) status(i int) *clientv3.StatusResponse {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := c.Client(clientv3.Config{}, i).Status(ctx, c.members[i].client)
	if err != nil {
		return nil
	}
	return r
}

// id asks a member for its own id.
func (c *Cluster) id(i int) string {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if r := c.status(i); r != nil {
			return strconv.FormatUint(r.Header.MemberId, 16)
		}
	}
	c.t.Fatalf("etcd's member %d does not say its id", i)
	return ""
}

// Proxies stands before the client addresses of a cluster, for one client.
type Proxies struct{ all []*proxy }

// Proxies opens proxies before all client addresses.
func (c *Cluster) Proxies(t T) *Proxies {
	t.Helper()
	p := &Proxies{}
	for _, m := range c.members {
		p.all = append(p.all, newProxy(t, m.client, false))
	}
	return p
}

// Endpoints returns the addresses of the proxies.
func (p *Proxies) Endpoints() []string {
	var all []string
	for _, one := range p.all {
		all = append(all, one.addr())
	}
	return all
}

// Cut stops everything that goes through, without a word to either side, or lets it go on.
func (p *Proxies) Cut(cut bool) {
	for _, one := range p.all {
		if cut {
			one.cut(func(string) bool { return true })
		} else {
			one.cut(nil)
		}
	}
}
