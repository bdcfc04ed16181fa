package apitest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// frameworkErrors are the exported errors of all packages that a handler meets, with the code that
// a client gets when the handler returns one.
var frameworkErrors = map[string]struct {
	err  error
	code string
}{
	"nano.ErrCloseClosedGroup":      {nano.ErrCloseClosedGroup, component.CodeNotFound},
	"nano.ErrClosedGroup":           {nano.ErrClosedGroup, component.CodeNotFound},
	"nano.ErrMemberNotFound":        {nano.ErrMemberNotFound, component.CodeNotFound},
	"nano.ErrSessionDuplication":    {nano.ErrSessionDuplication, component.CodeExists},
	"nano.ErrNoApp":                 {nano.ErrNoApp, component.CodeInvalid},
	"nano.ErrOffline":               {nano.ErrOffline, component.CodeNotFound},
	"cluster.ErrOffline":            {cluster.ErrOffline, component.CodeNotFound},
	"cluster.ErrBrokenPipe":         {cluster.ErrBrokenPipe, component.CodeUnavailable},
	"cluster.ErrBufferExceed":       {cluster.ErrBufferExceed, component.CodeExhausted},
	"cluster.ErrCloseClosedSession": {cluster.ErrCloseClosedSession, component.CodeUnavailable},
	"cluster.ErrSessionOnNotify":    {cluster.ErrSessionOnNotify, component.CodeInvalid},
	"cluster.ErrInvalidRegisterReq": {cluster.ErrInvalidRegisterReq, component.CodeInvalid},
	"cluster.ErrStarted":            {cluster.ErrStarted, component.CodeExists},
	"keeper.ErrNodeIDTaken":         {keeper.ErrNodeIDTaken, component.CodeExists},
	"codec.ErrPacketType":           {codec.ErrPacketType, component.CodeInvalid},
	"codec.ErrPacketTooLarge":       {codec.ErrPacketTooLarge, component.CodeExhausted},
	"codec.ErrMessageInvalid":       {codec.ErrMessageInvalid, component.CodeInvalid},
	"codec.ErrRouteTooLong":         {codec.ErrRouteTooLong, component.CodeInvalid},
	"codec.ErrRouteCode":            {codec.ErrRouteCode, component.CodeInvalid},
	"codec.ErrDictionary":           {codec.ErrDictionary, component.CodeInvalid},
	"mock.ErrClosed":                {mock.ErrClosed, component.CodeUnavailable},
	"mock.ErrNotify":                {mock.ErrNotify, component.CodeInvalid},
	"scheduler.ErrClosed":           {scheduler.ErrClosed, component.CodeUnavailable},
	"scheduler.ErrStopped":          {scheduler.ErrStopped, component.CodeUnavailable},
	"scheduler.ErrRunning":          {scheduler.ErrRunning, component.CodeExists},
	"session.ErrIllegalUID":         {session.ErrIllegalUID, component.CodeInvalid},
	"session.ErrUIDTaken":           {session.ErrUIDTaken, component.CodeExists},
	"session.ErrClosed":             {session.ErrClosed, component.CodeUnavailable},
	"session.ErrNoEntity":           {session.ErrNoEntity, component.CodeUnavailable},
	"service.ErrNodeID":             {service.ErrNodeID, component.CodeInvalid},
	"protobuf.ErrWrongValueType":    {protobuf.ErrWrongValueType, component.CodeInvalid},
}

// A handler returns what a method of the framework has returned: its client is to know why, and the
// codes are how it can. The package's name is for the log. A new exported error has to say its code
// here.
func TestFrameworkErrorsHaveCodes(t *testing.T) {
	for name, c := range frameworkErrors {
		pkg, text, ok := strings.Cut(c.err.Error(), ": ")
		if !ok || strings.Contains(pkg, " ") {
			t.Errorf("%s does not begin with its package's name: %q", name, c.err)
		}
		for _, err := range []error{c.err, fmt.Errorf("join room %T: %w", c, c.err), errors.Join(errors.New("more"), c.err)} {
			f, ok := dispatch.DefaultShape(err).(*dispatch.Failure)
			if !ok || f.Code != c.code || f.Error != text {
				t.Errorf("%s: clients get %+v, want code %q and %q", name, f, c.code, text)
			}
		}
	}
	for _, name := range exportedErrors(t) {
		if _, ok := frameworkErrors[name]; !ok {
			t.Errorf("%s has no row in the table", name)
		}
	}
}

// An application's own error with a code counts, whatever it wraps.
func TestApplicationsCodeComesFirst(t *testing.T) {
	err := component.Errorf("name_taken", "choose another name: %w", session.ErrUIDTaken)
	if f := dispatch.DefaultShape(err).(*dispatch.Failure); f.Code != "name_taken" {
		t.Errorf("clients get %+v", f)
	}
	if f := dispatch.DefaultShape(errors.New("secret")).(*dispatch.Failure); f.Code != component.CodeInternal || f.Error != "internal error" {
		t.Errorf("an error without a code reaches clients as %+v", f)
	}
}

// exportedErrors lists the variables Err... of the module's packages that servers use.
func exportedErrors(t *testing.T) (names []string) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name := d.Name(); {
			case path == root:
			case name == "internal", name == "clients", name == "examples", name == "benchmark", name == "testdata", strings.HasPrefix(name, "."), name == "node_modules":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, f.Name.Name+"."+id.Name)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("no exported error found")
	}
	return names
}
