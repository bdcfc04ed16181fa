package cluster

// Transport is how a node waits for what its clients send. nano.WithTransport says more.
type Transport uint8

// The transports of a node.
const (
	EventLoop Transport = iota // a few goroutines wait for all clients, where that is possible: the default
	Portable                   // each client has a goroutine
)
