package store

import (
	"context"
	"errors"
	"fmt"
)

// who is the client's own id of a message, and the sender whose it is.
type who struct {
	uid int64
	cid string
}

// post stores the messages of a batch in one statement: all of them, or none. If that fails because
// a number or a client's id is taken, the channels are written one by one, to find out which.
func (s *postgres) post(batch []job) []result {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	changes := make([]*Change, len(batch))
	for i, j := range batch {
		changes[i] = j.change
	}
	results, err := s.insert(ctx, changes)
	if codeOf(err) == uniqueViolation {
		return s.postByChannel(ctx, changes)
	}
	if err != nil {
		clear(s.heads) // it may have been committed
		results = failedAll(changes, failed("write messages", err))
	}
	return results
}

func failedAll(changes []*Change, err error) []result {
	results := make([]result, len(changes))
	for i, c := range changes {
		results[i] = result{change: c, err: err}
	}
	return results
}

// postByChannel stores each channel's messages in a statement of its own. A channel whose number is
// taken has another owner: this one yields.
func (s *postgres) postByChannel(ctx context.Context, changes []*Change) []result {
	clear(s.heads)
	var order []string
	parts := make(map[string][]*Change)
	for _, c := range changes {
		id := c.Message.Channel
		if parts[id] == nil {
			order = append(order, id)
		}
		parts[id] = append(parts[id], c)
	}
	var results []result
	for _, id := range order {
		part, err := s.insert(ctx, parts[id])
		if codeOf(err) == uniqueViolation {
			err = fmt.Errorf("%w: a number of %s is taken", ErrNotOwner, id)
		}
		if err != nil {
			delete(s.heads, id)
			part = failedAll(parts[id], failed("write messages", err))
		}
		results = append(results, part...)
	}
	return results
}

// insert stores messages. What was stored earlier, by its client's id, is found before, and gets no
// number.
func (s *postgres) insert(ctx context.Context, changes []*Change) ([]result, error) {
	wrong, err := s.owned(ctx, changes)
	if err != nil {
		return nil, err
	}
	again, err := s.earlier(ctx, changes)
	if err != nil {
		return nil, err
	}
	now := millis()
	rows := columns{}
	results := make([]result, len(changes))
	fresh := make(map[who]int) // index of the change that stores it, in this batch
	ends := make(map[string]head)
	for i, c := range changes {
		results[i].change = c
		m := c.Message
		id := who{UIDOf(m.From), m.CID}
		if old, ok := again[id]; ok && m.CID != "" {
			results[i].stored, results[i].again = old, true
			continue
		}
		if results[i].err = wrong[c]; results[i].err != nil {
			continue
		}
		if first, ok := fresh[id]; ok && m.CID != "" {
			results[i].stored, results[i].again = results[first].stored, true
			continue
		}
		h, ok := ends[m.Channel]
		if !ok {
			h = *s.heads[m.Channel]
		}
		h.n, h.rev = h.n+1, h.rev+1
		m.N, m.Rev = h.n, h.rev
		if m.At == 0 {
			m.At = now
		}
		if err := rows.add(h.key, id.uid, &m); err != nil {
			results[i].err = err
			continue
		}
		ends[m.Channel] = h
		fresh[id] = i
		results[i].stored = m
	}
	if len(rows.chans) > 0 {
		if err := s.store(ctx, &rows); err != nil {
			return nil, err
		}
	}
	for id, h := range ends {
		*s.heads[id] = h
	}
	return results, nil
}

// earlier returns the messages of a batch that are stored already.
func (s *postgres) earlier(ctx context.Context, changes []*Change) (map[who]Message, error) {
	var uids []int64
	var cids []string
	for _, c := range changes {
		if c.Message.CID != "" {
			uids, cids = append(uids, UIDOf(c.Message.From)), append(cids, c.Message.CID)
		}
	}
	again := make(map[who]Message)
	if len(cids) == 0 {
		return again, nil
	}
	var list []Message
	err := each(ctx, s.read, collect(&list), selectMessage+
		"JOIN unnest($1::bigint[], $2::text[]) AS w (uid, cid) ON m.uid = w.uid AND m.cid = w.cid WHERE m.cid <> ''", uids, cids)
	for _, m := range list {
		again[who{UIDOf(m.From), m.CID}] = m
	}
	return again, err
}

// columns are messages as one statement takes them.
type columns struct {
	chans, ns, revs, ats, uids, replies                    []int64
	senders, names, cids, texts, pictures, mentions, shown []string
	mentioned, mentionChans, mentionNs                     []int64
}

