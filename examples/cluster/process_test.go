//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano/contrib/etcd/etcdtest"
)

// beat is the heartbeat of the clusters of these tests.
const beat = time.Second

// folder has the program, once a test has needed it.
var folder string

// built compiles the example once for all tests.
var built = sync.OnceValues(func() (string, error) {
	var err error
	if folder, err = os.MkdirTemp("", "nano-cluster-"); err != nil {
		return "", err
	}
	program := filepath.Join(folder, "cluster")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return program, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
	etcdtest.Clean()
	os.Exit(code)
}

// freePort returns a port below those that the system gives to connections, so that a node can be
// started again on it.
var freePort = func() func(t *testing.T) string {
	var mu sync.Mutex
	next := 20000 + os.Getpid()%8000
	return func(t *testing.T) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		for range 1000 {
			next++
			addr := fmt.Sprintf("127.0.0.1:%d", next)
			if l, err := net.Listen("tcp", addr); err == nil {
				l.Close()
				return addr
			}
		}
		t.Fatal("no free port")
		return ""
	}
}()

// process is a node as a process of its own.
type process struct {
	name string
	args []string
	addr string // where other nodes reach it
	tcp  string // of a gate

	cmd   *exec.Cmd
	log   *os.File
	ended chan error
}

// world is a cluster of processes.
type world struct {
	t      *testing.T
	list   []string // the flags that say who keeps the list
	master *process
	chats  []*process
	gates  []*process
}

// newWorld starts a master and that many backends and gates. The master keeps the list, unless
// other flags say who does.
func newWorld(t *testing.T, chats, gates int, list ...string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes, and waits for heartbeats")
	}
	t.Parallel()
	w := &world{t: t, list: list}
	addr := freePort(t)
	w.master = w.start(&process{name: "master", addr: addr, args: append([]string{"master", "--address", addr}, list...)})
	if list == nil {
		w.list = []string{"--master", addr}
	}
	for i := range chats {
		w.chats = append(w.chats, w.start(w.chat(fmt.Sprint("backend ", i+1))))
	}
	for i := range gates {
		w.gates = append(w.gates, w.start(w.gate(fmt.Sprint("gate ", i+1))))
	}
	if gates > 0 {
		w.agree(10 * time.Second)
	}
	return w
}

func (w *world) chat(name string) *process {
	addr := freePort(w.t)
	return &process{name: name, addr: addr, args: append([]string{"chat", "--address", addr}, w.list...)}
}

func (w *world) gate(name string, more ...string) *process {
	addr, tcp := freePort(w.t), freePort(w.t)
	args := []string{"gate", "--address", addr, "--clients-websocket", freePort(w.t), "--clients-tcp", tcp}
	return &process{name: name, addr: addr, tcp: tcp, args: slices.Concat(args, w.list, more)}
}

// start starts a node, and waits until it serves.
func (w *world) start(p *process) *process {
	w.t.Helper()
	ready := w.launch(p)
	select {
	case <-ready:
	case err := <-p.ended:
		w.t.Fatalf("%s ended before it served: %v\n%s", p.name, err, p.output())
	case <-time.After(20 * time.Second):
		w.t.Fatalf("%s does not serve\n%s", p.name, p.output())
	}
	return p
}

// launch starts a node. The channel is closed when it serves.
func (w *world) launch(p *process) <-chan struct{} {
	w.t.Helper()
	program, err := built()
	if err != nil {
		w.t.Fatal(err)
	}
	if p.log == nil {
		if p.log, err = os.Create(filepath.Join(w.t.TempDir(), strings.ReplaceAll(p.name, " ", "-")+".log")); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() {
			if w.t.Failed() {
				w.t.Logf("---- %s %s\n%s", p.name, p.addr, p.output())
			}
			p.log.Close()
		})
	}
	args := append(slices.Clone(p.args), "--name", p.name, "--heartbeat", beat.String(), "--with-parent")
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append(os.Environ(), "CLUSTER_TOKEN=a token of the tests")
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stdin, err := p.cmd.StdinPipe() // ends the process if this one is killed
	if err != nil {
		w.t.Fatal(err)
	}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	cmd, ended, ready := p.cmd, make(chan error, 1), make(chan struct{})
	p.ended = ended
	go func() {
		serves := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if !serves && strings.HasPrefix(lines.Text(), "cluster: ") {
				serves = true
				close(ready)
			}
		}
		ended <- cmd.Wait()
		close(ended)
	}()
	w.t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		for range ended { // until the process is gone
		}
	})
	return ready
}

func (p *process) output() string {
	b, _ := os.ReadFile(p.log.Name())
	return string(b)
}

// kill ends a node as a crash does.
func (w *world) kill(p *process) {
	w.t.Helper()
	w.signal(p, syscall.SIGKILL)
	<-p.ended
}

func (w *world) signal(p *process, s syscall.Signal) {
	w.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		w.t.Fatalf("signal to %s: %v", p.name, err)
	}
}

// stop ends a node in order, and wants it to succeed within a time.
func (w *world) stop(p *process, within time.Duration) {
	w.t.Helper()
	w.signal(p, syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			w.t.Errorf("%s ended with %v", p.name, err)
		}
	case <-time.After(within):
		w.t.Errorf("%s has not ended within %v of SIGTERM", p.name, within)
	}
}

func (w *world) all() []*process {
	return slices.Concat([]*process{w.master}, w.chats, w.gates)
}

// agree waits until every node has said, after now, that it sees exactly the others, and nobody
// else is counted.
func (w *world) agree(within time.Duration) time.Duration {
	w.t.Helper()
	var want []string
	for _, p := range w.all() {
		want = append(want, p.addr)
	}
	slices.Sort(want)
	begin := time.Now()
	var last string
	for time.Since(begin) < within {
		if o, err := w.overview(); err != nil {
			last = err.Error()
		} else if last = differs(o, want, begin.UnixMilli()); last == "" {
			return time.Since(begin)
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("within %v the nodes do not agree: %s", within, last)
	return 0
}

func differs(o Overview, want []string, since int64) string {
	var have []string
	for _, n := range o.Nodes {
		have = append(have, n.Addr)
		sees := append(slices.Clone(n.Sees), n.Addr)
		slices.Sort(sees)
		if n.Silent || n.At < since || !slices.Equal(sees, want) {
			return fmt.Sprintf("%s sees %v, want %v; silent: %t, said so now: %t", n.Name, sees, want, n.Silent, n.At >= since)
		}
	}
	slices.Sort(have)
	if !slices.Equal(have, want) {
		return fmt.Sprintf("the master counts %v, want %v", have, want)
	}
	return ""
}

// overview asks the last gate.
func (w *world) overview() (Overview, error) {
	c, err := dial(w.gates[len(w.gates)-1].tcp, w.t)
	if err != nil {
		return Overview{}, err
	}
	defer c.close()
	var reply EnterReply
	err = c.call("gate.enter", EnterRequest{}, &reply, 2*time.Second)
	return reply.Overview, err
}

// counted waits until what the last gate shows is as wanted. One that does not answer in time is
// asked again.
func (w *world) counted(what string, ok func(Overview) bool) {
	w.t.Helper()
	until(w.t, answerAtAll, what, func() bool {
		o, err := w.overview()
		return err == nil && ok(o)
	})
}

// until waits for a condition.
func until(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
