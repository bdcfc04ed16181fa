//go:build !peer

package server

import "embed"

// Source is the program's source, for the build on another checkout of the API.
//
//go:embed server.go control.go other.go
var Source embed.FS
