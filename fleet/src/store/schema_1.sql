-- Times are Unix seconds, digests lower-case hexadecimal, JSON is text.
CREATE TABLE devices (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    board       TEXT NOT NULL,
    serial      TEXT,
    enrolled    INTEGER NOT NULL,
    certificate TEXT NOT NULL,
    cert_serial TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    base_url    TEXT NOT NULL,
    revoked     INTEGER,
    online      INTEGER NOT NULL DEFAULT 0,
    last_seen   INTEGER,
    state       TEXT,
    progress    TEXT,
    apps        TEXT,
    counter     INTEGER NOT NULL DEFAULT 0,
    desired     BLOB,
    desired_expires INTEGER
) STRICT;

CREATE TABLE events (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL REFERENCES devices(id),
    time   INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_device ON events (device, id);

CREATE TABLE releases (
    digest         TEXT PRIMARY KEY,
    manifest       BLOB NOT NULL,
    version        TEXT NOT NULL,
    sequence       INTEGER NOT NULL,
    floor          INTEGER NOT NULL,
    boards         TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    payload_size   INTEGER NOT NULL,
    notes          TEXT NOT NULL,
    ready          INTEGER NOT NULL DEFAULT 0,
    uploaded       INTEGER NOT NULL
) STRICT;

CREATE TABLE deployments (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    release TEXT NOT NULL REFERENCES releases(digest),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE deployment_devices (
    deployment INTEGER NOT NULL REFERENCES deployments(id),
    device     TEXT NOT NULL REFERENCES devices(id),
    counter    INTEGER NOT NULL,
    PRIMARY KEY (deployment, device)
) STRICT;

CREATE TABLE snaps (
    sha256    TEXT PRIMARY KEY,
    name      TEXT NOT NULL,
    size      INTEGER NOT NULL,
    signature TEXT NOT NULL,
    signed    INTEGER NOT NULL,
    uploaded  INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    hash    TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER,
    device  TEXT REFERENCES devices(id),
    key     TEXT
) STRICT;

CREATE TABLE sessions (
    hash    TEXT PRIMARY KEY,
    guard   TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE commands (
    id       TEXT PRIMARY KEY,
    device   TEXT NOT NULL REFERENCES devices(id),
    action   TEXT NOT NULL,
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    finished INTEGER,
    result   TEXT
) STRICT;
CREATE INDEX commands_of_device ON commands (device, created);

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    time   INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
