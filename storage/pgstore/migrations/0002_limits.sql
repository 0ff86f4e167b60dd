-- +goose Up

-- What was admitted under limits, a row for each subject. "rings" holds one ring after the other, for each length of
-- window: that length in seconds, the number of the newest segment (since 1970), the sum of the counts, the number of
-- cells, and the cells, oldest first: the number of their segment without its highest bits (33 are left) and their
-- count (30 bits). Segments without hits have no cell. At "idle_at" (nanoseconds since 1970) nothing counts any more; it
-- is a generous bound, so that most updates leave the index alone.
CREATE TABLE "latchkey".limits (
    subject bytea    PRIMARY KEY,
    idle_at bigint   NOT NULL,
    rings   bigint[] NOT NULL
) WITH (fillfactor = 50, toast_tuple_target = 8160);
CREATE INDEX limits_idle ON "latchkey".limits (idle_at);

-- limit_decide decides one request and charges it. A hit in segment i of length s = W/k, rounded up, counts in the
-- segments i to i+k: for W at least, and at most s longer.
--
-- name1 and name2 are the subjects in the order of their bytes, name2 null when there is one; the first n1 of the
-- limits are of name1. lengths are their windows in seconds, most what these admit. at is null but in tests. The result
-- is the wait (0 when admitted, -1 when no wait helps) and the life of the charge, and for each limit what remains, the
-- time to its next change, and 1 when it refuses. Times are in nanoseconds.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_decide(
    name1 bytea, name2 bytea, n1 integer, lengths bigint[], most bigint[],
    cost bigint, charge boolean, patience integer, at bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
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
-- +goose StatementEnd

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (2, '0002_limits.sql', 1);
