package store

import "sync"

// maxKeys bounds the cache of channels' numbers. They never change, so it only forgets when it is
// full.
const maxKeys = 100_000

// keyCache remembers the numbers of channels.
type keyCache struct {
	mu   sync.RWMutex
	keys map[string]int64
}

func (c *keyCache) get(id string) (int64, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.keys[id]
	return k, ok
}

func (c *keyCache) put(id string, key int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = make(map[string]int64)
	}
	c.keys[id] = key
}
