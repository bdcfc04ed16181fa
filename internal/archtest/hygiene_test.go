package archtest

import (
	"bytes"
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

// localWords: all that localPattern finds has one of them, and most lines have none, which is
// quicker to tell.
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
