package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
)

// game is a program's settings.
type game struct {
	Node
	Rooms int      `koanf:"rooms" usage:"how many rooms there are"`
	Speed float64  `koanf:"speed" usage:"of the game"`
	Debug bool     `koanf:"debug" usage:"say more"`
	Keys  []Secret `koanf:"keys" usage:"of those who may ask"`
}

// parse parses the settings of a program called game.
func parse(t *testing.T, yaml string, env map[string]string, args ...string) (*game, *Report, error) {
	t.Helper()
	if yaml != "" {
		args = append([]string{"--config", write(t, yaml)}, args...)
	}
	g := &game{Node: Defaults(), Rooms: 10}
	r, err := Parse(g, Source{Name: "game", Args: args, Help: new(bytes.Buffer), Lookup: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return g, r, err
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A setting has one name in the file, the environment and the command line, and the later wins.
func TestLaterSourcesWin(t *testing.T) {
	const file = "rooms: 1\nspeed: 1.5\nname: from the file\nheartbeat: 1s\netcd: {endpoints: [a:1, b:1], ttl: 3s}\ntoken: 0123456789abcdef\ndebug: true\n"
	env := map[string]string{"GAME_ROOMS": "2", "GAME_NAME": "from the environment", "GAME_CLIENTS_PROXIES": "10.0.0.0/8, ::1", "GAME_UNRELATED": "x"}
	g, r, err := parse(t, file, env, "--rooms", "3", "--clients-rate=2.5", "--debug=false")
	if err != nil {
		t.Fatal(err)
	}
	want := game{Node: Defaults(), Rooms: 3, Speed: 1.5}
	want.Name, want.Heartbeat, want.Token = "from the environment", time.Second, "0123456789abcdef"
	want.Etcd.Endpoints, want.Etcd.TTL = []string{"a:1", "b:1"}, 3*time.Second
	want.Clients.Proxies, want.Clients.Rate = []string{"10.0.0.0/8", "::1"}, 2.5
	if got, want := fmt.Sprintf("%+v", *g), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if string(g.Token) != "0123456789abcdef" {
		t.Error("the token is another")
	}
	lines := strings.Join(r.Lines(), "\n")
	for _, want := range []string{`rooms  `, `"3"  (--rooms)`, `(GAME_NAME)`, `"10.0.0.0/8,::1"`, `(default)`, `"(secret)"`} {
		if !strings.Contains(lines, want) {
			t.Errorf("the report lacks %s:\n%s", want, lines)
		}
	}
}

// The token of a game in a log or a bug report would let strangers in.
func TestSecretsAreNotPrinted(t *testing.T) {
	const token = "a secret of 22 letters"
	g, r, err := parse(t, "", map[string]string{"GAME_TOKEN_FILE": write(t, token+"\n"), "GAME_ETCD_USERNAME": "u"},
		"--master", "10.0.0.1:3250", "--etcd-password-file", write(t, token))
	if err != nil || string(g.Token) != token || string(g.Etcd.Password) != token {
		t.Fatalf("%q, %v", string(g.Token), err)
	}
	var all bytes.Buffer
	slog.New(slog.NewTextHandler(&all, nil)).Info("x", "a", g, "b", r, "c", g.Token, "d", g.Etcd)
	slog.New(slog.NewJSONHandler(&all, nil)).Info("x", "a", g, "b", r, "c", g.Token, "d", g.Etcd)
	fmt.Fprintf(&all, "%v %+v %#v %s %q\n%s", g, g, g, g.Token, g.Token, strings.Join(r.Lines(), "\n"))
	if err := json.NewEncoder(&all).Encode(g); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(all.String(), token) {
		t.Errorf("the secret was printed:\n%s", all.String())
	}
	g, r, err = parse(t, "", map[string]string{"GAME_KEYS": "one key, another key"})
	if err != nil || len(g.Keys) != 2 || string(g.Keys[1]) != "another key" {
		t.Errorf("a list of secrets: %d, %v", len(g.Keys), err)
	}
	if text := fmt.Sprintf("%+v %v %q", g, r.LogValue(), r.Lines()); strings.Contains(text, "one key") || !strings.Contains(text, hidden) {
		t.Errorf("a secret of a list was printed: %s", text)
	}
	if r.From("keys") != "GAME_KEYS" || r.From("rooms") != "" {
		t.Errorf("the keys are from %q, the rooms from %q", r.From("keys"), r.From("rooms"))
	}
	for what, parsed := range map[string]func() error{
		"a secret that is a list": func() error {
			_, _, err := parse(t, "token: [a secret of 22 letters, another]", nil)
			return err
		},
		"a secret as a stray argument": func() error { _, _, err := parse(t, "", nil, "--debug", token); return err },
		"a secret in two ways": func() error {
			_, _, err := parse(t, "", nil, "--token-file", write(t, token), "--token", token)
			return err
		},
	} {
		if err := parsed(); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// No secret is lost without a word: one that is given by itself and in a file is a mistake, and a
// list has those of both.
func TestSecretsInTwoWays(t *testing.T) {
	one, more := write(t, "a secret of 22 letters"), write(t, "c, d")
	for what, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"--token and --token-file are both set":       {args: []string{"--token", "another secret of 22", "--token-file", one}},
		"--token-file and --token are both set":       {args: []string{"--token-file", one, "--token", "another secret of 22"}},
		"GAME_TOKEN and GAME_TOKEN_FILE are both set": {env: map[string]string{"GAME_TOKEN": "another secret of 22", "GAME_TOKEN_FILE": one}},
		"/nowhere":     {args: []string{"--token-file", "/nowhere", "--etcd-password-file", "/nowhere too"}},
		"/nowhere too": {args: []string{"--token-file", "/nowhere", "--etcd-password-file", "/nowhere too"}},
	} {
		if _, _, err := parse(t, "", c.env, c.args...); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %s", err, what)
		}
	}
	const want = "[a b c d c d]"
	g, r, err := parse(t, "", nil, "--keys", "a,b", "--keys-file", more, "--keys-file", more)
	if err != nil || len(g.Keys) != 6 || r.From("keys") != "--keys, --keys-file" {
		t.Errorf("%d keys from %s, want %s: %v", len(g.Keys), r.From("keys"), want, err)
	}
	var texts []string
	for _, k := range g.Keys {
		texts = append(texts, string(k))
	}
	if got := fmt.Sprint(texts); got != want {
		t.Errorf("the keys are %s, want %s", got, want)
	}
	g, r, err = parse(t, "", map[string]string{"GAME_KEYS": "a", "GAME_KEYS_FILE": more})
	if err != nil || len(g.Keys) != 3 || r.From("keys") != "GAME_KEYS, GAME_KEYS_FILE" {
		t.Errorf("%d keys from %s: %v", len(g.Keys), r.From("keys"), err)
	}
}

// Whoever deploys a node gets all mistakes at once, with where each is.
func TestAllMistakesAtOnce(t *testing.T) {
	_, _, err := parse(t, "roms: 1\nheartbeat: soon\netcd: {endpoint: a:1}\n", map[string]string{"GAME_ROOMS": "many", "GAME_TOKEN_FILE": "/nowhere"}, "--debug=perhaps")
	for _, want := range []string{
		`no setting "roms"`, `no setting "etcd.endpoint"`, `heartbeat (`, `"soon" is not a time such as 1m30s`, `rooms (GAME_ROOMS): "many" is not a whole number`,
		`debug (--debug): "perhaps" is not true or false`, "/nowhere",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
	_, _, err = parse(t, "", map[string]string{"GAME_ETCD_ENDPOINTS": "a:1"}, "--address", ":3250", "--listen", "x", "--master", "m:1", "--token", "short",
		"--heartbeat", "0s", "--log", "loud", "--clients-max", "-1", "--tls-cert", "c", "--etcd-username", "u", "--etcd-tls-ca", "/nowhere")
	for _, want := range []string{
		"address: ", "listen: ", "2 of them are set", "fewer than 16", "heartbeat: ", "log: ", "below 0", "tls: cert and key", "etcd.username and", "etcd.tls: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--nothing"}, "nothing"}, {[]string{"--rooms", "1", "word"}, "argument 3 is no flag"}, {[]string{"--config", "/nowhere"}, "/nowhere"},
		{[]string{"--master", "m:1"}, "needs a token"}, {[]string{"--rooms", "1.5"}, "rooms"},
	} {
		if _, _, err := parse(t, "", nil, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
	if _, _, err := parse(t, "rooms: [", nil); err == nil || !strings.Contains(err.Error(), "read ") {
		t.Errorf("no YAML: %v", err)
	}
}

// A number in a file means what it means elsewhere: it is not a time of nanoseconds, it is not cut
// to a whole one, and a token of digits does not become another, in a list neither.
func TestNumbersInAFile(t *testing.T) {
	g, _, err := parse(t, "rooms: 7\nspeed: 2\nclients: {rate: 1e3}\ndebug: true\nname:\netcd: {ttl: 3s, endpoints: ['1', b]}\ntoken: '0123456789012345'\n", nil)
	if err != nil || g.Rooms != 7 || g.Speed != 2 || g.Clients.Rate != 1000 || !g.Debug || g.Name != "" || g.Token != "0123456789012345" ||
		strings.Join(g.Etcd.Endpoints, " ") != "1 b" {
		t.Errorf("%+v: %v", g, err)
	}
	_, _, err = parse(t, "heartbeat: 5\nrooms: 1.5\nspeed: {a: 1}\ndebug: 2\nname: 7\ntoken: 12345678901234567890\n"+
		"etcd: {endpoints: [a, 0x10]}\nclients: {proxies: 0123}\nkeys: [12345678901234567890]\n", nil)
	for _, want := range []string{
		`"5" is not a time such as 1m30s`, `"1.5" is not a whole number`, `no setting "speed.a"`, `"2" is not true or false`, `"7" is not a text`,
		"the secret is not a text (in YAML, put it in quotes)",
		"etcd.endpoints (", "clients.proxies (", "the secret is not a list of texts (in YAML, put them in quotes)",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "123456") {
		t.Errorf("the error tells the secret: %v", err)
	}
}

// What is empty is not 0: in the environment it counts as not set, elsewhere it is a mistake.
func TestEmptyValues(t *testing.T) {
	env := map[string]string{
		"GAME_CONFIG": "", "GAME_ROOMS": "", "GAME_SPEED": "", "GAME_DEBUG": "", "GAME_HEARTBEAT": "", "GAME_NAME": "", "GAME_TOKEN": "", "GAME_TOKEN_FILE": "",
		"GAME_ETCD_PREFIX": "", "GAME_CLIENTS_PROXIES": "",
	}
	g, r, err := parse(t, "", env)
	if want := (game{Node: Defaults(), Rooms: 10}); err != nil || fmt.Sprintf("%+v", *g) != fmt.Sprintf("%+v", want) {
		t.Errorf("empty variables: %+v, %v", *g, err)
	}
	if lines := strings.Join(r.Lines(), "\n"); strings.Contains(lines, "GAME_") {
		t.Errorf("the report names variables that are not set:\n%s", lines)
	}
	empty := write(t, "\n")
	for what, parsed := range map[string]func() error{
		"flags": func() error {
			_, _, err := parse(t, "", nil, "--rooms=", "--speed", "", "--debug=", "--heartbeat", "", "--token-file", empty)
			return err
		},
		"the file": func() error {
			_, _, err := parse(t, "rooms: ''\nspeed: \"\"\ndebug: ''\nheartbeat: ''\n", map[string]string{"GAME_TOKEN_FILE": empty})
			return err
		},
	} {
		err := parsed()
		for _, want := range []string{"rooms (", "speed (", "debug (", "heartbeat (", empty + " is empty"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error lacks %s:\n%v", what, want, err)
			}
		}
	}
	g, _, err = parse(t, "name: n\nclients: {proxies: [a]}\n", nil, "--name", "", "--clients-proxies=")
	if err != nil || g.Name != "" || len(g.Clients.Proxies) != 0 {
		t.Errorf("a text and a list may be empty: %+v, %v", *g, err)
	}
}

// A list may be one flag, or several.
func TestRepeatedFlags(t *testing.T) {
	g, r, err := parse(t, "clients: {proxies: [a]}", nil, "--clients-proxies", "b,c", "--rooms", "1", "--clients-proxies", "d", "--rooms", "2")
	if err != nil || strings.Join(g.Clients.Proxies, " ") != "b c d" || g.Rooms != 2 {
		t.Errorf("%q, %d: %v", g.Clients.Proxies, g.Rooms, err)
	}
	if lines := strings.Join(r.Lines(), "\n"); !strings.Contains(lines, `"b,c,d"  (--clients-proxies)`) {
		t.Errorf("the report:\n%s", lines)
	}
}

// --help names each setting with its flag, its variable and its default, and no secret.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	_, err := Parse(&game{Node: Defaults()}, Source{Name: "my-game", Args: []string{"-h"}, Help: &out})
	if !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range []string{"--etcd-tls-ca (MY_GAME_ETCD_TLS_CA, etcd.tls.ca)", "how many rooms there are", "(default 5s)", "MY_GAME_CONFIG"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, out.String())
		}
	}
}

// The options of the settings make a node that starts.
func TestOptionsStartANode(t *testing.T) {
	g, _, err := parse(t, "", nil, "--address", "127.0.0.1:0", "--keeps-list", "--token", "0123456789abcdef", "--clients-tcp", "127.0.0.1:0",
		"--clients-websocket", "127.0.0.1:0", "--clients-max", "10", "--clients-per-address", "5", "--clients-rate", "10", "--clients-resume", "5s",
		"--clients-proxies", "10.0.0.0/8", "--clients-proxy-headers", "--log", "error", "--name", "n")
	if err != nil {
		t.Fatal(err)
	}
	options, err := g.Options()
	if err != nil {
		t.Fatal(err)
	}
	app := nano.New(g.Address, options...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := app.Addrs(); len(got) != 2 {
		t.Errorf("it listens at %v", got)
	}
	if err := app.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.ContainsFunc([]string{g.String()}, func(s string) bool { return s == "127.0.0.1:0 n" }) {
		t.Errorf("it is %s", g)
	}
}
