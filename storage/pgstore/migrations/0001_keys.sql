-- +goose Up

-- The schema "latchkey" exists already. pgstore.Migrate makes it; elsewhere: CREATE SCHEMA "latchkey";

-- A row for each migration that was applied; each file adds its own. "oldest" is the last migration that a program
-- must know to work with the schema as it is after this one, so that old instances go on while new ones start.
CREATE TABLE "latchkey".migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    oldest     integer     NOT NULL,
    checksum   text,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The record is encoded (package storage). The columns beside it are what the database selects, orders and
-- constrains by; a row whose columns and record do not agree is damaged.
CREATE TABLE "latchkey".keys (
    id          text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    owner       text COLLATE "C" NOT NULL,
    environment text COLLATE "C" NOT NULL,
    created_at  timestamptz      NOT NULL,
    revision    bigint           NOT NULL CHECK (revision > 0),
    revoked_at  timestamptz,
    record      bytea            NOT NULL
) WITH (fillfactor = 85);

-- Scanned backwards: newest first. An update of a key touches none of them.
CREATE INDEX keys_newest ON "latchkey".keys (created_at, id);
CREATE INDEX keys_owner ON "latchkey".keys (owner, created_at, id);
CREATE INDEX keys_environment ON "latchkey".keys (environment, created_at, id);
CREATE INDEX keys_owner_environment ON "latchkey".keys (owner, environment, created_at, id);

-- What no statement may do, whoever sends it.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'latchkey: %', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER revoked_stays_revoked BEFORE UPDATE ON "latchkey".keys FOR EACH ROW
    WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION "latchkey".refuse('a revoked key stays as it was revoked');

CREATE TRIGGER only_revoked_is_deleted BEFORE DELETE ON "latchkey".keys FOR EACH ROW
    WHEN (OLD.revoked_at IS NULL)
    EXECUTE FUNCTION "latchkey".refuse('only a revoked key can be deleted');

CREATE TRIGGER revision_rises BEFORE UPDATE ON "latchkey".keys FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.revision <> OLD.revision + 1)
    EXECUTE FUNCTION "latchkey".refuse('each change of a key takes the next revision');

-- seq is the position of the change in the feed. There is no reference to keys: the trail outlives them.
CREATE TABLE "latchkey".audit (
    seq     bigint           PRIMARY KEY,
    at      timestamptz      NOT NULL,
    actor   text             NOT NULL,
    "from"  text             NOT NULL,
    action  text             NOT NULL,
    key_id  text COLLATE "C" NOT NULL,
    owner   text COLLATE "C" NOT NULL,
    reason  text             NOT NULL,
    details jsonb
);
CREATE INDEX audit_key ON "latchkey".audit (key_id, seq);
CREATE INDEX audit_owner ON "latchkey".audit (owner, seq);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON "latchkey".audit FOR EACH ROW
    EXECUTE FUNCTION "latchkey".refuse('the audit trail is never changed');

-- One row. Its lock makes the positions of the feed gapless and gives them the order of the commits.
CREATE TABLE "latchkey".feed_head (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch uuid    NOT NULL DEFAULT gen_random_uuid(),
    head  bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO "latchkey".feed_head (head) VALUES (0);

CREATE TABLE "latchkey".feed (
    position bigint           PRIMARY KEY,
    key_id   text COLLATE "C" NOT NULL,
    revision bigint           NOT NULL,
    deleted  boolean          NOT NULL,
    at       timestamptz      NOT NULL
);

-- Who polls, and what they have applied.
CREATE TABLE "latchkey".instances (
    id      text COLLATE "C" PRIMARY KEY,
    acked   bigint           NOT NULL,
    epoch   text             NOT NULL,
    lease   interval         NOT NULL,
    beat_at timestamptz      NOT NULL
) WITH (fillfactor = 30);

-- Usage goes with its key, and there is none without one.
CREATE TABLE "latchkey".usage_hours (
    key_id               text COLLATE "C" NOT NULL REFERENCES "latchkey".keys ON DELETE CASCADE,
    hour                 timestamptz      NOT NULL,
    secret               bigint           NOT NULL,
    allowed              bigint           NOT NULL,
    rate_limited         bigint           NOT NULL,
    insufficient_scope   bigint           NOT NULL,
    network_not_allowed  bigint           NOT NULL,
    environment_mismatch bigint           NOT NULL,
    expired_key          bigint           NOT NULL,
    disabled_key         bigint           NOT NULL,
    revoked_key          bigint           NOT NULL,
    unavailable          bigint           NOT NULL,
    cut                  bigint           NOT NULL,
    PRIMARY KEY (key_id, hour, secret)
) WITH (fillfactor = 70);
CREATE INDEX usage_hours_hour ON "latchkey".usage_hours (hour);

CREATE TABLE "latchkey".usage_secrets (
    key_id               text COLLATE "C" NOT NULL REFERENCES "latchkey".keys ON DELETE CASCADE,
    secret               bigint           NOT NULL,
    allowed              bigint           NOT NULL,
    rate_limited         bigint           NOT NULL,
    insufficient_scope   bigint           NOT NULL,
    network_not_allowed  bigint           NOT NULL,
    environment_mismatch bigint           NOT NULL,
    expired_key          bigint           NOT NULL,
    disabled_key         bigint           NOT NULL,
    revoked_key          bigint           NOT NULL,
    unavailable          bigint           NOT NULL,
    cut                  bigint           NOT NULL,
    last_at              timestamptz,
    last_network         text             NOT NULL,
    last_user_agent      text             NOT NULL,
    PRIMARY KEY (key_id, secret)
) WITH (fillfactor = 70);

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (1, '0001_keys.sql', 1);
