//go:build unix

package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/internal/nanotest"
)

// Behind nginx, people sign in and talk over both gates, and a gate that dies costs no more than a
// reconnection.
func TestBehindNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed (Debian: nginx)")
	}
	conf, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	m := startProcesses(t, "--data", t.TempDir())
	// The very configuration, but on free ports and not as a service.
	front := nanotest.FreeAddr(t)
	_, port, err := net.SplitHostPort(front)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	text := strings.NewReplacer("listen 8080;", "listen 127.0.0.1:"+port+";",
		"server 127.0.0.1:3250", "server "+strings.TrimPrefix(m.urls[0], "http://"), "server 127.0.0.1:3251", "server "+strings.TrimPrefix(m.urls[1], "http://")).Replace(string(conf))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
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
	until(t, "nginx does not answer", func() bool { return status("http://"+front+"/readyz") == http.StatusOK })
	w := &world{t: t, addr: front}
	people := make([]*person, 4)
	for i, name := range []string{"Ann", "Bob", "Eve", "Joe"} {
		people[i] = w.enter(name, "web")
	}
	people[0].say(channels.GlobalID, "hello")
	for _, p := range people {
		p.heard("it", func(m store.Message) bool { return m.Text == "hello" })
	}
	var reply pushReply
	if status := w.post("/api/v1/push", object{"to": object{"all": true}, "route": "onNotice"}, &reply, key...); status != http.StatusOK || reply.Reached != 4 {
		t.Errorf("push: %d %+v", status, reply)
	}
	m.gates[0].kill()
	late := w.enter("Late", "web")
	late.say(channels.GlobalID, "still here")
}
