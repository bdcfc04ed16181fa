package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Keep stores a push, once for its id.
func (d *inboxes) Keep(ctx context.Context, p Push, users []string, everybody bool) error {
	platforms := ""
	if len(p.Platforms) > 0 {
		b, err := json.Marshal(p.Platforms)
		if err != nil {
			return err
		}
		platforms = string(b)
	}
	all := 0
	if everybody {
		all = 1
	}
	return failed("keep a push", d.write(ctx, func(ctx context.Context, q queries) error {
		// Pushes to everybody are committed in the order of their numbers: a user's place goes by
		// those.
		if d.isPostgres {
			if _, err := q.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7236124)"); err != nil {
				return err
			}
		}
		var seq int64
		err := one(ctx, q, []any{&seq}, "INSERT INTO pushes (id, route, data, at, expires, everybody, platforms) VALUES (?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING RETURNING seq",
			p.ID, p.Route, []byte(p.Data), p.At, p.Expires, all, platforms)
		if errors.Is(err, ErrNotFound) {
			return nil // it is kept already
		}
		if err != nil {
			return err
		}
		return d.refer(ctx, q, seq, users)
	}))
}

// refer writes a reference to a push for each user.
func (d *inboxes) refer(ctx context.Context, q queries, seq int64, users []string) error {
	if len(users) == 0 {
		return nil
	}
	if d.isPostgres {
		uids := make([]int64, len(users))
		for i, id := range users {
			uids[i] = UIDOf(id)
		}
		_, err := q.ExecContext(ctx, "INSERT INTO push_refs SELECT unnest(CAST(? AS BIGINT[])), CAST(? AS BIGINT) ON CONFLICT DO NOTHING", uids, seq)
		return err
	}
	var b strings.Builder
	b.WriteByte('[')
	for i, id := range users {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(UIDOf(id), 10))
	}
	b.WriteByte(']')
	_, err := q.ExecContext(ctx, "INSERT INTO push_refs SELECT value, CAST(? AS INTEGER) FROM json_each(?) WHERE true ORDER BY value ON CONFLICT DO NOTHING", seq, b.String())
	return err
}

// Inbox returns what is kept for a user.
func (d *inboxes) Inbox(ctx context.Context, user, platform string, now int64, limit int) ([]Push, error) {
	uid := UIDOf(user)
	var list []Push
	err := each(ctx, d.reader(), func(rows *sql.Rows) error {
		var p Push
		var data []byte
		var platforms string
		if err := rows.Scan(&p.ID, &p.Route, &data, &p.At, &p.Expires, &platforms); err != nil {
			return err
		}
		p.Data = data
		if platforms != "" {
			if err := json.Unmarshal([]byte(platforms), &p.Platforms); err != nil {
				return err
			}
		}
		list = append(list, p)
		return nil
	}, `SELECT p.id, p.route, p.data, p.at, p.expires, p.platforms FROM pushes p
		WHERE (p.seq IN (SELECT seq FROM push_refs WHERE uid = ?)
			OR p.everybody = 1 AND p.seq > coalesce((SELECT seq FROM places WHERE uid = ? AND platform = ?), (SELECT place FROM users WHERE uid = ?), 0))
		AND p.expires > ? AND (p.platforms = '' OR p.platforms LIKE ?) ORDER BY p.seq LIMIT ?`,
		uid, uid, platform, uid, now, `%"`+platform+`"%`, limit)
	return list, failed("read an inbox", err)
}

// Taken removes pushes from the inbox of a user. Of those to everybody it moves the user's place,
// so all that are older count as taken, too.
func (d *inboxes) Taken(ctx context.Context, user, platform string, ids []string) error {
	uid := UIDOf(user)
	return failed("empty an inbox", d.write(ctx, func(ctx context.Context, q queries) error {
		for _, id := range ids {
			var seq int64
			var everybody int
			err := one(ctx, q, []any{&seq, &everybody}, "SELECT seq, everybody FROM pushes WHERE id = ?", id)
			if errors.Is(err, ErrNotFound) {
				continue // it has expired
			}
			if err != nil {
				return err
			}
			if everybody == 1 {
				_, err = q.ExecContext(ctx, `INSERT INTO places (uid, platform, seq) VALUES (?,?,?)
					ON CONFLICT (uid, platform) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > places.seq`, uid, platform, seq)
			} else {
				_, err = q.ExecContext(ctx, "DELETE FROM push_refs WHERE uid = ? AND seq = ?", uid, seq)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}
