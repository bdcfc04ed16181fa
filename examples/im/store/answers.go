package store

import "context"

// Remember stores the answer to a request with an idempotency key.
func (d *chores) Remember(ctx context.Context, key string, a Answer, expires int64) error {
	return failed("remember an answer", d.write(ctx, func(ctx context.Context, q queries) error {
		_, err := q.ExecContext(ctx, `INSERT INTO answers (key, sum, status, body, expires) VALUES (?,?,?,?,?)
			ON CONFLICT (key) DO UPDATE SET sum = excluded.sum, status = excluded.status, body = excluded.body, expires = excluded.expires`,
			key, a.Sum[:], a.Status, a.Body, expires)
		return err
	}))
}

// Reserve begins a request with an idempotency key, or says who has.
func (d *chores) Reserve(ctx context.Context, key string, fresh Answer, now, expires int64) (Answer, error) {
	var a Answer
	err := d.write(ctx, func(ctx context.Context, q queries) error {
		if _, err := q.ExecContext(ctx, `INSERT INTO answers (key, sum, status, body, expires, holder, until) VALUES (?,?,?,?,?,?,?)
			ON CONFLICT (key) DO UPDATE SET sum = excluded.sum, status = excluded.status, body = excluded.body, expires = excluded.expires,
				holder = excluded.holder, until = excluded.until
			WHERE answers.expires <= ?`, key, fresh.Sum[:], fresh.Status, fresh.Body, expires, fresh.Holder, fresh.Until, now); err != nil {
			return err
		}
		// Whoever has begun it is gone, or has given it up.
		if _, err := q.ExecContext(ctx, "UPDATE answers SET holder = ?, until = ? WHERE key = ? AND sum = ? AND status = 0 AND until <= ?",
			fresh.Holder, fresh.Until, key, fresh.Sum[:], now); err != nil {
			return err
		}
		var sum []byte
		err := one(ctx, q, []any{&sum, &a.Status, &a.Body, &a.Holder, &a.Until}, "SELECT sum, status, body, holder, until FROM answers WHERE key = ?", key)
		copy(a.Sum[:], sum)
		return err
	})
	return a, failed("recall an answer", err)
}

// Release gives up a request that has no answer.
func (d *chores) Release(ctx context.Context, key, holder string) error {
	return failed("give up a request", d.write(ctx, func(ctx context.Context, q queries) error {
		_, err := q.ExecContext(ctx, "UPDATE answers SET until = 0 WHERE key = ? AND holder = ? AND status = 0", key, holder)
		return err
	}))
}

// Revoke has a token be good for nothing any more.
func (d *chores) Revoke(ctx context.Context, id string, expires int64) error {
	return failed("revoke a token", d.write(ctx, func(ctx context.Context, q queries) error {
		_, err := q.ExecContext(ctx, "INSERT INTO revoked (id, expires) VALUES (?,?) ON CONFLICT DO NOTHING", id, expires)
		return err
	}))
}

// Revoked reports whether a token is good for nothing any more.
func (d *chores) Revoked(ctx context.Context, id string) (bool, error) {
	n := 0
	err := one(ctx, d.reader(), []any{&n}, "SELECT count(*) FROM revoked WHERE id = ?", id)
	return n > 0, failed("look for a revoked token", err)
}
