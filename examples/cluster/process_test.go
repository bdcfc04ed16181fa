//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/contrib/etcd/etcdtest"
	"github.com/lonng/nano/internal/nanotest"
)

// beat is the heartbeat of the clusters of these tests.
const beat = time.Second

// built compiles the example once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nano-cluster-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "cluster")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return program, err
})

// ranEtcd says that a test has run etcd.
var ranEtcd bool

func TestMain(m *testing.M) {
	code := m.Run()
	if testing.Short() {
		os.Exit(code)
	}
	if program, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(program))
	}
	if ranEtcd {
		etcdtest.Clean()
	}
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

// newWorld starts a master and that many backends and gates. The master keeps the list, unless other
// flags say who does.
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

// client is a client as a page is one: it finds its room again when that has moved. One goroutine
// calls; another reads.
type client struct {
	*nanotest.Client
	name, room string
	backend    string

	mu      sync.Mutex
	waiting map[uint64]chan *codec.Message
	next    uint64
	left    map[string]int // how often somebody was said to have left
	joined  []string
	heard   []string
	here    []JoinReply // of rooms that have moved with their people
	moved   atomic.Bool
	kick    chan string // the reason, when it was kicked
	gone    chan struct{}
}

var errGone = errors.New("the connection is gone")

// callError is an error response.
type callError struct{ Code, Message string }

func (e *callError) Error() string { return e.Code + ": " + e.Message }

// dial connects to a gate.
func dial(addr string, t *testing.T) (*client, error) {
	return dialFrom("", addr, t)
}

// dialFrom connects to a gate from an address of this machine.
func dialFrom(from, addr string, t *testing.T) (*client, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return shake(nanotest.NewClient(t, nc))
}

func shake(n *nanotest.Client) (*client, error) {
	c := &client{
		Client: n, waiting: make(map[uint64]chan *codec.Message), left: make(map[string]int),
		kick: make(chan string, 1), gone: make(chan struct{}),
	}
	c.Beats = true
	if err := c.SendPacket(codec.Handshake, []byte(`{"sys":{"accept":["error"]}}`)); err != nil {
		return nil, err
	}
	p, err := c.Next()
	if err != nil || p.Type != codec.Handshake {
		return nil, fmt.Errorf("instead of a handshake came %v, %w", p, err)
	}
	if err := c.SendPacket(codec.HandshakeAck, nil); err != nil {
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *client) close() {
	c.Close()
	<-c.gone
}

func (c *client) read() {
	defer close(c.gone)
	for {
		m, err := c.NextMessage()
		if err != nil {
			var k *nanotest.KickedError
			if errors.As(err, &k) {
				c.kick <- k.Reason
			}
			c.mu.Lock()
			for id, ch := range c.waiting {
				close(ch)
				delete(c.waiting, id)
			}
			c.waiting = nil
			c.mu.Unlock()
			return
		}
		switch {
		case m.Type == codec.Response:
			c.mu.Lock()
			if ch := c.waiting[m.ID]; ch != nil {
				ch <- m
				delete(c.waiting, m.ID)
			}
			c.mu.Unlock()
		case m.Route == pushMoved:
			c.moved.Store(true)
		case m.Route == pushPeople:
			var p People
			if json.Unmarshal(m.Data, &p) == nil {
				c.mu.Lock()
				if p.Left != "" {
					c.left[p.Left]++
				}
				if p.Joined != "" {
					c.joined = append(c.joined, p.Joined)
				}
				c.mu.Unlock()
			}
		case m.Route == pushHere:
			var reply JoinReply
			if json.Unmarshal(m.Data, &reply) == nil {
				c.mu.Lock()
				c.here = append(c.here, reply)
				c.mu.Unlock()
			}
		case m.Route == pushMessage:
			var said Message
			if json.Unmarshal(m.Data, &said) == nil {
				c.mu.Lock()
				c.heard = append(c.heard, said.Text)
				c.mu.Unlock()
			}
		}
	}
}

// call sends a request and waits for its answer.
func (c *client) call(route string, req, reply any, within time.Duration) error {
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	ch := make(chan *codec.Message, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return errGone
	}
	c.next++
	id := c.next
	c.waiting[id] = ch
	c.mu.Unlock()
	b, err := codec.AppendMessage(nil, &codec.Message{Type: codec.Request, ID: id, Route: route, Data: data}, nil)
	if err != nil {
		return err
	}
	if err := c.SendPacket(codec.Data, b); err != nil {
		return errGone
	}
	select {
	case m, ok := <-ch:
		if !ok {
			return errGone
		}
		if m.Err {
			var e struct{ Code, Error string }
			_ = json.Unmarshal(m.Data, &e)
			return &callError{e.Code, e.Error}
		}
		return json.Unmarshal(m.Data, reply)
	case <-time.After(within):
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		return fmt.Errorf("no answer to %s within %v", route, within)
	}
}

// join goes into the client's room, wherever that is.
func (c *client) join(within time.Duration) error {
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c.moved.Store(false)
		var entered EnterReply
		err := c.call("gate.enter", EnterRequest{}, &entered, 2*time.Second)
		if err == nil {
			var reply JoinReply
			if err = c.call("chat.join", JoinRequest{Room: c.room, Name: c.name}, &reply, time.Second); err == nil {
				c.backend = reply.Addr
				return nil
			}
		}
		if errors.Is(err, errGone) || time.Since(begin) > within {
			return err
		}
	}
}

