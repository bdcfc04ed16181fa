package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// What a type may be before it is several things: its methods stand in so many files, and are so
// many.
const (
	maxOwnerFiles   = 4
	maxOwnerMethods = 40
)

// bigOwners are the types that may be larger, each with the reason.
var bigOwners = map[string]string{
	"session.Session": "v0.5's accessors, one per type of value",
}

// A type is an owner. One whose methods are spread over many files is several things, and whoever
// changes one of them has to read all.
func TestTypesAreOwners(t *testing.T) {
	files, methods := map[string]map[string]bool{}, map[string]int{}
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".pb.go") || strings.Contains(file, "testdata/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			owner := path.Dir(file) + "." + receiver(fn.Recv.List[0].Type)
			if files[owner] == nil {
				files[owner] = map[string]bool{}
			}
			files[owner][file] = true
			methods[owner]++
		}
	})
	if methods["internal/mesh.Mesh"] == 0 || methods["internal/mesh.Mesh"] > 20 {
		t.Errorf("Mesh has %d methods: it starts and ends its parts, which do the work", methods["internal/mesh.Mesh"])
	}
	for owner, in := range files {
		_, may := bigOwners[owner]
		if !may && (len(in) > maxOwnerFiles || methods[owner] > maxOwnerMethods) {
			t.Errorf("%s has %d methods in %d files, and may have %d in %d: give its parts types of their own",
				owner, methods[owner], len(in), maxOwnerMethods, maxOwnerFiles)
		}
	}
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}
