package nano_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tutorial is the first hour of a newcomer: every listing compiles, and the test that it ends
// with passes.
func TestTutorialCompilesAndItsTestPasses(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	listings := regexp.MustCompile("(?s)\n`([a-z_.]+)`:\n\n```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(listings) != 4 {
		t.Fatalf("found %d listings with a file's name before them, want 4", len(listings))
	}
	for _, l := range listings {
		write(t, filepath.Join(dir, l[1]), l[2])
	}
	client, err := os.ReadFile(filepath.Join("examples", "page", "shared", "nano-websocket-client.js"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "client.js"), string(client))
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mod", "init", "hello"},
		{"mod", "edit", "-replace", "github.com/lonng/nano=" + root, "-require", "github.com/lonng/nano@v0.5.0"},
		{"mod", "tidy"},
		{"vet", "./..."},
		{"test", "./..."},
	} {
		goCommand(t, dir, args...)
	}

	// Then it adds an option and its import to main.go.
	more := regexp.MustCompile("(?s)one more option in\n`main.go`, and `(\"[a-z/]+\")` among its imports.*?\n\n```go\n(.*?)```").FindStringSubmatch(string(doc))
	if more == nil {
		t.Fatal("found no option that is added to main.go")
	}
	file := filepath.Join(dir, "main.go")
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.NewReplacer(
		"import (\n", "import (\n"+more[1]+"\n",
		"nano.WithSignals(),", more[2]+"nano.WithSignals(),",
	).Replace(string(program)))
	goCommand(t, dir, "vet", "./...")
}

// goCommand runs Go in a module that knows nothing of the workspace.
func goCommand(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
