package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// maxFunction is how many lines a function may have, besides its tables.
const maxFunction = 80

// longFunctions may have more lines, by file and name, each with the reason.
var longFunctions = map[string]string{}

// A function that nobody sees as a whole is understood by nobody. A test becomes a table, or
// several tests.
func TestFunctionsAreShort(t *testing.T) {
	found := map[string]bool{}
	walk(t, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, ".pb.go") || strings.Contains(file, "testdata/") {
			return
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := length(fset, fn)
			if n <= maxFunction {
				continue
			}
			name := file + ": " + fn.Name.Name
			found[name] = true
			if longFunctions[name] == "" {
				t.Errorf("%s: %s has %d lines besides its tables, and may have %d", fset.Position(fn.Pos()), fn.Name.Name, n, maxFunction)
			}
		}
	})
	for name := range longFunctions {
		if !found[name] {
			t.Errorf("%s is not so long any more", name)
		}
	}
}

func TestLengthLeavesTablesOut(t *testing.T) {
	const source = `package p

func F() {
	for _, c := range []struct {
		name string
	}{
		{"a"},
		{"b"},
	} {
		_ = map[string]int{
			c.name: 1,
		}
		_ = []int{}
	}
}
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if n := length(fset, f.Decls[0].(*ast.FuncDecl)); n != 6 {
		t.Errorf("the function has %d lines, want 6", n)
	}
}

// length is how many lines a function has, without those of its slices and maps but the first of
// each.
func length(fset *token.FileSet, fn *ast.FuncDecl) int {
	lines := func(n ast.Node) int { return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line }
	all := lines(fn) + 1
	ast.Inspect(fn, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch lit.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			all -= lines(lit)
			return false
		}
		return true
	})
	return all
}

// The root is what a user of the package opens first: it holds its own sources and their tests.
// Tests of whole nodes and clusters are in test/.
func TestRootHoldsItsOwnTests(t *testing.T) {
	tests, err := filepath.Glob(filepath.Join(root, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(tests) == 0 || len(tests) > 12 {
		t.Errorf("there are %d test files in the root, and may be 12", len(tests))
	}
}
