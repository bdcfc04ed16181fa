package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// errorNames are the packages whose errors bear another's name: that of the public package which
// has them.
var errorNames = map[string]string{"internal/gate": "cluster", "internal/mesh": "cluster", "cluster/keeper": "cluster/keeper"}

// nameless are the errors that do not name their package, by folder: how their texts begin, and
// why.
var nameless = map[string]map[string]string{
	".": {
		"panic: ": "drain.go wraps it in what was done",
	},
	"clients/client": {
		"panic: ":                            "wrapped in what was called",
		"a limit is negative":                "WithReconnect wraps it",
		"the longest wait, Max ":             "WithReconnect wraps it",
		"the dial function returned nothing": "wrapped in the address that was dialled",
	},
	"cluster": {
		"the node has not started":    "Drain wraps it in the node's name",
		"open the client address ":    startWraps,
		"read the certificate ":       startWraps,
		"trusted proxy ":              "stands behind the option's name",
		"%s of component %T panicked": "logged, or wrapped by the start",
	},
	"component": {
		"the service has no name":  "wrapped in the route or the method",
		"the handler has no name":  "wrapped in the route or the method",
		"the handler's name ":      "wrapped in the route or the method",
		"there are blanks around ": "wrapped in the route or the method",
		"the route ":               "wrapped in the route or the method",
	},
	"contrib/config": {
		"it is empty":              "wrapped in the setting's name",
		"YAML takes it for ":       "wrapped in the setting's name",
		"cert and key: ":           "wrapped in the setting's name",
		"there is no certificate ": "wrapped in the setting's name",
	},
	"contrib/etcd": {
		"write the node's entry":    etcdWraps,
		"read the node ids":         etcdWraps,
		"read the key ":             etcdWraps,
		"get a lease":               etcdWraps,
		"a newer process has":       etcdWraps,
		"all node ids are":          etcdWraps,
		"the watch ":                etcdWraps,
		"the node was entered anew": etcdWraps,
		"etcd's revision went back": etcdWraps,
		"read the list":             etcdWraps,
		"the list lost the node":    etcdWraps,
		"the context of Join has":   etcdWraps,
	},
	"internal/gate": {
		"its address has as many ":   turnedAway,
		"too many handshakes ":       turnedAway,
		"the node is full":           turnedAway,
		"the node is shutting down":  turnedAway,
		"the node is drained ":       turnedAway,
		"the gate that has the ":     turnedAway,
		"internal error":             turnedAway,
		"a WebSocket needs HTTP/1.1": turnedAway,
		"the WebSocket's version ":   turnedAway,
		"the header has ":            turnedAway,
		"protocol violated":          "why a connection was closed, for a line of the log",
		"this looks like ":           "why a connection was closed, for a line of the log",
		"closed by the client":       "why a connection was closed, for a line of the log",
		"replaced by a newer ":       "why a connection was closed, for a line of the log",
		"handed over":                "ends a reader; nobody sees it",
		"sessions are left, ":        "Drain wraps it in the node's name",
		"%d connections ":            "the end of the node wraps it",
	},
	"internal/mesh": {
		"join the ":                 startWraps,
		"the master %s refused ":    startWraps,
		"open the service address ": startWraps,
		"%s: %w":                    "Within: the start and the end of the node wrap it",
	},
}

const (
	startWraps = "the start of the node wraps it in the node's name"
	etcdWraps  = "Join, Update and Leave wrap what their steps return; what ends a watch is logged"
	turnedAway = "what a client that is turned away reads"
)

// An error says which package it comes from, so that a line of a log leads to the page that
// explains it, and whoever handles several libraries' errors sees whose it is. Clients see the text
// of a fault without that.
func TestErrorsNameTheirPackage(t *testing.T) {
	checked, used := 0, map[string]bool{}
	walk(t, func(file string) {
		folder := path.Dir(file)
		if !isLibrary(file) {
			return
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		name, ok := errorNames[folder]
		if !ok {
			name = f.Name.Name
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			text, ok := errorText(call)
			if !ok {
				return true
			}
			checked++
			// An error that begins with the text of another one says whose that is.
			if strings.HasPrefix(text, name+": ") || strings.HasPrefix(text, "%w") && !isFault(call) {
				return true
			}
			for begin := range nameless[folder] {
				if strings.HasPrefix(text, begin) {
					used[folder+begin] = true
					return true
				}
			}
			t.Errorf("%s: the error %q does not begin with %q", fset.Position(call.Pos()), text, name+": ")
			return true
		})
	})
	if checked < 200 {
		t.Errorf("only %d errors were found", checked)
	}
	for folder, texts := range nameless {
		for begin := range texts {
			if !used[folder+begin] {
				t.Errorf("%s has no error any more that begins with %q", folder, begin)
			}
		}
	}
}

// isLibrary reports whether programs that people write may meet the errors of a file.
func isLibrary(file string) bool {
	if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".pb.go") {
		return false
	}
	for _, program := range []string{
		"benchmark/", "clients/nano-cli/", "contrib/etcd/etcdtest/", "deploy/", "examples/", "test/",
		"internal/apitest/", "internal/child/", "internal/nanotest/", "internal/tools/",
	} {
		if strings.HasPrefix(file, program) {
			return false
		}
	}
	return !strings.Contains(file, "rapidtest/") && !strings.Contains(file, "testdata/")
}

// errorText returns the text, or how it begins, of a call that makes an error.
func errorText(call *ast.CallExpr) (text string, ok bool) {
	fn, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	of, ok := fn.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	arg := call.Args[0]
	switch of.Name + "." + fn.Sel.Name {
	case "errors.New", "fmt.Errorf":
	case "fault.New":
		arg = call.Args[1]
	default:
		return "", false
	}
	for {
		sum, ok := arg.(*ast.BinaryExpr)
		if !ok {
			break
		}
		arg = sum.X
	}
	lit, ok := arg.(*ast.BasicLit)
	if !ok {
		return "", false // put together from what was checked elsewhere
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

func isFault(call *ast.CallExpr) bool {
	return call.Fun.(*ast.SelectorExpr).X.(*ast.Ident).Name == "fault"
}
