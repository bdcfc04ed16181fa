package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	modulePath = "github.com/lonng/nano"
	root       = "../.."
)

// loaded is one package of the root module, type-checked from source without its tests.
type loaded struct {
	folder string // below the root; "" is the root itself
	name   string
	files  []*ast.File
	types  *types.Package
	info   *types.Info
	fset   *token.FileSet
}

// load type-checks all packages of the root module. What they import comes from the export data
// that the go command keeps.
func load(t *testing.T) map[string]*loaded {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,Export,Module", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}

	type listed struct {
		ImportPath, Name, Dir, Export string
		GoFiles                       []string
		Module                        *struct{ Main bool }
	}
	exports := map[string]string{}
	var ours []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main && len(p.GoFiles) > 0 {
			ours = append(ours, p)
		}
	}

	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	all := map[string]*loaded{}
	for _, p := range ours {
		l := &loaded{
			folder: strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, modulePath), "/"),
			name:   p.Name,
			fset:   fset,
			info: &types.Info{
				Defs: map[*ast.Ident]types.Object{},
				Uses: map[*ast.Ident]types.Object{},
			},
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			l.files = append(l.files, f)
		}
		if l.types, err = (&types.Config{Importer: imp}).Check(p.ImportPath, fset, l.files, l.info); err != nil {
			t.Fatal(err)
		}
		all[l.folder] = l
	}
	return all
}

// walk calls fn for every file that belongs to the project, with its slashed path below the root.
func walk(t *testing.T, fn func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "node_modules":
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || d.Name() == ".git" { // in a git worktree it is a file, with a path in it
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fn(filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// check type-checks one file that imports only the standard library.
func check(t *testing.T, source string) *loaded {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p := &loaded{
		name:  f.Name.Name,
		files: []*ast.File{f},
		fset:  fset,
		info:  &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}},
	}
	if p.types, err = (&types.Config{Importer: importer.ForCompiler(fset, "source", nil)}).Check("p", fset, p.files, p.info); err != nil {
		t.Fatal(err)
	}
	return p
}
