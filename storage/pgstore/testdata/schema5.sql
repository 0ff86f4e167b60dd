
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA latchkey;

CREATE FUNCTION latchkey.fall_behind() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.behind := true;
    RETURN NEW;
END
$$;

CREATE FUNCTION latchkey.limit_decide(name1 bytea, name2 bytea, n1 integer, lengths bigint[], most bigint[], cost bigint, charge boolean, patience integer, at bigint) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    low   CONSTANT bigint := 8589934591; -- 33 bits of a segment's number
    units CONSTANT bigint := 1073741823; -- 30 bits of a count
    n     CONSTANT integer := cardinality(lengths);
    parts CONSTANT integer := CASE WHEN name2 IS NULL THEN 1 ELSE 2 END;
    name    bytea;
    old1    bigint[] := '{}';
    old2    bigint[] := '{}';
    old     bigint[];
    rings   bigint[] := '{}'; -- of the limits, in their order, as they are now
    pos     integer[] := '{}'; -- where each begins
    kept    bigint[]; -- of a subject, under no limit now
    now     bigint;
    k       bigint;
    s       bigint;
    seg     bigint;
    newest  bigint;
    total   bigint;
    need    bigint;
    pause   bigint := 0;
    life    bigint;
    until   bigint;
    hopeless boolean := false;
    refuses boolean[] := '{}';
    answer  bigint[];
    p integer; c integer; stop integer; lo integer; hi integer;
BEGIN
    -- Subjects are locked in the order of their bytes, so that requests which name them in another order wait for each
    -- other and never in a circle. That is why a row that is not there is made before the next is looked for.
    IF charge THEN
        PERFORM set_config('synchronous_commit', 'off', true), set_config('lock_timeout', patience::text, true);
    END IF;
    FOR i IN 1..parts LOOP
        name := CASE i WHEN 1 THEN name1 ELSE name2 END;
        LOOP
            IF charge THEN
                SELECT l.rings INTO old FROM "latchkey".limits AS l WHERE l.subject = name FOR UPDATE;
            ELSE
                SELECT l.rings INTO old FROM "latchkey".limits AS l WHERE l.subject = name;
            END IF;
            EXIT WHEN FOUND OR NOT charge;
            INSERT INTO "latchkey".limits (subject, idle_at, rings) VALUES (name, 0, '{}') ON CONFLICT DO NOTHING;
        END LOOP;
        IF i = 1 THEN
            old1 := coalesce(old, '{}');
        ELSE
            old2 := coalesce(old, '{}');
        END IF;
    END LOOP;

    -- The clock is read under the locks: so hits are dated in the order in which they are admitted, and none before it
    -- is, however long it waited.
    now := coalesce(at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000);

    FOR j IN 1..n LOOP
        IF j <= n1 THEN
            old := old1;
        ELSE
            old := old2;
        END IF;
        k := CASE WHEN lengths[j] <= 3600 THEN 60 ELSE 144 END;
        s := (lengths[j] * 1000000000 + k - 1) / k;
        seg := now / s;
        life := least(life, (seg + 1) * s - now); -- least passes over null
        p := 1;
        WHILE p <= cardinality(old) AND old[p] <> lengths[j] LOOP
            p := p + 4 + old[p + 3];
        END LOOP;
        pos[j] := cardinality(rings) + 1;
        IF p > cardinality(old) THEN
            total := 0;
            rings := rings || ARRAY[lengths[j], seg, 0, 1, (seg & low) << 30];
        ELSE
            newest := old[p + 1];
            total := old[p + 2];
            c := p + 4;
            stop := c + old[p + 3];
            seg := greatest(seg, newest); -- a clock that runs backwards lets nothing go
            WHILE c < stop AND seg - newest + ((newest - (old[c] >> 30)) & low) > k LOOP
                total := total - (old[c] & units);
                c := c + 1;
            END LOOP;
            IF seg = newest THEN
                rings := rings || ARRAY[lengths[j], seg, total, stop - c] || old[c:stop - 1];
            ELSE
                rings := rings || ARRAY[lengths[j], seg, total, stop - c + 1] || old[c:stop - 1] || ((seg & low) << 30);
            END IF;
        END IF;

        refuses[j] := cost > most[j] - total;
        IF cost > most[j] THEN
            hopeless := true;
        ELSIF refuses[j] THEN
            need := cost - (most[j] - total);
            c := pos[j] + 4;
            LOOP
                need := need - (rings[c] & units);
                EXIT WHEN need <= 0;
                c := c + 1;
            END LOOP;
            pause := greatest(pause, (seg - ((seg - (rings[c] >> 30)) & low) + k + 1) * s - now);
        END IF;
    END LOOP;

    IF hopeless THEN
        pause := -1;
    END IF;
    IF charge AND pause = 0 THEN
        FOR j IN 1..n LOOP
            p := pos[j];
            rings[p + 2] := rings[p + 2] + cost;
            c := p + 3 + rings[p + 3];
            rings[c] := rings[c] + cost;
        END LOOP;
        FOR i IN 1..parts LOOP
            IF i = 1 THEN
                name := name1; old := old1; lo := 1; hi := n1;
            ELSE
                name := name2; old := old2; lo := n1 + 1; hi := n;
            END IF;
            -- A window that no limit names keeps what it counts: it may come back.
            kept := '{}';
            p := 1;
            WHILE p <= cardinality(old) LOOP
                c := p + 4 + old[p + 3];
                k := CASE WHEN old[p] <= 3600 THEN 60 ELSE 144 END;
                IF old[p] <> ALL (lengths[lo:hi]) AND (old[p + 1] + k + 1) * ((old[p] * 1000000000 + k - 1) / k) > now THEN
                    kept := kept || old[p:c - 1];
                END IF;
                p := c;
            END LOOP;
            kept := rings[pos[lo]:CASE WHEN hi < n THEN pos[hi + 1] - 1 ELSE cardinality(rings) END] || kept;
            until := 0;
            p := 1;
            WHILE p <= cardinality(kept) LOOP
                k := CASE WHEN kept[p] <= 3600 THEN 60 ELSE 144 END;
                until := greatest(until, (kept[p + 1] + k + 1) * ((kept[p] * 1000000000 + k - 1) / k));
                p := p + 4 + kept[p + 3];
            END LOOP;
            UPDATE "latchkey".limits AS l
            SET rings = kept, idle_at = CASE WHEN l.idle_at >= until THEN l.idle_at ELSE until + 600000000000 END
            WHERE l.subject = name;
        END LOOP;
    END IF;

    answer := ARRAY[pause, CASE WHEN charge AND pause = 0 THEN life ELSE 0 END];
    FOR j IN 1..n LOOP
        p := pos[j];
        total := rings[p + 2];
        k := CASE WHEN lengths[j] <= 3600 THEN 60 ELSE 144 END;
        s := (lengths[j] * 1000000000 + k - 1) / k;
        answer := answer || ARRAY[
            greatest(most[j] - total, 0),
            CASE WHEN total = 0 THEN 0 ELSE (rings[p + 1] - ((rings[p + 1] - (rings[p + 4] >> 30)) & low) + k + 1) * s - now END,
            refuses[j]::integer::bigint
        ];
    END LOOP;
    RETURN answer;
END
$$;

CREATE FUNCTION latchkey.refuse() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'latchkey: %', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE latchkey.audit (
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    "from" text NOT NULL,
    action text NOT NULL,
    key_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    details jsonb
);

