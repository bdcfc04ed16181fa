package store

import (
	"context"
	"log/slog"
	"time"
)

// Indexing for the search stays out of the way of messages: it takes up to indexStep of them at a
// time, and pauses.
const (
	indexStep  = 400
	indexPause = 60 * time.Millisecond
	searchWait = 2 * time.Second // how long a search waits for what was stored before it
)

// indexer enters new messages of SQLite into its full text index, a moment after they were stored.
type indexer struct {
	*errand
	db *base
}

func newIndexer(d *base) *indexer {
	x := &indexer{db: d}
	x.errand = newErrand(indexPause, func() bool {
		more, err := x.step(context.Background())
		if err != nil {
			slog.Warn("message index not updated", "err", err)
		}
		return more
	})
	x.wake() // for what was stored before a crash
	return x
}

// catchUp indexes what is there without pauses: somebody searches, and looks for what was just
// said. What is not done by the end of ctx stays with the errand.
func (x *indexer) catchUp(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		const open = "SELECT EXISTS (SELECT 1 FROM messages WHERE id > (SELECT id FROM indexed))"
		if err := one(ctx, x.db.reader(), []any{&more}, open); err != nil || !more {
			return err
		}
		if _, err := x.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step indexes some messages, and reports whether there may be more.
func (x *indexer) step(ctx context.Context) (more bool, err error) {
	err = x.db.write(ctx, func(ctx context.Context, q queries) error {
		var from, to int64
		if err := one(ctx, q, []any{&from}, "SELECT id FROM indexed"); err != nil {
			return err
		}
		const last = "SELECT coalesce(max(id), 0), count(*) FROM (SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?)"
		var count int
		if err := one(ctx, q, []any{&to, &count}, last, from, indexStep); err != nil || count == 0 {
			return err
		}
		more = count == indexStep
		if _, err := q.ExecContext(ctx, "INSERT INTO found (rowid, text) SELECT id, text FROM messages WHERE id > ? AND id <= ? AND text <> ''", from, to); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, "UPDATE indexed SET id = ?", to)
		return err
	})
	return more, err
}
