package store

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"time"
)

// Secret returns the random bytes that are kept under a name.
func (d *chores) Secret(ctx context.Context, name string) (value []byte, err error) {
	err = d.write(ctx, func(ctx context.Context, q queries) error {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh) // it never fails
		if _, err := q.ExecContext(ctx, "INSERT INTO secrets VALUES (?,?) ON CONFLICT DO NOTHING", name, fresh); err != nil {
			return err
		}
		return one(ctx, q, []any{&value}, "SELECT value FROM secrets WHERE name = ?", name)
	})
	return value, failed("read a secret", err)
}

// Sizes returns how many users, channels and messages there are. Messages are counted by their
// numbers.
func (d *chores) Sizes(ctx context.Context) (users, channels, messages int64, err error) {
	err = one(ctx, d.reader(), []any{&users, &channels, &messages},
		"SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM channels), (SELECT coalesce(max(id), 0) FROM messages)")
	return users, channels, messages, failed("count", err)
}

// Bounds of what a sweep does in one transaction, so that messages do not wait for it.
const (
	sweepStep   = 1000
	refStep     = 10_000
	unusedAfter = 24 * time.Hour // a picture that no message has
)

// Sweep removes what is over its time.
func (d *chores) Sweep(ctx context.Context, now time.Time, r Retention) (removed int64, err error) {
	expired := int64(0)
	for _, s := range []struct {
		query string
		at    time.Time
		count *int64
	}{
		// The newest push stays: users who come later begin behind it.
		{"DELETE FROM pushes WHERE expires <= ? AND seq < (SELECT max(seq) FROM pushes)", now, &expired},
		{"DELETE FROM answers WHERE expires <= ?", now, new(int64)},
		{"DELETE FROM revoked WHERE expires <= ?", now, new(int64)},
		{"DELETE FROM pictures WHERE used = 0 AND created < ?", now.Add(-unusedAfter), new(int64)},
	} {
		if err := d.write(ctx, func(ctx context.Context, q queries) error {
			done, err := q.ExecContext(ctx, s.query, s.at.UnixMilli())
			if err == nil {
				*s.count, err = done.RowsAffected()
			}
			return err
		}); err != nil {
			return 0, failed("sweep", err)
		}
	}
	if expired > 0 || !d.swept.Load() { // the first time for what an earlier sweep was broken off at
		if err := d.sweepRefs(ctx); err != nil {
			return 0, failed("sweep", err)
		}
		d.swept.Store(true)
	}
	if r == (Retention{}) {
		return 0, nil
	}
	for after := ""; ; {
		list, err := d.rooms.Channels(ctx, "", after, listed)
		if err != nil || len(list) == 0 {
			return removed, err
		}
		for _, c := range list {
			n, err := d.sweepChannel(ctx, c, now, r)
			removed += n
			if err != nil {
				return removed, failed("sweep "+c.ID, err)
			}
		}
		after = list[len(list)-1].ID
	}
}

// sweepRefs removes references to pushes that are gone, in small steps.
func (d *chores) sweepRefs(ctx context.Context) error {
	type ref struct{ uid, seq int64 }
	for from := (ref{}); ; {
		var to ref
		const next = "SELECT uid, seq FROM push_refs WHERE (uid, seq) > (?, ?) ORDER BY uid, seq LIMIT 1 OFFSET ?"
		err := one(ctx, d.reader(), []any{&to.uid, &to.seq}, next, from.uid, from.seq, refStep)
		last := errors.Is(err, ErrNotFound)
		if last {
			to, err = ref{math.MaxInt64, math.MaxInt64}, nil
		}
		if err == nil {
			err = d.write(ctx, func(ctx context.Context, q queries) error {
				_, err := q.ExecContext(ctx, "DELETE FROM push_refs WHERE (uid, seq) > (?, ?) AND (uid, seq) <= (?, ?) AND seq NOT IN (SELECT seq FROM pushes)",
					from.uid, from.seq, to.uid, to.seq)
				return err
			})
		}
		if err != nil || last {
			return err
		}
		from = to
	}
}

// sweepChannel removes the oldest messages of a channel, in small steps.
func (d *chores) sweepChannel(ctx context.Context, c Channel, now time.Time, r Retention) (removed int64, err error) {
	key, err := d.key(ctx, d.reader(), c.ID)
	if err != nil {
		return 0, err
	}
	upTo := int64(0) // the last number to go
	if r.Count > 0 {
		upTo = c.N - r.Count
	}
	if r.Age > 0 {
		stays := c.N + 1 // the first that is young enough: numbers and times go the same way
		err := one(ctx, d.reader(), []any{&stays}, "SELECT n FROM messages WHERE chan = ? AND at >= ? ORDER BY n LIMIT 1", key, now.Add(-r.Age).UnixMilli())
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		upTo = max(upTo, stays-1)
	}
	for first := c.First; first <= upTo; {
		to := min(upTo, first+sweepStep-1)
		err := d.write(ctx, func(ctx context.Context, q queries) error {
			if !d.isPostgres {
				if _, err := q.ExecContext(ctx, "DELETE FROM found WHERE rowid IN (SELECT id FROM messages WHERE chan = ? AND n <= ?)", key, to); err != nil {
					return err
				}
			}
			var rev int64
			if err := one(ctx, q, []any{&rev}, "SELECT coalesce(max(rev), 0) FROM messages WHERE chan = ? AND n <= ?", key, to); err != nil {
				return err
			}
			if err := d.dropPictures(ctx, q, key, to); err != nil {
				return err
			}
			done, err := q.ExecContext(ctx, "DELETE FROM messages WHERE chan = ? AND n <= ?", key, to)
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			if err != nil {
				return err
			}
			removed += n
			if _, err := q.ExecContext(ctx, "DELETE FROM mentions WHERE chan = ? AND n <= ?", key, to); err != nil {
				return err
			}
			_, err = q.ExecContext(ctx, `UPDATE channels SET first = CASE WHEN first > ? THEN first ELSE ? END,
				floor_rev = CASE WHEN floor_rev > ? THEN floor_rev ELSE ? END WHERE key = ?`, to+1, to+1, rev, rev, key)
			return err
		})
		if err != nil {
			return removed, err
		}
		first = to + 1
	}
	return removed, nil
}

// dropPictures removes the pictures of messages that go.
func (d *chores) dropPictures(ctx context.Context, q queries, key, to int64) error {
	var list []Message
	if err := each(ctx, q, collect(&list), selectMessage+"WHERE m.chan = ? AND m.n <= ? AND m.picture <> ''", key, to); err != nil {
		return err
	}
	for _, m := range list {
		if err := hide(ctx, q, m.Picture.ID); err != nil {
			return err
		}
	}
	return nil
}
