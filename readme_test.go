package nano_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/internal/nanotest"
)

// sample returns the one sample of a document that begins like this, without its fence.
func sample(t *testing.T, doc, begin string) string {
	t.Helper()
	content, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "\n```"+begin)
	text, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("%s has no sample that begins with %q", doc, begin)
	}
	return begin[strings.Index(begin, "\n")+1:] + text + "\n"
}

// startReadme builds the README's program in a module of its own, as the README says, runs it, and
// returns what to replace in the samples: its ports are others here, as those of the README may be
// in use.
func startReadme(t *testing.T, dir string) *strings.Replacer {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	var at [2]string
	for i := range at {
		var err error
		if _, at[i], err = net.SplitHostPort(nanotest.FreeAddr(t)); err != nil {
			t.Fatal(err)
		}
	}
	tcp, ws := at[0], at[1]
	ports := strings.NewReplacer("3250", tcp, "3251", ws)
	program := sample(t, "README.md", "go\npackage main")
	for _, addr := range []string{`"127.0.0.1:3250"`, `"127.0.0.1:3251"`} {
		if !strings.Contains(program, addr) {
			t.Fatalf("the README's program does not listen at %s", addr)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(ports.Replace(program)), 0o600); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(sample(t, "README.md", "sh\ngo mod init")), "\n") {
		switch line {
		case "go mod tidy": // looks into the network for the tests of all dependencies
			line = "go mod edit -require github.com/lonng/nano@v0.0.0"
		case "go run .":
			line = "go build -mod=mod -o hello ."
		}
		args := strings.Fields(strings.ReplaceAll(line, "../nano", root))
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	server := exec.Command(filepath.Join(dir, "hello"))
	var output strings.Builder
	server.Stderr = &output
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		if err := server.Wait(); err != nil || t.Failed() {
			t.Errorf("the README's program ended with %v:\n%s", err, &output)
		}
	})
	for _, port := range []string{tcp, ws} {
		nanotest.Until(t, "the README's program listens", func() bool {
			c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	return ports
}

// Who copies the program of the README and a client of the documents sees them talk to each other.
func TestSamplesOfClientsAgainstTheReadme(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no Node.js to run the JavaScript samples")
	}
	dir := t.TempDir()
	ports := startReadme(t, dir)
	module := filepath.Join(dir, "node_modules", "nano-websocket-client")
	if err := os.MkdirAll(module, 0o750); err != nil {
		t.Fatal(err)
	}
	client, err := os.ReadFile(filepath.Join("examples", "page", "shared", "nano-websocket-client.js"))
	if err != nil {
		t.Fatal(err)
	}
	script := sample(t, "clients/js/README.md", "html\n<script src=\"nano.min.js\"></script>\n<script>\n")
	_, script, _ = strings.Cut(script, "<script>\n")
	script, _, _ = strings.Cut(script, "</script>")
	typed := sample(t, "clients/js/README.md", "ts\nimport { connect }")
	begin, end := strings.Index(typed, "interface Chat"), strings.Index(typed, "const room")
	if begin < 0 || end < begin {
		t.Fatal("the sample in TypeScript has no types to leave out")
	}
	typed = strings.ReplaceAll(typed[:begin]+typed[end:], "<Chat>", "")
	programs := map[string]string{
		"README.md":            sample(t, "README.md", "js\nimport { connect }"),
		"clients/js/README.md": typed,
		"clients/js/README.md, with a script tag": `import { nano } from "nano-websocket-client";` + "\n" + script,
	}
	for path, content := range map[string]string{"package.json": `{"type": "module", "main": "index.js"}`, "index.js": string(client)} {
		if err := os.WriteFile(filepath.Join(module, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "client.mjs")
			if err := os.WriteFile(file, []byte(ports.Replace(program)), 0o600); err != nil {
				t.Fatal(err)
			}
			said := speak(t, exec.CommandContext(t.Context(), node, "--experimental-websocket", file))
			if want := []string{" in the room", "hello"}; !strings.HasSuffix(said[0], want[0]) || said[1] != want[1] {
				t.Errorf("it says %q, want the number of members and %q", said, want[1])
			}
		})
	}
}

// speak runs a client, which does not end by itself, until it has said two things, and returns them
// without what it says of its connection.
func speak(t *testing.T, cmd *exec.Cmd) (said [2]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nanotest.Patience)
	defer cancel()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	n := 0
	for lines := bufio.NewScanner(out); n < len(said) && lines.Scan(); {
		if line := lines.Text(); !strings.HasPrefix(line, "open") && !strings.HasPrefix(line, "connecting") {
			said[n] = line
			n++
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if n < len(said) {
		t.Fatalf("the client has said %q, and %s", said[:n], &errs)
	}
	return said
}
