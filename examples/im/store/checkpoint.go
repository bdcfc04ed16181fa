package store

import (
	"context"
	"database/sql"
	"log/slog"
	"sync/atomic"
	"time"
)

// checkpointEvery is how often what was committed is moved from SQLite's log into its file. Less
// often is less work, since what many commits have changed is moved once; the log is longer.
const checkpointEvery = 500 * time.Millisecond

// maxLog is after how many pages of the log (of 4 KiB) a commit moves them itself, and all wait:
// when the checkpointer does not keep up.
const maxLog = 32_000

// checkpoint moves as much of the log as it can without waiting for anybody.
const checkpoint = "PRAGMA wal_checkpoint(PASSIVE)"

// checkpointer moves what was committed from SQLite's log into its file, on a connection of its
// own, so that commits do not wait for that. The log begins anew only when nothing is left in it,
// and commits go on meanwhile: so the writer moves the little that has come since.
type checkpointer struct {
	*errand
	pool  *sql.DB // of one connection
	moved atomic.Bool
}

func newCheckpointer(pool *sql.DB, every time.Duration) *checkpointer {
	c := &checkpointer{pool: pool}
	c.errand = newErrand(every, func() bool {
		if _, err := pool.ExecContext(context.Background(), checkpoint); err != nil {
			slog.Warn("database log not moved into its file", "err", err)
			return false
		}
		c.moved.Store(true)
		return false
	})
	return c
}

// rest reports, once for each time that the log was moved, that the writer should move the rest.
func (c *checkpointer) rest() bool { return c.moved.CompareAndSwap(true, false) }

func (c *checkpointer) close() {
	c.errand.close()
	_ = c.pool.Close() // it holds nothing that is not in the file or the log
}
