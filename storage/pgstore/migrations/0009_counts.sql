-- +goose Up

-- Limits are windows, quotas, and requests in progress, each known by its name. "counts" holds one count after the other,
-- of each limit of the subject:
--
--     id, shape, how many numbers its cells have, sum, edge, and the cells: two numbers each
--
-- The id is below zero, a digest of the limit's name and shape. That of a window which was counted by a program that knew
-- no names is its negative length. The shape is 2 * seconds + 1 for a window that keeps instants, 2 * seconds for one of
-- segments, -1, -2 and -3 for an hour, a day and a month, -4 for a quota that never ends, and -5 for requests in progress.
-- A cell is the instant at which it leaves, and what it counts; they are in the order in which they leave, and no two
-- leave together. Nothing leaves before the edge. A request in progress is a cell, too, in no order: the instant at which it
-- is over unless it is renewed, and its number, which is below zero. Instants are in nanoseconds since 1970, and
-- 9223372036854775807 never comes.
--
-- What the version before writes begins with the length of a window, which is above zero. The functions here read and
-- write counts; the next migration begins to use them.

-- limit_upgrade turns what the version before has written into what this one reads. A cell of segment i of length s counts
-- until the end of segment i + k.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_upgrade(rings bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    low   CONSTANT bigint := 8589934591; -- 33 bits of a segment's number
    units CONSTANT bigint := 1073741823; -- 30 bits of a count
    counts bigint[] := '{}';
    p integer := 1; k bigint; s bigint; cells bigint[]; total bigint;
BEGIN
    WHILE p <= cardinality(rings) LOOP
        k := CASE WHEN rings[p] <= 3600 THEN 60 ELSE 144 END;
        s := (rings[p] * 1000000000 + k - 1) / k;
        cells := '{}';
        total := 0;
        FOR c IN p + 4..p + 3 + rings[p + 3] LOOP
            IF rings[c] & units > 0 THEN
                cells := cells || ARRAY[(rings[p + 1] - ((rings[p + 1] - (rings[c] >> 30)) & low) + k + 1) * s, rings[c] & units];
                total := total + (rings[c] & units);
            END IF;
        END LOOP;
        counts := counts || ARRAY[-rings[p], 2 * rings[p], cardinality(cells), total, coalesce(cells[1], 9223372036854775807)] || cells;
        p := p + 4 + rings[p + 3];
    END LOOP;
    RETURN counts;
END
$$;
-- +goose StatementEnd

-- limit_prepare returns the counts of a subject with one for this limit: a new one, or that of a window without a name, or
-- one of another shape; for a limit without a name, that of the first of its length. If the shape was another, N has passed 128, and each cell of the window is dated at the latest time at which it may
-- have been charged. Counts under which nothing counts make room for a new one.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_prepare(
    counts bigint[], id bigint, shape bigint, s bigint, k bigint, now bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    never CONSTANT bigint := 9223372036854775807;
    kept bigint[] := '{}';
    cells bigint[] := '{}';
    was bigint; size bigint; span bigint; begun bigint; until bigint;
    last integer := 0; p integer := 1; c integer; stop integer;
BEGIN
    IF counts[1] > 0 THEN
        counts := "latchkey".limit_upgrade(counts);
    END IF;
    WHILE p < cardinality(counts) AND counts[p] <> id LOOP
        p := p + 5 + counts[p + 2];
    END LOOP;
    IF p > cardinality(counts) AND shape > 0 THEN
        p := 1;
        WHILE p < cardinality(counts) AND (counts[p + 1] >> 1 <> shape >> 1 OR counts[p] <> -(shape >> 1) AND id <> -(shape >> 1)) LOOP
            p := p + 5 + counts[p + 2];
        END LOOP;
    END IF;
    IF p > cardinality(counts) THEN
        p := 1;
        WHILE p < cardinality(counts) LOOP
            c := p + 5;
            stop := c + counts[p + 2];
            WHILE c < stop AND counts[c] <= now LOOP
                c := c + 2;
            END LOOP;
            IF c < stop THEN
                kept := kept || counts[p:stop - 1];
            END IF;
            p := stop;
        END LOOP;
        RETURN kept || ARRAY[id, shape, 0, 0, never];
    END IF;
    IF id < -2678400 THEN
        counts[p] := id;
    END IF;
    was := counts[p + 1];
    IF was = shape THEN
        RETURN counts;
    END IF;
    -- An instant is a segment of a nanosecond, and stays for the window; a cell stays for a segment more than that.
    span := (was >> 1) * 1000000000;
    size := CASE WHEN was & 1 = 1 THEN 1 WHEN was >> 1 <= 3600 THEN (span + 59) / 60 ELSE (span + 143) / 144 END;
    span := CASE WHEN was & 1 = 1 THEN span WHEN was >> 1 <= 3600 THEN 61 * size ELSE 145 * size END;
    c := p + 5;
    stop := c + counts[p + 2];
    WHILE c < stop LOOP
        begun := counts[c] - span;
        until := (greatest(begun, least(begun + size - 1, now)) / s + k) * s;
        IF last > 0 AND cells[last - 1] >= until THEN
            cells[last] := cells[last] + counts[c + 1];
        ELSE
            cells := cells || ARRAY[until, counts[c + 1]];
            last := last + 2;
        END IF;
        c := c + 2;
    END LOOP;
    RETURN counts[:p] || ARRAY[shape, last, counts[p + 3], coalesce(cells[1], never)] || cells || counts[stop:];
END
$$;
-- +goose StatementEnd

-- limit_roll returns a count without the cells that have left.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_roll(counts bigint[], now bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
    edge bigint;
    kept bigint[];
    c integer := 6;
BEGIN
    IF counts[2] = -5 THEN
        SELECT array_agg(x ORDER BY i, j), count(*), min(x) FILTER (WHERE j = 1) INTO kept, total, edge
        FROM generate_series(6, cardinality(counts), 2) AS i, LATERAL (VALUES (1, counts[i]), (2, counts[i + 1])) AS v (j, x)
        WHERE counts[i] > now;
        RETURN counts[:2] || ARRAY[total, total / 2, coalesce(edge, 9223372036854775807)] || kept;
    END IF;
    total := counts[4];
    WHILE counts[c] <= now LOOP
        total := total - counts[c + 1];
        c := c + 2;
    END LOOP;
    RETURN counts[:2] || ARRAY[cardinality(counts) - c + 1, total, coalesce(counts[c], 9223372036854775807)] || counts[c:];
END
$$;
-- +goose StatementEnd

-- limit_end returns where the counts of the subject that begin at p end.
-- +goose StatementBegin
CREATE FUNCTION "latchkey".limit_end(counts bigint[], p integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    WHILE counts[p] < 0 LOOP
        p := p + 5 + counts[p + 2];
    END LOOP;
    RETURN p;
END
$$;
-- +goose StatementEnd

INSERT INTO "latchkey".migrations (version, name, oldest) VALUES (9, '0009_counts.sql', 1);
