-- +goose Up

-- What keys are listed and found by: name_key orders them by name, words has a row for each word of the name and for
-- the ID. Both are made by the program (package storage): letters must be folded alike in every database, whatever its
-- locale and version. "listed" is the revision that they were made of.
--
-- A program that does not know them leaves "listed" where it is, and a trigger marks the row: "behind". Programs that
-- know make up for it, for all rows that are there when they start, and then before each list that needs it.
ALTER TABLE "latchkey".keys
    ADD COLUMN name_key bytea,
    ADD COLUMN listed   bigint,
    ADD COLUMN behind   boolean NOT NULL DEFAULT true;

CREATE INDEX keys_behind ON "latchkey".keys (id) WHERE behind;
CREATE INDEX keys_name ON "latchkey".keys (name_key, id);
CREATE INDEX keys_owner_name ON "latchkey".keys (owner, name_key, id);
CREATE INDEX keys_environment_name ON "latchkey".keys (environment, name_key, id);
CREATE INDEX keys_owner_environment_name ON "latchkey".keys (owner, environment, name_key, id);

-- The first 64 bytes of a word, and the key's owner and environment. A row that is not true any more shows nothing: the
-- record decides.
CREATE TABLE "latchkey".words (
    key_id      text COLLATE "C" NOT NULL REFERENCES "latchkey".keys ON DELETE CASCADE,
    word        bytea            NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    environment text COLLATE "C" NOT NULL,
    PRIMARY KEY (key_id, word)
);
CREATE INDEX words_all ON "latchkey".words (word, environment, key_id);
CREATE INDEX words_owner ON "latchkey".words (owner, word, environment, key_id);

-- +goose StatementBegin
CREATE FUNCTION "latchkey".fall_behind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.behind := true;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER names_fall_behind BEFORE UPDATE ON "latchkey".keys FOR EACH ROW
    WHEN (NEW.listed IS DISTINCT FROM NEW.revision AND NOT NEW.behind)
    EXECUTE FUNCTION "latchkey".fall_behind();

-- As before, but that what a key is listed by may be written again without a change of the key.
DROP TRIGGER revision_rises ON "latchkey".keys;
CREATE TRIGGER revision_rises BEFORE UPDATE ON "latchkey".keys FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.revision <> OLD.revision + 1 AND (NEW.revision <> OLD.revision
        OR (NEW.owner, NEW.environment, NEW.created_at, NEW.revoked_at, NEW.record)
            IS DISTINCT FROM (OLD.owner, OLD.environment, OLD.created_at, OLD.revoked_at, OLD.record)))
    EXECUTE FUNCTION "latchkey".refuse('each change of a key takes the next revision');

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (3, '0003_names.sql', 1);
