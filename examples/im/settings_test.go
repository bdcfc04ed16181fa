package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whoever runs a messenger sets the same by flags, the environment and a file, gets all mistakes at
// once, and finds no secret in the log.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "im.yaml")
	text := "listen: 127.0.0.1:7\nkeep-for: 24h\nwrite-delay: 5ms\noidc-secret: hush four\netcd: {endpoints: ['a:1', 'b:1'], username: im, password: hush five}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IM_CONFIG", file)
	t.Setenv("IM_API_KEY", "hush one,hush two")
	t.Setenv("IM_DATABASE", "postgres://im:hush@db/im")
	t.Setenv("IM_TOKEN", "hush three")
	t.Setenv("IM_KEEP_FOR", "48h")
	t.Setenv("IM_KEEP_LAST", "") // as files of deployments pass it on
	conf, report, err := read(roleLogic, []string{"--keep-for", "72h", "--names=false"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(conf.apiKeys, []string{"hush one", "hush two"}) || conf.database != "postgres://im:hush@db/im" || conf.token != "hush three" ||
		conf.retention.Age != 72*time.Hour || conf.retention.Count != 0 || conf.listen != "127.0.0.1:7" || conf.names || conf.master != "" ||
		conf.writeDelay != 5*time.Millisecond || len(conf.etcd.Endpoints) != 2 || conf.etcd.Prefix != "im/" || conf.oidcSecret != "hush four" {
		t.Errorf("%+v", conf)
	}
	printed := fmt.Sprint(strings.Join(report.Lines(), "\n"), report.LogValue())
	if strings.Contains(printed, "hush") || !strings.Contains(printed, "72h") {
		t.Errorf("it is printed: %s", printed)
	}

	for _, name := range []string{"IM_CONFIG", "IM_API_KEY", "IM_DATABASE", "IM_TOKEN", "IM_KEEP_FOR"} {
		t.Setenv(name, "")
	}
	for _, c := range []struct {
		role string
		args []string
		want []string
	}{
		{roleGate, []string{
			"--addr", "", "--listen", ":1", "--heartbeat", "0s", "--drain", "0s", "--write-delay", "2s", "--live-tick", "1ms", "--keep-last", "-1",
			"--console-token", "short", "--etcd-endpoints", "a:1", "--master", "b:1",
		}, []string{"addr: ", "other machines can reach :1", "heartbeat: ", "drain: ", "write-delay: ", "live-tick: ", "keep-last", "console-token: ", "both are set", "token: with etcd"}},
		{roleLogic, []string{"--token", "t", "--etcd-endpoints", "a:1", "--etcd-tls-cert", "c"}, []string{"etcd.tls: "}},
		{roleLogic, []string{"--token", "t", "--etcd-endpoints", "a:1", "--etcd-ttl", "16s"}, []string{"etcd.ttl: "}},
		{roleMaster, []string{"--token", "t", "--etcd-endpoints", "a:1"}, []string{"there is no master"}},
		{roleAll, []string{"--keep-for", "5", "--live-rate", "many"}, []string{"keep-for (", "live-rate ("}},
		{roleAll, []string{"--lissten", "x"}, []string{"lissten"}},
	} {
		_, _, err := read(c.role, c.args)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %v: the error lacks %q:\n%v", c.role, c.args, want, err)
			}
		}
	}
	if conf, _, err := read(roleGate, nil); err != nil || conf.master != masterAddress || !conf.names {
		t.Errorf("by default: %+v, %v", conf, err)
	}
	for given, want := range map[string]string{"im": "im all", "im --addr x": "im all --addr x", "im gate -x": "im gate -x", "im --help": "im --help"} {
		if got := strings.Join(withCommand(strings.Fields(given)), " "); got != want {
			t.Errorf("%s is %s, want %s", given, got, want)
		}
	}
}
