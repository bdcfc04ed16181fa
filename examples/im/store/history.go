package store

import (
	"context"
	"database/sql"
	"slices"
)

// History returns messages before or after a number.
func (d *history) History(ctx context.Context, channel string, n int64, after bool, limit int) ([]Message, error) {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return nil, failed("read history", err)
	}
	var list []Message
	if after {
		err = each(ctx, d.reader(), collect(&list), selectMessage+"WHERE m.chan = ? AND m.n > ? ORDER BY m.n LIMIT ?", key, n, limit)
		return list, failed("read history", err)
	}
	if n <= 0 {
		n = 1 << 62
	}
	err = each(ctx, d.reader(), collect(&list), selectMessage+"WHERE m.chan = ? AND m.n < ? ORDER BY m.n DESC LIMIT ?", key, n, limit)
	slices.Reverse(list)
	return list, failed("read history", err)
}

// Get returns the messages with these numbers.
func (d *history) Get(ctx context.Context, channel string, numbers []int64) ([]Message, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return nil, failed("read messages", err)
	}
	var list []Message
	in, args := marks([]any{key}, numbers)
	err = each(ctx, d.reader(), collect(&list), selectMessage+"WHERE m.chan = ? AND m.n IN ("+in+") ORDER BY m.n", args...)
	return list, failed("read messages", err)
}

// Since returns messages that have changed after rev.
func (d *history) Since(ctx context.Context, channel string, rev int64, limit int) ([]Message, error) {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return nil, failed("read changes", err)
	}
	var list []Message
	err = each(ctx, d.reader(), collect(&list), selectMessage+"WHERE m.chan = ? AND m.rev > ? ORDER BY m.rev LIMIT ?", key, rev, limit)
	return list, failed("read changes", err)
}

// MarkRead notes how far a user has read.
func (d *history) MarkRead(ctx context.Context, user, channel string, n int64) error {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return failed("mark as read", err)
	}
	return failed("mark as read", d.writer.wait(job{mark: &mark{key, UIDOf(user), n}}))
}

// Reads returns how far the members of a channel have read.
func (d *history) Reads(ctx context.Context, channel string, limit int) (map[string]int64, error) {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return nil, failed("read the read markers", err)
	}
	reads := make(map[string]int64)
	err = each(ctx, d.reader(), func(rows *sql.Rows) error {
		var id string
		var n int64
		err := rows.Scan(&id, &n)
		reads[id] = n
		return err
	}, `SELECT u.id, r.n FROM members m JOIN users u ON u.uid = m.uid JOIN reads r ON r.chan = m.chan AND r.uid = m.uid
		WHERE m.chan = ? AND m.role <> 'invited' LIMIT ?`, key, limit)
	return reads, failed("read the read markers", err)
}