func (r *columns) add(key, uid int64, m *Message) error {
	picture, mentions, err := packed(m)
	if err != nil {
		return err
	}
	r.chans, r.ns, r.revs, r.ats = append(r.chans, key), append(r.ns, m.N), append(r.revs, m.Rev), append(r.ats, m.At)
	r.uids, r.replies = append(r.uids, uid), append(r.replies, m.Reply)
	r.senders, r.names, r.cids, r.texts = append(r.senders, m.From), append(r.names, m.Name), append(r.cids, m.CID), append(r.texts, m.Text)
	r.pictures, r.mentions = append(r.pictures, picture), append(r.mentions, mentions)
	if m.Picture != nil {
		r.shown = append(r.shown, m.Picture.ID)
	}
	for _, id := range m.Mentions {
		r.mentioned, r.mentionChans, r.mentionNs = append(r.mentioned, UIDOf(id)), append(r.mentionChans, key), append(r.mentionNs, m.N)
	}
	return nil
}

const insertMessages = `INSERT INTO messages (chan, n, rev, at, uid, sender, name, cid, text, picture, reply, mentions)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
		$10::text[], $11::bigint[], $12::text[])`

// store writes the columns: in one statement if messages are all there is.
func (s *postgres) store(ctx context.Context, r *columns) error {
	insert := func(ctx context.Context, q queries) error {
		_, err := q.ExecContext(ctx, insertMessages, r.chans, r.ns, r.revs, r.ats, r.uids, r.senders, r.names, r.cids, r.texts, r.pictures, r.replies, r.mentions)
		return err
	}
	if len(r.mentioned) == 0 && len(r.shown) == 0 {
		return insert(ctx, s.read)
	}
	return s.attempt(ctx, func(ctx context.Context, q queries) error {
		if err := insert(ctx, q); err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, "INSERT INTO mentions SELECT * FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) ON CONFLICT DO NOTHING",
			r.mentioned, r.mentionChans, r.mentionNs); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, "UPDATE pictures SET used = used + (SELECT count(*) FROM unnest(?::text[]) AS s WHERE s = pictures.id) WHERE id = ANY(?)", r.shown, r.shown)
		return err
	})
}

// alter edits or deletes a message.
func (s *postgres) alter(c *Change) result {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	wrong, err := s.owned(ctx, []*Change{c})
	if err == nil {
		err = wrong[c]
	}
	if err != nil {
		return result{change: c, err: failed("change a message", err)}
	}
	h := s.heads[c.Message.Channel]
	r := result{change: c}
	err = s.attempt(ctx, func(ctx context.Context, q queries) error {
		var list []Message
		if err := each(ctx, q, collect(&list), selectMessage+"WHERE m.chan = ? AND m.n = ? FOR UPDATE OF m", h.key, c.Message.N); err != nil {
			return err
		}
		if len(list) == 0 || list[0].Deleted && c.Op == Edit {
			return ErrNotFound
		}
		if list[0].Deleted {
			r.stored, r.again = list[0], true
			return nil
		}
		r.stored = altered(list[0], c, h.rev+1, millis())
		return s.rewrite(ctx, q, h.key, &list[0], &r.stored)
	})
	switch {
	case codeOf(err) == uniqueViolation:
		delete(s.heads, c.Message.Channel)
		r.err = fmt.Errorf("%w: a change of %s is taken", ErrNotOwner, c.Message.Channel)
	case errors.Is(err, ErrNotFound):
		r.err = err
	case err != nil:
		delete(s.heads, c.Message.Channel)
		r.err = failed("change a message", err)
	case !r.again:
		h.rev = r.stored.Rev
	}
	return r
}

// rewrite replaces a message and what hangs on it.
func (s *postgres) rewrite(ctx context.Context, q queries, key int64, old, m *Message) error {
	picture, mentions, err := packed(m)
	if err != nil {
		return err
	}
	deleted := 0
	if m.Deleted {
		deleted = 1
	}
	_, err = q.ExecContext(ctx, "UPDATE messages SET rev = ?, text = ?, picture = ?, mentions = ?, edited = ?, deleted = ? WHERE chan = ? AND n = ?",
		m.Rev, m.Text, picture, mentions, m.Edited, deleted, key, m.N)
	if err == nil && m.Deleted && old.Picture != nil {
		err = hide(ctx, q, old.Picture.ID)
	}
	if err == nil {
		_, err = q.ExecContext(ctx, "DELETE FROM mentions WHERE chan = ? AND n = ?", key, m.N)
	}
	for _, id := range m.Mentions {
		if err == nil {
			_, err = q.ExecContext(ctx, "INSERT INTO mentions VALUES (?,?,?) ON CONFLICT DO NOTHING", UIDOf(id), key, m.N)
		}
	}
	return err
}
