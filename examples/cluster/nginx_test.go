//go:build unix

package main

import (
	"bytes"
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

	"github.com/lonng/nano/internal/nanotest"
)

// docs is the document that shows nginx.conf.
const docs = "../../docs/cluster.md"

// What people copy from the document must be what was run.
func TestTheDocumentShowsTheConfiguration(t *testing.T) {
	conf, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(doc, append([]byte("```nginx\n"), append(conf, "```"...)...)) {
		t.Errorf("%s does not hold nginx.conf as it is", docs)
	}
}

// behind is a world whose clients come through nginx.
type behind struct {
	*world
	t        *testing.T
	web, tcp string // where nginx listens
}

// startNginx starts nginx before two gates and a backend.
func startNginx(t *testing.T) *behind {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed (Debian: nginx and libnginx-mod-stream)")
	}
	b := &behind{newWorld(t, 1, 0), t, freePort(t), freePort(t)}
	conf, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	// The very configuration, but on free ports and not as a service.
	ports := []string{"listen 8080;", "listen " + b.web + ";", "listen 8081;", "listen " + b.tcp + ";"}
	for i := range 2 {
		g := b.gate(fmt.Sprint("gate ", i+1), "--clients-proxies", "127.0.0.1", "--clients-proxy-headers")
		pages := g.args[4]
		ports = append(ports, fmt.Sprint("127.0.0.1:333", i), pages, fmt.Sprint("127.0.0.1:334", i), g.tcp)
		b.gates = append(b.gates, b.start(g))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(ports...).Replace(string(conf))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-c", file, "-e", "stderr", "-g", "daemon off; pid "+filepath.Join(dir, "pid")+";")
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", out.String())
		}
	})
	until(t, 10*time.Second, "nginx does not listen", func() bool {
		nc, err := net.Dial("tcp", b.tcp)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	b.agree(patience)
	return b
}

// ours is a client's address: who connects from it is told from nginx, which connects from
// 127.0.0.1.
const ours = "127.0.0.9"

// throughNginx is how long an answer may take, of processes that have just started.
const throughNginx = 10 * time.Second

// page connects as a page does.
func (b *behind) page() (*client, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ours)}}
	nc, err := d.Dial("tcp", b.web)
	if err != nil {
		return nil, err
	}
	n, err := nanotest.Upgrade(b.t, nc, "/nano", http.Header{"Host": {b.web}, "Origin": {"http://" + b.web}})
	if err != nil {
		return nil, err
	}
	return shake(n)
}

func (b *behind) plain() (*client, error) { return dialFrom(ours, b.tcp, b.t) }

// Behind nginx, the handlers on the backend must see the address of the client, not nginx's, and a
// gate that dies must cost its clients no more than a reconnection.
func TestBehindNginx(t *testing.T) {
	b := startNginx(t)
	for _, c := range []struct {
		name    string
		connect func() (*client, error)
	}{{"WebSocket", b.page}, {"TCP with a PROXY header", b.plain}} {
		t.Run(c.name, func(t *testing.T) { testOwnAddress(t, c.name, c.connect) })
	}

	resp, err := http.Get("http://" + b.web + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the page: %s", resp.Status)
	}

	// With one gate dead, new clients do not notice.
	b.kill(b.gates[0])
	for i := range 6 {
		for _, connect := range []func() (*client, error){b.page, b.plain} {
			c, err := connect()
			if err != nil {
				t.Fatalf("with a dead gate: %v", err)
			}
			c.name, c.room = fmt.Sprint("late ", i), "late"
			if err := c.join(throughNginx); err != nil {
				t.Errorf("with a dead gate: %v", err)
			}
		}
	}
}

// testOwnAddress has six clients talk in a room, whom the backend sees as they are.
func testOwnAddress(t *testing.T, room string, connect func() (*client, error)) {
	var all []*client
	seen := make(map[string]int) // gates
	for i := range 6 {
		client, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		client.name, client.room = fmt.Sprint("c", i), room
		var entered EnterReply
		if err := client.call("gate.enter", EnterRequest{}, &entered, throughNginx); err != nil {
			t.Fatal(err)
		}
		seen[entered.Gate]++
		var joined JoinReply
		if err := client.call("chat.join", JoinRequest{Room: client.room, Name: client.name}, &joined, throughNginx); err != nil {
			t.Fatal(err)
		}
		if host, _, _ := net.SplitHostPort(joined.You); host != ours {
			t.Errorf("the backend sees the client as %s, want %s", joined.You, ours)
		}
		all = append(all, client)
	}
	if len(seen) != 2 {
		t.Errorf("all clients are at one gate: %v", seen)
	}
	if err := all[0].call("chat.say", SayRequest{Text: "hello"}, &SayReply{}, throughNginx); err != nil {
		t.Fatal(err)
	}
	for _, client := range all {
		until(t, throughNginx, client.name+" has not heard it", func() bool {
			client.mu.Lock()
			defer client.mu.Unlock()
			return len(client.heard) == 1
		})
	}
}
