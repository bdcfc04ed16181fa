package archtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	// Keeps a genproto of this year in go.mod: an older one that a program's go.mod may hold has
	// packages that are a module of their own now, and gRPC does not compile with those.
	_ "google.golang.org/genproto/googleapis/type/latlng"
)

// A game that imports every public package of the library.
const consumerSource = `package main

import (
	_ "github.com/lonng/nano"
	_ "github.com/lonng/nano/cluster"
	_ "github.com/lonng/nano/codec"
	_ "github.com/lonng/nano/component"
	_ "github.com/lonng/nano/mock"
	_ "github.com/lonng/nano/pipeline"
	_ "github.com/lonng/nano/scheduler"
	_ "github.com/lonng/nano/serialize/json"
	_ "github.com/lonng/nano/serialize/protobuf"
	_ "github.com/lonng/nano/service"
	_ "github.com/lonng/nano/session"
)

func main() {}
`

const consumerMod = `module example.com/game

go 1.25.0

require github.com/lonng/nano v0.0.0
`

// Whoever uses nano takes its dependencies into their own go.mod, to be audited and updated. This
// list grows only on purpose: add the module to testdata/consumer-modules.txt and say why in the
// CHANGELOG, or move what needs it into a module of its own.
func TestWhatAConsumersModuleGrowsBy(t *testing.T) {
	dir := t.TempDir()
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	ourMod, err := os.ReadFile(filepath.Join(root, "go.mod")) // so that the test's cached result depends on it
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(ourMod), "module "+modulePath+"\n") {
		t.Fatalf("go.mod does not start with the module path %s", modulePath)
	}
	write("main.go", consumerSource)
	write("go.mod", consumerMod+"\nreplace "+modulePath+" => "+absolute+"\n")
	write("go.sum", string(sums))

	goCommand := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return string(out)
	}
	goCommand("build", "-o", os.DevNull, ".") // adds what is needed to go.mod

	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal([]byte(goCommand("mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range mod.Require {
		got = append(got, r.Path)
	}

	want := consumerModules(t)
	for _, path := range got {
		if !slices.Contains(want, path) {
			t.Errorf("a consumer's go.mod grows by %s, which testdata/consumer-modules.txt does not list", path)
		}
	}
	for _, path := range want {
		if !slices.Contains(got, path) {
			t.Errorf("testdata/consumer-modules.txt lists %s, which no consumer needs any more: take it out", path)
		}
	}
}

// A module that only the examples or the tools need stays out of the module graph of whoever uses
// nano, where audits and updates would find it: it belongs into the go.mod of the examples or the
// tools.
func TestTheRootRequiresOnlyWhatConsumersNeed(t *testing.T) {
	ourMod, err := os.ReadFile(filepath.Join(root, "go.mod")) // so that the test's cached result depends on it
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", filepath.Join(root, "go.mod"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit: %v\n%s", err, ourMod)
	}
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	needed := append(consumerModules(t), "google.golang.org/genproto") // see the imports of this file
	for _, r := range mod.Require {
		if !slices.Contains(needed, r.Path) {
			t.Errorf("go.mod requires %s, which no public package needs", r.Path)
		}
	}
}

// consumerModules is what testdata/consumer-modules.txt lists.
func consumerModules(t *testing.T) (modules []string) {
	t.Helper()
	recorded, err := os.ReadFile("testdata/consumer-modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(recorded)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			modules = append(modules, line)
		}
	}
	return modules
}

// The go.mod of a program of v0.5, as `go mod tidy` of Go 1.17 or later wrote it.
const oldMod = `module example.com/old

go 1.17

require github.com/lonng/nano v0.5.0

require (
	github.com/golang/protobuf v1.3.2 // indirect
	github.com/gorilla/websocket v1.4.1 // indirect
	golang.org/x/net v0.0.0-20190620200207-3b0461eec859 // indirect
	golang.org/x/sys v0.0.0-20190624142023-c5567b49c5d0 // indirect
	golang.org/x/text v0.3.2 // indirect
	google.golang.org/genproto v0.0.0-20190801165951-fa694d86fc64 // indirect
	google.golang.org/grpc v1.22.1 // indirect
)
`

// Whoever follows the README with a program of v0.5 must get a program that builds, whatever old
// versions its go.mod lists.
func TestTheREADMEsCommandsSwitchAProgramOver(t *testing.T) {
	dir := t.TempDir()
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"main.go": consumerSource, "go.mod": oldMod} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"mod", "edit", "-replace", modulePath + "=" + absolute},
		{"mod", "tidy"},
		{"build", "./..."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			if strings.Contains(string(out), "dial tcp") || strings.Contains(string(out), "module lookup disabled") {
				t.Skipf("the module proxy cannot be reached: %s", out)
			}
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
