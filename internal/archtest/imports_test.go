package archtest

import (
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row says which of the project's packages the packages of a folder may import. "x/..." is x and
// everything below it; "public" is everything that a program outside the module could import.
type row struct {
	folder  string
	imports []string
}

// below is what a node is made of.
var below = []string{"codec", "serialize/...", "service", "session", "component", "pipeline", "scheduler", "describe", "tracing", "cluster/clusterpb", "cluster/keeper", "metrics", "internal/..."}

// table is ARCHITECTURE.md's, row by row; the first row that fits a package holds.
var table = []row{
	{"", append([]string{"cluster"}, below...)},
	{"describe", nil},
	{"codec", []string{"internal/fault"}},
	{"serialize/...", []string{"internal/fault"}},
	{"service", []string{"internal/fault"}},
	{"session", []string{"service", "internal/fault", "internal/log"}},
	{"tracing", []string{"session"}},
	{"component", []string{"scheduler", "session", "internal/fault"}},
	{"pipeline", []string{"codec", "session"}},
	{"scheduler", []string{"internal/fault", "internal/log"}},
	{"metrics", nil},
	{"cluster/clusterpb", nil},
	{"cluster/keeper", []string{"internal/fault"}},
	{"cluster/keeper/keepertest", []string{"cluster/keeper", "service"}},
	{"cluster", below},
	{"internal/mesh", below}, // never nano, never cluster
	{"mock", []string{"internal/fault"}},
	{"internal/tools/...", []string{"internal/tools/..."}},
	{"internal/wsframe", nil},
	{"internal/transport", nil},
	{"internal/link", []string{"internal/fault"}},
	{"internal/resume", []string{"codec"}},
	{"internal/schema", []string{"describe"}},
	{"internal/fault", nil},
	{"internal/log", nil},
	{"internal/tally", []string{"metrics"}},
	{"internal/groups", []string{"metrics", "internal/tally"}},
	{"internal/...", below},                                    // never the root, never cluster
	{"clients/nano-cli/internal/nodetest", []string{"public"}}, // a node for the tests beside it
	{"clients/...", []string{"clients/...", "codec", "describe", "serialize/...", "internal/resume"}},
	{"console", []string{"public"}},
	{"contrib/etcd/etcdtest", []string{"contrib/...", "internal/nanotest", "public"}}, // for tests
	{"contrib/...", []string{"contrib/...", "public"}},
	{"deploy/...", []string{"public"}},
	{"examples/im/store/postgrestest", []string{"internal/nanotest"}}, // for tests
	{"examples/...", []string{"examples/...", "public"}},
	{"benchmark/...", []string{"benchmark/...", "internal/child", "public"}},
	{"test/...", []string{"test/...", "internal/child", "internal/nanotest", "internal/wsframe", "public"}},
}

// The arrows between packages go one way. Without this, the front door would sooner or later be
// needed by what it is made of, and no part could be used or tested alone.
func TestImportsFollowTheTable(t *testing.T) {
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		folder := path.Dir(file)
		if folder == "." {
			folder = ""
		}
		allowed, ok := allowedImports(folder)
		if !ok {
			t.Errorf("%s: no row for this folder in the table here; ARCHITECTURE.md needs one too", file)
			return
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Error(err)
				continue
			}
			if imported != modulePath && !strings.HasPrefix(imported, modulePath+"/") {
				continue
			}
			target := strings.TrimPrefix(strings.TrimPrefix(imported, modulePath), "/")
			if !slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, target) }) {
				t.Errorf("%s imports %s: a new arrow; allowed are %q", file, imported, allowed)
			}
		}
	})
}

// The test above is worth something only if it can fail.
func TestTableRefuses(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"", "cluster", true},
		{"", "mock", false},
		{"codec", "service", false},
		{"session", "service", true},
		{"cluster", "", false},
		{"cluster", "internal/gate", true},
		{"internal/gate", "session", true},
		{"internal/gate", "cluster", false},
		{"internal/gate", "cluster/clusterpb", true},
		{"internal/gate", "", false},
		{"internal/mesh", "internal/gate", true},
		{"internal/mesh", "cluster/clusterpb", true},
		{"internal/mesh", "cluster", false},
		{"internal/mesh", "", false},
		{"examples/chat", "", true},
		{"examples/chat", "internal/gate", false},
		{"clients/go", "session", false},
	} {
		allowed, ok := allowedImports(c.from)
		got := ok && slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, c.to) })
		if got != c.want {
			t.Errorf("%q imports %q: allowed is %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if _, ok := allowedImports("elsewhere"); ok {
		t.Error("a folder without a row is taken")
	}
}

func allowedImports(folder string) ([]string, bool) {
	for _, r := range table {
		if matches(r.folder, folder) {
			return r.imports, true
		}
	}
	return nil, false
}

func matches(pattern, folder string) bool {
	if pattern == "public" {
		return !strings.Contains("/"+folder+"/", "/internal/")
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return folder == base || strings.HasPrefix(folder, base+"/")
	}
	return folder == pattern
}
