// Package page serves the examples' pages: what is an example's own, and under shared what all of
// them use: the client for browsers, as it is built from clients/js, a few functions for making
// elements, and the looks.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net"
	"net/http"
	"path"
	"time"
)

//go:embed shared
var shared embed.FS

// policy lets a page load from its server only: no script or style that stands in the page itself,
// none of another host, and no other page around it. connect-src falls back to default-src: the
// WebSocket of this origin.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// kinds are the content types of the files. A machine's own table of types may hold others.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one that is served.
type file struct {
	content   []byte
	kind, tag string
}

// Handler serves the files in folder of own, and beside them those that all examples share.
// Browsers ask again each time, and are told when nothing has changed.
func Handler(own fs.FS, folder string) (http.Handler, error) {
	files := make(map[string]file)
	for _, from := range []struct {
		fs     fs.FS
		folder string
	}{{shared, "shared"}, {own, folder}} {
		sub, err := fs.Sub(from.fs, from.folder)
		if err != nil {
			return nil, err
		}
		if err := add(files, sub); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path
		if name == "/" {
			name = "/index.html"
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		f, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", f.tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
	}), nil
}

// add puts all files of from into the table, under the path by which browsers ask for them.
func add(files map[string]file, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		sum := sha256.Sum256(content)
		files["/"+name] = file{content, kinds[path.Ext(name)], `"` + hex.EncodeToString(sum[:12]) + `"`}
		return err
	})
}

// Nearby is what to type into the browser of another device in the same network, such as a phone,
// for a listener's address; empty if only this machine can reach it. Of several networks it is the
// one by which this machine gets at others.
func Nearby(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return ""
	}
	ip := net.ParseIP(host)
	if ip != nil && ip.IsUnspecified() {
		ip = outward()
	}
	if ip == nil || ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() {
		return ""
	}
	return net.JoinHostPort(ip.String(), port)
}

// outward returns the address from which this machine sends into its network, nil if it is in none.
// Nothing is sent for that: the address is one that is nobody's.
func outward() net.IP {
	c, err := net.Dial("udp", "192.0.2.1:9") //nolint:noctx // it only looks at the routes
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP
}

// Address is what to type into a browser for a listener's address: one that listens on every
// interface is reached as localhost.
func Address(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