CREATE TABLE latchkey.feed (
    "position" bigint NOT NULL,
    key_id text NOT NULL COLLATE pg_catalog."C",
    revision bigint NOT NULL,
    deleted boolean NOT NULL,
    at timestamp with time zone NOT NULL
);

CREATE TABLE latchkey.feed_head (
    one boolean DEFAULT true NOT NULL,
    epoch uuid DEFAULT gen_random_uuid() NOT NULL,
    head bigint NOT NULL,
    CONSTRAINT feed_head_one_check CHECK (one)
)
WITH (fillfactor='10');

CREATE TABLE latchkey.instances (
    id text NOT NULL COLLATE pg_catalog."C",
    acked bigint NOT NULL,
    epoch text NOT NULL,
    lease interval NOT NULL,
    beat_at timestamp with time zone NOT NULL
)
WITH (fillfactor='30');

CREATE TABLE latchkey.keys (
    id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    environment text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    revision bigint NOT NULL,
    revoked_at timestamp with time zone,
    record bytea NOT NULL,
    name_key bytea,
    listed bigint,
    behind boolean DEFAULT true NOT NULL,
    CONSTRAINT keys_id_check CHECK ((id <> ''::text)),
    CONSTRAINT keys_revision_check CHECK ((revision > 0))
)
WITH (fillfactor='85');

CREATE TABLE latchkey.limits (
    subject bytea NOT NULL,
    idle_at bigint NOT NULL,
    rings bigint[] NOT NULL
)
WITH (fillfactor='50', toast_tuple_target='8160');

CREATE TABLE latchkey.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    oldest integer NOT NULL,
    checksum text,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE latchkey.usage_days (
    key_id text NOT NULL COLLATE pg_catalog."C",
    day date NOT NULL,
    allowed bigint NOT NULL,
    rate_limited bigint NOT NULL,
    insufficient_scope bigint NOT NULL,
    network_not_allowed bigint NOT NULL,
    environment_mismatch bigint NOT NULL,
    expired_key bigint NOT NULL,
    disabled_key bigint NOT NULL,
    revoked_key bigint NOT NULL,
    unavailable bigint NOT NULL,
    cut bigint NOT NULL
);

CREATE TABLE latchkey.usage_hours (
    key_id text NOT NULL COLLATE pg_catalog."C",
    hour timestamp with time zone NOT NULL,
    secret bigint NOT NULL,
    allowed bigint NOT NULL,
    rate_limited bigint NOT NULL,
    insufficient_scope bigint NOT NULL,
    network_not_allowed bigint NOT NULL,
    environment_mismatch bigint NOT NULL,
    expired_key bigint NOT NULL,
    disabled_key bigint NOT NULL,
    revoked_key bigint NOT NULL,
    unavailable bigint NOT NULL,
    cut bigint NOT NULL
)
WITH (fillfactor='70');

CREATE TABLE latchkey.usage_scopes (
    key_id text NOT NULL COLLATE pg_catalog."C",
    scope text NOT NULL COLLATE pg_catalog."C",
    hour timestamp with time zone NOT NULL
);

CREATE TABLE latchkey.usage_secrets (
    key_id text NOT NULL COLLATE pg_catalog."C",
    secret bigint NOT NULL,
    allowed bigint NOT NULL,
    rate_limited bigint NOT NULL,
    insufficient_scope bigint NOT NULL,
    network_not_allowed bigint NOT NULL,
    environment_mismatch bigint NOT NULL,
    expired_key bigint NOT NULL,
    disabled_key bigint NOT NULL,
    revoked_key bigint NOT NULL,
    unavailable bigint NOT NULL,
    cut bigint NOT NULL,
    last_at timestamp with time zone,
    last_network text NOT NULL,
    last_user_agent text NOT NULL,
    last_told_at timestamp with time zone,
    last_route text DEFAULT ''::text NOT NULL,
    last_status integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='70');

CREATE TABLE latchkey.words (
    key_id text NOT NULL COLLATE pg_catalog."C",
    word bytea NOT NULL,
    owner text NOT NULL COLLATE pg_catalog."C",
    environment text NOT NULL COLLATE pg_catalog."C"
);

