package store

import (
	"context"
	"database/sql"
	"errors"
)

// channelColumns are those that scanChannel reads, of channels c.
const channelColumns = `c.id, c.kind, c.title, c.created, c.first,
	CASE WHEN c.first - 1 > coalesce((SELECT max(n) FROM messages WHERE chan = c.key), 0) THEN c.first - 1
		ELSE coalesce((SELECT max(n) FROM messages WHERE chan = c.key), 0) END,
	CASE WHEN c.floor_rev > coalesce((SELECT max(rev) FROM messages WHERE chan = c.key), 0) THEN c.floor_rev
		ELSE coalesce((SELECT max(rev) FROM messages WHERE chan = c.key), 0) END,
	(SELECT count(*) FROM members WHERE chan = c.key AND role <> 'invited')`

func (c *Channel) scanned() []any {
	return []any{&c.ID, &c.Kind, &c.Title, &c.Created, &c.First, &c.N, &c.Rev, &c.Members}
}

// CreateChannel makes a channel.
func (d *rooms) CreateChannel(ctx context.Context, c Channel, members []Member) error {
	err := d.write(ctx, func(ctx context.Context, q queries) error {
		now := millis()
		done, err := q.ExecContext(ctx, "INSERT INTO channels (id, kind, title, created) VALUES (?,?,?,?) ON CONFLICT DO NOTHING", c.ID, c.Kind, c.Title, now)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrExists, err)
		}
		for _, m := range members {
			if _, err := q.ExecContext(ctx, "INSERT INTO members (chan, uid, role, joined) SELECT key, CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS BIGINT) FROM channels WHERE id = ? ON CONFLICT DO NOTHING",
				m.UID(), m.Role, now, c.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, ErrExists) {
		return err
	}
	return failed("create a channel", err)
}

// Channel returns a channel.
func (d *rooms) Channel(ctx context.Context, id string) (Channel, error) {
	var c Channel
	err := one(ctx, d.reader(), c.scanned(), "SELECT "+channelColumns+" FROM channels c WHERE c.id = ?", id)
	return c, failed("read a channel", err)
}

// Channels returns channels of a kind.
func (d *rooms) Channels(ctx context.Context, kind, after string, limit int) ([]Channel, error) {
	var list []Channel
	err := each(ctx, d.reader(), func(rows *sql.Rows) error {
		var c Channel
		err := rows.Scan(c.scanned()...)
		list = append(list, c)
		return err
	}, "SELECT "+channelColumns+" FROM channels c WHERE (CAST(? AS TEXT) = '' OR c.kind = ?) AND c.id > ? ORDER BY c.id LIMIT ?", kind, kind, after, limit)
	return list, failed("list channels", err)
}

// Rename gives a channel another title.
func (d *rooms) Rename(ctx context.Context, id, title string) error {
	return failed("rename a channel", d.write(ctx, func(ctx context.Context, q queries) error {
		_, err := q.ExecContext(ctx, "UPDATE channels SET title = ? WHERE id = ?", title, id)
		return err
	}))
}

// SetMember adds a member, or gives one another role.
func (d *rooms) SetMember(ctx context.Context, channel string, m Member) error {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return failed("set a member", err)
	}
	return failed("set a member", d.write(ctx, func(ctx context.Context, q queries) error {
		if _, err := q.ExecContext(ctx, "INSERT INTO members (chan, uid, role, joined) VALUES (?,?,?,?) ON CONFLICT (chan, uid) DO UPDATE SET role = excluded.role",
			key, m.UID(), m.Role, millis()); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, "INSERT INTO reads (chan, uid, n) SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), coalesce(max(n), 0) FROM messages WHERE chan = ? ON CONFLICT DO NOTHING",
			key, m.UID(), key)
		return err
	}))
}

