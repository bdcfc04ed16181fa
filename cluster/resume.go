package cluster

import (
	"cmp"
	"time"

	"github.com/lonng/nano/internal/gate"
)

// The defaults of [Resume], and the largest Buffer.
const (
	DefaultResumeWindow = 30 * time.Second
	DefaultResumeBuffer = 256 << 10
	DefaultResumeTotal  = 256 << 20
	MaxResumeBuffer     = 1 << 30
)

// Resume says for how long, and for how much, sessions outlive their connections. The zero value
// has the defaults. The option WithResume of package nano says what it is for.
type Resume struct {
	// Window is how long a session waits for its client. 0 means 30 s.
	Window time.Duration
	// Buffer is how many bytes of messages a session keeps for its client, until the client has
	// said that it has received them. Each message counts up to 32 bytes more than its packet. 0
	// means 256 KiB. A session whose client is away, and that is sent more, ends.
	Buffer int
	// Total is how many bytes all sessions may keep together. The message of a broadcast is kept
	// once for all members, and counts as 32 bytes for each. 0 means 256 MiB. When there is more,
	// each session keeps no more than 4 KiB.
	Total int
}

// gate is what the client side of the node needs of it; r may be nil.
func (r *Resume) gate() gate.ResumeConfig {
	if r == nil {
		return gate.ResumeConfig{}
	}
	return gate.ResumeConfig{
		Window: cmp.Or(r.Window, DefaultResumeWindow),
		Buffer: cmp.Or(r.Buffer, DefaultResumeBuffer),
		Total:  cmp.Or(r.Total, DefaultResumeTotal),
	}
}
