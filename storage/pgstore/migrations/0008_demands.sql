-- +goose Up

-- limit_charge decides one request about any number of subjects, gives back what it was charged before, and charges it,
-- in one step.
--
-- names are the subjects in the order of their bytes, and counts how many of the limits are of each: the limits are in
-- that order, too. lengths are their windows in seconds, most what these admit. What the request was charged, was, at the
-- instant was_at (0 and 0 when it was not) is given back first, as far as it still counts. Then the request is decided
-- for cost, and charged if charge says so: a cost of 0 always fits. at is null but in tests. The result is the instant of
-- it, the wait (0 when admitted, -1 when no wait helps) and the life of the charge, and for each limit what remains, the
-- time to its next change, and 1 when it refuses. Times are in nanoseconds.
--
-- A hit in segment i of length s = W/k, rounded up, counts in the segments i to i+k: for W at least, and at most s longer.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_charge(
    names bytea[], counts integer[], lengths bigint[], most bigint[],
    was bigint, was_at bigint, cost bigint, charge boolean, patience integer, at bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    low   CONSTANT bigint := 8589934591; -- 33 bits of a segment's number
    units CONSTANT bigint := 1073741823; -- 30 bits of a count
    n     CONSTANT integer := cardinality(lengths);
    parts CONSTANT integer := cardinality(names);
    writes CONSTANT boolean := charge OR was > 0;
    old     bigint[]; -- the rings of a subject, as they were
    olds    bigint[] := '{}'; -- of all subjects
    ends    integer[] := '{}'; -- where those of each end
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
    back    bigint;
    pause   bigint := 0;
    life    bigint;
    until   bigint;
    hopeless boolean := false;
    refuses boolean[] := '{}';
    answer  bigint[];
    i integer := 0; p integer; c integer; stop integer; lo integer; hi integer;
BEGIN
    -- Subjects are locked in the order of their bytes, so that requests which name them in another order wait for each
    -- other and never in a circle. That is why a row that is not there is made before the next is looked for.
    IF writes THEN
        PERFORM set_config('synchronous_commit', 'off', true), set_config('lock_timeout', patience::text, true);
    END IF;
    FOR i IN 1..parts LOOP
        LOOP
            IF writes THEN
                SELECT l.rings INTO old FROM "latchkey".limits AS l WHERE l.subject = names[i] FOR UPDATE;
            ELSE
                SELECT l.rings INTO old FROM "latchkey".limits AS l WHERE l.subject = names[i];
            END IF;
            EXIT WHEN FOUND OR NOT writes;
            INSERT INTO "latchkey".limits (subject, idle_at, rings) VALUES (names[i], 0, '{}') ON CONFLICT DO NOTHING;
        END LOOP;
        olds := olds || coalesce(old, '{}');
        ends[i] := cardinality(olds);
    END LOOP;

    -- The clock is read under the locks: so hits are dated in the order in which they are admitted, and none before it
    -- is, however long it waited.
    now := coalesce(at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000);

    hi := 0; -- the last limit of the subject i
    FOR j IN 1..n LOOP
        IF j > hi THEN
            i := i + 1;
            hi := hi + counts[i];
            old := olds[coalesce(ends[i - 1], 0) + 1:ends[i]];
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
            IF seg > newest AND c < stop AND old[stop - 1] & units = 0 THEN
                stop := stop - 1; -- all of it was given back
            END IF;
            IF seg = newest THEN
                rings := rings || ARRAY[lengths[j], seg, total, stop - c] || old[c:stop - 1];
            ELSE
                rings := rings || ARRAY[lengths[j], seg, total, stop - c + 1] || old[c:stop - 1] || ((seg & low) << 30);
            END IF;
        END IF;

        -- What is given back comes out of the cell of its segment, if that is still there. A cell without hits goes,
        -- unless it is the newest.
        IF was > 0 THEN
            p := pos[j];
            IF seg - was_at / s BETWEEN 0 AND k THEN
                c := p + 4;
                stop := c + rings[p + 3];
                WHILE c < stop LOOP
                    IF rings[c] >> 30 = ((was_at / s) & low) THEN
                        back := least(was, rings[c] & units);
                        rings[c] := rings[c] - back;
                        total := total - back;
                        rings[p + 2] := total;
                        IF rings[c] & units = 0 AND c < stop - 1 THEN
                            rings := rings[:c - 1] || rings[c + 1:];
                            rings[p + 3] := rings[p + 3] - 1;
                        END IF;
                        EXIT;
                    END IF;
                    c := c + 1;
                END LOOP;
            END IF;
        END IF;

        refuses[j] := cost > most[j] - total AND cost > 0;
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
    END IF;
    IF charge AND pause = 0 OR was > 0 THEN
        hi := 0;
        FOR i IN 1..parts LOOP
            lo := hi + 1;
            hi := hi + counts[i];
            old := olds[coalesce(ends[i - 1], 0) + 1:ends[i]];
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
            WHERE l.subject = names[i];
        END LOOP;
    END IF;

    answer := ARRAY[now, pause, CASE WHEN charge AND pause = 0 THEN life ELSE 0 END];
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

-- Programs of a version before know one subject or two.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION "latchkey".limit_settle(
    name1 bytea, name2 bytea, n1 integer, lengths bigint[], most bigint[],
    was bigint, was_at bigint, cost bigint, charge boolean, patience integer, at bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    one CONSTANT boolean := name2 IS NULL;
BEGIN
    RETURN "latchkey".limit_charge(
        CASE WHEN one THEN ARRAY[name1] ELSE ARRAY[name1, name2] END,
        CASE WHEN one THEN ARRAY[n1] ELSE ARRAY[n1, cardinality(lengths) - n1] END,
        lengths, most, was, was_at, cost, charge, patience, at);
END
$$;
-- +goose StatementEnd

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (8, '0008_demands.sql', 1);