// RemoveMember removes a member.
func (d *rooms) RemoveMember(ctx context.Context, channel, user string) error {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return failed("remove a member", err)
	}
	return failed("remove a member", d.write(ctx, func(ctx context.Context, q queries) error {
		for _, table := range []string{"members", "reads", "mentions"} {
			if _, err := q.ExecContext(ctx, "DELETE FROM "+table+" WHERE chan = ? AND uid = ?", key, UIDOf(user)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// selectMembers reads members of the channel with a key. Users who were never here have no name
// yet: it is their id then, which only users have; so the members of such users are entered with
// PutUser first.
const selectMembers = "SELECT u.id, u.name, m.role, m.joined FROM members m JOIN users u ON u.uid = m.uid WHERE m.chan = ? "

// Member returns a member of a channel.
func (d *rooms) Member(ctx context.Context, channel, user string) (Member, error) {
	var m Member
	key, err := d.key(ctx, d.reader(), channel)
	if err == nil {
		err = one(ctx, d.reader(), []any{&m.ID, &m.Name, &m.Role, &m.Joined}, selectMembers+"AND m.uid = ?", key, UIDOf(user))
	}
	return m, failed("read a member", err)
}

// Members returns the members of a channel.
func (d *rooms) Members(ctx context.Context, channel, after string, limit int) ([]Member, error) {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return nil, failed("list members", err)
	}
	var list []Member
	err = each(ctx, d.reader(), func(rows *sql.Rows) error {
		var m Member
		err := rows.Scan(&m.ID, &m.Name, &m.Role, &m.Joined)
		list = append(list, m)
		return err
	}, selectMembers+"AND u.id > ? ORDER BY u.id LIMIT ?", key, after, limit)
	return list, failed("list members", err)
}

// selectSeats reads channels as a user sees them, joined with what is kept for that user.
const selectSeats = "SELECT " + channelColumns + `, c.key, coalesce(m.role, ''), coalesce(r.n, 0),
	(SELECT count(*) FROM mentions t WHERE t.uid = ? AND t.chan = c.key AND t.n > coalesce(r.n, 0))
	FROM channels c
	LEFT JOIN members m ON m.chan = c.key AND m.uid = ?
	LEFT JOIN reads r ON r.chan = c.key AND r.uid = ? `

// Seats returns the channels of a user.
func (d *rooms) Seats(ctx context.Context, user string) ([]Seat, error) {
	uid := UIDOf(user)
	return d.seats(ctx, user, `WHERE c.kind = 'global' OR c.key IN (SELECT chan FROM members WHERE uid = ?) ORDER BY c.key`, uid)
}

// Seat returns a channel as a member sees it.
func (d *rooms) Seat(ctx context.Context, user, channel string) (Seat, error) {
	list, err := d.seats(ctx, user, "WHERE c.id = ? AND (c.kind = 'global' OR m.role IS NOT NULL)", channel)
	if err == nil && len(list) == 0 {
		err = failed("read a seat", ErrNotFound)
	}
	if err != nil {
		return Seat{}, err
	}
	return list[0], nil
}

func (d *rooms) seats(ctx context.Context, user, where string, arg any) ([]Seat, error) {
	q := d.reader()
	uid := UIDOf(user)
	var list []Seat
	var keys []int64
	err := each(ctx, q, func(rows *sql.Rows) error {
		var s Seat
		var key int64
		err := rows.Scan(append(s.scanned(), &key, &s.Role, &s.Read, &s.Mentioned)...)
		list, keys = append(list, s), append(keys, key)
		return err
	}, selectSeats+where, uid, uid, uid, arg)
	if err != nil {
		return nil, failed("list seats", err)
	}
	for i := range list {
		s := &list[i]
		if s.N >= s.First && s.Role != Invited {
			var last []Message
			if err := each(ctx, q, collect(&last), selectMessage+"WHERE m.chan = ? AND m.n = ?", keys[i], s.N); err != nil {
				return nil, failed("read a last message", err)
			}
			if len(last) > 0 {
				s.Last = &last[0]
			}
		}
		if s.Kind == Private {
			var u User
			err := one(ctx, q, []any{&u.ID, &u.Name}, "SELECT u.id, u.name FROM members m JOIN users u ON u.uid = m.uid WHERE m.chan = ? AND m.uid <> ?", keys[i], uid)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, failed("read the other one", err)
			}
			if err == nil {
				s.With = &u
			}
		}
	}
	return list, nil
}

// Claim makes the caller the owner of the channel.
func (d *rooms) Claim(ctx context.Context, channel string) (epoch int64, c Channel, err error) {
	err = d.write(ctx, func(ctx context.Context, q queries) error {
		if _, err := q.ExecContext(ctx, "UPDATE channels SET epoch = epoch + 1 WHERE id = ?", channel); err != nil {
			return err
		}
		c = Channel{}
		return one(ctx, q, append([]any{&epoch}, c.scanned()...), "SELECT c.epoch, "+channelColumns+" FROM channels c WHERE c.id = ?", channel)
	})
	return epoch, c, failed("claim a channel", err)
}
