package etcd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lonng/nano/cluster/keeper"
)

// Under the prefix, etcd has a key for each node and one for each node id:
//
//	nano/members/10.0.0.5:3250   what the list says of the node; gone when its lease is
//	nano/ids/32768               which process has the id; stays for an hour after its end
//
// The first is bound to a lease of a few seconds, the second to one of an hour and more, so that
// nobody has to clean up.

func (c *Config) membersPrefix() string { return c.Prefix + "members/" }

func (c *Config) memberKey(addr string) string { return c.membersPrefix() + addr }

func (c *Config) idsPrefix() string { return c.Prefix + "ids/" }

func (c *Config) idKey(id uint64) string { return c.idsPrefix() + strconv.FormatUint(id, 10) }

// entry is a keeper.Member as it is stored. Fields may be added; the names of these stay.
type entry struct {
	Addr     string   `json:"addr"`
	Epoch    uint64   `json:"epoch"`
	NodeID   uint64   `json:"id"`
	Fixed    bool     `json:"fixed,omitempty"`
	State    uint8    `json:"state"`
	Link     uint32   `json:"link"`
	Label    string   `json:"label,omitempty"`
	Services []string `json:"services"`
	Joined   uint64   `json:"joined,omitempty"`
}

func encode(m keeper.Member) (string, error) {
	b, err := json.Marshal(entry{
		Addr: m.Addr, Epoch: m.Epoch, NodeID: m.NodeID, Fixed: m.Fixed, State: uint8(m.State), Link: m.Link,
		Label: m.Label, Services: m.Services, Joined: m.Joined,
	})
	return string(b), err
}

// decode reads what is stored under key. What is not the entry of that key's address is an error:
// somebody else has written there.
func (c *Config) decode(key, value []byte) (keeper.Member, error) {
	var e entry
	if err := json.Unmarshal(value, &e); err != nil {
		return keeper.Member{}, fmt.Errorf("etcd: read the key %q: %w", key, err)
	}
	if e.Addr != c.addrOf(key) || e.Epoch == 0 {
		return keeper.Member{}, fmt.Errorf("etcd: read the key %q: it holds the address %q with the epoch %d", key, e.Addr, e.Epoch)
	}
	slices.Sort(e.Services)
	return keeper.Member{
		Addr: e.Addr, Epoch: e.Epoch, NodeID: e.NodeID, Fixed: e.Fixed, State: keeper.State(e.State), Link: e.Link,
		Label: e.Label, Services: slices.Compact(e.Services), Joined: e.Joined,
	}, nil
}

// addrOf returns the address of the node whose key this is.
func (c *Config) addrOf(key []byte) string { return strings.TrimPrefix(string(key), c.membersPrefix()) }

// owner is the process that has a node id.
type owner struct {
	Addr  string `json:"addr"`
	Epoch uint64 `json:"epoch"`
}
