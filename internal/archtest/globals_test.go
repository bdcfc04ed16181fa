package archtest

import (
	"go/ast"
	"go/token"
	"go/types"
	"sort"
	"strings"
	"testing"
)

// allowedGlobals are the package variables that hold state, or that programs could assign, each
// with the reason why it is one. Everything else a node needs belongs to the node.
var allowedGlobals = map[string]string{
	".listening":                   "the default instance behind v0.5's Listen and Shutdown",
	".VERSION":                     "v0.5's name; never assigned",
	"internal/gate.messageEnd":     "bytes that all connections share, never written to",
	"internal/gate.syncTail":       "bytes that all connections share, never written to",
	"internal/gate.heartbeatFrame": "bytes that all connections share, never written to",
	"internal/gate.drainFrame":     "bytes that all connections share, never written to",
	"internal/mesh.epochs":         "orders the nodes of one process that start at one moment: no node knows of the one before it",
	"service.Connections":          "v0.5's name: the default instance",
	"session.Lifetime":             "v0.5's name: the default instance",
	"session.outlets":              "counts changes, of all nodes: a group may have sessions of several",
	"scheduler.std":                "the default instance behind v0.5's package functions",
	"scheduler.turns":              "which scheduler each goroutine works for: goroutines are the process's, no node's",
}

// Two nodes in one process share nothing: with a mutable package variable, the second one's
// options, or a test's, would change the first.
//
// A package variable passes when nothing can change through it: its type is immutable (see
// immutable), and no code of ours assigns it outside its declaration or takes its address.
// Exported ones must be errors, as any program could assign them. A sync.Pool passes: what is in
// it belongs to nobody. Programs (package main) and generated files are not looked at.
func TestNoMutablePackageVariables(t *testing.T) {
	packages := load(t)
	used := map[string]bool{}
	for folder, p := range packages {
		if p.name == "main" || strings.HasPrefix(folder, "examples/") {
			continue
		}
		for v, why := range mutableGlobals(p) {
			name := folder + "." + v.Name()
			if _, ok := allowedGlobals[name]; ok {
				used[name] = true
				continue
			}
			t.Errorf("%s: variable %s %s; make it part of a value, or list it in allowedGlobals with the reason",
				p.fset.Position(v.Pos()), name, why)
		}
	}
	for name := range allowedGlobals {
		if !used[name] {
			t.Errorf("allowedGlobals lists %s, which is not a mutable variable any more: take it out", name)
		}
	}
}

// mutableGlobals returns the package variables of p that could change, each with what is wrong.
func mutableGlobals(p *loaded) map[*types.Var]string {
	globals := map[*types.Var]string{}
	for _, f := range p.files {
		if ast.IsGenerated(f) {
			continue
		}
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, s := range decl.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					v, ok := p.info.Defs[name].(*types.Var)
					if !ok || name.Name == "_" {
						continue
					}
					globals[v] = judge(v)
				}
			}
		}
	}
	for v, how := range touched(p) {
		if reason, ok := globals[v]; ok && reason == "" {
			globals[v] = how
		}
	}
	for v, reason := range globals {
		if reason == "" {
			delete(globals, v)
		}
	}
	return globals
}

// judge says what makes v mutable by its type or its name, or nothing.
func judge(v *types.Var) string {
	switch {
	case isPool(v.Type()):
		return ""
	case !immutable(v.Type()):
		return "is of type " + v.Type().String() + ", which can hold state"
	case v.Exported() && v.Type() != types.Universe.Lookup("error").Type():
		return "is exported and not an error, so any program can assign it"
	}
	return ""
}

// immutable tells whether a value of type t cannot change but by assigning the variable itself.
func immutable(t types.Type) bool {
	t = types.Unalias(t)
	switch t.String() {
	case "error", "embed.FS", "reflect.Type", "*regexp.Regexp", "*strings.Replacer", "time.Time":
		return true
	}
	if named, ok := t.(*types.Named); ok {
		for m := range named.Methods() {
			if _, pointer := m.Signature().Recv().Type().(*types.Pointer); pointer {
				return false
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() != types.UnsafePointer
	case *types.Array:
		return immutable(u.Elem())
	case *types.Struct:
		for f := range u.Fields() {
			if !immutable(f.Type()) {
				return false
			}
		}
		return true
	}
	return false
}

func isPool(t types.Type) bool {
	return strings.TrimPrefix(types.Unalias(t).String(), "*") == "sync.Pool"
}

// touched returns the variables of p's package scope that its code assigns or takes the address
// of, with how.
func touched(p *loaded) map[*types.Var]string {
	found := map[*types.Var]string{}
	note := func(e ast.Expr, how string) {
		if v, ok := p.info.Uses[base(e)].(*types.Var); ok && v.Parent() == p.types.Scope() && !isPool(v.Type()) {
			found[v] = how
		}
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					note(e, "is assigned outside its declaration")
				}
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					note(n.Key, "is assigned outside its declaration")
					note(n.Value, "is assigned outside its declaration")
				}
			case *ast.IncDecStmt:
				note(n.X, "is assigned outside its declaration")
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X, "has its address taken")
				}
			case *ast.SliceExpr:
				if v, ok := p.info.Uses[base(n.X)].(*types.Var); ok {
					if _, array := v.Type().Underlying().(*types.Array); array {
						note(n.X, "is an array that is sliced, so it can be written to")
					}
				}
			}
			return true
		})
	}
	return found
}

// base is the identifier at the bottom of x, x.f, x[i] and (x); nil if there is none.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// The rule itself, on a package made for it.
func TestMutableGlobalsAreFound(t *testing.T) {
	p := check(t, `package p

import ("embed"; "errors"; "reflect"; "regexp"; "sync"; "sync/atomic"; "io")

type point struct{ x, y int }
type counter struct{ n int }
func (c *counter) add() { c.n++ }

var (
	ErrFine    = errors.New("fine")
	origin     = point{1, 2}
	name       = "nano"
	limits     = [2]int{1, 2}
	word       = regexp.MustCompile("a")
	errorType  = reflect.TypeFor[error]()
	pool       = sync.Pool{New: func() any { return new(point) }}
	files      embed.FS
	_          io.Reader = (io.Reader)(nil)

	Exported   = 1
	table      = map[string]int{}
	list       = []int{1}
	shared     = &point{}
	hook       func()
	state      atomic.Int64
	count      counter
	lock       sync.Mutex
	reader     io.Reader
	assigned   int
	counted    int
	addressed  int
	moved      point
	filled     [2]int
	sliced     [2]int
	errLater   error
)

func f() {
	assigned = 1
	counted++
	_ = &addressed
	moved.x = 1
	for filled[0] = range 3 {}
	_ = sliced[:]
	errLater = nil
	name := "a local of the same name"
	name = "may change"
	_ = name
}
`)
	var got []string
	for v := range mutableGlobals(p) {
		got = append(got, v.Name())
	}
	sort.Strings(got)
	const want = "Exported addressed assigned count counted errLater filled hook list lock moved reader shared sliced state table"
	if strings.Join(got, " ") != want {
		t.Errorf("found %s\nwant  %s", strings.Join(got, " "), want)
	}
}