INSERT INTO latchkey.audit VALUES (1, '2026-11-28 06:54:18.127571+00', 'ann', '192.0.2.7', 'create', '39TJM0EVy5Q5bCvJ', 'acme', '', '{"name": "plain key", "plan": "pro", "scopes": "reports:read things:*", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (2, '2026-11-28 06:54:18.140022+00', 'ann', '192.0.2.7', 'create', 'PNNm5vOpav7ZTfTL', 'acme', '', '{"name": "networks key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (3, '2026-11-28 06:54:18.140819+00', 'ann', '192.0.2.7', 'create', 'rD6p7WXo9k3VuIFX', 'other', '', '{"name": "Straße des 17. Juni", "plan": "pro", "scopes": "things:read", "environment": "test"}');
INSERT INTO latchkey.audit VALUES (4, '2026-11-28 06:54:18.142616+00', 'ann', '192.0.2.7', 'create', 'eiOYVv0bIztDh0pd', 'acme', '', '{"name": "spent key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (5, '2026-11-28 06:54:18.143204+00', 'ann', '192.0.2.7', 'create', 'RKFHjeGckpLzZf4k', 'acme', '', '{"name": "half key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (6, '2026-11-28 06:54:18.143693+00', 'ann', '192.0.2.7', 'create', 'z7MG2cNFx26eC1T9', 'acme', '', '{"name": "crashed key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (7, '2026-11-28 06:54:18.144142+00', 'ann', '192.0.2.7', 'create', 'XzqgbnqcZbQUMDah', 'acme', '', '{"name": "rotating key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (8, '2026-11-28 06:54:18.144398+00', 'ann', '192.0.2.7', 'create', '0Jaodfw0r13KUHC7', 'acme', '', '{"name": "in grace key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (9, '2026-11-28 06:54:18.144691+00', 'ann', '192.0.2.7', 'create', 'qZQVdunXBoOCq5rA', 'acme', '', '{"name": "ended key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (10, '2026-11-28 06:54:18.144927+00', 'bob@acme.example', '', 'create', '6mbTdLRIDJXD8eqQ', 'acme', '', '{"name": "disabled key", "plan": "free", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (11, '2026-11-28 06:54:18.145145+00', 'ann', '192.0.2.7', 'create', 'nq1wLFBn3Wgp892N', 'acme', '', '{"name": "locked key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (12, '2026-11-28 06:54:18.145337+00', 'ann', '192.0.2.7', 'create', 'BkqhmB5sHMoUMYcs', 'acme', '', '{"name": "revoked key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (13, '2026-11-28 06:54:18.145524+00', 'ann', '192.0.2.7', 'create', 'qpkD4v10zzp82Ihh', 'other', '', '{"name": "purged key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (14, '2026-11-28 06:54:18.145724+00', 'ann', '192.0.2.7', 'create', 'shRwvVVfUY3EKWU6', 'acme', '', '{"name": "expired key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (15, '2026-11-28 06:54:18.145939+00', 'ann', '192.0.2.7', 'create', 'vFUzPFyohcmnNUJ1', 'acme', '', '{"name": "expires late key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (16, '2026-11-28 06:54:18.165526+00', 'ann', '192.0.2.7', 'create', 'B7WjNcZwhpuXi2I6', 'acme', '', '{"name": "peppered key", "plan": "pro", "scopes": "things:read things:write", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (17, '2026-11-28 06:54:18.167381+00', 'ann', '192.0.2.7', 'create', 'lU9MW152o2V30zSK', 'acme', '', '{"name": "once key", "plan": "pro", "scopes": "things:read", "environment": "live"}');
INSERT INTO latchkey.audit VALUES (18, '2026-11-28 06:54:18.168232+00', 'ann', '192.0.2.7', 'rotate', 'XzqgbnqcZbQUMDah', 'acme', 'yearly', '{"secret": "2", "old_secret_ends": "48h0m0s after the new secret is first used"}');
INSERT INTO latchkey.audit VALUES (19, '2026-11-28 06:54:18.171016+00', 'ann', '192.0.2.7', 'rotate', '0Jaodfw0r13KUHC7', 'acme', '', '{"secret": "2", "old_secret_ends": "2026-11-29T06:54:18Z"}');
INSERT INTO latchkey.audit VALUES (20, '2026-11-28 06:54:18.173243+00', 'ann', '192.0.2.7', 'rotate', 'qZQVdunXBoOCq5rA', 'acme', 'leaked', '{"secret": "2", "old_secret_ends": "2026-11-28T06:54:18Z"}');
INSERT INTO latchkey.audit VALUES (21, '2026-11-28 06:54:18.174467+00', 'bob@acme.example', '', 'disable', '6mbTdLRIDJXD8eqQ', 'acme', 'not now', NULL);
INSERT INTO latchkey.audit VALUES (22, '2026-11-28 06:54:18.175609+00', 'ann', '192.0.2.7', 'disable', 'nq1wLFBn3Wgp892N', 'acme', 'abuse', NULL);
INSERT INTO latchkey.audit VALUES (23, '2026-11-28 06:54:18.176643+00', 'ann', '192.0.2.7', 'revoke', 'BkqhmB5sHMoUMYcs', 'acme', 'leaked: “pastebin”', NULL);
INSERT INTO latchkey.audit VALUES (24, '2026-11-28 06:54:18.177765+00', 'ann', '192.0.2.7', 'revoke', 'qpkD4v10zzp82Ihh', 'other', 'gone', NULL);
INSERT INTO latchkey.audit VALUES (25, '2026-11-28 06:54:18.178825+00', 'ann', '192.0.2.7', 'update', 'vFUzPFyohcmnNUJ1', 'acme', '', '{"name": "expires late key -> Renamed: billing worker"}');
INSERT INTO latchkey.audit VALUES (26, '2026-11-28 06:54:18.180742+00', 'ann', '192.0.2.7', 'found', 'B7WjNcZwhpuXi2I6', 'acme', '', '{"secret": "1"}');
INSERT INTO latchkey.audit VALUES (27, '2026-11-28 06:54:18.181597+00', 'ann', '', 'purge', 'qpkD4v10zzp82Ihh', 'other', '', NULL);
INSERT INTO latchkey.audit VALUES (28, '2026-11-28 06:54:20.183486+00', 'latchkey', '', 'redigest', '39TJM0EVy5Q5bCvJ', 'acme', '', '{"pepper": "0 -> 7"}');
INSERT INTO latchkey.audit VALUES (29, '2026-11-28 06:54:20.186696+00', 'latchkey', '', 'redigest', 'PNNm5vOpav7ZTfTL', 'acme', '', '{"pepper": "0 -> 7"}');
INSERT INTO latchkey.audit VALUES (30, '2026-11-28 06:54:20.188971+00', 'latchkey', '', 'redigest', 'rD6p7WXo9k3VuIFX', 'other', '', '{"pepper": "0 -> 7"}');
INSERT INTO latchkey.audit VALUES (31, '2026-11-28 06:54:20.190021+00', 'latchkey', '', 'redigest', 'eiOYVv0bIztDh0pd', 'acme', '', '{"pepper": "0 -> 7"}');
INSERT INTO latchkey.audit VALUES (32, '2026-11-28 06:54:20.19177+00', 'latchkey', '', 'first_use', '0Jaodfw0r13KUHC7', 'acme', '', '{"secret": "2", "old_secret_ends": "2026-11-29T06:54:18Z"}');
INSERT INTO latchkey.audit VALUES (33, '2026-11-28 06:54:20.19377+00', 'latchkey', '', 'redigest', 'vFUzPFyohcmnNUJ1', 'acme', '', '{"pepper": "0 -> 7"}');
INSERT INTO latchkey.audit VALUES (34, '2026-11-28 06:54:20.195409+00', 'latchkey', '', 'redigest', 'z7MG2cNFx26eC1T9', 'acme', '', '{"pepper": "0 -> 7"}');

INSERT INTO latchkey.feed VALUES (1, '39TJM0EVy5Q5bCvJ', 1, false, '2026-11-28 06:54:18.135136+00');
INSERT INTO latchkey.feed VALUES (2, 'PNNm5vOpav7ZTfTL', 1, false, '2026-11-28 06:54:18.140562+00');
INSERT INTO latchkey.feed VALUES (3, 'rD6p7WXo9k3VuIFX', 1, false, '2026-11-28 06:54:18.142468+00');
INSERT INTO latchkey.feed VALUES (4, 'eiOYVv0bIztDh0pd', 1, false, '2026-11-28 06:54:18.14308+00');
INSERT INTO latchkey.feed VALUES (5, 'RKFHjeGckpLzZf4k', 1, false, '2026-11-28 06:54:18.143593+00');
INSERT INTO latchkey.feed VALUES (6, 'z7MG2cNFx26eC1T9', 1, false, '2026-11-28 06:54:18.144034+00');
INSERT INTO latchkey.feed VALUES (7, 'XzqgbnqcZbQUMDah', 1, false, '2026-11-28 06:54:18.144322+00');
INSERT INTO latchkey.feed VALUES (8, '0Jaodfw0r13KUHC7', 1, false, '2026-11-28 06:54:18.144603+00');
INSERT INTO latchkey.feed VALUES (9, 'qZQVdunXBoOCq5rA', 1, false, '2026-11-28 06:54:18.144857+00');
INSERT INTO latchkey.feed VALUES (10, '6mbTdLRIDJXD8eqQ', 1, false, '2026-11-28 06:54:18.145065+00');
INSERT INTO latchkey.feed VALUES (11, 'nq1wLFBn3Wgp892N', 1, false, '2026-11-28 06:54:18.145278+00');
INSERT INTO latchkey.feed VALUES (12, 'BkqhmB5sHMoUMYcs', 1, false, '2026-11-28 06:54:18.145466+00');
INSERT INTO latchkey.feed VALUES (13, 'qpkD4v10zzp82Ihh', 1, false, '2026-11-28 06:54:18.145665+00');
INSERT INTO latchkey.feed VALUES (14, 'shRwvVVfUY3EKWU6', 1, false, '2026-11-28 06:54:18.145866+00');
INSERT INTO latchkey.feed VALUES (15, 'vFUzPFyohcmnNUJ1', 1, false, '2026-11-28 06:54:18.146116+00');
INSERT INTO latchkey.feed VALUES (16, 'B7WjNcZwhpuXi2I6', 1, false, '2026-11-28 06:54:18.166612+00');
INSERT INTO latchkey.feed VALUES (17, 'lU9MW152o2V30zSK', 1, false, '2026-11-28 06:54:18.167851+00');
INSERT INTO latchkey.feed VALUES (18, 'XzqgbnqcZbQUMDah', 2, false, '2026-11-28 06:54:18.168879+00');
INSERT INTO latchkey.feed VALUES (19, '0Jaodfw0r13KUHC7', 2, false, '2026-11-28 06:54:18.171619+00');
INSERT INTO latchkey.feed VALUES (20, 'qZQVdunXBoOCq5rA', 2, false, '2026-11-28 06:54:18.173629+00');
INSERT INTO latchkey.feed VALUES (21, '6mbTdLRIDJXD8eqQ', 2, false, '2026-11-28 06:54:18.174794+00');
INSERT INTO latchkey.feed VALUES (22, 'nq1wLFBn3Wgp892N', 2, false, '2026-11-28 06:54:18.175955+00');
INSERT INTO latchkey.feed VALUES (23, 'BkqhmB5sHMoUMYcs', 2, false, '2026-11-28 06:54:18.176993+00');
INSERT INTO latchkey.feed VALUES (24, 'qpkD4v10zzp82Ihh', 2, false, '2026-11-28 06:54:18.178116+00');
INSERT INTO latchkey.feed VALUES (25, 'vFUzPFyohcmnNUJ1', 2, false, '2026-11-28 06:54:18.179865+00');
INSERT INTO latchkey.feed VALUES (26, 'B7WjNcZwhpuXi2I6', 2, false, '2026-11-28 06:54:18.18093+00');
INSERT INTO latchkey.feed VALUES (27, 'qpkD4v10zzp82Ihh', 3, true, '2026-11-28 06:54:18.182086+00');
INSERT INTO latchkey.feed VALUES (28, '39TJM0EVy5Q5bCvJ', 2, false, '2026-11-28 06:54:20.183986+00');
INSERT INTO latchkey.feed VALUES (29, 'PNNm5vOpav7ZTfTL', 2, false, '2026-11-28 06:54:20.187086+00');
INSERT INTO latchkey.feed VALUES (30, 'rD6p7WXo9k3VuIFX', 2, false, '2026-11-28 06:54:20.189351+00');
INSERT INTO latchkey.feed VALUES (31, 'eiOYVv0bIztDh0pd', 2, false, '2026-11-28 06:54:20.190385+00');
INSERT INTO latchkey.feed VALUES (32, '0Jaodfw0r13KUHC7', 3, false, '2026-11-28 06:54:20.192187+00');
INSERT INTO latchkey.feed VALUES (33, 'vFUzPFyohcmnNUJ1', 3, false, '2026-11-28 06:54:20.193998+00');
INSERT INTO latchkey.feed VALUES (34, 'z7MG2cNFx26eC1T9', 2, false, '2026-11-28 06:54:20.195808+00');

INSERT INTO latchkey.feed_head VALUES (true, '0e3bbf3a-29b8-415c-9cb0-faf25d0f444c', 34);

INSERT INTO latchkey.instances VALUES ('3LHF4FQTR7IPKSNT2X5EDJYZZA', 15, '0e3bbf3a-29b8-415c-9cb0-faf25d0f444c/00000001', '00:00:00', '2026-11-28 06:54:18.164757+00');
INSERT INTO latchkey.instances VALUES ('ZKT3G2BT2ZFLBPJGI6V6WS7YHZ', 34, '0e3bbf3a-29b8-415c-9cb0-faf25d0f444c/00000001', '00:00:00', '2026-11-28 06:54:20.204779+00');
INSERT INTO latchkey.instances VALUES ('PBM2MXHVYTYA6RYA32RLHXFZLN', 34, '0e3bbf3a-29b8-415c-9cb0-faf25d0f444c/00000001', '00:00:03', '2026-11-28 06:54:20.211511+00');

INSERT INTO latchkey.keys VALUES ('RKFHjeGckpLzZf4k', 'acme', 'live', '2026-11-28 06:54:18.143204+00', 1, NULL, '\x520110524b46486a6547636b704c7a5a66346b0868616c66206b65790461636d65046c6976650370726f03616e6e000000e493b9a3faa9c871e493b9a3faa9c87100000001010b7468696e67733a726561640103646179108080f89492a52700000101e493b9a3faa9c8710000000126a9ef488d9bcbeb0857d8c337984f084609a97e001b9d2fc83de128d4e58e470096afec49', '\x68616c66206b65790068616c66206b657900', 1, false);
INSERT INTO latchkey.keys VALUES ('shRwvVVfUY3EKWU6', 'acme', 'live', '2026-11-28 06:54:18.145724+00', 1, NULL, '\x5201107368527776565666555933454b5755360b65787069726564206b65790461636d65046c6976650370726f03616e6e000000bca7b9a3faa9c871bca7b9a3faa9c8719cee94a4faa9c871000001010b7468696e67733a726561640000000101bca7b9a3faa9c87100000001f01433f01e6a042ff9109fea6054385ceb139f1019f61b4be6bba6da60150bfd004deacafa', '\x65787069726564206b65790065787069726564206b657900', 1, false);
INSERT INTO latchkey.keys VALUES ('lU9MW152o2V30zSK', 'acme', 'live', '2026-11-28 06:54:18.167381+00', 1, NULL, '\x5202106c55394d573135326f325633307a534b086f6e6365206b65790461636d65046c6976650370726f03616e6e000000d5d0baa3faa9c871d5d0baa3faa9c87100000001010b7468696e67733a726561640000000101d5d0baa3faa9c87100000001943aac67fb3af1d3195fa3d401a483a4107e55cb81907a93bc6d31d1296e1a7e07003801ff6860f96988c54b1d135a7651594f7c2f892ad290d16d6acba89c79c516940e2d0f', '\x6f6e6365206b6579006f6e6365206b657900', 1, false);
INSERT INTO latchkey.keys VALUES ('XzqgbnqcZbQUMDah', 'acme', 'live', '2026-11-28 06:54:18.144142+00', 2, NULL, '\x520110587a7167626e71635a6251554d4461680c726f746174696e67206b65790461636d65046c6976650370726f03616e6e0000008e9bb9a3faa9c871a8d7baa3faa9c87100000002010b7468696e67733a726561640000000202a8d7baa3faa9c871000000018e9bb9a3faa9c871008080f0a9a4ca4e00025f87c5d2f1e79bc73d3f2a96340542fe90b9e92d79524fa11e5273268da18e4b07eab952a33d19b248e9ad67885e091041ca8969856a174dee0eaec8d40cc15e18004352b385', '\x726f746174696e67206b657900726f746174696e67206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('vFUzPFyohcmnNUJ1', 'acme', 'live', '2026-11-28 06:54:18.145939+00', 3, NULL, '\x5201107646557a5046796f68636d6e4e554a311752656e616d65643a2062696c6c696e6720776f726b65720461636d65046c6976650370726f03616e6e00000093a9b9a3faa9c871eaa7b6a4faa9c871c0a6befcbdaa87a801000003010b7468696e67733a72656164000000010193a9b9a3faa9c871000000011ec59736dc800220c32d72bc078b982fc1b77ec4795e937498ca47927159252d07a8bb202b', '\x72656e616d65643a2062696c6c696e6720776f726b65720052656e616d65643a2062696c6c696e6720776f726b657200', 3, false);
INSERT INTO latchkey.keys VALUES ('qZQVdunXBoOCq5rA', 'acme', 'live', '2026-11-28 06:54:18.144691+00', 2, NULL, '\x520110715a515664756e58426f4f437135724109656e646564206b65790461636d65046c6976650370726f03616e6e000000b39fb9a3faa9c871bbfebaa3faa9c87100000002010b7468696e67733a726561640000000202bbfebaa3faa9c87100000001b39fb9a3faa9c871bbfebaa3faa9c8710000026ddd00b899ce8547c92b73ba1d48eb0948304ca27964a4551d08aab73df441ee07008f6b0eb1d52fa25306f4db564eb5bbc8683bd01d1939af940df5e70bf10c3000c60dc59d', '\x656e646564206b657900656e646564206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('6mbTdLRIDJXD8eqQ', 'acme', 'live', '2026-11-28 06:54:18.144927+00', 2, NULL, '\x520110366d6254644c5249444a5844386571510c64697361626c6564206b65790461636d65046c697665046672656510626f624061636d652e6578616d706c6510626f624061636d652e6578616d706c6500009fa1b9a3faa9c8718388bba3faa9c871008388bba3faa9c8710002010b7468696e67733a7265616400000001019fa1b9a3faa9c87100000001e69340004db10a76d10046de99a316b864d60d4f5639a668a60a1acc363c498600d2884fc3', '\x64697361626c6564206b65790064697361626c6564206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('nq1wLFBn3Wgp892N', 'acme', 'live', '2026-11-28 06:54:18.145145+00', 2, NULL, '\x5202106e7131774c46426e335767703839324e0a6c6f636b6564206b65790461636d65046c6976650370726f03616e6e03616e6e0000f9a2b9a3faa9c871f990bba3faa9c87100f990bba3faa9c8710002010b7468696e67733a726561640000000101f9a2b9a3faa9c87100000001afae6ef883a9abb2156b0f42cb9b9052139d9578104af075b853351caa11a63f0001000000000000000000000000000000000000000000000000000000000000000063510797', '\x6c6f636b6564206b6579006c6f636b6564206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('BkqhmB5sHMoUMYcs', 'acme', 'live', '2026-11-28 06:54:18.145337+00', 2, '2026-11-28 06:54:18.176643+00', '\x520110426b71686d423573484d6f554d5963730b7265766f6b6564206b65790461636d65046c6976650370726f03616e6e0003616e6e166c65616b65643a20e2809c706173746562696ee2809db9a4b9a3faa9c8718399bba3faa9c87100008399bba3faa9c87102010b7468696e67733a726561640000000101b9a4b9a3faa9c8710000000115bfce61541c9f9aad9d461b574b8b818ced76f44d57bb3919b79f9deffd86d9007d359c48', '\x7265766f6b6564206b6579007265766f6b6564206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('z7MG2cNFx26eC1T9', 'acme', 'live', '2026-11-28 06:54:18.143693+00', 2, NULL, '\x5201107a374d4732634e4678323665433154390b63726173686564206b65790461636d65046c6976650370726f03616e6e000000cd97b9a3faa9c871d1b4b6a4faa9c87100000002010b7468696e67733a72656164010364617980018080f89492a52700000101cd97b9a3faa9c871000000013e7ce777a770549fea60b827f861bcd4a4134d83bd0902d564881ee2b5b774c107eee20f3f', '\x63726173686564206b65790063726173686564206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('B7WjNcZwhpuXi2I6', 'acme', 'live', '2026-11-28 06:54:18.165526+00', 2, NULL, '\x5201104237576a4e635a7768707558693249360c7065707065726564206b65790461636d65046c6976650370726f03616e6e00000096c2baa3faa9c87186b9bba3faa9c87100000002020b7468696e67733a726561640c7468696e67733a7772697465000000010196c2baa3faa9c87100000001a9b2ea3c5a97d8e5938d4c223dabfd2830fbb97e6a082f2468fee182b8b05e6507acaf9fa5', '\x7065707065726564206b6579007065707065726564206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('39TJM0EVy5Q5bCvJ', 'acme', 'live', '2026-11-28 06:54:18.127571+00', 2, NULL, '\x5201103339544a4d304556793551356243764a09706c61696e206b65790461636d65046c6976650370726f03616e6e000000d399b8a3faa9c871bed7b5a4faa9c87100000002020c7265706f7274733a72656164087468696e67733a2a0000020b636f73742d63656e747265023432047465616d0b5ac3bc7269636820e29c930101d399b8a3faa9c87100000001eb2e2dfe20229a244b29f84207855b456646ab37daa326ff4ab4e373f68066f00771638779', '\x706c61696e206b657900706c61696e206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('PNNm5vOpav7ZTfTL', 'acme', 'live', '2026-11-28 06:54:18.140022+00', 2, NULL, '\x520110504e4e6d35764f706176375a5466544c0c6e6574776f726b73206b65790461636d65046c6976650370726f03616e6e000000f6fab8a3faa9c871c8f0b5a4faa9c87100000002010b7468696e67733a726561640002050a000000081120010db800000000000000000000000020000101f6fab8a3faa9c87100000001da8c9c07c67860872bbc23953dae8776c2ec99bc55631f8225c780f36bbdce4a0760ef9024', '\x6e6574776f726b73206b6579006e6574776f726b73206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('rD6p7WXo9k3VuIFX', 'other', 'test', '2026-11-28 06:54:18.140819+00', 2, NULL, '\x520110724436703757586f396b3356754946581453747261c39f65206465732031372e204a756e69056f7468657204746573740370726f03616e6e0000009381b9a3faa9c871ab82b6a4faa9c87100000002010b7468696e67733a7265616400000001019381b9a3faa9c87100000001ca02dffa9a6712f5a282284cb8548614ead470df82d894a4520d5bb9a69fcf9e0722bded0a', '\x73747261c39f65206465732031372e206a756e690053747261c39f65206465732031372e204a756e6900', 2, false);
INSERT INTO latchkey.keys VALUES ('eiOYVv0bIztDh0pd', 'acme', 'live', '2026-11-28 06:54:18.142616+00', 2, NULL, '\x52011065694f5956763062497a744468307064097370656e74206b65790461636d65046c6976650370726f03616e6e000000988fb9a3faa9c871c58ab6a4faa9c87100000002010b7468696e67733a726561640204686f75720a8080c58bc6d10103646179508080f89492a52700000101988fb9a3faa9c87100000001973166ac9bffe45b44ff094ef327fe8a54ea9585ed5d179bd5f6446b47958b6207356c57f8', '\x7370656e74206b6579007370656e74206b657900', 2, false);
INSERT INTO latchkey.keys VALUES ('0Jaodfw0r13KUHC7', 'acme', 'live', '2026-11-28 06:54:18.144398+00', 3, NULL, '\x520110304a616f646677307231334b554843370c696e206772616365206b65790461636d65046c6976650370726f03616e6e0000008e9db9a3faa9c8719a98b6a4faa9c87100000003010b7468696e67733a72656164000000020288edbaa3faa9c87100009a98b6a4faa9c871018e9db9a3faa9c87188ad9892bcacc8710000028f57e29d56d9003343c0117f0765b4b4f15f7286ed00ac9aabd386b171db3c6207738dd47318caf97e01247328d2bf2a73dc4ff47dbb53de03da100ec839fd468300ae27b8c5', '\x696e206772616365206b657900696e206772616365206b657900', 3, false);

INSERT INTO latchkey.limits VALUES ('\x426b71686d423573484d6f554d596373', 1795936200000000000, '{60,1795848858,2,1,1928278028417236994,86400,2993081,2,1,3213796252319746}');
INSERT INTO latchkey.limits VALUES ('\x71706b44347631307a7a703832496868', 1795936200000000000, '{60,1795848858,2,1,1928278028417236994,86400,2993081,2,1,3213796252319746}');
INSERT INTO latchkey.limits VALUES ('\x366d6254644c5249444a584438657151', 1795936200000000000, '{60,1795848858,2,1,1928278028417236994,86400,2993081,2,1,3213796252319746}');
INSERT INTO latchkey.limits VALUES ('\x524b46486a6547636b704c7a5a66346b', 1795936200000000000, '{86400,2993081,5,1,3213796252319749}');
INSERT INTO latchkey.limits VALUES ('\x65694f5956763062497a744468307064', 1795936200000000000, '{3600,29930814,5,1,32137966818164741,86400,2993081,5,1,3213796252319749}');
INSERT INTO latchkey.limits VALUES ('\x3339544a4d304556793551356243764a', 1795936200000000000, '{60,1795848860,4,2,1928278028417236994,1928278030564720642,86400,2993081,4,1,3213796252319748}');
INSERT INTO latchkey.limits VALUES ('\x4237576a4e635a776870755869324936', 1795936200000000000, '{60,1795848860,1,1,1928278030564720641,86400,2993081,1,1,3213796252319745}');
INSERT INTO latchkey.limits VALUES ('\x504e4e6d35764f706176375a5466544c', 1795936200000000000, '{60,1795848860,2,1,1928278030564720642,86400,2993081,2,1,3213796252319746}');
INSERT INTO latchkey.limits VALUES ('\x724436703757586f396b335675494658', 1795936200000000000, '{60,1795848860,1,1,1928278030564720641,86400,2993081,1,1,3213796252319745}');
INSERT INTO latchkey.limits VALUES ('\x587a7167626e71635a6251554d446168', 1795936200000000000, '{60,1795848860,3,2,1928278028417236994,1928278030564720641,86400,2993081,3,1,3213796252319747}');
INSERT INTO latchkey.limits VALUES ('\x304a616f646677307231334b55484337', 1795936200000000000, '{60,1795848860,4,2,1928278028417236994,1928278030564720642,86400,2993081,4,1,3213796252319748}');
INSERT INTO latchkey.limits VALUES ('\x715a515664756e58426f4f4371357241', 1795936200000000000, '{60,1795848860,3,2,1928278028417236994,1928278030564720641,86400,2993081,3,1,3213796252319747}');
INSERT INTO latchkey.limits VALUES ('\x7646557a5046796f68636d6e4e554a31', 1795936200000000000, '{60,1795848860,1,1,1928278030564720641,86400,2993081,1,1,3213796252319745}');
INSERT INTO latchkey.limits VALUES ('\x6c55394d573135326f325633307a534b', 1795936200000000000, '{60,1795848860,1,1,1928278030564720641,86400,2993081,1,1,3213796252319745}');
INSERT INTO latchkey.limits VALUES ('\x7a374d4732634e467832366543315439', 1795936200000000000, '{86400,2993081,10,1,3213796252319754}');

INSERT INTO latchkey.migrations VALUES (1, '0001_keys.sql', 1, 'b06802fdb3a9c0117712f9a18250ae3146841668666f52899ad7a5becf97d251', '2026-11-28 06:54:18.10661+00');
INSERT INTO latchkey.migrations VALUES (2, '0002_limits.sql', 1, '9cc7e6fb0f57104e9bc6d9e5d5b9d87f7615305ff4d974c2b032f8683ef8ca57', '2026-11-28 06:54:18.10919+00');
INSERT INTO latchkey.migrations VALUES (3, '0003_names.sql', 1, '5fcfe0f0dd72b7ebc8a2b339bdac06e2375fbe6f972423535b49d727a3664dbb', '2026-11-28 06:54:18.117331+00');
INSERT INTO latchkey.migrations VALUES (4, '0004_uses.sql', 1, '30681d04cfabe166a11200967fe7cc066682c3c8f5eef09483a25859cd0296fa', '2026-11-28 06:54:18.118951+00');
INSERT INTO latchkey.migrations VALUES (5, '0005_days.sql', 1, '35d1ba4f942bb63ba52c4c538b429c32c8a6414bd096c67f6abbac6322499ba6', '2026-11-28 06:54:18.120932+00');

INSERT INTO latchkey.usage_days VALUES ('RKFHjeGckpLzZf4k', '2026-11-28', 5, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27', 140, 148, 156, 164, 172, 180, 188, 196, 204, 212);
INSERT INTO latchkey.usage_days VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27', 420, 428, 436, 444, 452, 460, 468, 476, 484, 492);
INSERT INTO latchkey.usage_days VALUES ('XzqgbnqcZbQUMDah', '2026-11-27', 280, 288, 296, 304, 312, 320, 328, 336, 344, 352);
INSERT INTO latchkey.usage_days VALUES ('0Jaodfw0r13KUHC7', '2026-11-28', 4, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-28', 9, 7, 9, 11, 13, 15, 17, 19, 21, 23);
INSERT INTO latchkey.usage_days VALUES ('6mbTdLRIDJXD8eqQ', '2026-11-28', 2, 0, 0, 0, 0, 0, 1, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('B7WjNcZwhpuXi2I6', '2026-11-28', 16, 17, 19, 21, 23, 25, 27, 29, 31, 33);
INSERT INTO latchkey.usage_days VALUES ('BkqhmB5sHMoUMYcs', '2026-11-28', 2, 0, 0, 0, 0, 0, 0, 1, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('PNNm5vOpav7ZTfTL', '2026-11-28', 2, 0, 1, 1, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('XzqgbnqcZbQUMDah', '2026-11-28', 13, 12, 14, 16, 18, 20, 22, 24, 26, 28);
INSERT INTO latchkey.usage_days VALUES ('eiOYVv0bIztDh0pd', '2026-11-28', 5, 2, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('lU9MW152o2V30zSK', '2026-11-28', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('nq1wLFBn3Wgp892N', '2026-11-28', 0, 0, 0, 0, 0, 0, 1, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('qZQVdunXBoOCq5rA', '2026-11-28', 3, 0, 0, 0, 0, 1, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('rD6p7WXo9k3VuIFX', '2026-11-28', 1, 0, 0, 0, 1, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('shRwvVVfUY3EKWU6', '2026-11-28', 0, 0, 0, 0, 0, 1, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('vFUzPFyohcmnNUJ1', '2026-11-28', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_days VALUES ('z7MG2cNFx26eC1T9', '2026-11-28', 10, 0, 0, 0, 0, 0, 0, 0, 0, 0);

INSERT INTO latchkey.usage_hours VALUES ('RKFHjeGckpLzZf4k', '2026-11-28 06:00:00+00', 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 02:00:00+00', 1, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 05:00:00+00', 1, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 08:00:00+00', 1, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 11:00:00+00', 1, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 14:00:00+00', 1, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 17:00:00+00', 1, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 20:00:00+00', 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-27 23:00:00+00', 1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-28 02:00:00+00', 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-28 05:00:00+00', 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 02:00:00+00', 1, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 05:00:00+00', 1, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 08:00:00+00', 1, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 11:00:00+00', 1, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 14:00:00+00', 1, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 17:00:00+00', 1, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 20:00:00+00', 1, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-27 23:00:00+00', 1, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-28 02:00:00+00', 1, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-28 05:00:00+00', 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 02:00:00+00', 1, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 05:00:00+00', 1, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 08:00:00+00', 1, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 11:00:00+00', 1, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 14:00:00+00', 1, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 17:00:00+00', 1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 20:00:00+00', 1, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-27 23:00:00+00', 1, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-28 02:00:00+00', 1, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17);
INSERT INTO latchkey.usage_hours VALUES ('0Jaodfw0r13KUHC7', '2026-11-28 06:00:00+00', 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('39TJM0EVy5Q5bCvJ', '2026-11-28 06:00:00+00', 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('6mbTdLRIDJXD8eqQ', '2026-11-28 06:00:00+00', 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('BkqhmB5sHMoUMYcs', '2026-11-28 06:00:00+00', 1, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-28 06:00:00+00', 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('eiOYVv0bIztDh0pd', '2026-11-28 06:00:00+00', 1, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('qZQVdunXBoOCq5rA', '2026-11-28 06:00:00+00', 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('XzqgbnqcZbQUMDah', '2026-11-28 05:00:00+00', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
INSERT INTO latchkey.usage_hours VALUES ('0Jaodfw0r13KUHC7', '2026-11-28 06:00:00+00', 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('B7WjNcZwhpuXi2I6', '2026-11-28 06:00:00+00', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('PNNm5vOpav7ZTfTL', '2026-11-28 06:00:00+00', 1, 2, 0, 1, 1, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('lU9MW152o2V30zSK', '2026-11-28 06:00:00+00', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('nq1wLFBn3Wgp892N', '2026-11-28 06:00:00+00', 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('qZQVdunXBoOCq5rA', '2026-11-28 06:00:00+00', 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('rD6p7WXo9k3VuIFX', '2026-11-28 06:00:00+00', 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('shRwvVVfUY3EKWU6', '2026-11-28 06:00:00+00', 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('vFUzPFyohcmnNUJ1', '2026-11-28 06:00:00+00', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO latchkey.usage_hours VALUES ('z7MG2cNFx26eC1T9', '2026-11-28 06:00:00+00', 1, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0);

INSERT INTO latchkey.usage_scopes VALUES ('0Jaodfw0r13KUHC7', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('39TJM0EVy5Q5bCvJ', 'things:*', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('6mbTdLRIDJXD8eqQ', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('BkqhmB5sHMoUMYcs', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('RKFHjeGckpLzZf4k', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('XzqgbnqcZbQUMDah', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('eiOYVv0bIztDh0pd', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('qZQVdunXBoOCq5rA', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('39TJM0EVy5Q5bCvJ', 'reports:read', '2026-11-28 05:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('39TJM0EVy5Q5bCvJ', 'things:read', '2026-11-28 05:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('B7WjNcZwhpuXi2I6', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('PNNm5vOpav7ZTfTL', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('lU9MW152o2V30zSK', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('rD6p7WXo9k3VuIFX', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('vFUzPFyohcmnNUJ1', 'things:read', '2026-11-28 06:00:00+00');
INSERT INTO latchkey.usage_scopes VALUES ('z7MG2cNFx26eC1T9', 'things:read', '2026-11-28 06:00:00+00');

INSERT INTO latchkey.usage_secrets VALUES ('RKFHjeGckpLzZf4k', 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:18.158164+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:18.158164+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('0Jaodfw0r13KUHC7', 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.191587+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.191587+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('0Jaodfw0r13KUHC7', 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.192619+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.192619+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('39TJM0EVy5Q5bCvJ', 1, 149, 155, 165, 175, 185, 195, 205, 215, 225, 235, '2026-11-28 06:54:20.186024+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.186024+00', 'POST /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('6mbTdLRIDJXD8eqQ', 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, '2026-11-28 06:54:18.156054+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:18.156054+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('B7WjNcZwhpuXi2I6', 1, 436, 445, 455, 465, 475, 485, 495, 505, 515, 525, '2026-11-28 06:54:20.186421+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.186421+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('BkqhmB5sHMoUMYcs', 1, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, '2026-11-28 06:54:18.154826+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:18.154826+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('PNNm5vOpav7ZTfTL', 1, 2, 0, 1, 1, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.188655+00', '2001:db8::/48', 'fixture/1.0', '2026-11-28 06:54:20.188655+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('XzqgbnqcZbQUMDah', 1, 293, 300, 310, 320, 330, 340, 350, 360, 370, 380, '2026-11-28 06:54:20.191201+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.191201+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('eiOYVv0bIztDh0pd', 1, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:18.156637+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:18.156637+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('lU9MW152o2V30zSK', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.194654+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.194654+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('nq1wLFBn3Wgp892N', 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, NULL, '', '', NULL, '', 0);
INSERT INTO latchkey.usage_secrets VALUES ('qZQVdunXBoOCq5rA', 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, '2026-11-28 06:54:18.154144+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:18.154144+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('qZQVdunXBoOCq5rA', 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.193056+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.193056+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('rD6p7WXo9k3VuIFX', 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.189781+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.189781+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('shRwvVVfUY3EKWU6', 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, NULL, '', '', NULL, '', 0);
INSERT INTO latchkey.usage_secrets VALUES ('vFUzPFyohcmnNUJ1', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.194333+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.194333+00', 'GET /things', 200);
INSERT INTO latchkey.usage_secrets VALUES ('z7MG2cNFx26eC1T9', 1, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, '2026-11-28 06:54:20.196514+00', '192.0.2.0/24', 'fixture/1.0', '2026-11-28 06:54:20.196514+00', 'GET /things', 200);

INSERT INTO latchkey.words VALUES ('39TJM0EVy5Q5bCvJ', '\x3339746a6d306576793571356263766a', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('39TJM0EVy5Q5bCvJ', '\x706c61696e206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('39TJM0EVy5Q5bCvJ', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('PNNm5vOpav7ZTfTL', '\x706e6e6d35766f706176377a7466746c', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('PNNm5vOpav7ZTfTL', '\x6e6574776f726b73206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('PNNm5vOpav7ZTfTL', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('rD6p7WXo9k3VuIFX', '\x726436703777786f396b337675696678', 'other', 'test');
INSERT INTO latchkey.words VALUES ('rD6p7WXo9k3VuIFX', '\x73747261c39f65206465732031372e206a756e69', 'other', 'test');
INSERT INTO latchkey.words VALUES ('rD6p7WXo9k3VuIFX', '\x6465732031372e206a756e69', 'other', 'test');
INSERT INTO latchkey.words VALUES ('rD6p7WXo9k3VuIFX', '\x31372e206a756e69', 'other', 'test');
INSERT INTO latchkey.words VALUES ('rD6p7WXo9k3VuIFX', '\x6a756e69', 'other', 'test');
INSERT INTO latchkey.words VALUES ('eiOYVv0bIztDh0pd', '\x65696f7976763062697a746468307064', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('eiOYVv0bIztDh0pd', '\x7370656e74206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('eiOYVv0bIztDh0pd', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('RKFHjeGckpLzZf4k', '\x726b66686a6567636b706c7a7a66346b', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('RKFHjeGckpLzZf4k', '\x68616c66206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('RKFHjeGckpLzZf4k', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('z7MG2cNFx26eC1T9', '\x7a376d6732636e667832366563317439', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('z7MG2cNFx26eC1T9', '\x63726173686564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('z7MG2cNFx26eC1T9', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('XzqgbnqcZbQUMDah', '\x787a7167626e71637a6271756d646168', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('XzqgbnqcZbQUMDah', '\x726f746174696e67206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('XzqgbnqcZbQUMDah', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('0Jaodfw0r13KUHC7', '\x306a616f646677307231336b75686337', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('0Jaodfw0r13KUHC7', '\x696e206772616365206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('0Jaodfw0r13KUHC7', '\x6772616365206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('0Jaodfw0r13KUHC7', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('qZQVdunXBoOCq5rA', '\x717a717664756e78626f6f6371357261', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('qZQVdunXBoOCq5rA', '\x656e646564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('qZQVdunXBoOCq5rA', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('6mbTdLRIDJXD8eqQ', '\x366d6274646c7269646a786438657171', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('6mbTdLRIDJXD8eqQ', '\x64697361626c6564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('6mbTdLRIDJXD8eqQ', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('nq1wLFBn3Wgp892N', '\x6e7131776c66626e337767703839326e', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('nq1wLFBn3Wgp892N', '\x6c6f636b6564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('nq1wLFBn3Wgp892N', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('BkqhmB5sHMoUMYcs', '\x626b71686d623573686d6f756d796373', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('BkqhmB5sHMoUMYcs', '\x7265766f6b6564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('BkqhmB5sHMoUMYcs', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('shRwvVVfUY3EKWU6', '\x7368727776767666757933656b777536', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('shRwvVVfUY3EKWU6', '\x65787069726564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('shRwvVVfUY3EKWU6', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('B7WjNcZwhpuXi2I6', '\x6237776a6e637a776870757869326936', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('B7WjNcZwhpuXi2I6', '\x7065707065726564206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('B7WjNcZwhpuXi2I6', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('lU9MW152o2V30zSK', '\x6c75396d773135326f327633307a736b', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('lU9MW152o2V30zSK', '\x6f6e6365206b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('lU9MW152o2V30zSK', '\x6b6579', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('vFUzPFyohcmnNUJ1', '\x7666757a7066796f68636d6e6e756a31', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('vFUzPFyohcmnNUJ1', '\x72656e616d65643a2062696c6c696e6720776f726b6572', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('vFUzPFyohcmnNUJ1', '\x62696c6c696e6720776f726b6572', 'acme', 'live');
INSERT INTO latchkey.words VALUES ('vFUzPFyohcmnNUJ1', '\x776f726b6572', 'acme', 'live');

ALTER TABLE ONLY latchkey.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY latchkey.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (one);

ALTER TABLE ONLY latchkey.feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY latchkey.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (id);

ALTER TABLE ONLY latchkey.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY latchkey.limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY latchkey.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY latchkey.usage_days
    ADD CONSTRAINT usage_days_pkey PRIMARY KEY (key_id, day);

ALTER TABLE ONLY latchkey.usage_hours
    ADD CONSTRAINT usage_hours_pkey PRIMARY KEY (key_id, hour, secret);

ALTER TABLE ONLY latchkey.usage_scopes
    ADD CONSTRAINT usage_scopes_pkey PRIMARY KEY (key_id, scope);

ALTER TABLE ONLY latchkey.usage_secrets
    ADD CONSTRAINT usage_secrets_pkey PRIMARY KEY (key_id, secret);

ALTER TABLE ONLY latchkey.words
    ADD CONSTRAINT words_pkey PRIMARY KEY (key_id, word);

CREATE INDEX audit_key ON latchkey.audit USING btree (key_id, seq);

CREATE INDEX audit_owner ON latchkey.audit USING btree (owner, seq);

CREATE INDEX keys_behind ON latchkey.keys USING btree (id) WHERE behind;

CREATE INDEX keys_environment ON latchkey.keys USING btree (environment, created_at, id);

CREATE INDEX keys_environment_name ON latchkey.keys USING btree (environment, name_key, id);

CREATE INDEX keys_name ON latchkey.keys USING btree (name_key, id);

CREATE INDEX keys_newest ON latchkey.keys USING btree (created_at, id);

CREATE INDEX keys_owner ON latchkey.keys USING btree (owner, created_at, id);

CREATE INDEX keys_owner_environment ON latchkey.keys USING btree (owner, environment, created_at, id);

CREATE INDEX keys_owner_environment_name ON latchkey.keys USING btree (owner, environment, name_key, id);

CREATE INDEX keys_owner_name ON latchkey.keys USING btree (owner, name_key, id);

CREATE INDEX limits_idle ON latchkey.limits USING btree (idle_at);

CREATE INDEX usage_days_day ON latchkey.usage_days USING btree (day);

CREATE INDEX usage_hours_hour ON latchkey.usage_hours USING btree (hour);

CREATE INDEX words_all ON latchkey.words USING btree (word, environment, key_id);

CREATE INDEX words_owner ON latchkey.words USING btree (owner, word, environment, key_id);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON latchkey.audit FOR EACH ROW EXECUTE FUNCTION latchkey.refuse('the audit trail is never changed');

CREATE TRIGGER names_fall_behind BEFORE UPDATE ON latchkey.keys FOR EACH ROW WHEN (((new.listed IS DISTINCT FROM new.revision) AND (NOT new.behind))) EXECUTE FUNCTION latchkey.fall_behind();

CREATE TRIGGER only_revoked_is_deleted BEFORE DELETE ON latchkey.keys FOR EACH ROW WHEN ((old.revoked_at IS NULL)) EXECUTE FUNCTION latchkey.refuse('only a revoked key can be deleted');

CREATE TRIGGER revision_rises BEFORE UPDATE ON latchkey.keys FOR EACH ROW WHEN (((new.id <> old.id) OR ((new.revision <> (old.revision + 1)) AND ((new.revision <> old.revision) OR (((((new.owner IS DISTINCT FROM old.owner) OR (new.environment IS DISTINCT FROM old.environment)) OR (new.created_at IS DISTINCT FROM old.created_at)) OR (new.revoked_at IS DISTINCT FROM old.revoked_at)) OR (new.record IS DISTINCT FROM old.record)))))) EXECUTE FUNCTION latchkey.refuse('each change of a key takes the next revision');

CREATE TRIGGER revoked_stays_revoked BEFORE UPDATE ON latchkey.keys FOR EACH ROW WHEN (((old.revoked_at IS NOT NULL) AND (new.revoked_at IS DISTINCT FROM old.revoked_at))) EXECUTE FUNCTION latchkey.refuse('a revoked key stays as it was revoked');

ALTER TABLE ONLY latchkey.usage_days
    ADD CONSTRAINT usage_days_key_id_fkey FOREIGN KEY (key_id) REFERENCES latchkey.keys(id) ON DELETE CASCADE;

ALTER TABLE ONLY latchkey.usage_hours
    ADD CONSTRAINT usage_hours_key_id_fkey FOREIGN KEY (key_id) REFERENCES latchkey.keys(id) ON DELETE CASCADE;

ALTER TABLE ONLY latchkey.usage_scopes
    ADD CONSTRAINT usage_scopes_key_id_fkey FOREIGN KEY (key_id) REFERENCES latchkey.keys(id) ON DELETE CASCADE;

ALTER TABLE ONLY latchkey.usage_secrets
    ADD CONSTRAINT usage_secrets_key_id_fkey FOREIGN KEY (key_id) REFERENCES latchkey.keys(id) ON DELETE CASCADE;

ALTER TABLE ONLY latchkey.words
    ADD CONSTRAINT words_key_id_fkey FOREIGN KEY (key_id) REFERENCES latchkey.keys(id) ON DELETE CASCADE;

