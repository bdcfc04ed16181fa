package mock

// NetAddr is the address of a client that does not exist.
type NetAddr struct{}

// Network returns "mock".
func (NetAddr) Network() string { return "mock" }

// String returns "mock-addr".
func (NetAddr) String() string { return "mock-addr" }
