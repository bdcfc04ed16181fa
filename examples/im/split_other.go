//go:build !unix

package main

import "net"

// peek sees nothing here: all connections are HTTP/1.1.
func peek(net.Conn, int) (string, error) { return "", nil }
