//go:build !peer

package server

import (
	"embed"
	"io/fs"
)

//go:embed server.go control.go other.go
var source embed.FS

// Source returns the program's source, for the build on another checkout of the API.
func Source() fs.FS { return source }
