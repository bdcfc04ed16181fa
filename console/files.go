package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed page
var embedded embed.FS

// policy lets the page load from its node only: no script or style that stands in the page itself,
// and no other page around it.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// file is one of the page's.
type file struct {
	content   []byte
	kind, tag string
}

// pageFiles returns the page's files by their path.
func pageFiles() map[string]file {
	files := make(map[string]file)
	_ = fs.WalkDir(embedded, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(embedded, name)
		sum := sha256.Sum256(content)
		files[name[len("page"):]] = file{content, kindOf(name), `"` + hex.EncodeToString(sum[:12]) + `"`}
		return err
	}) // what is embedded can be read
	return files
}

// kindOf returns a file's content type. A machine's own table of types may hold others.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}

// page serves the page's files. Browsers ask again each time, and are told when nothing has
// changed.
func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "/" {
		name = "/index.html"
	}
	c.file(w, r, name)
}

func (c *Console) file(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := c.files[name]
	if !ok || name == "/login.html" { // a template
		fail(w, http.StatusNotFound, "not_found", "the console has no such path")
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.tag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
}

// loginPage serves the form for the token. It works without scripts.
func (c *Console) loginPage(w http.ResponseWriter, _ *http.Request, status int, problem string) {
	t, err := template.New("login").Parse(string(c.files["/login.html"].content))
	if err != nil {
		fail(w, http.StatusInternalServerError, "internal", err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = t.Execute(w, problem) // a browser that is gone
}
