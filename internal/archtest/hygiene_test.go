package archtest

import (
	"bytes"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A clone must build anywhere: a path of somebody's machine, or a registry that only they reach,
// in a lock file, a script or a page, breaks it for everybody else.
func TestNoMachinePathsAndNoRegistryHosts(t *testing.T) {
	walk(t, func(file string) {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Error(err)
			return
		}
		if bytes.IndexByte(content, 0) >= 0 {
			return // a picture or a font
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			if found := local(line); found != "" {
				t.Errorf("%s:%d: %q belongs to a machine, not to the project", file, i+1, found)
			}
		}
	})
}

func TestLocalFindsPathsAndHosts(t *testing.T) {
	// Put together from pieces, so that this file does not hold what it looks for.
	for _, line := range []string{
		"cd /ro" + "ot/go",
		`"dir": "/ho` + `me/somebody/nano"`,
		"replace x => /wo" + "rk/main",
		"see /Us" + "ers/somebody/nano",
		`C:\Us` + `ers\somebody`,
		"GOPROXY=https://proxy.gol" + "ang.org",
		`"resol` + `ved": "https://example.com/a.tgz"`,
		"registry=https://registry.npm" + "js.org/",
	} {
		if local([]byte(line)) == "" {
			t.Errorf("%q is not found", line)
		}
	}
	for _, line := range []string{"/usr/bin/chromium", "examples/work/home", "https://pkg.go.dev/x", "WithWSPath(\"/root\")"} {
		if found := local([]byte(line)); found != "" {
			t.Errorf("%q is found in %q", found, line)
		}
	}
}

var localPattern = regexp.MustCompile(strings.Join([]string{
	`(?:^|[^\w./-])/(?:root|home|work|Users)/\w+`,
	`\b[A-Z]:\\Users\\`,
	`"resolved":\s*"[a-z+]+:`,
	`\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.\w+`,
	`\b(?:proxy|sum)\.golang\.(?:org|com)`,
	`\bgoproxy\.\w+`,
	`\b(?:deb|security)\.debian\.org`,
}, "|"))

// localWords: all that localPattern finds has one of them, and most lines have none, which is quicker
// to tell.
var localWords = [][]byte{
	[]byte("/root/"), []byte("/home/"), []byte("/work/"), []byte("/Users/"), []byte(`:\Users`), []byte("resolved"),
	[]byte("registry."), []byte(".golang."), []byte("goproxy."), []byte(".debian."),
}

// local returns what in line only makes sense on one machine, or nothing.
func local(line []byte) string {
	if !slices.ContainsFunc(localWords, func(word []byte) bool { return bytes.Contains(line, word) }) {
		return ""
	}
	return string(localPattern.Find(line))
}

// errorNames are the packages whose errors bear another's name: that of the public package which
// has them.
var errorNames = map[string]string{"internal/gate": "cluster", "internal/mesh": "cluster", "cluster/keeper": "cluster/keeper"}

// An error of the framework's own says which package it comes from, so that a line of a log leads
// to the page that explains it. Clients see the text without that.
func TestErrorsNameTheirPackage(t *testing.T) {
	checked := 0
	for folder, p := range load(t) {
		name, ok := errorNames[folder]
		if !ok {
			name = p.name
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 {
					return true
				}
				fn, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || fn.Sel.Name != "New" {
					return true
				}
				if of, ok := fn.X.(*ast.Ident); !ok || of.Name != "fault" {
					return true
				}
				text, ok := call.Args[1].(*ast.BasicLit)
				checked++
				if !ok || !strings.HasPrefix(text.Value, `"`+name+": ") {
					t.Errorf("%s: the error's text does not begin with %q", p.fset.Position(call.Pos()), name+": ")
				}
				return true
			})
		}
	}
	if checked < 20 {
		t.Errorf("only %d errors were found", checked)
	}
}
