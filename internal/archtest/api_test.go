package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/types"
	"os"
	"regexp"
	"strings"
	"testing"
)

// home says in which of our folders stands what v0.5 kept in one that programs cannot import.
// Such names are reached only through aliases and parameters, so they may move.
var home = map[string]string{
	"nano":             "",
	"internal/message": "codec",
	"internal/log":     "cluster",
}

// Every name that programs written for v0.5 use must be there with the same type: one that is
// missing or differs is a program that no longer builds. (internal/apitest compiles such uses; this
// holds the list itself against what is declared.)
func TestEveryIdentifierOfV05(t *testing.T) {
	packages := load(t)
	lines := apiLines(t)
	for _, line := range lines {
		if err := checkLine(packages, line); err != nil {
			t.Errorf("%s\n\t%v", line, err)
		}
	}
	checkInterfacesDidNotGrow(t, packages, lines)
}

// An interface that programs implement must not grow: their types would stop to fit.
func checkInterfacesDidNotGrow(t *testing.T, packages map[string]*loaded, lines []string) {
	t.Helper()
	methods := map[string]int{} // "session: NetworkEntity"
	for _, line := range lines {
		pkg, rest, _ := strings.Cut(line, ": ")
		if m, ok := strings.CutPrefix(rest, "imethod "); ok {
			name, _, _ := strings.Cut(m, ".")
			methods[pkg+": "+name]++
		}
	}
	for name, want := range methods {
		pkg, typeName, _ := strings.Cut(name, ": ")
		obj, err := find(packages, pkg, typeName)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if i, ok := obj.Type().Underlying().(*types.Interface); !ok || i.NumMethods() != want {
			t.Errorf("%s: is %s, want an interface of exactly v0.5's %d methods", name, obj.Type().Underlying(), want)
		}
	}
}

func apiLines(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("testdata/v05-api.txt")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	const known = 237
	if len(lines) != known {
		t.Fatalf("the list has %d lines, want %d", len(lines), known)
	}
	return lines
}

var lineForm = regexp.MustCompile(`^(\S+): (embed|field|func|imethod|method|type|var) (.+)$`)

// checkLine holds one line of the list, such as
//
//	session: method (*Session) Bind(uid int64) error
//
// against what is declared.
func checkLine(packages map[string]*loaded, line string) error {
	form := lineForm.FindStringSubmatch(line)
	if form == nil {
		return fmt.Errorf("the list holds a line of no known form")
	}
	pkg, kind, rest := form[1], form[2], form[3]
	switch kind {
	case "func":
		name, signature := splitName(rest)
		obj, err := find(packages, pkg, name)
		if err != nil {
			return err
		}
		if _, ok := obj.(*types.Func); !ok {
			return fmt.Errorf("is not a function: %s", obj)
		}
		return same(pkg, obj.Type(), "func"+signature)
	case "var":
		name, typ, _ := strings.Cut(rest, " ")
		obj, err := find(packages, pkg, name)
		if err != nil {
			return err
		}
		if _, ok := obj.(*types.Var); !ok {
			return fmt.Errorf("is not a variable: %s", obj)
		}
		return same(pkg, obj.Type(), typ)
	case "type":
		name, typ, _ := strings.Cut(rest, " ")
		obj, err := find(packages, pkg, name)
		if err != nil {
			return err
		}
		return checkType(pkg, obj, typ)
	case "field", "embed":
		owner, field, _ := strings.Cut(rest, ".")
		name, typ, _ := strings.Cut(field, " ")
		obj, err := find(packages, pkg, owner)
		if err != nil {
			return err
		}
		s, ok := obj.Type().Underlying().(*types.Struct)
		if !ok {
			return fmt.Errorf("%s is not a struct", owner)
		}
		for f := range s.Fields() {
			if f.Name() == name && f.Embedded() == (kind == "embed") {
				return same(pkg, f.Type(), typ)
			}
		}
		return fmt.Errorf("no such field")
	case "imethod":
		owner, method, _ := strings.Cut(rest, ".")
		return checkMethod(packages, pkg, owner, false, method)
	default: // method
		receiver, method, _ := strings.Cut(strings.TrimPrefix(rest, "("), ") ")
		owner, pointer := strings.CutPrefix(receiver, "*")
		return checkMethod(packages, pkg, owner, pointer, method)
	}
}

func checkType(pkg string, obj types.Object, want string) error {
	name, ok := obj.(*types.TypeName)
	if !ok {
		return fmt.Errorf("is not a type: %s", obj)
	}
	switch {
	case want == "struct":
		_, ok = obj.Type().Underlying().(*types.Struct)
	case want == "interface":
		_, ok = obj.Type().Underlying().(*types.Interface)
	case strings.HasPrefix(want, "= "):
		if !name.IsAlias() {
			return fmt.Errorf("is not an alias")
		}
		return same(pkg, types.Unalias(obj.Type()), want[2:])
	default:
		return same(pkg, obj.Type().Underlying(), want)
	}
	if !ok {
		return fmt.Errorf("is %s, want a %s", obj.Type().Underlying(), want)
	}
	return nil
}

