package archtest

import (
	"go/types"
	"slices"
	"strings"
	"testing"
)

// go doc is how people read the API: an exported name that is an alias of something internal, or a
// signature with a type that they cannot look up, shows them nothing.
func TestGoDocShowsEveryPublicType(t *testing.T) {
	packages := load(t)
	for _, folder := range slices.Sorted(publicFolders(packages)) {
		p := packages[folder]
		scope := p.types.Scope()
		for _, name := range scope.Names() {
			obj := scope.Lookup(name)
			if !obj.Exported() {
				continue
			}
			for _, hidden := range hiddenIn(p.types, obj) {
				t.Errorf("%s.%s shows %s, which go doc does not show to a user", p.types.Path(), name, hidden)
			}
		}
	}
}

// The test above is worth something only if it can fail.
func TestHiddenTypesAreFound(t *testing.T) {
	inside := types.NewPackage(modulePath+"/internal/secret", "secret")
	public := types.NewPackage(modulePath+"/public", "public")
	hidden := types.NewNamed(types.NewTypeName(0, inside, "Thing", nil), types.NewStruct(nil, nil), nil)
	lower := types.NewNamed(types.NewTypeName(0, public, "thing", nil), types.NewStruct(nil, nil), nil)
	open := types.NewNamed(types.NewTypeName(0, public, "Open", nil), types.NewStruct(nil, nil), nil)
	for _, c := range []struct {
		name string
		obj  types.Object
		want int
	}{
		{"alias of an internal type", types.NewTypeName(0, public, "Thing", hidden), 1},
		{"field with an internal type", types.NewTypeName(0, public, "S", types.NewStruct([]*types.Var{types.NewField(0, public, "F", types.NewSlice(hidden), false)}, nil)), 1},
		{"variable of an unexported type", types.NewVar(0, public, "V", types.NewPointer(lower)), 1},
		{"variable of an exported type", types.NewVar(0, public, "V", types.NewMap(types.Typ[types.Int], open)), 0},
	} {
		if got := hiddenIn(public, c.obj); len(got) != c.want {
			t.Errorf("%s: found %q, want %d", c.name, got, c.want)
		}
	}
}

func publicFolders(packages map[string]*loaded) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for folder, p := range packages {
			if p.name != "main" && matches("public", folder) && !strings.HasPrefix(folder, "examples/") && !yield(folder) {
				return
			}
		}
	}
}

// hiddenIn returns the types of this project in the declaration of an exported name that a reader
// of its documentation cannot look up: those of internal packages, and unexported ones.
func hiddenIn(own *types.Package, obj types.Object) (found []string) {
	seen := map[types.Type]bool{}
	var look func(typ types.Type)
	named := func(n *types.TypeName) bool { // reports whether it can be looked up
		if n.Pkg() == nil || !strings.HasPrefix(n.Pkg().Path(), modulePath) {
			return true
		}
		if !n.Exported() || strings.Contains(n.Pkg().Path()+"/", "/internal/") {
			found = append(found, n.Pkg().Name()+"."+n.Name())
			return false
		}
		return true
	}
	look = func(typ types.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch x := typ.(type) {
		case *types.Alias:
			named(x.Obj())
		case *types.Named:
			named(x.Obj())
			for arg := range x.TypeArgs().Types() {
				look(arg)
			}
		case *types.Struct:
			for f := range x.Fields() {
				if f.Exported() {
					look(f.Type())
				}
			}
		case *types.Interface:
			for m := range x.Methods() {
				if m.Exported() {
					look(m.Type())
				}
			}
		case *types.Signature:
			for v := range x.Params().Variables() {
				look(v.Type())
			}
			for v := range x.Results().Variables() {
				look(v.Type())
			}
		case interface{ Elem() types.Type }:
			if m, ok := typ.(*types.Map); ok {
				look(m.Key())
			}
			look(x.Elem())
		}
	}
	name, isType := obj.(*types.TypeName)
	if !isType {
		look(obj.Type())
		return found
	}
	if name.IsAlias() {
		look(types.Unalias(obj.Type()))
		return found
	}
	if f, ok := obj.Type().Underlying().(*types.Signature); ok && name.Name() == "Option" && f.Params().Len() == 1 {
		return nil // func(*config): made by the With… functions, and called by nobody else
	}
	look(obj.Type().Underlying())
	if n, ok := obj.Type().(*types.Named); ok {
		for m := range n.Methods() {
			if m.Exported() && m.Pkg() == own {
				look(m.Type())
			}
		}
	}
	return found
}
