package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// expected reports whether an error concerns one change only: the transaction of all goes on.
func expected(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotOwner)
}

// change makes one change within the transaction of a batch.
func (s *sqlite) change(ctx context.Context, c *Change, now int64) result {
	h, err := s.head(ctx, c.Message.Channel)
	if err == nil && h.epoch != c.Epoch {
		err = fmt.Errorf("%w: epoch %d, the channel is at %d", ErrNotOwner, c.Epoch, h.epoch)
	}
	if err != nil {
		return result{change: c, err: err}
	}
	if c.Op == Post {
		return s.post(ctx, c, h, now)
	}
	return s.alter(ctx, c, h, now)
}

// head returns how far a channel is.
func (s *sqlite) head(ctx context.Context, id string) (*head, error) {
	if h, ok := s.heads[id]; ok {
		return h, nil
	}
	h := &head{}
	err := s.statements.head.QueryRowContext(ctx, id).Scan(&h.key, &h.kind, &h.epoch, &h.n, &h.rev)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if len(s.heads) >= maxKeys {
		clear(s.heads)
	}
	s.heads[id] = h
	return h, nil
}

func (s *sqlite) post(ctx context.Context, c *Change, h *head, now int64) result {
	m := c.Message
	uid := UIDOf(m.From)
	picture, mentions, err := packed(&m)
	if err != nil {
		return result{change: c, err: err}
	}
	if m.At == 0 {
		m.At = now
	}
	m.N, m.Rev = h.n+1, h.rev+1
	done, err := s.statements.insert.ExecContext(ctx, h.key, m.N, m.Rev, m.At, uid, m.From, m.Name, m.CID, m.Text, picture, m.Reply, mentions)
	if err != nil {
		if strings.Contains(err.Error(), "UNIQUE") { // another process has the number: it is the owner, whatever the epoch says
			delete(s.heads, m.Channel)
			err = fmt.Errorf("%w: number %d is taken", ErrNotOwner, m.N)
		}
		return result{change: c, err: err}
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		stored, err2 := s.single(ctx, s.statements.again, uid, m.CID)
		return result{change: c, stored: stored, again: true, err: errors.Join(err, err2)}
	}
	h.n, h.rev = m.N, m.Rev
	for _, id := range m.Mentions {
		if _, err := s.statements.mention.ExecContext(ctx, UIDOf(id), h.key, m.N); err != nil {
			return result{change: c, err: err}
		}
	}
	if m.Picture != nil {
		if _, err := s.statements.show.ExecContext(ctx, m.Picture.ID); err != nil {
			return result{change: c, err: err}
		}
	}
	return result{change: c, stored: m}
}

// alter edits or deletes a message. What is deleted stays so.
func (s *sqlite) alter(ctx context.Context, c *Change, h *head, now int64) result {
	fail := func(err error) result { return result{change: c, err: err} }
	old, err := s.single(ctx, s.statements.find, h.key, c.Message.N)
	if err != nil {
		return fail(err)
	}
	if old.Deleted {
		if c.Op == Delete {
			return result{change: c, stored: old, again: true}
		}
		return fail(ErrNotFound)
	}
	if _, err := s.statements.unindex.ExecContext(ctx, h.key, old.N); err != nil {
		return fail(err)
	}
	for _, id := range old.Mentions {
		if _, err := s.statements.unmention.ExecContext(ctx, h.key, old.N, UIDOf(id)); err != nil {
			return fail(err)
		}
	}
	m := altered(old, c, h.rev+1, now)
	if c.Op == Delete {
		_, err = s.statements.remove.ExecContext(ctx, m.Rev, h.key, m.N)
		if err == nil && old.Picture != nil {
			err = hide(ctx, s.own, old.Picture.ID)
		}
	} else {
		var mentions string
		if _, mentions, err = packed(&m); err == nil {
			_, err = s.statements.edit.ExecContext(ctx, m.Rev, m.Text, mentions, m.Edited, h.key, m.N)
		}
		for _, id := range m.Mentions {
			if err == nil {
				_, err = s.statements.mention.ExecContext(ctx, UIDOf(id), h.key, m.N)
			}
		}
		if err == nil {
			_, err = s.statements.index.ExecContext(ctx, h.key, m.N)
		}
	}
	if err != nil {
		return fail(err)
	}
	h.rev = m.Rev
	return result{change: c, stored: m}
}

// altered returns what an edit or a deletion makes of a message.
func altered(m Message, c *Change, rev, now int64) Message {
	m.Rev = rev
	if c.Op == Delete {
		m.Text, m.Picture, m.Mentions, m.Deleted = "", nil, nil, true
	} else {
		m.Text, m.Mentions, m.Edited = c.Message.Text, c.Message.Mentions, now
	}
	return m
}

// single returns the message that a prepared statement finds.
func (s *sqlite) single(ctx context.Context, st *sql.Stmt, args ...any) (Message, error) {
	var r row
	if err := st.QueryRowContext(ctx, args...).Scan(r.scanned()...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrNotFound
		}
		return Message{}, err
	}
	return r.message()
}
