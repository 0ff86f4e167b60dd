-- +goose Up

-- From here on limits are windows, quotas, and requests in progress, each known by its name. A call of the version before
-- that waits for this migration does not find its column, and fails.
LOCK TABLE "latchkey".limits IN ACCESS EXCLUSIVE MODE;
ALTER TABLE "latchkey".limits RENAME COLUMN rings TO counts;

-- limit_use decides one request about any number of subjects, and charges it if charge says so, in one step.
--
-- names are the subjects in the order of their bytes. asks are the limits, in that order too, ten numbers each:
--
--     1 if another subject begins, id, shape, most, cost, 1 for a shadow, a, b, c, d
--
-- A limit refuses if its count is above most, its N less the cost: a limit without a say has the most that there is, and
-- one that is asked whether anything is left has a most of N - 1 and no cost. What is charged leaves a window at
-- (now / a + b) * a. A quota of a period has the ends of four, and now must be in one of the last three: otherwise the
-- result is null. slot is the number of a request in progress, which is over after life. keep is how long a charge may count,
-- and durable says that a crash of the server must not take it.
--
-- at is null but in tests. The result is the instant of the decision, the wait (0 when admitted, -1 when no wait helps, -2
-- when nobody knows), the instant of which the charge is, and for each limit the count, its edge, and 1 when it refuses.
--
-- In each transaction, PL/pgSQL prepares every expression that it comes by, which takes longer than to compute it. So the
-- usual way through this function has few and short ones, and what is rare is in other functions.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_use(
    names bytea[], asks bigint[], charge boolean, slot bigint, life bigint, keep bigint, durable boolean, patience integer, at bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    was     bigint[]; -- the counts of all subjects, a 0 in front of each
    a       bigint[]; -- as they are to be
    more    bigint[];
    ask     bigint[];
    answer  bigint[];
    now     bigint;
    need    bigint;
    until   bigint;
    dated   bigint; -- null: now
    pause   bigint; -- null: admitted
    shady   boolean; -- a shadow refuses
    again   boolean; -- and shadows are not charged
    name    bytea;
    ignored text;
    p integer; c integer; lo integer;
BEGIN
    ignored := set_config('lock_timeout', patience::text, true) || set_config('synchronous_commit', CASE
        WHEN NOT durable THEN 'off' WHEN current_setting('synchronous_commit') = 'off' THEN 'on' ELSE current_setting('synchronous_commit')
    END, true);
    -- Subjects are locked in the order of their bytes, so that requests which name them in another order wait for each
    -- other and never in a circle. That is why a row that is not there is made before the next is looked for. The clock
    -- is read under the locks: so charges are dated in the order in which they are made, and none before it is, however
    -- long it waited.
    FOREACH name IN ARRAY names LOOP
        LOOP
            IF charge THEN
                SELECT l.counts INTO more FROM "latchkey".limits AS l WHERE l.subject = name FOR UPDATE;
            ELSE
                SELECT l.counts INTO more FROM "latchkey".limits AS l WHERE l.subject = name;
            END IF;
            EXIT WHEN FOUND OR NOT charge;
            INSERT INTO "latchkey".limits (subject, idle_at, counts) VALUES (name, 0, '{}') ON CONFLICT DO NOTHING;
        END LOOP;
        IF more[1] > 0 THEN
            more := "latchkey".limit_upgrade(more);
        END IF;
        was := was || 0::bigint || more;
    END LOOP;
    now := coalesce(at, round(date_part('epoch', clock_timestamp()) * 1000000)::bigint * 1000);

    -- The request is charged as if it were admitted. If it is not, or a shadow refuses, all that is forgotten, and it is
    -- decided once more.
    LOOP
        a := was;
        lo := 2;
        FOREACH ask SLICE 1 IN ARRAY asks LOOP
            IF ask[1] = 1 THEN
                lo := "latchkey".limit_end(a, lo) + 1;
            END IF;
            p := lo;
            WHILE a[p] < 0 AND a[p] <> ask[2] LOOP
                p := p + 5 + a[p + 2];
            END LOOP;
            IF a[p] = ask[2] AND a[p + 1] = ask[3] THEN
                NULL;
            ELSE
                c := "latchkey".limit_end(a, lo);
                more := "latchkey".limit_prepare(a[lo:c - 1], ask[2], ask[3], ask[7], ask[8], now);
                a := a[:lo - 1] || more || a[c:];
                p := lo;
                WHILE a[p] <> ask[2] AND (ask[2] < -2678400 OR a[p + 1] <> ask[3]) LOOP
                    p := p + 5 + a[p + 2];
                END LOOP;
            END IF;
            IF a[p + 4] <= now THEN
                c := p + 5 + a[p + 2];
                a := a[:p - 1] || "latchkey".limit_roll(a[p:c - 1], now) || a[c:];
            END IF;
            IF a[p + 3] > ask[4] THEN
                answer := answer || a[p + 3:p + 4] || 1::bigint;
                IF ask[6] = 1 THEN
                    shady := true;
                ELSIF ask[4] < 0 OR ask[3] = -4 THEN
                    pause := 9223372036854775807;
                ELSIF ask[3] = -5 THEN
                    pause := greatest(pause, 9223372036854775806);
                ELSE
                    need := a[p + 3] - ask[4];
                    c := p + 5;
                    LOOP
                        need := need - a[c + 1];
                        EXIT WHEN need <= 0;
                        c := c + 2;
                    END LOOP;
                    pause := greatest(pause, a[c] - now);
                END IF;
                CONTINUE;
            ELSIF charge AND ask[5] > 0 THEN
                c := p + 3 + a[p + 2]; -- the last cell, if there is one
                IF ask[3] > 0 THEN
                    until := (now / ask[7] + ask[8]) * ask[7];
                ELSIF ask[3] = -5 THEN
                    until := now + life;
                ELSIF c > p + 3 THEN -- a clock that is set back does not begin a period again
                    until := a[c];
                    dated := greatest(dated, CASE until WHEN ask[8] THEN ask[7] WHEN ask[9] THEN ask[8] WHEN ask[10] THEN ask[9] END);
                ELSIF ask[3] = -4 THEN
                    until := 9223372036854775807;
                ELSIF now < ask[7] OR now >= ask[10] THEN
                    RETURN NULL;
                ELSE
                    until := CASE WHEN now < ask[8] THEN ask[8] WHEN now < ask[9] THEN ask[9] ELSE ask[10] END;
                END IF;
                IF a[c] = until AND ask[3] <> -5 THEN
                    a[c + 1] := a[c + 1] + ask[5];
                    a[p + 3] := a[p + 3] + ask[5];
                ELSIF a[c] > until AND ask[3] <> -5 THEN -- nor does it let anything go: what comes is dated like the newest
                    a[c + 1] := a[c + 1] + ask[5];
                    a[p + 3] := a[p + 3] + ask[5];
                    dated := greatest(dated, a[c] - ask[7] * ask[8]);
                ELSE
                    a := a[:p + 1] || ARRAY[a[p + 2] + 2, a[p + 3] + ask[5], least(a[p + 4], until)] || a[p + 5:c + 1]
                        || ARRAY[until, CASE WHEN ask[3] = -5 THEN slot ELSE ask[5] END] || a[c + 2:];
                END IF;
            END IF;
            answer := answer || a[p + 3:p + 4] || 0::bigint;
        END LOOP;
        EXIT WHEN NOT charge OR pause IS NULL AND (shady IS NULL OR again);
        answer := NULL;
        dated := NULL;
        IF pause IS NULL THEN
            again := true;
            FOR i IN 1..array_length(asks, 1) LOOP
                asks[i][5] := asks[i][5] * (1 - asks[i][6]);
            END LOOP;
        ELSE
            charge := false; -- and pause stays as it is
            ignored := set_config('synchronous_commit', 'off', true);
        END IF;
    END LOOP;

    IF NOT charge THEN
        NULL;
    ELSIF cardinality(names) = 1 THEN
        UPDATE "latchkey".limits AS l
        SET counts = a[2:], idle_at = CASE WHEN l.idle_at >= now + keep THEN l.idle_at ELSE now + keep + 600000000000 END
        WHERE l.subject = name;
    ELSE
        lo := 2;
        FOREACH name IN ARRAY names LOOP
            c := "latchkey".limit_end(a, lo);
            UPDATE "latchkey".limits AS l
            SET counts = a[lo:c - 1], idle_at = CASE WHEN l.idle_at >= now + keep THEN l.idle_at ELSE now + keep + 600000000000 END
            WHERE l.subject = name;
            lo := c + 1;
        END LOOP;
    END IF;
    RETURN ARRAY[now, CASE WHEN pause IS NULL THEN 0 WHEN pause < 9223372036854775806 THEN pause ELSE pause - 9223372036854775807 - 1 END, greatest(now, dated)] || answer;
END
$$;
-- +goose StatementEnd

-- limit_amend changes what an admitted request was charged. The asks are in the order and the numbers of limit_use, but a
-- cost is by how much to change it, and what was charged leaves a window that keeps instants at c, and all others at d. No more is given back than is there. The
-- request slot is over, if that is not 0. The result is that of limit_use.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_amend(
    names bytea[], asks bigint[], slot bigint, keep bigint, durable boolean, patience integer, at bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    most  CONSTANT bigint := 4611686018427387904; -- of a sum
    never CONSTANT bigint := 9223372036854775807;
    a       bigint[];
    cells   bigint[];
    answer  bigint[];
    now     bigint;
    held    bigint;
    until   bigint;
    change  bigint;
    changed boolean;
    name    bytea;
    ignored text;
    j integer := 1; p integer; c integer; e integer;
BEGIN
    ignored := set_config('lock_timeout', patience::text, true) || set_config('synchronous_commit', CASE
        WHEN NOT durable THEN 'off' WHEN current_setting('synchronous_commit') = 'off' THEN 'on' ELSE current_setting('synchronous_commit')
    END, true);
    FOREACH name IN ARRAY names LOOP
        LOOP
            PERFORM FROM "latchkey".limits AS l WHERE l.subject = name FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO "latchkey".limits (subject, idle_at, counts) VALUES (name, 0, '{}') ON CONFLICT DO NOTHING;
        END LOOP;
    END LOOP;
    now := coalesce(at, round(date_part('epoch', clock_timestamp()) * 1000000)::bigint * 1000);
    FOREACH name IN ARRAY names LOOP
        SELECT l.counts INTO a FROM "latchkey".limits AS l WHERE l.subject = name;
        changed := false;
        LOOP
            p := 1;
            WHILE a[p] < 0 AND a[p] <> asks[j][2] LOOP
                p := p + 5 + a[p + 2];
            END LOOP;
            IF a[p] IS DISTINCT FROM asks[j][2] THEN
                a := "latchkey".limit_prepare(a, asks[j][2], asks[j][3], asks[j][7], asks[j][8], now);
                p := 1;
                WHILE a[p] <> asks[j][2] AND (asks[j][2] < -2678400 OR a[p + 1] <> asks[j][3]) LOOP
                    p := p + 5 + a[p + 2];
                END LOOP;
            END IF;
            until := CASE WHEN a[p + 1] & 1 = 1 THEN asks[j][9] ELSE asks[j][10] END;
            e := p + 5 + a[p + 2];
            IF a[p + 4] <= now THEN
                cells := "latchkey".limit_roll(a[p:e - 1], now);
                a := a[:p - 1] || cells || a[e:];
                e := p + cardinality(cells);
            END IF;
            IF a[p + 1] = -5 THEN
                c := array_position(a, slot, p + 5);
                IF slot <> 0 AND c < e THEN
                    a := a[:p + 1] || ARRAY[a[p + 2] - 2, a[p + 3] - 1, CASE WHEN a[p + 3] = 1 THEN never ELSE a[p + 4] END] || a[p + 5:c - 2] || a[c + 1:];
                    changed := true;
                END IF;
            ELSIF asks[j][5] <> 0 AND until > now THEN
                c := p + 5;
                WHILE c < e AND a[c] < until LOOP
                    c := c + 2;
                END LOOP;
                held := CASE WHEN c < e AND a[c] = until THEN a[c + 1] ELSE 0 END;
                change := least(greatest(asks[j][5], -held), most - a[p + 3]);
                IF change <> 0 THEN
                    cells := a[p + 5:c - 1] || CASE WHEN held + change = 0 THEN '{}' ELSE ARRAY[until, held + change] END
                        || a[CASE WHEN held > 0 THEN c + 2 ELSE c END:e - 1];
                    a := a[:p + 1] || ARRAY[cardinality(cells), a[p + 3] + change, coalesce(cells[1], never)] || cells || a[e:];
                    changed := true;
                END IF;
            END IF;
            cells := a[p:p + 4 + a[p + 2]];
            IF a[p + 1] <> asks[j][3] THEN -- it goes on in its shape until something is charged
                cells := "latchkey".limit_prepare(cells, asks[j][2], asks[j][3], asks[j][7], asks[j][8], now);
            END IF;
            answer := answer || cells[4:5] || 0::bigint;
            j := j + 1;
            EXIT WHEN j > array_length(asks, 1) OR asks[j][1] = 1;
        END LOOP;
        IF changed THEN
            UPDATE "latchkey".limits AS l
            SET counts = a, idle_at = CASE WHEN l.idle_at >= now + keep THEN l.idle_at ELSE now + keep + 600000000000 END
            WHERE l.subject = name;
        END IF;
    END LOOP;
    RETURN ARRAY[now, 0, 0] || answer;
END
$$;
-- +goose StatementEnd

-- limit_renew renews requests in progress for life, and puts back those that were given up. names are the subjects in the
-- order of their bytes, and sizes how many of slots are of each: an id of a limit and the number of a request in turn. It
-- returns how many were put back.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_renew(
    names bytea[], sizes integer[], slots bigint[], life bigint, patience integer, at bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    a bigint[];
    ignored text := set_config('lock_timeout', patience::text, true);
    back  bigint := 0;
    now   bigint;
    until bigint;
    b integer := 1; p integer; c integer; e integer;
BEGIN
    ignored := set_config('synchronous_commit', 'off', true);
    FOR i IN 1..cardinality(names) LOOP
        LOOP
            SELECT l.counts INTO a FROM "latchkey".limits AS l WHERE l.subject = names[i] FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO "latchkey".limits (subject, idle_at, counts) VALUES (names[i], 0, '{}') ON CONFLICT DO NOTHING;
        END LOOP;
        now := coalesce(at, round(date_part('epoch', clock_timestamp()) * 1000000)::bigint * 1000);
        until := now + life;
        FOR j IN 1..sizes[i] / 2 LOOP
            a := "latchkey".limit_prepare(a, slots[b], -5, 0, 0, now);
            p := 1;
            WHILE a[p] <> slots[b] LOOP
                p := p + 5 + a[p + 2];
            END LOOP;
            e := p + 5 + a[p + 2];
            c := array_position(a, slots[b + 1], p + 5);
            IF c < e THEN
                a[c - 1] := until;
            ELSE
                a := a[:p + 1] || ARRAY[a[p + 2] + 2, a[p + 3] + 1, least(a[p + 4], until)] || a[p + 5:e - 1] || ARRAY[until, slots[b + 1]] || a[e:];
                back := back + 1;
            END IF;
            b := b + 2;
        END LOOP;
        UPDATE "latchkey".limits AS l
        SET counts = a, idle_at = CASE WHEN l.idle_at >= until THEN l.idle_at ELSE until + 600000000000 END
        WHERE l.subject = names[i];
    END LOOP;
    RETURN back;
END
$$;
-- +goose StatementEnd

-- Programs of the version before know windows without names. What they charge counts by segments, whatever N is: they
-- use it until a segment ends. A higher cost is given back, and then charged as a whole or not at all.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION "latchkey".limit_charge(
    names bytea[], counts integer[], lengths bigint[], most bigint[],
    was bigint, was_at bigint, cost bigint, charge boolean, patience integer, at bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    asks   bigint[] := '{}';
    backs  bigint[] := '{}';
    longest bigint := 0;
    answer bigint[];
    told   bigint[];
    k bigint; s bigint; j integer := 0;
BEGIN
    FOR i IN 1..cardinality(names) LOOP
        FOR e IN 1..counts[i] LOOP
            j := j + 1;
            k := CASE WHEN lengths[j] <= 3600 THEN 60 ELSE 144 END;
            s := (lengths[j] * 1000000000 + k - 1) / k;
            longest := greatest(longest, (k + 1) * s);
            asks := asks || ARRAY[ARRAY[(i > 1 AND e = 1)::integer, -lengths[j], 2 * lengths[j] + (most[j] <= 128)::integer,
                CASE WHEN cost > 0 THEN most[j] - cost ELSE 9223372036854775807 END, cost, 0, s, k + 1, 0, 0]];
            backs := backs || ARRAY[ARRAY[(i > 1 AND e = 1)::integer, -lengths[j], 2 * lengths[j] + (most[j] <= 128)::integer,
                0, -was, 0, s, k + 1, (was_at / s + k + 1) * s, (was_at / s + k + 1) * s]];
        END LOOP;
    END LOOP;
    IF was > 0 THEN
        answer := "latchkey".limit_amend(names, backs, 0, longest, false, patience, at);
    END IF;
    IF was = 0 OR cost > 0 THEN
        answer := "latchkey".limit_use(names, asks, charge, 0, 0, longest, false, patience, at);
    END IF;
    told := ARRAY[answer[1], answer[2], 0];
    FOR i IN 1..j LOOP
        told := told || ARRAY[greatest(most[i] - answer[3 * i + 1], 0), CASE WHEN answer[3 * i + 1] = 0 THEN 0 ELSE answer[3 * i + 2] - answer[1] END, answer[3 * i + 3]];
        IF charge AND answer[2] = 0 THEN
            told[3] := CASE WHEN i = 1 THEN asks[i][7] - answer[1] % asks[i][7] ELSE least(told[3], asks[i][7] - answer[1] % asks[i][7]) END;
        END IF;
    END LOOP;
    RETURN told;
END
$$;
-- +goose StatementEnd

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (10, '0010_limits.sql', 1);
