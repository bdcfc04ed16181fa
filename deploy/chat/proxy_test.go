//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/internal/nanotest"
)

// cluster is the program as processes: a master that runs the room, and two gates.
type cluster struct {
	*testing.T
	program string
	gates   []*gate
}

type gate struct {
	process                *exec.Cmd
	websocket, tcp, health string
}

func newCluster(t *testing.T, drain string) *cluster {
	t.Helper()
	c := &cluster{T: t, program: filepath.Join(t.TempDir(), "chat")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	master, health := nanotest.FreeAddr(t), nanotest.FreeAddr(t)
	c.start("--address", master, "--keeps-list", "--rooms", "--health", health)
	for i := range 2 {
		g := &gate{websocket: nanotest.FreeAddr(t), tcp: nanotest.FreeAddr(t), health: nanotest.FreeAddr(t)}
		g.process = c.start("--address", nanotest.FreeAddr(t), "--master", master, "--name", fmt.Sprint("gate-", i+1), "--clients-websocket", g.websocket,
			"--clients-tcp", g.tcp, "--clients-proxies", "127.0.0.1", "--clients-proxy-headers", "--clients-resume", "30s", "--health", g.health, "--drain", drain)
		c.gates = append(c.gates, g)
	}
	for _, g := range c.gates {
		c.ready(g, http.StatusOK)
	}
	return c
}

func (c *cluster) start(args ...string) *exec.Cmd {
	c.Helper()
	cmd := exec.CommandContext(context.Background(), c.program, append(args, "--token", "0123456789abcdef", "--log", "warn", "--heartbeat", "1s")...)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if c.Failed() {
			c.Logf("%v: %s", args[:2], out.String())
		}
	})
	return cmd
}

// ready waits until a gate answers the balancer's question in this way.
func (c *cluster) ready(g *gate, want int) {
	c.Helper()
	nanotest.Until(c.T, fmt.Sprintf("/readyz says %d", want), func() bool {
		req, err := http.NewRequestWithContext(c.Context(), http.MethodGet, "http://"+g.health+"/readyz", http.NoBody)
		if err != nil {
			c.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == want
	})
}

// proxy runs a proxy with a file of deploy/ in which only the addresses are others, and returns
// where WebSockets and TCP are taken.
func (c *cluster) proxy(file, program string, command func(path string) []string, more ...string) (websocket, tcp string) {
	c.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		c.Skipf("%s is not here (Debian: %s): %s was not run", program, program, file)
	}
	websocket, tcp = nanotest.FreeAddr(c.T), nanotest.FreeAddr(c.T)
	replace := append([]string{"listen 8080;", "listen " + websocket + ";", "listen 8081;", "listen " + tcp + ";", "bind :8080", "bind " + websocket, "bind :8081", "bind " + tcp, "maxconn 200000", "maxconn 1000"}, more...)
	for i, g := range c.gates {
		name := fmt.Sprintf("gate-%d:", i+1)
		replace = append(replace, name+"3261", g.websocket, name+"3262", g.tcp)
	}
	dir := c.TempDir()
	conf := filepath.Join(dir, file)
	if err := os.WriteFile(conf, []byte(strings.NewReplacer(replace...).Replace(read(c.T, file))), 0o600); err != nil {
		c.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, command(conf)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if c.Failed() {
			c.Logf("%s: %s", program, out.String())
		}
	})
	for _, addr := range []string{websocket, tcp} {
		nanotest.Until(c.T, program+" listens", func() bool {
			nc, err := net.Dial("tcp", addr)
			if err == nil {
				_ = nc.Close()
			}
			return err == nil
		})
	}
	return websocket, tcp
}

// enter has a new client enter the room, and says something in it.
func (c *cluster) enter(url string, opts ...client.Option) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
	defer cancel()
	cl, err := client.Dial(ctx, url, opts...)
	if err != nil {
		return nil, err
	}
	c.Cleanup(func() { _ = cl.Close() })
	if _, err := client.Call[Entered](ctx, cl, "Room.Enter", struct{}{}); err != nil {
		return nil, err
	}
	_, err = client.Call[Said](ctx, cl, "Room.Say", Said{"hello"})
	return cl, err
}

// Through the proxy, clients of both kinds reach the room; while a gate drains, or after its end,
// new ones reach the other.
func (c *cluster) serves(websocket, tcp string, asked bool) {
	c.Helper()
	urls := []string{"ws://" + websocket + "/nano", "tcp://" + tcp}
	for _, url := range urls {
		if _, err := c.enter(url); err != nil {
			c.Fatalf("%s: %v", url, err)
		}
	}
	for _, g := range c.gates[:1] {
		if asked { // one who does not go elsewhere, so that the drain is not over before it is seen
			if _, err := c.enter("ws://"+g.websocket+"/nano", client.WithoutResume()); err != nil {
				c.Fatal(err)
			}
		}
		if err := g.process.Process.Signal(syscall.SIGTERM); err != nil {
			c.Fatal(err)
		}
		if asked { // the proxy learns that it drains; else it notices that nobody listens any more
			c.ready(g, http.StatusServiceUnavailable)
		}
	}
	for _, url := range urls {
		nanotest.Until(c.T, url+" is served by the gate that stays", func() bool {
			_, err := c.enter(url)
			return err == nil
		})
	}
}

func TestBehindHAProxy(t *testing.T) {
	c := newCluster(t, "60s")
	// Here both gates are on one machine, so each is asked at a port of its own.
	var more []string
	for i, g := range c.gates {
		_, port, _ := net.SplitHostPort(g.health)
		more = append(more, fmt.Sprintf("gate-%d:3261\n", i+1), fmt.Sprintf("%s check port %s\n", g.websocket, port),
			fmt.Sprintf("gate-%d:3262 ", i+1), fmt.Sprintf("%s check port %s ", g.tcp, port))
	}
	websocket, tcp := c.proxy("haproxy.cfg", "haproxy", func(path string) []string { return []string{"-db", "-f", path} }, more...)
	c.serves(websocket, tcp, true)
}

// nginx asks no gate whether it drains. It notices when the drain is over and the gate has ended.
func TestBehindNginx(t *testing.T) {
	c := newCluster(t, "2s")
	websocket, tcp := c.proxy("nginx.conf", "nginx", func(path string) []string {
		return []string{"-c", path, "-e", "stderr", "-g", "daemon off; pid " + path + ".pid;"}
	}, "worker_rlimit_nofile 1048576;", "", "worker_connections 500000;", "worker_connections 500;")
	c.serves(websocket, tcp, false)
}
