//go:build unix

package main

import (
	"io"
	"strings"
	"testing"

	setting "github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/contrib/etcd/etcdtest"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/internal/nanotest"
)

// With etcd there is no master: the gates and nodes of a demo find each other by etcd, which wants
// their certificates, and go on while it is away.
func TestTheListIsKeptByEtcd(t *testing.T) {
	certs := nanotest.NewTLS(t)
	cluster := etcdtest.Start(t, 1, &etcdtest.TLS{Cert: certs.CertFile, Key: certs.KeyFile, CA: certs.CertFile})
	gates, _ := startDemo(t, &demoSettings{Data: t.TempDir(), Etcd: setting.Etcd{
		Endpoints: []string{"https://" + cluster.Endpoints()[0]}, Prefix: "test/",
		TLS: setting.Certificate{Cert: certs.CertFile, Key: certs.KeyFile, CA: certs.CertFile},
	}})
	ann, bob := gates[0].enter("Ann", "web"), gates[1].enter("Bob", "web")
	ann.say(channels.GlobalID, "found each other")
	bob.heard("it", func(m store.Message) bool { return m.Text == "found each other" })
	cluster.Kill(0)
	bob.say(channels.GlobalID, "without etcd")
	ann.heard("it", func(m store.Message) bool { return m.Text == "without etcd" })

	err := program(io.Discard, nil).Run([]string{"im", "gate", "--listen", "127.0.0.1:0", "--addr", "127.0.0.1:0", "--token", "t", "--etcd-endpoints", "https://here"})
	if err == nil || !strings.Contains(err.Error(), "https://here is https") {
		t.Errorf("etcd by TLS without its settings: %v", err)
	}
}
