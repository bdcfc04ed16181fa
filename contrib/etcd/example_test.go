package etcd_test

import (
	"log"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/contrib/etcd"
)

// A node of a cluster whose list is in etcd. It needs no master.
func Example() {
	comps := &component.Components{}

	k, err := etcd.New(etcd.Config{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"}})
	if err != nil {
		log.Fatal(err)
	}
	app := nano.New("10.0.1.5:3250", nano.WithKeeper(k), nano.WithComponents(comps))
	_ = app
}
