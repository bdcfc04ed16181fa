package store

import (
	"database/sql"
	"encoding/json"
)

// head is how far a channel is, as its writer knows it.
type head struct {
	key, epoch, n, rev int64
	kind               string
}

// row is a message between its form for clients and that in the database.
type row struct {
	Message
	picture, mentions string
	deleted           int64
}

// scanned returns where the columns of selectMessage go.
func (r *row) scanned() []any {
	return []any{&r.Channel, &r.N, &r.Rev, &r.At, &r.From, &r.Name, &r.CID, &r.Text, &r.picture, &r.Reply, &r.mentions, &r.Edited, &r.deleted}
}

// message returns the message of a scanned row.
func (r *row) message() (Message, error) {
	m := r.Message
	m.Deleted = r.deleted != 0
	if r.picture != "" {
		if err := json.Unmarshal([]byte(r.picture), &m.Picture); err != nil {
			return m, err
		}
	}
	if r.mentions != "" {
		if err := json.Unmarshal([]byte(r.mentions), &m.Mentions); err != nil {
			return m, err
		}
	}
	return m, nil
}

// packed returns picture and mentions as they are stored.
func packed(m *Message) (picture, mentions string, err error) {
	if m.Picture != nil {
		b, err := json.Marshal(m.Picture)
		if err != nil {
			return "", "", err
		}
		picture = string(b)
	}
	if len(m.Mentions) > 0 {
		b, err := json.Marshal(m.Mentions)
		if err != nil {
			return "", "", err
		}
		mentions = string(b)
	}
	return picture, mentions, nil
}

// collect returns a scan function that appends messages to list.
func collect(list *[]Message) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var r row
		if err := rows.Scan(r.scanned()...); err != nil {
			return err
		}
		m, err := r.message()
		*list = append(*list, m)
		return err
	}
}
