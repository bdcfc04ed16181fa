//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lonng/nano/benchmark/internal/server"
)

// peerMain is the program around the server's package.
const peerMain = `package main

import (
	"flag"
	"log"
	"os"

	"benchmark/peer/server"
)

func main() {
	var c server.Config
	c.Flags(flag.CommandLine)
	flag.Parse()
	log.SetOutput(discard{})
	if err := server.Run(c); err != nil {
		os.Stderr.WriteString("benchmark: peer: " + err.Error() + "\n")
		os.Exit(1)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
`

// buildPeer builds the server program on the checkout in dir, in a temporary module that replaces
// the API's module by that folder. clean removes it. Without dir there is no program.
func buildPeer(dir string) (program string, clean func(), err error) {
	clean = func() {}
	if dir == "" {
		return "", clean, nil
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", clean, err
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", clean, fmt.Errorf("-peer %s is no checkout of the API: %w", dir, err)
	}
	work, err := os.MkdirTemp("", "nano-peer-")
	if err != nil {
		return "", clean, err
	}
	clean = func() { _ = os.RemoveAll(work) }
	if err := writePeer(work, dir); err != nil {
		clean()
		return "", func() {}, err
	}
	program = filepath.Join(work, "peer")
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-tags", "peer", "-o", program, "."}} {
		c := exec.Command("go", args...) //nolint:gosec,noctx // our own arguments; it ends by itself
		c.Dir = work
		c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := c.CombinedOutput(); err != nil {
			clean()
			return "", func() {}, fmt.Errorf("-peer %s: go %s: %w\n%s", dir, args[0], err, out)
		}
	}
	return program, clean, nil
}

// writePeer writes the module.
func writePeer(work, dir string) error {
	mod := "module benchmark/peer\n\ngo 1.22\n\nrequire github.com/lonng/nano v0.0.0\n\nreplace github.com/lonng/nano => " + dir + "\n"
	files := map[string][]byte{"go.mod": []byte(mod), "main.go": []byte(peerMain)}
	if sum, err := os.ReadFile(filepath.Join(dir, "go.sum")); err == nil { //nolint:gosec // of the checkout that the user names
		files["go.sum"] = sum
	}
	names, err := fs.Glob(server.Source(), "*.go")
	if err != nil || len(names) == 0 {
		return errors.New("the server's source is not embedded")
	}
	for _, n := range names {
		b, err := fs.ReadFile(server.Source(), n)
		if err != nil {
			return err
		}
		files[filepath.Join("server", n)] = b
	}
	if err := os.Mkdir(filepath.Join(work, "server"), 0o700); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
