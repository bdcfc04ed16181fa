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

// Behind nginx, the handlers on the backend must see the address of the client, not nginx's, and a
// gate that dies must cost its clients no more than a reconnection.
func TestBehindNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed (Debian: nginx and libnginx-mod-stream)")
	}
	w := newWorld(t, 1, 0)
	conf, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	// The very configuration, but on free ports and not as a service.
	web, tcp := freePort(t), freePort(t)
	ports := []string{"listen 8080;", "listen " + web + ";", "listen 8081;", "listen " + tcp + ";"}
	for i := range 2 {
		g := w.gate(fmt.Sprint("gate ", i+1), "--clients-proxies", "127.0.0.1", "--clients-proxy-headers")
		pages := g.args[4]
		ports = append(ports, fmt.Sprint("127.0.0.1:333", i), pages, fmt.Sprint("127.0.0.1:334", i), g.tcp)
		w.gates = append(w.gates, w.start(g))
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
		nc, err := net.Dial("tcp", tcp)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	w.agree(patience)

	const ours = "127.0.0.9" // who connects from it is told from nginx, which connects from 127.0.0.1
	page := func() (*client, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ours)}}
		nc, err := d.Dial("tcp", web)
		if err != nil {
			return nil, err
		}
		n, err := nanotest.Upgrade(t, nc, "/nano", http.Header{"Host": {web}, "Origin": {"http://" + web}})
		if err != nil {
			return nil, err
		}
		return shake(n)
	}
	plain := func() (*client, error) { return dialFrom(ours, tcp, t) }
	for _, c := range []struct {
		name    string
		connect func() (*client, error)
	}{{"WebSocket", page}, {"TCP with a PROXY header", plain}} {
		t.Run(c.name, func(t *testing.T) {
			var all []*client
			seen := make(map[string]int) // gates
			for i := range 6 {
				client, err := c.connect()
				if err != nil {
					t.Fatal(err)
				}
				client.name, client.room = fmt.Sprint("c", i), c.name
				var entered EnterReply
				if err := client.call("gate.enter", EnterRequest{}, &entered, time.Second); err != nil {
					t.Fatal(err)
				}
				seen[entered.Gate]++
				var joined JoinReply
				if err := client.call("chat.join", JoinRequest{Room: client.room, Name: client.name}, &joined, time.Second); err != nil {
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
			if err := all[0].call("chat.say", SayRequest{Text: "hello"}, &SayReply{}, time.Second); err != nil {
				t.Fatal(err)
			}
			for _, client := range all {
				until(t, 2*time.Second, client.name+" has not heard it", func() bool {
					client.mu.Lock()
					defer client.mu.Unlock()
					return len(client.heard) == 1
				})
			}
		})
	}

	resp, err := http.Get("http://" + web + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the page: %s", resp.Status)
	}

	// With one gate dead, new clients do not notice.
	w.kill(w.gates[0])
	for i := range 6 {
		for _, connect := range []func() (*client, error){page, plain} {
			c, err := connect()
			if err != nil {
				t.Fatalf("with a dead gate: %v", err)
			}
			c.name, c.room = fmt.Sprint("late ", i), "late"
			if err := c.join(2 * time.Second); err != nil {
				t.Errorf("with a dead gate: %v", err)
			}
		}
	}
}
