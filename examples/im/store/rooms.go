package store

import (
	"context"
	"database/sql"
	"errors"
)

// channelColumns are those that Channel.scanned reads, of channels c.
const channelColumns = progress + `,
	(SELECT count(*) FROM members WHERE chan = c.key AND role <> 'invited')`

// progress are those columns without the last, the members.
const progress = `c.id, c.kind, c.title, c.created, c.first,
	CASE WHEN c.first - 1 > coalesce((SELECT max(n) FROM messages WHERE chan = c.key), 0) THEN c.first - 1
		ELSE coalesce((SELECT max(n) FROM messages WHERE chan = c.key), 0) END,
	CASE WHEN c.floor_rev > coalesce((SELECT max(rev) FROM messages WHERE chan = c.key), 0) THEN c.floor_rev
		ELSE coalesce((SELECT max(rev) FROM messages WHERE chan = c.key), 0) END`

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

// joined are the channels with what is kept of them for a user.
const joined = ` FROM channels c
	LEFT JOIN members m ON m.chan = c.key AND m.uid = ?
	LEFT JOIN reads r ON r.chan = c.key AND r.uid = ? `

// mayRead are the channels that a user sees, by the id of one.
const mayRead = "WHERE c.id = ? AND (c.kind = 'global' OR m.role IS NOT NULL)"

// selectSeats reads channels as a user sees them.
const selectSeats = "SELECT " + channelColumns + `, c.key, coalesce(m.role, ''), coalesce(r.n, 0),
	(SELECT count(*) FROM mentions t WHERE t.uid = ? AND t.chan = c.key AND t.n > coalesce(r.n, 0))` + joined

// Memberships returns the channels of a user with their ids, kinds and roles only.
func (d *rooms) Memberships(ctx context.Context, user string) ([]Seat, error) {
	uid := UIDOf(user)
	var list []Seat
	err := each(ctx, d.reader(), func(rows *sql.Rows) error {
		var s Seat
		err := rows.Scan(&s.ID, &s.Kind, &s.Role)
		list = append(list, s)
		return err
	}, `SELECT c.id, c.kind, coalesce(m.role, '') FROM channels c LEFT JOIN members m ON m.chan = c.key AND m.uid = ?
		WHERE c.kind = 'global' OR c.key IN (SELECT chan FROM members WHERE uid = ?)`, uid, uid)
	return list, failed("list memberships", err)
}

// Seats returns the channels of a user.
func (d *rooms) Seats(ctx context.Context, user string) ([]Seat, error) {
	uid := UIDOf(user)
	return d.seats(ctx, user, `WHERE c.kind = 'global' OR c.key IN (SELECT chan FROM members WHERE uid = ?) ORDER BY c.key`, uid)
}

// Seat returns a channel as a member sees it.
func (d *rooms) Seat(ctx context.Context, user, channel string) (Seat, error) {
	list, err := d.seats(ctx, user, mayRead, channel)
	if err == nil && len(list) == 0 {
		err = failed("read a seat", ErrNotFound)
	}
	if err != nil {
		return Seat{}, err
	}
	return list[0], nil
}

// Access returns what is needed to answer a member: how far the channel is, and the member's role
// and place.
func (d *rooms) Access(ctx context.Context, user, channel string) (Seat, error) {
	uid := UIDOf(user)
	var s Seat
	err := one(ctx, d.reader(), append(s.scanned(), &s.Role, &s.Read), "SELECT "+progress+`,
		(SELECT count(*) FROM (SELECT 1 FROM members WHERE chan = c.key AND role <> 'invited' LIMIT 1000) AS part),
		coalesce(m.role, ''), coalesce(r.n, 0)`+joined+mayRead, uid, uid, channel)
	return s, failed("read a seat", err)
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
		if err := d.furnish(ctx, q, &list[i], keys[i], uid); err != nil {
			return nil, failed("list seats", err)
		}
	}
	return list, nil
}

// furnish adds to a seat the last message, what is unread, and the other one of a private channel.
func (d *rooms) furnish(ctx context.Context, q queries, s *Seat, key, uid int64) (err error) {
	if s.N >= s.First && s.Role != Invited {
		var last []Message
		if err := each(ctx, q, collect(&last), selectMessage+"WHERE m.chan = ? AND m.n = ?", key, s.N); err != nil {
			return err
		}
		if len(last) > 0 {
			s.Last = &last[0]
		}
		if s.Unread, err = d.unread(ctx, q, key, uid, s.Read, s.N); err != nil {
			return err
		}
	}
	if s.Kind != Private {
		return nil
	}
	var u User
	err = one(ctx, q, []any{&u.ID, &u.Name}, "SELECT u.id, u.name FROM members m JOIN users u ON u.uid = m.uid WHERE m.chan = ? AND m.uid <> ?", key, uid)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	s.With = &u
	return err
}

// Unread returns how many messages a user has not read who has read up to a number: without the
// user's own, and without deleted ones.
func (d *rooms) Unread(ctx context.Context, user, channel string, read, n int64) (int64, error) {
	key, err := d.key(ctx, d.reader(), channel)
	var count int64
	if err == nil {
		count, err = d.unread(ctx, d.reader(), key, UIDOf(user), read, n)
	}
	return count, failed("count what is unread", err)
}

// counted is how many messages are looked at for that. All beyond them count.
const counted = 1000

func (d *rooms) unread(ctx context.Context, q queries, key, uid, read, n int64) (count int64, err error) {
	if n <= read {
		return 0, nil
	}
	err = one(ctx, q, []any{&count}, `SELECT coalesce(sum(CASE WHEN uid <> ? AND deleted = 0 THEN 1 ELSE 0 END), 0)
		FROM (SELECT uid, deleted FROM messages WHERE chan = ? AND n > ? ORDER BY n LIMIT ?) AS part`, uid, key, read, counted)
	return count + max(0, n-read-counted), err
}

// Claim makes the caller the owner of the channel.
func (d *rooms) Claim(ctx context.Context, channel string) (epoch int64, c Channel, err error) {
	err = d.write(ctx, func(ctx context.Context, q queries) error {
		if d.claimed != nil {
			d.claimed(channel)
		}
		if _, err := q.ExecContext(ctx, "UPDATE channels SET epoch = epoch + 1 WHERE id = ?", channel); err != nil {
			return err
		}
		c = Channel{}
		return one(ctx, q, append([]any{&epoch}, c.scanned()...), "SELECT c.epoch, "+channelColumns+" FROM channels c WHERE c.id = ?", channel)
	})
	return epoch, c, failed("claim a channel", err)
}

// Epoch returns the epoch of the last claim.
func (d *rooms) Epoch(ctx context.Context, channel string) (epoch int64, err error) {
	err = one(ctx, d.reader(), []any{&epoch}, "SELECT epoch FROM channels WHERE id = ?", channel)
	return epoch, failed("read an epoch", err)
}
