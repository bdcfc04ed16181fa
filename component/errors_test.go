package component_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/lonng/nano/component"
)

func TestErrorf(t *testing.T) {
	for name, c := range map[string]struct {
		err  *component.Error
		text string
		is   []error
	}{
		"plain":       {component.Errorf(component.CodeRefused, "no entry for %s", "ben"), "permission_denied: no entry for ben", nil},
		"wrapped":     {component.Errorf(component.CodeInternal, "save: %w", io.EOF), "internal: save: EOF", []error{io.EOF}},
		"two wrapped": {component.Errorf(component.CodeInternal, "%w and %w", io.EOF, fs.ErrExist), "internal: EOF and file already exists", []error{io.EOF, fs.ErrExist}},
		"own code":    {component.Errorf("room_full", "100 are in"), "room_full: 100 are in", nil},
		"no code":     {component.Errorf("", "text"), "text", nil},
		"literal":     {&component.Error{Code: "a", Message: "b"}, "a: b", nil},
		"nil":         {nil, "component: no error", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.err.Error(); got != c.text {
				t.Errorf("text %q, want %q", got, c.text)
			}
			for _, target := range c.is {
				if !errors.Is(c.err, target) {
					t.Errorf("does not wrap %v", target)
				}
			}
			if c.is == nil && c.err.Unwrap() != nil {
				t.Errorf("wraps %v", c.err.Unwrap())
			}
		})
	}
}

// A handler may wrap the error again: its code must still reach the client.
func TestErrorIsFoundInsideOthers(t *testing.T) {
	err := fmt.Errorf("join: %w", component.Errorf(component.CodeExhausted, "room is full"))
	var e *component.Error
	if !errors.As(err, &e) || e.Code != component.CodeExhausted || e.Message != "room is full" {
		t.Errorf("found %+v", e)
	}
}
