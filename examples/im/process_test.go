//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	setting "github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/contrib/etcd/etcdtest"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/load"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/im/store/postgrestest"
	"github.com/lonng/nano/internal/nanotest"
)

// asProgram makes this test binary the program itself: tests start it again as nodes.
const asProgram = "IM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if err := program(os.Stdout, os.Stdin).Run(os.Args); err != nil {
			fmt.Fprintln(os.Stderr, "im:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	etcdtest.Clean()
	shared.stop()
	os.Exit(code)
}

// process is a node as a process of its own.
type process struct {
	t    testing.TB
	args []string

	mu    sync.Mutex
	cmd   *exec.Cmd
	wait  func() error // for its end; it may be called by several
	stdin io.Closer
	log   bytes.Buffer
}

// startProcess starts a node, and waits until it says that it serves. It ends with the test.
func startProcess(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{t: t, args: append(args, "--with-parent", "--quiet")}
	t.Cleanup(func() {
		p.mu.Lock()
		if p.stdin != nil {
			p.stdin.Close()
		}
		wait := p.wait
		p.mu.Unlock()
		if wait != nil {
			_ = wait()
		}
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(args[:3], " "), tail(p.log.String(), 3000))
		}
	})
	p.start()
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *process) start() {
	p.t.Helper()
	cmd := exec.Command(os.Args[0], p.args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stderr = &p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.cmd, p.stdin, p.wait = cmd, stdin, sync.OnceValue(cmd.Wait)
	p.mu.Unlock()
	serves := make(chan bool, 1)
	go func() { // ends with the process
		lines := bufio.NewScanner(out)
		serves <- lines.Scan()
		for lines.Scan() {
		}
	}()
	select {
	case ok := <-serves:
		if !ok {
			_ = p.wait() // then its log is whole
			p.t.Fatalf("%v has ended before it served: %s", p.args, tail(p.log.String(), 2000))
		}
	case <-time.After(4 * patience): // with the race detector, on a busy machine
		p.t.Fatalf("%v does not serve", p.args)
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.wait()
}

// processes are a messenger of processes.
type processes struct {
	master        *process
	logics, gates []*process
	urls          []string
	logicArgs     []string
}

func startProcesses(t testing.TB, where ...string) *processes {
	t.Helper()
	w := &processes{}
	master := nanotest.FreeAddr(t)
	common := []string{"--token", "together", "--api-key", "secret"}
	if _, figures := t.(*testing.B); !figures { // which are those of the default
		common = append(common, "--heartbeat", "500ms")
	}
	w.master = startProcess(t, append([]string{"master", "--listen", master}, common...)...)
	for range 2 {
		w.logics = append(w.logics, startProcess(t, append(append([]string{"logic", "--listen", nanotest.FreeAddr(t), "--master", master}, common...), where...)...))
	}
	for range 2 {
		addr := nanotest.FreeAddr(t)
		w.gates = append(w.gates, startProcess(t, append([]string{"gate", "--listen", nanotest.FreeAddr(t), "--addr", addr, "--master", master, "--trusted-proxy", "127.0.0.1"}, common...)...))
		w.urls = append(w.urls, "http://"+addr)
	}
	for _, url := range w.urls {
		until(t, "a gate is not ready", func() bool { return status(url+"/readyz") == http.StatusOK })
	}
	return w
}

// status returns the status of a page, 0 if nobody answers.
func status(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Where people sign in by what the operator has, nobody signs in by any name, unless that is said.
func TestNamesAreForDevelopment(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
	}{
		{nil, http.StatusOK},
		{[]string{"--jwt-keys", keys}, http.StatusForbidden},
		{[]string{"--jwt-keys", keys, "--names"}, http.StatusOK},
		{[]string{"--names=false"}, http.StatusForbidden},
	} {
		addr := nanotest.FreeAddr(t)
		startProcess(t, append([]string{"all", "--addr", addr, "--data", t.TempDir()}, c.args...)...)
		resp, err := http.Post("http://"+addr+"/auth/name", "application/json", strings.NewReader(`{"name":"github:1"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("with %v a name is answered %d", c.args, resp.StatusCode)
		}
	}
	for _, args := range [][]string{{"master", "--listen", "0.0.0.0:0"}, {"logic", "--listen", ":0"}, {"all", "--keep-last", "-1"}, {"all", "--live-tick", "1ms"}} {
		if err := program(io.Discard, nil).Run(append([]string{"im"}, args...)); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

// told is what a demo says, and whether everything runs.
type told struct {
	mu   sync.Mutex
	text strings.Builder
	runs chan struct{}
}

// Write notes what is said.
func (o *told) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if strings.Contains(string(b), "Sign in at both gates") {
		close(o.runs)
	}
	return o.text.Write(b)
}

// startDemo starts a demo, and returns what its two gates serve, in turn, and what ends it in
// order.
func startDemo(t *testing.T, s *demoSettings) (gates []*world, end func()) {
	t.Helper()
	t.Setenv(asProgram, "1")
	s.Restart = time.Hour
	out := &told{runs: make(chan struct{})}
	d := &demo{program: os.Args[0], restart: s.Restart, out: out, patience: time.Hour, free: func(int) string { return nanotest.FreeAddr(t) }}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx, s) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("it has ended with %v: %s", err, out.text.String())
		}
	})
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("the demo: %s", tail(out.text.String(), 5000))
		}
	})
	select {
	case <-out.runs:
	case err := <-ended:
		ended <- nil
		t.Fatalf("it has ended with %v: %s", err, out.text.String())
	}
	out.mu.Lock()
	found := regexp.MustCompile(`gate [12] .*http://(\S+)`).FindAllStringSubmatch(out.text.String(), -1)
	out.mu.Unlock()
	if len(found) != 2 {
		t.Fatalf("it has %d gates", len(found))
	}
	for _, m := range found {
		for status("http://"+m[1]+"/readyz") != http.StatusOK { // many processes share a machine that may be busy
			time.Sleep(20 * time.Millisecond)
		}
		gates = append(gates, &world{t: t, addr: m[1]})
	}
	return gates, end
}

// One command starts a messenger of five processes, in which people at both gates talk to each
// other, and nothing of it stays.
func TestDemo(t *testing.T) {
	gates, end := startDemo(t, &demoSettings{Data: t.TempDir(), APIKey: []setting.Secret{"secret"}})
	ann, bob := gates[0].enter("Ann", "web"), gates[1].enter("Bob", "web")
	ann.say(channels.GlobalID, "hello")
	bob.heard("it", func(m store.Message) bool { return m.Text == "hello" })
	end()
	for _, g := range gates {
		if s := status("http://" + g.addr + "/healthz"); s != 0 {
			t.Errorf("after the end a gate answers %d", s)
		}
	}
}

// Nodes that run channels, gates and the database are killed in turns, while people talk, go and
// come. Every message that was acknowledged is there once, in order, at everybody who should have
// it, and nobody sees a channel that is not theirs. IM_TRIAL says how long (20s).
func TestKilledUnderLoad(t *testing.T) {
	long := 20 * time.Second
	if text := os.Getenv("IM_TRIAL"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	server, err := postgrestest.Start(t.Context())
	var w *processes
	switch {
	case errors.Is(err, postgrestest.ErrMissing):
		t.Log("SKIPPED: the database's own death:", err)
		w = startProcesses(t, "--data", t.TempDir())
	case err != nil:
		t.Fatal(err)
	default:
		t.Cleanup(server.Stop)
		w = startProcesses(t, "--database", server.URL)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	pause := func(d time.Duration) { // people talk meanwhile, and notice: how long is what is tried
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	victims := []func(){
		func() { w.logics[0].kill(); pause(time.Second); w.logics[0].start() },
		func() { w.gates[0].kill(); pause(500 * time.Millisecond); w.gates[0].start() },
		func() { w.logics[1].kill(); pause(2 * time.Second); w.logics[1].start() },
		func() { w.gates[1].kill(); pause(500 * time.Millisecond); w.gates[1].start() },
	}
	if server != nil {
		victims = append(victims, func() {
			server.Kill()
			if err := server.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	const people, enough = 40, 3 // killed, however long that takes on a busy machine
	killed := 0
	var killer sync.WaitGroup
	talking, over := make(chan struct{}), make(chan struct{})
	killer.Go(func() {
		defer close(over)
		select {
		case <-talking: // they come first
			time.AfterFunc(long, stop)
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil || killed < enough && !t.Failed() {
			victims[killed%len(victims)]()
			killed++
			pause(1500 * time.Millisecond)
		}
	})
	r, err := load.Run(t.Context(), load.Config{URLs: w.urls, APIKey: "secret", People: people, Groups: 8, Rate: 400, For: long, Until: over, Leave: 0.2, Check: true}, func(what string) {
		t.Log(what)
		if strings.HasPrefix(what, "they talk") {
			close(talking)
		}
	})
	stop()
	killer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d were killed; %v", killed, r)
	if killed < enough || r.Acknowledged < 100 {
		t.Errorf("that was no trial: %d were killed, %v", killed, r)
	}
	if len(r.Faults) > 0 {
		t.Errorf("%v", r)
	}
}
