-- +goose Up

-- What the last request asked, and how it ended: both are of the use at "last_told_at". A program that does not know
-- them leaves them where they are, so they hold only while that is "last_at".
ALTER TABLE "latchkey".usage_secrets
    ADD COLUMN last_told_at timestamptz,
    ADD COLUMN last_route   text    NOT NULL DEFAULT '',
    ADD COLUMN last_status  integer NOT NULL DEFAULT 0;

-- The newest hour in which a granted scope let a request through. Scopes are counted since this migration was applied;
-- programs of the version before, while they still run beside newer ones, count none.
CREATE TABLE "latchkey".usage_scopes (
    key_id text COLLATE "C" NOT NULL REFERENCES "latchkey".keys ON DELETE CASCADE,
    scope  text COLLATE "C" NOT NULL,
    hour   timestamptz      NOT NULL,
    PRIMARY KEY (key_id, scope)
);

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (4, '0004_uses.sql', 1);
