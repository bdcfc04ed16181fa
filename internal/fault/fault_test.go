package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lonng/nano/internal/fault"
)

// Who reads a log sees which package an error comes from; a client sees only what has happened.
func TestPackageNamesAreForLogs(t *testing.T) {
	for _, c := range []struct{ text, public string }{
		{"session: uid is taken", "uid is taken"},
		{"cluster/keeper: a living node has the node id", "a living node has the node id"},
		{"session: illegal uid: it must be 1 or more", "illegal uid: it must be 1 or more"},
		{"no package's name: at all", "no package's name: at all"},
		{"nothing", "nothing"},
	} {
		err := fault.New(fault.Exists, c.text)
		if err.Error() != c.text {
			t.Errorf("%q reads %q", c.text, err)
		}
		for _, err := range []error{err, fmt.Errorf("join: %w", err), errors.Join(errors.New("first"), err)} {
			if code, text, ok := fault.Of(err); code != fault.Exists || text != c.public || !ok {
				t.Errorf("%q is %q, %q to a client", err, code, text)
			}
		}
		if got := fault.Public(fmt.Errorf("join room 3: %w", err)); got != "join room 3: "+c.public {
			t.Errorf("wrapped, %q is %q to a client", c.text, got)
		}
	}
	if got := fault.Public(errors.New("os: an error of others")); got != "os: an error of others" {
		t.Errorf("an error of others is %q", got)
	}
}
