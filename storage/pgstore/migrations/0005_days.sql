-- +goose Up

-- The hours of all secrets of a key, added up by day (UTC), for lists. What programs of a version before write is not in
-- it while they still run beside newer ones.
CREATE TABLE "latchkey".usage_days (
    key_id               text COLLATE "C" NOT NULL REFERENCES "latchkey".keys ON DELETE CASCADE,
    day                  date             NOT NULL,
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
    PRIMARY KEY (key_id, day)
);
CREATE INDEX usage_days_day ON "latchkey".usage_days (day);

INSERT INTO "latchkey".usage_days
SELECT key_id, (hour AT TIME ZONE 'UTC')::date AS day, sum(allowed)::bigint, sum(rate_limited)::bigint, sum(insufficient_scope)::bigint,
    sum(network_not_allowed)::bigint, sum(environment_mismatch)::bigint, sum(expired_key)::bigint, sum(disabled_key)::bigint,
    sum(revoked_key)::bigint, sum(unavailable)::bigint, sum(cut)::bigint
FROM "latchkey".usage_hours GROUP BY key_id, day;

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (5, '0005_days.sql', 1);
