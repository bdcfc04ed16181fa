package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/nano-cli/internal/nodetest"
)

// What is typed in a shell, and what scripts see of it: output and exit status.
func TestCommands(t *testing.T) {
	app := nodetest.Start(t)
	url := "tcp://" + app.Addr().String()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	capture := file("capture.bin", "\x03\x00\x00\x00\x05\x00\x00\x02{}")
	echo := file("echo.yaml", "duration: 100ms\nsteps:\n - request: Room.Echo\n   payload: {text: hi}\n   rate: 100\n")
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer x" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		nano.DescribeHandler(app).ServeHTTP(w, r)
	}))
	defer at.Close()
	d, err := app.Describe()
	if err != nil {
		t.Fatal(err)
	}
	described := file("described.json", text(t, d))
	broken := file("broken.yaml", "duration: long\n")
	for _, c := range []struct {
		name   string
		args   []string
		in     string
		status int
		out    string // in standard output
		errs   string // in standard error
	}{
		{"help", nil, "", 0, "decode", ""},
		{"no such command", []string{"dance"}, "", 2, "", `no such command: "dance"`},
		{"no such flag", []string{"decode", "--dance"}, "", 2, "", "dance"},

		{"decode arguments", []string{"decode", "0300", "0000"}, "", 0, "type 3: heartbeat", ""},
		{"decode standard input", []string{"decode"}, "03 00 00 00\n", 0, "type 3: heartbeat", ""},
		{"decode a stream", []string{"decode", "-f", capture}, "", 0, "packet 2: kick", ""},
		{"decode a capture of tcpdump", []string{"decode", "-f", "internal/decode/testdata/session.pcap", "-p", "3251"}, "", 0, "server, packet 6: kick", ""},
		{"decode a capture without the port", []string{"decode", "-f", "internal/decode/testdata/session.pcap", "-p", "80"}, "", 1, "", "no TCP connection to port 80"},
		{"decode a capture as a message", []string{"decode", "-m", "-f", "internal/decode/testdata/session.pcap"}, "", 2, "", "not one message"},
		{"decode with a bad port", []string{"decode", "-p", "70000", "00"}, "", 2, "", "--port 70000"},
		{"decode a message", []string{"decode", "-m", "-d", "onSay=7", "07 0007 31"}, "", 0, `route, code 7: "onSay"`, ""},
		{"decode what is wrong", []string{"decode", "03000000 09"}, "", 1, "packet 1: heartbeat", "byte 4: no such packet type: 9"},
		{"decode no hex", []string{"decode", "03 0x"}, "", 2, "", "character 5"},
		{"decode nothing", []string{"decode"}, "", 1, "", "nothing to decode"},
		{"decode no file", []string{"decode", "-f", capture + "x"}, "", 2, "", "no such file"},
		{"decode file and hex", []string{"decode", "-f", capture, "00"}, "", 2, "", "only one"},
		{"decode with a bad dictionary", []string{"decode", "-d", "onSay", "00"}, "", 2, "", "route=code"},

		{"describe a file", []string{"describe", described}, "", 0, "Room.Echo   Text -> Text", ""},
		{"describe standard input", []string{"describe", "--json", "-"}, text(t, d), 0, `"$ref": "#/$defs/Text"`, ""},
		{"describe by HTTP", []string{"describe", "-H", "Authorization: Bearer x", at.URL}, "", 0, "push     onSay       Text", ""},
		{"describe without the token", []string{"describe", at.URL}, "", 1, "", "403 Forbidden"},
		{"describe nothing", []string{"describe"}, "", 2, "", "at least one SOURCE"},
		{"describe no file", []string{"describe", capture + "x"}, "", 2, "", "no such file"},
		{"describe what is none", []string{"describe", echo}, "", 1, "", "it is no description"},
		{"describe other JSON", []string{"describe", "-"}, "{}", 1, "", "no format"},
		{"gen ts", []string{"gen", "ts", "--name", "Chat", described}, "", 0, "export interface Chat {", ""},
		{"gen go", []string{"gen", "go", "--package", "chat", "-H", "Authorization: Bearer x", at.URL, described}, "", 0, "package chat", ""},
		{"gen go with a bad name", []string{"gen", "go", "--package", "a-b", described}, "", 1, "", `"a-b" cannot be`},
		{"gen with a bad flag", []string{"gen", "ts", "--dance", described}, "", 2, "", "dance"},

		{"connect", []string{"connect", "--on", "onSay", url}, "r Room.Join {}\nn Room.Say {\"text\":\"a, b\"}\nwait onSay\n", 0, `"text": "a, b"`, ""},
		{"connect with frames", []string{"connect", "--frames", "--user", `{"a":1}`, url}, "quit\n", 0, ">> handshake", ""},
		{"connect, a command fails", []string{"connect", url}, "r Room.Fail {}\n", 1, "permission_denied", "commands have failed: 1"},
		{"connect, the server ends it", []string{"connect", url}, "n Room.Leave {\"text\":\"enough\"}\nsleep 10s\nquit\n", 1, "disconnected", "kicked: enough"},
		{"connect to nobody", []string{"connect", "tcp://127.0.0.1:1"}, "", 1, "", "127.0.0.1:1"},
		{"connect nowhere", []string{"connect"}, "", 2, "", "one URL"},
		{"connect without a scheme", []string{"connect", "127.0.0.1:1"}, "", 2, "", "tcp://"},
		{"connect with a bad user", []string{"connect", "--user", "{", url}, "", 2, "", "--user"},
		{"connect with a bad header", []string{"connect", "-H", "x", url}, "", 2, "", "NAME:VALUE"},

		{"bots by flags", []string{"bots", "-c", "3", "-t", "100ms", "--rate", "100", "-r", `Room.Echo {"text":"a","more":1}`,
			"--max-p99", "1m", "--max-errors", "0", url}, "", 0, "3 of 3 connected", ""},
		{"bots by file", []string{"bots", "-s", echo, url}, "", 0, "Room.Echo", ""},
		{"bots, flags win", []string{"bots", "-s", echo, "--rate", "0", "-r", "Room.Bytes 1", url}, "", 0, "Room.Bytes", ""},
		{"bots miss a threshold", []string{"bots", "-s", echo, "--max-p99", "1ns", url}, "", 1, "MISSED", "thresholds were missed"},
		{"bots with errors", []string{"bots", "-s", echo, "-r", "Room.Fail {}", "--rate", "100", "--max-errors", "0", url}, "", 1, "MISSED  max-errors 0", "thresholds were missed"},
		{"bots find nobody", []string{"bots", "-c", "2", "--max-errors", "1", "tcp://127.0.0.1:1"}, "", 1, "0 of 2 connected", "missed"},
		{"bots find nobody, no threshold", []string{"bots", "-c", "2", "-r", "Room.Echo {}", "tcp://127.0.0.1:1"}, "", 1, "no connection was made", "no connection was made"},
		{"bots all of whose requests fail", []string{"bots", "-t", "100ms", "-r", "Room.Fail {}", "--rate", "100", url}, "", 1, "request Room.Fail:", "request Room.Fail: all"},
		{"bots, no handler for one step", []string{"bots", "-t", "100ms", "-r", "Room.Nowhere {}", "-r", `Room.Echo {"text":"a"}`, "--rate", "100", "--json", url}, "", 1, `"problems"`, "request Room.Nowhere: all"},
		{"bots whose setup fails", []string{"bots", "-c", "2", "-t", "100ms", "--setup", "Room.Fail {}", "-r", `Room.Echo {"text":"a"}`, url}, "", 1, "", "request Room.Fail (setup): all 2 failed"},
		{"bots, all kicked", []string{"bots", "-c", "2", "-n", "Room.Leave {}", "--rate", "100", url}, "", 1, "", "2 connections were lost"},
		{"bots, all kicked in the setup", []string{"bots", "-c", "2", "-t", "100ms", "--setup", "Room.Evict {}", "--setup", "Room.Echo {}", "-r", "Room.Echo {}", url}, "", 1, "", "2 connections were lost"},
		{"bots miss a threshold, all fail", []string{"bots", "-t", "100ms", "-r", "Room.Fail {}", "--rate", "100", "--max-errors", "0", url}, "", 1, "MISSED", "thresholds were missed; request Room.Fail: all"},
		{"bots by a broken file", []string{"bots", "-s", broken, url}, "", 2, "", "line 1"},
		{"describe what is malformed", []string{"describe", "-"}, `{"format":1,"$defs":{"A":null}}`, 1, "", "malformed"},
		{"bots nowhere", []string{"bots"}, "", 2, "", "no URL"},
		{"bots with flags behind", []string{"bots", url, "-c", "3"}, "", 2, "", "after all flags"},
		{"bots with a bad payload", []string{"bots", "-r", "Room.Echo {", url}, "", 2, "", "not JSON"},
		{"bots with no connections", []string{"bots", "-c", "0", url}, "", 2, "", "--connections 0"},
		{"bots with a bad threshold", []string{"bots", "--max-errors", "few", url}, "", 2, "", "max-errors"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			status := run(t.Context(), append([]string{"nano-cli"}, c.args...), strings.NewReader(c.in), &out, &errs)
			if status != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
				t.Errorf("status %d, want %d\n%s\n%s", status, c.status, &out, &errs)
			}
			if c.status == 0 && errs.Len() > 0 {
				t.Errorf("errors although all is well: %s", &errs)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Machines must get JSON and nothing else.
func TestBotsJSON(t *testing.T) {
	app := nodetest.Start(t)
	var out, errs bytes.Buffer
	status := run(t.Context(), []string{"nano-cli", "bots", "--json", "-t", "100ms", "--rate", "0", "-r", `Room.Echo {"text":"x"}`,
		"--max-p99", "1ns", "tcp://" + app.Addr().String()}, strings.NewReader(""), &out, &errs)
	var rep struct {
		OK       bool
		Requests struct{ Answered int }
		Latency  struct {
			P99 float64 `json:"p99_ms"`
		}
	}
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil || status != 1 || rep.OK || rep.Requests.Answered == 0 || rep.Latency.P99 <= 0 {
		t.Errorf("status %d, %v\n%s\n%s", status, err, &out, &errs)
	}
}
