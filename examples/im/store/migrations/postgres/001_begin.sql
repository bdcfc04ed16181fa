CREATE TABLE users (
	uid     BIGINT PRIMARY KEY,
	id      TEXT NOT NULL UNIQUE,
	name    TEXT NOT NULL,
	folded  TEXT NOT NULL,
	created BIGINT NOT NULL,
	place   BIGINT NOT NULL -- the last push to everybody when the user came
);
CREATE INDEX users_folded ON users (folded);

CREATE TABLE channels (
	key       BIGSERIAL PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	kind      TEXT NOT NULL,
	title     TEXT NOT NULL,
	created   BIGINT NOT NULL,
	epoch     BIGINT NOT NULL DEFAULT 0, -- grows with each owner
	first     BIGINT NOT NULL DEFAULT 1, -- older messages have been removed
	floor_rev BIGINT NOT NULL DEFAULT 0  -- the last change of those
);
CREATE INDEX channels_kind ON channels (kind, id);

CREATE TABLE members (
	chan   BIGINT NOT NULL,
	uid    BIGINT NOT NULL,
	role   TEXT NOT NULL,
	joined BIGINT NOT NULL,
	PRIMARY KEY (chan, uid)
);
CREATE INDEX members_uid ON members (uid);

CREATE TABLE reads (
	chan BIGINT NOT NULL,
	uid  BIGINT NOT NULL,
	n    BIGINT NOT NULL,
	PRIMARY KEY (chan, uid)
);

CREATE TABLE messages (
	id       BIGSERIAL PRIMARY KEY,
	chan     BIGINT NOT NULL,
	n        BIGINT NOT NULL,
	rev      BIGINT NOT NULL,
	at       BIGINT NOT NULL,
	uid      BIGINT NOT NULL,
	sender   TEXT NOT NULL,
	name     TEXT NOT NULL,
	cid      TEXT NOT NULL,
	text     TEXT NOT NULL,
	picture  TEXT NOT NULL, -- JSON, or empty
	reply    BIGINT NOT NULL,
	mentions TEXT NOT NULL, -- JSON, or empty
	edited   BIGINT NOT NULL DEFAULT 0,
	deleted  BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX messages_n ON messages (chan, n);
CREATE UNIQUE INDEX messages_rev ON messages (chan, rev);
CREATE UNIQUE INDEX messages_cid ON messages (uid, cid) WHERE cid <> '';

CREATE TABLE mentions (
	uid  BIGINT NOT NULL,
	chan BIGINT NOT NULL,
	n    BIGINT NOT NULL,
	PRIMARY KEY (uid, chan, n)
);

CREATE TABLE pushes (
	seq       BIGSERIAL PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	route     TEXT NOT NULL,
	data      BYTEA NOT NULL,
	at        BIGINT NOT NULL,
	expires   BIGINT NOT NULL,
	everybody BIGINT NOT NULL,
	platforms TEXT NOT NULL -- JSON, or empty
);
CREATE INDEX pushes_everybody ON pushes (seq) WHERE everybody = 1;
CREATE TABLE push_refs (
	uid BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	PRIMARY KEY (uid, seq)
);
CREATE TABLE places (
	uid      BIGINT NOT NULL,
	platform TEXT NOT NULL,
	seq      BIGINT NOT NULL, -- the last push to everybody that was taken there
	PRIMARY KEY (uid, platform)
);

CREATE TABLE pictures (
	id      TEXT PRIMARY KEY,
	chan    BIGINT NOT NULL,
	sender  TEXT NOT NULL,
	created BIGINT NOT NULL,
	used    BIGINT NOT NULL DEFAULT 0, -- a message has it
	about   TEXT NOT NULL,              -- JSON
	data    BYTEA NOT NULL,
	thumb   BYTEA NOT NULL
);

CREATE TABLE secrets (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
CREATE TABLE answers (
	key     TEXT PRIMARY KEY,
	sum     BYTEA NOT NULL,
	status  BIGINT NOT NULL,
	body    BYTEA NOT NULL,
	expires BIGINT NOT NULL
);

CREATE INDEX messages_found ON messages USING gin (to_tsvector('simple', text));
