package nano

import (
	"errors"
	"fmt"

	"github.com/lonng/nano/cluster"
)

// Option sets something in the options of a node. Options are sorted by what they concern: clients,
// the application, the cluster.
//
// The node checks all options when it starts, and the start returns everything that is wrong with
// them, each error with the name of the option. Unless the comment of an option says otherwise, a
// zero, empty or nil argument means the default, and a negative one is an error. If two options set
// the same thing, the last one wins. An Option may be used for several nodes.
type Option func(*cluster.Options)

// complain keeps the error of an argument that no field of the options can hold. The start returns
// it.
func complain(o *cluster.Options, format string, a ...any) {
	o.Err = errors.Join(o.Err, fmt.Errorf(format, a...))
}
