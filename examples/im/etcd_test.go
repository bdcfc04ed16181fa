//go:build unix

package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lonng/nano/contrib/etcd/etcdtest"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/store"
)

// With etcd there is no master: gates and nodes that run channels find each other by etcd, and go
// on while it is away.
func TestTheListIsKeptByEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, 1, nil)
	common := []string{"--token", "a token of the tests", "--heartbeat", "1s", "--api-key", "secret", "--etcd", strings.Join(cluster.Endpoints(), ","), "--etcd-prefix", "test/"}
	data := t.TempDir()
	for range 2 {
		startProcess(t, append([]string{"logic", "--listen", freeAddress(t), "--data", data}, common...)...)
	}
	var gates []*world
	for range 2 {
		addr := freeAddress(t)
		startProcess(t, append([]string{"gate", "--listen", freeAddress(t), "--addr", addr}, common...)...)
		gates = append(gates, &world{t: t, addr: addr})
	}
	for _, w := range gates {
		until(t, "a gate is not ready", func() bool { return status("http://"+w.addr+"/readyz") == http.StatusOK })
	}
	ann, bob := gates[0].enter("Ann", "web"), gates[1].enter("Bob", "web")
	ann.say(channels.GlobalID, "found each other")
	bob.heard("it", func(m store.Message) bool { return m.Text == "found each other" })
	cluster.Kill(0)
	bob.say(channels.GlobalID, "without etcd")
	ann.heard("it", func(m store.Message) bool { return m.Text == "without etcd" })

	err := program(io.Discard, nil).Run(append([]string{"im", "gate", "--listen", "127.0.0.1:0", "--addr", "127.0.0.1:0", "--etcd", "https://here"}, "--token", "t"))
	if err == nil || !strings.Contains(err.Error(), "https://here is https") {
		t.Errorf("etcd by TLS without its settings: %v", err)
	}
}