func checkMethod(packages map[string]*loaded, pkg, owner string, pointer bool, method string) error {
	obj, err := find(packages, pkg, owner)
	if err != nil {
		return err
	}
	receiver := obj.Type()
	if pointer {
		receiver = types.NewPointer(receiver)
	}
	name, signature := splitName(method)
	selection := types.NewMethodSet(receiver).Lookup(obj.Pkg(), name)
	if selection == nil {
		return fmt.Errorf("no such method")
	}
	return same(pkg, selection.Type(), "func"+signature)
}

func splitName(s string) (name, signature string) {
	i := strings.IndexByte(s, '(')
	return s[:i], s[i:]
}

func find(packages map[string]*loaded, pkg, name string) (types.Object, error) {
	folder, ok := home[pkg]
	if !ok {
		folder = pkg
	}
	p := packages[folder]
	if p == nil {
		return nil, fmt.Errorf("no package in %q", folder)
	}
	if to, ok := renamed[pkg+"."+name]; ok {
		name = to
	}
	obj := p.types.Scope().Lookup(name)
	if obj == nil {
		return nil, fmt.Errorf("no %s in package %s", name, p.types.Path())
	}
	return obj, nil
}

// same compares a type of ours with one as the list writes it. Names of parameters do not matter.
func same(pkg string, have types.Type, want string) error {
	own := pkg[strings.LastIndexByte(pkg, '/')+1:]
	haveText, err := normal("", types.TypeString(have, func(p *types.Package) string { return p.Name() }))
	if err != nil {
		return err
	}
	wantText, err := normal(own, folders.ReplaceAllString(want, ""))
	if err != nil {
		return err
	}
	if haveText != wantText {
		return fmt.Errorf("is    %s\n\twant  %s", haveText, wantText)
	}
	return nil
}

// folders is what stands before a package's name in the list: net/ of net/http.Request.
var folders = regexp.MustCompile(`(?:\w[\w.-]*/)+`)

// renamed are types of v0.5 that no program can name, and that have a public name now.
var renamed = map[string]string{"session.lifetime": "Lifetimes"}

// moved are the types that are reached through another name now.
var moved = map[string]string{
	"message.Message":  "codec.Message",
	"session.lifetime": "session.Lifetimes",
	"log.Logger":       "cluster.Logger",
	"message.Type":     "codec.Type",
	"pipeline.Message": "codec.Message", // the alias
}

// normal writes a type without the names of parameters and with each name qualified by its
// package's; own is the package of those that stand bare.
func normal(own, text string) (string, error) {
	e, err := parser.ParseExpr(text)
	if err != nil {
		return "", fmt.Errorf("type %q: %w", text, err)
	}
	return render(own, e), nil
}

func render(own string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		switch {
		case e.Name == "byte":
			return "uint8"
		case types.Universe.Lookup(e.Name) != nil || own == "":
			return e.Name
		}
		return rename(own + "." + e.Name)
	case *ast.SelectorExpr:
		return rename(render("", e.X) + "." + e.Sel.Name)
	case *ast.StarExpr:
		return "*" + render(own, e.X)
	case *ast.Ellipsis:
		return "..." + render(own, e.Elt)
	case *ast.ArrayType:
		if e.Len == nil {
			return "[]" + render(own, e.Elt)
		}
	case *ast.MapType:
		return "map[" + render(own, e.Key) + "]" + render(own, e.Value)
	case *ast.InterfaceType:
		if len(e.Methods.List) == 0 {
			return "any"
		}
	case *ast.FuncType:
		return "func(" + renderFields(own, e.Params) + ") (" + renderFields(own, e.Results) + ")"
	}
	return fmt.Sprintf("%T", e) // of no type in the list, so it differs from all of them
}

func renderFields(own string, fields *ast.FieldList) string {
	if fields == nil {
		return ""
	}
	var parts []string
	for _, f := range fields.List {
		for range max(1, len(f.Names)) { // a, b T
			parts = append(parts, render(own, f.Type))
		}
	}
	return strings.Join(parts, ", ")
}

func rename(name string) string {
	if now, ok := moved[name]; ok {
		return now
	}
	return name
}

// The comparison itself: what it takes for the same, and what not.
func TestNormal(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{"func(a, b string, c ...any) error", "func(string, string, ...interface{}) (err error)"},
		{"func(s *session.Session, msg *message.Message) error", "func(*Session, *pipeline.Message) error"},
		{"func(key string) byte", "func(string) uint8"},
		{"map[string]*Handler", "map[string]*session.Handler"},
	} {
		a, errA := normal("session", c.a)
		b, errB := normal("session", c.b)
		if a != b || errA != nil || errB != nil {
			t.Errorf("%q and %q differ: %s, %s (%v, %v)", c.a, c.b, a, b, errA, errB)
		}
	}
	for _, c := range []struct{ a, b string }{
		{"func(a string)", "func(a int)"},
		{"func(a ...any)", "func(a []any)"},
		{"func() error", "func()"},
		{"*Session", "Session"},
		{"[2]int", "[]int"},
	} {
		a, _ := normal("session", c.a)
		b, _ := normal("session", c.b)
		if a == b {
			t.Errorf("%q and %q are taken for the same: %s", c.a, c.b, a)
		}
	}
}