// leftCount returns how often it was told that somebody has left.
func (c *client) leftCount(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left[name]
}

// load is what clients do all the time: they ask their backend, one request after the other, and go
// where their room is when it has moved.
type load struct {
	quit chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	requests int
	failures []failure
	slowest  time.Duration
	slow     int // answers that took longer than slowAnswer
	clients  []*client
}

// failure is a request without a good answer.
type failure struct {
	at, since time.Time // of the answer; of the request
	client    *client
	backend   string
	err       error
}

// every is the pause between two requests of one client.
const every = 10 * time.Millisecond

// answerWithin is how long a client waits for an answer.
const answerWithin = time.Second

// slowAnswer is more than an answer takes on a machine that has other things to do as well. A few
// are slower all the same; many are not, unless they wait for what they should not wait for.
const slowAnswer = 200 * time.Millisecond

// wantQuick wants that answers came quickly.
func (l *load) wantQuick(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slow*20 > l.requests {
		t.Errorf("%d of %d answers took more than %v, the slowest %v", l.slow, l.requests, slowAnswer, l.slowest)
	}
}

// load starts clients, in turn at each gate, each in a room of its own or, with shared set, all in
// that room.
func (w *world) load(n int, gates []*process, shared string) *load {
	w.t.Helper()
	l := &load{quit: make(chan struct{})}
	for i := range n {
		c, err := dial(gates[i%len(gates)].tcp, w.t)
		if err != nil {
			w.t.Fatal(err)
		}
		c.name, c.room = fmt.Sprint("c", i), shared
		if shared == "" {
			c.room = fmt.Sprint("room ", i)
		}
		if err := c.join(5 * time.Second); err != nil {
			w.t.Fatalf("join: %v", err)
		}
		l.clients = append(l.clients, c)
		l.done.Go(func() { l.run(c) })
	}
	w.t.Cleanup(l.end)
	return l
}

func (l *load) run(c *client) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-c.gone:
			return
		case <-t.C:
		}
		if c.moved.Load() {
			if c.join(10*time.Second) != nil {
				return
			}
		}
		begin, backend := time.Now(), c.backend
		var where Where
		err := c.call("chat.ping", Empty{}, &where, answerWithin)
		if errors.Is(err, errGone) {
			return
		}
		took := time.Since(begin)
		var e *callError
		again := errors.As(err, &e) && e.Code == "not_found" // another backend answers: that is how one learns of it
		l.mu.Lock()
		l.requests++
		if err != nil {
			l.failures = append(l.failures, failure{time.Now(), begin, c, backend, err})
		} else {
			l.slowest = max(l.slowest, took)
			if took > slowAnswer {
				l.slow++
			}
		}
		l.mu.Unlock()
		if err == nil {
			c.backend = where.Addr
		} else if again && c.join(10*time.Second) != nil {
			return
		}
	}
}

func (l *load) end() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	for _, c := range l.clients {
		c.Close()
	}
	l.done.Wait()
}

// mark begins to count anew.
func (l *load) mark() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests, l.failures, l.slowest, l.slow = 0, nil, 0, 0
	return time.Now()
}

// failed returns the failures since mark, without those whose room had moved: these have an answer
// that says so.
func (l *load) failed() (lost []failure, moved, requests int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failures {
		var e *callError
		if errors.As(f.err, &e) && e.Code == "not_found" {
			moved++
		} else {
			lost = append(lost, f)
		}
	}
	return lost, moved, l.requests
}

// report says what was measured.
func (l *load) report(t *testing.T, what string, since time.Time) {
	t.Helper()
	lost, moved, requests := l.failed()
	l.mu.Lock()
	slowest := l.slowest
	l.mu.Unlock()
	var last time.Duration
	kinds := make(map[string]int)
	for _, f := range lost {
		last = max(last, f.at.Sub(since))
		var e *callError
		if errors.As(f.err, &e) {
			kinds[e.Code]++
		} else {
			kinds["no answer"]++
		}
	}
	t.Logf("%s: %d clients, %d requests in %v; %d failed %v, the last after %v; %d told to join again; slowest answer %v",
		what, len(l.clients), requests, time.Since(since).Round(10*time.Millisecond), len(lost), kinds, last.Round(time.Millisecond), moved, slowest.Round(time.Millisecond))
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
