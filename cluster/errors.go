package cluster

import (
	"github.com/lonng/nano/internal/fault"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/mesh"
)

// Errors of a session's methods, as v0.5 named them.
var (
	// ErrBrokenPipe is returned for output to a session whose connection is closed.
	ErrBrokenPipe = gate.ErrBrokenPipe
	// ErrBufferExceed is returned for output to a session whose send queue is full: the client does
	// not read.
	ErrBufferExceed = gate.ErrBufferExceed
	// ErrCloseClosedSession is returned when a session is closed or kicked that was closed before.
	ErrCloseClosedSession = gate.ErrCloseClosedSession
	// ErrSessionOnNotify is returned for an answer to a message that wants none.
	ErrSessionOnNotify = gate.ErrSessionOnNotify
	// ErrInvalidRegisterReq is returned to a node that registers without saying who it is.
	ErrInvalidRegisterReq = mesh.ErrInvalidRegister
)

// ErrStarted is returned by Startup for a node that was started before: a node lives once.
var ErrStarted = fault.New(fault.Exists, "cluster: the node was started already; make a new one")
