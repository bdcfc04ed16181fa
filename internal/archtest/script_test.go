package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tools are what the script of the tests needs beside Go: a shell's usual company, and nothing that
// has to be installed.
var tools = []string{"sh", "cat", "date", "dirname", "find", "grep", "id", "mktemp", "rm", "sed", "sort"}

// seconds is how long a part took, which no test knows.
var seconds = regexp.MustCompile(` +\d+ s  `)

// runScript runs .ci/test.sh in a project of two modules, on a machine where there is what a fresh
// Debian has and a Go whose behaviour is a shell script. Without one, there is no Go. It returns
// what was printed, without the seconds.
func runScript(t *testing.T, goCommand string) (string, error) {
	t.Helper()
	root, bin := t.TempDir(), t.TempDir()
	if err := os.CopyFS(filepath.Join(root, ".ci"), os.DirFS("../../.ci")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		".ci/types.sh": "#!/bin/sh\n", // its programs are not here
		"go.mod":       "module a\n", "b/go.mod": "module b\n", "b/b_test.go": "package b\n\nfunc FuzzOne() {}\nfunc FuzzTwo() {}\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range tools {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Skipf("this machine has no %s", tool)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	programs := map[string]string{"gofmt": ""}
	if goCommand != "" {
		programs["go"] = goCommand
	}
	for name, body := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, ".ci", "test.sh"))
	cmd.Env = []string{"PATH=" + bin, "TMPDIR=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return seconds.ReplaceAllString(string(out), " "), err
}

// Who has only Go and a shell can run the tests, and reads what was left out, why, and what to do
// about it.
func TestScriptOfTheTestsNeedsOnlyGo(t *testing.T) {
	out, err := runScript(t, `[ "$1" != env ] || echo no-such-compiler`)
	if err != nil {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{
		"ok Go module .\n", "ok Go module ./b\n", "ok fuzz targets\n",
		"skipped        clients/js with Node.js: Node.js 20 or newer", "https://nodejs.org", "skipped        the race detector in .",
		"Passed, but for what was skipped.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if out, err := runScript(t, ""); err == nil || !strings.Contains(out, "https://go.dev") {
		t.Errorf("without Go it ended with %v:\n%s", err, out)
	}
}

// One part that fails hides nothing of the others, and the script fails.
func TestScriptOfTheTestsGoesOn(t *testing.T) {
	out, err := runScript(t, `
case "$*" in
env*) echo sh ;;
"-C . vet ./..."*) echo "vet: bad"; exit 1 ;;
"-C . test"*"./...") echo "tests of the root" ;;
*FuzzOne*) echo "a finding"; exit 1 ;;
*FuzzTwo*) echo "the second target" ;;
esac`)
	if err == nil {
		t.Error("the script ended as if all had passed")
	}
	for _, want := range []string{
		"vet: bad\ntests of the root\n", "the second target", "FAILED Go module .\n", "ok Go module ./b\n",
		"FAILED fuzz targets\n", "2 failed.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}
