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
// The entity records values as they were sent, without serializing them. It has no node: an RPC is
// recorded and calls no handler, filters do not run, and Close does not run OnClosed handlers. A
// test that wants them calls session.Lifetime.Close(s).
package mock
