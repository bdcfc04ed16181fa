CREATE TABLE users (
	uid     INTEGER PRIMARY KEY,
	id      TEXT NOT NULL UNIQUE,
	name    TEXT NOT NULL,
	folded  TEXT NOT NULL,
	created INTEGER NOT NULL,
	place   INTEGER NOT NULL -- the last push to everybody when the user came
);
CREATE INDEX users_folded ON users (folded);

CREATE TABLE channels (
	key       INTEGER PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	kind      TEXT NOT NULL,
	title     TEXT NOT NULL,
	created   INTEGER NOT NULL,
	epoch     INTEGER NOT NULL DEFAULT 0, -- grows with each owner
	first     INTEGER NOT NULL DEFAULT 1, -- older messages have been removed
	floor_rev INTEGER NOT NULL DEFAULT 0  -- the last change of those
);
CREATE INDEX channels_kind ON channels (kind, id);

CREATE TABLE members (
	chan   INTEGER NOT NULL,
	uid    INTEGER NOT NULL,
	role   TEXT NOT NULL,
	joined INTEGER NOT NULL,
	PRIMARY KEY (chan, uid)
) WITHOUT ROWID;
CREATE INDEX members_uid ON members (uid);

CREATE TABLE reads (
	chan INTEGER NOT NULL,
	uid  INTEGER NOT NULL,
	n    INTEGER NOT NULL,
	PRIMARY KEY (chan, uid)
) WITHOUT ROWID;

CREATE TABLE messages (
	id       INTEGER PRIMARY KEY,
	chan     INTEGER NOT NULL,
	n        INTEGER NOT NULL,
	rev      INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	uid      INTEGER NOT NULL,
	sender   TEXT NOT NULL,
	name     TEXT NOT NULL,
	cid      TEXT NOT NULL,
	text     TEXT NOT NULL,
	picture  TEXT NOT NULL, -- JSON, or empty
	reply    INTEGER NOT NULL,
	mentions TEXT NOT NULL, -- JSON, or empty
	edited   INTEGER NOT NULL DEFAULT 0,
	deleted  INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX messages_n ON messages (chan, n);
CREATE UNIQUE INDEX messages_rev ON messages (chan, rev);
CREATE UNIQUE INDEX messages_cid ON messages (uid, cid) WHERE cid <> '';

CREATE TABLE mentions (
	uid  INTEGER NOT NULL,
	chan INTEGER NOT NULL,
	n    INTEGER NOT NULL,
	PRIMARY KEY (uid, chan, n)
) WITHOUT ROWID;

CREATE TABLE pushes (
	seq       INTEGER PRIMARY KEY AUTOINCREMENT,
	id        TEXT NOT NULL UNIQUE,
	route     TEXT NOT NULL,
	data      BLOB NOT NULL,
	at        INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	everybody INTEGER NOT NULL,
	platforms TEXT NOT NULL -- JSON, or empty
);
CREATE INDEX pushes_everybody ON pushes (seq) WHERE everybody = 1;
CREATE TABLE push_refs (
	uid INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	PRIMARY KEY (uid, seq)
) WITHOUT ROWID;
CREATE TABLE places (
	uid      INTEGER NOT NULL,
	platform TEXT NOT NULL,
	seq      INTEGER NOT NULL, -- the last push to everybody that was taken there
	PRIMARY KEY (uid, platform)
) WITHOUT ROWID;

CREATE TABLE pictures (
	id      TEXT PRIMARY KEY,
	chan    INTEGER NOT NULL,
	sender  TEXT NOT NULL,
	created INTEGER NOT NULL,
	used    INTEGER NOT NULL DEFAULT 0, -- a message has it
	about   TEXT NOT NULL,              -- JSON
	data    BLOB NOT NULL,
	thumb   BLOB NOT NULL
);

CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE answers (
	key     TEXT PRIMARY KEY,
	sum     BLOB NOT NULL,
	status  INTEGER NOT NULL,
	body    BLOB NOT NULL,
	expires INTEGER NOT NULL
);

CREATE VIRTUAL TABLE found USING fts5(text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
CREATE TABLE indexed (id INTEGER NOT NULL); -- the last message that found holds
INSERT INTO indexed VALUES (0);
