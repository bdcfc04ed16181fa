// Package mock lets a component be tested without a network: a session on a
// [NetworkEntity] of this package records what its handlers send.
//
//	entity := mock.NewNetworkEntity()
//	s := session.New(entity)
//	if err := room.Join(s, &JoinRequest{Name: "anna"}); err != nil {
//		t.Fatal(err)
//	}
//	got := entity.LastResponse()
//
// Values are recorded as they were sent, neither serialized nor copied. The
// entity has no node behind it: an RPC is recorded and calls nobody, filters do
// not run, and a Close does not run OnClosed handlers; a test that wants them
// calls session.Lifetime.Close(s).
package mock
