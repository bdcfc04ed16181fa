package store

import (
	"context"
	"log/slog"
	"sync"
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
	db    *base
	woken chan struct{}
	stop  chan struct{}
	once  sync.Once
	ended chan struct{}
}

func newIndexer(d *base) *indexer {
	x := &indexer{db: d, woken: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	x.wake() // for what was stored before a crash
	go x.run()
	return x
}

// wake says that there are new messages.
func (x *indexer) wake() {
	select {
	case x.woken <- struct{}{}:
	default:
	}
}

func (x *indexer) close() {
	x.once.Do(func() { close(x.stop) })
	<-x.ended
}

func (x *indexer) run() {
	defer close(x.ended)
	for {
		select {
		case <-x.woken:
		case <-x.stop:
			return
		}
		for more := true; more; {
			var err error
			if more, err = x.step(context.Background()); err != nil {
				slog.Warn("message index not updated", "err", err)
			}
			select {
			case <-time.After(indexPause):
			case <-x.stop:
				return
			}
		}
	}
}

// catchUp indexes what is there without pauses: somebody searches, and looks for what was just
// said. What is not done by the end of ctx stays with run.
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
