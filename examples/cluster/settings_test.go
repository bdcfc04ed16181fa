package main

import (
	"strings"
	"testing"

	"github.com/lonng/nano/contrib/config"
)

// Whoever starts a node gets all mistakes at once, and finds no secret in the log.
func TestSettings(t *testing.T) {
	read := func(role string, env map[string]string, args ...string) (*settings, *config.Report, error) {
		s := defaults(role)
		report, err := config.Parse(s, config.Source{Name: "cluster", Args: args, Lookup: func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		}})
		return s, report, err
	}
	const token = "a token that nobody knows"
	env := map[string]string{"CLUSTER_TOKEN": token}
	for role, want := range map[string]struct {
		keeps  bool
		master string
	}{"master": {true, ""}, "chat": {false, masterAddress}, "gate": {false, masterAddress}} {
		s, report, err := read(role, env)
		if err != nil || s.Keeps != want.keeps || s.Master != want.master || string(s.Token) != token {
			t.Errorf("%s: keeps the list: %t, master %q: %v", role, s.Keeps, s.Master, err)
		}
		if printed := strings.Join(report.Lines(), "\n"); strings.Contains(printed, token) {
			t.Errorf("%s prints %s", role, printed)
		}
		s, _, err = read(role, env, "--etcd-endpoints", "a:1,b:1")
		if err != nil || s.Keeps || s.Master != "" {
			t.Errorf("%s with etcd: keeps the list: %t, master %q: %v", role, s.Keeps, s.Master, err)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{
			[]string{"--keeps-list", "--clients-websocket", "", "--console-token", "short", "--drain", "0s", "--heartbeat", "0s", "--address", "x"},
			[]string{"keeps-list: ", "clients.websocket: ", "console-token: ", "drain: ", "heartbeat: ", "address: ", "token: "},
		},
		{[]string{"--token", token, "--master", "m:1", "--etcd-endpoints", "a:1"}, []string{"2 of them are set"}},
	} {
		_, _, err := read("gate", nil, c.args...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: the error lacks %q:\n%v", c.args, want, err)
			}
		}
	}
	for _, args := range [][]string{nil, {"gates"}} {
		if err := run(t.Context(), args); err == nil || !strings.HasPrefix(err.Error(), "usage:") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// The settings of a demo are those of its nodes, and nothing that was set for it alone.
func TestSettingsOfADemo(t *testing.T) {
	t.Setenv("CLUSTER_CONFIG", "/demo.yaml")
	t.Setenv("CLUSTER_MASTER", "m:1")
	s := &demoSettings{Token: "a token of the demo", Etcd: config.Etcd{Endpoints: []string{"a:1", "b:1"}, TLS: config.Certificate{CA: "ca.pem"}}}
	env := s.environment()
	found := make(map[string]string)
	for _, v := range env {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "CLUSTER_") {
			found[name] = value
		}
	}
	if found["CLUSTER_TOKEN"] != "a token of the demo" || found["CLUSTER_ETCD_ENDPOINTS"] != "a:1,b:1" || found["CLUSTER_ETCD_TLS_CA"] != "ca.pem" {
		t.Errorf("the nodes get %v", found)
	}
	for _, name := range []string{"CLUSTER_CONFIG", "CLUSTER_MASTER"} {
		if value, ok := found[name]; ok {
			t.Errorf("the nodes get %s=%s", name, value)
		}
	}
}
