package promnano_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// program finds a program of the Debian package prometheus.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not here (Debian: apt-get install prometheus)", name)
	}
	return path
}

// promtool knows the conventions and the language of rules better than we do.
func TestPromtool(t *testing.T) {
	promtool := program(t, "promtool")
	_, at := shop(t)
	run := func(in io.Reader, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, promtool, args...)
		cmd.Stdin = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
	run(nil, "check", "rules", "alerts.yml")
	run(nil, "test", "rules", filepath.Join("testdata", "alerts.yml")) // each alert is raised by what it is for
	resp, err := http.Get(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	run(resp.Body, "check", "metrics")
}

// A Prometheus scrapes a node, and its queries have the right numbers: counters, classic and native
// histograms.
func TestPrometheus(t *testing.T) {
	binary := program(t, "prometheus")
	_, at := shop(t)
	target, err := url.Parse(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	err = os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [%q]
scrape_configs:
  - {job_name: nano, metrics_path: /, static_configs: [{targets: [%q]}]}
`, rules, target.Host), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	api := startPrometheus(t, binary, config, filepath.Join(dir, "data"))
	for query, within := range map[string][2]float64{
		`nano_messages_total{route="Shop.Buy",type="request"}`:                   {buys, buys},
		`nano_message_errors_total{route="Shop.Steal",code="permission_denied"}`: {thefts, thefts},
		`sum(nano_connections)`: {1, 1},
		`histogram_count(nano_handler_duration_seconds{route="Shop.Buy"})`:                 {buys, buys},
		`histogram_quantile(0.5, nano_handler_duration_seconds{route="Shop.Buy"})`:         {0.018, 10},
		`histogram_sum(nano_handler_duration_seconds{route="Shop.Buy"})`:                   {0.02 * buys, 1000},
		`histogram_fraction(0, 0.015625, nano_handler_duration_seconds{route="Shop.Buy"})`: {0, 0},
		`count(ALERTS) or vector(0)`:                                {0, 0},
		`nano_scheduler_busy_seconds_total{kind="node"} > bool 0.1`: {1, 1},
	} {
		api.await(t, query, within)
	}
}

// server is a Prometheus that runs.
type server struct{ url string }

// startPrometheus runs a Prometheus until the test ends.
func startPrometheus(t *testing.T, binary, config, data string) *server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--config.file="+config, "--storage.tsdb.path="+data,
		"--web.listen-address=127.0.0.1:0", "--enable-feature=native-histograms")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, read := make(chan string, 1), make(chan struct{})
	var said strings.Builder
	go func() {
		defer close(read)
		listening := regexp.MustCompile(`msg="Listening on".* address=(\S+)`)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-read
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(said.String())
		}
	})
	select {
	case addr := <-found:
		return &server{"http://" + addr}
	case <-read:
		t.Fatal("Prometheus has ended")
	case <-time.After(patience):
		t.Fatal("Prometheus does not listen")
	}
	return nil
}

// await asks until the answer is a number within bounds.
func (s *server) await(t *testing.T, query string, within [2]float64) {
	t.Helper()
	var last string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(s.url + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		last = string(body)
		var answer struct {
			Data struct{ Result []struct{ Value [2]any } }
		}
		if err != nil || json.Unmarshal(body, &answer) != nil || len(answer.Data.Result) != 1 {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(fmt.Sprint(answer.Data.Result[0].Value[1]), &v); err == nil && v >= within[0] && v <= within[1] {
			return
		}
	}
	t.Errorf("%s: the last answer is %s, want a number from %v to %v", query, last, within[0], within[1])
}
