package load

import (
	"context"
	"net/http"
	"time"
)

// usage is what the servers have used.
type usage struct {
	CPU    time.Duration
	Memory int64 // resident bytes
}

// usage asks the servers what they have used.
func (c *crowd) usage(ctx context.Context) (sum usage, err error) {
	servers := c.conf.Servers
	if len(servers) == 0 {
		servers = c.conf.URLs
	}
	for _, url := range servers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/stats", nil)
		if err != nil {
			return sum, err
		}
		var stats struct {
			Node struct {
				CPU    float64 `json:"cpu"`
				Memory int64   `json:"memory"`
			} `json:"node"`
		}
		if err := c.do(req, &stats); err != nil {
			return sum, err
		}
		sum.CPU += time.Duration(stats.Node.CPU * float64(time.Second))
		sum.Memory += stats.Node.Memory
	}
	return sum, nil
}
