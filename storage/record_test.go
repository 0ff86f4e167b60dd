package storage_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var (
	sameNetwork = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	emptyIsNil  = cmpopts.EquateEmpty()
)

func micro(t time.Time) time.Time { return storage.NormalizeTime(t) }

func sample() storage.Record {
	at := time.Date(2026, 11, 23, 4, 5, 6, 7000, time.UTC)
	return storage.Record{
		Key: apikey.Key{
			ID: "7dJx0QmB2kTzVw9a", Name: "billing \U0001f511", Owner: "acme", Environment: "live", Scopes: []string{"a:read", "*"}, Plan: "pro",
			Limits:   []apikey.Limit{apikey.PerMinute(5), {Name: "odd", N: -1, Window: math.MinInt64}},
			Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), {}},
			Metadata: map[string]string{"b": "2", "a": "1", "": ""}, CreatedAt: at, CreatedBy: "ann", UpdatedAt: at.Add(1000),
			ExpiresAt: at.Add(2000), DisabledAt: at.Add(3000), DisabledBy: "bob", Locked: true, RevokedAt: at.Add(4000), RevokedBy: "carol",
			RevokeReason: "leaked", Revision: 9,
			Secrets: []apikey.Secret{{Number: 2, CreatedAt: at, Grace: time.Hour}, {Number: math.MaxUint32, EndsAt: at, FirstUsedAt: at}},
		},
		Digests: []storage.Digest{{Sum: [32]byte{1}, Pepper: 7}, {Sum: [32]byte{31: 9}, Pepper: math.MaxUint32}},
		Request: [32]byte{0xfe, 31: 3},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, r := range map[string]storage.Record{"zero": {}, "full": sample()} {
		prefix := []byte("kept")
		b := storage.AppendRecord(prefix, r)
		if !bytes.HasPrefix(b, prefix) {
			t.Errorf("%s: AppendRecord appends", name)
		}
		got, err := storage.DecodeRecord(b[len(prefix):])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(r, got, sameNetwork); d != "" {
			t.Errorf("%s: a record comes back as it was (-want +got):\n%s", name, d)
		}
	}
}

func TestRecordRoundTripProperty(t *testing.T) {
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return rapid.OneOf(rapid.Just(time.Time{}), rapid.Map(rapid.Int64(), func(us int64) time.Time { return time.UnixMicro(us).UTC() })).Draw(t, "time")
	})
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		r := storage.Record{Key: apikey.Key{
			ID: text.Draw(t, "id"), Owner: text.Draw(t, "owner"), Scopes: rapid.SliceOf(text).Draw(t, "scopes"),
			Metadata:  rapid.MapOf(text, text).Draw(t, "metadata"),
			CreatedAt: instant.Draw(t, "created"), RevokedAt: instant.Draw(t, "revoked"), Revision: rapid.Uint64().Draw(t, "revision"),
			Secrets: rapid.SliceOf(rapid.Custom(func(t *rapid.T) apikey.Secret {
				return apikey.Secret{Number: rapid.Uint32().Draw(t, "number"), EndsAt: instant.Draw(t, "ends"), Grace: time.Duration(rapid.Int64().Draw(t, "grace"))}
			})).Draw(t, "secrets"),
			Limits: rapid.SliceOf(rapid.Custom(func(t *rapid.T) apikey.Limit {
				return apikey.Limit{
					Name: text.Draw(t, "limit"), N: rapid.Int64().Draw(t, "n"), Window: time.Duration(rapid.Int64().Draw(t, "window")),
					Period: apikey.Period(rapid.SampledFrom([]string{"", "", "month"}).Draw(t, "period")), Zone: rapid.SampledFrom([]string{"", "", "Europe/Berlin"}).Draw(t, "zone"),
					Unit: rapid.SampledFrom([]string{"", "", "tokens"}).Draw(t, "unit"), Concurrent: rapid.Bool().Draw(t, "concurrent"), Shadow: rapid.Bool().Draw(t, "shadow"),
				}
			})).Draw(t, "limits"),
		}}
		b := storage.AppendRecord(nil, r)
		got, err := storage.DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, got, sameNetwork, emptyIsNil); d != "" {
			t.Fatalf("a record comes back as it was (-want +got):\n%s", d)
		}
		if again := storage.AppendRecord(nil, got); !bytes.Equal(again, b) {
			t.Fatalf("equal records have equal encodings: %x and %x", b, again)
		}
	})
}

func TestEntryRoundTrip(t *testing.T) {
	e := apikey.AuditEntry{
		Seq: math.MaxUint64, At: micro(time.Now()), Actor: "ann", From: "::1", Action: "revoke", KeyID: "k",
		Owner: "o", Reason: "r", Details: map[string]string{"name": "a -> b"},
	}
	for _, e := range []apikey.AuditEntry{{}, e} {
		got, err := storage.DecodeEntry(storage.AppendEntry(nil, e))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Errorf("an entry comes back as it was (-want +got):\n%s", d)
		}
	}
}

func TestEveryDamageIsSeen(t *testing.T) {
	record := storage.AppendRecord(nil, sample())
	entry := storage.AppendEntry(nil, apikey.AuditEntry{Actor: "ann", Details: map[string]string{"a": "b"}})
	decoders := map[string]struct {
		b      []byte
		decode func([]byte) error
	}{
		"record": {record, func(b []byte) error { _, err := storage.DecodeRecord(b); return err }},
		"entry":  {entry, func(b []byte) error { _, err := storage.DecodeEntry(b); return err }},
	}
	for name, d := range decoders {
		for bit := range 8 * len(d.b) {
			bad := bytes.Clone(d.b)
			bad[bit/8] ^= 1 << (bit % 8)
			if err := d.decode(bad); !errors.Is(err, storage.ErrCorrupt) {
				t.Fatalf("%s with bit %d flipped: got error %v, want ErrCorrupt", name, bit, err)
			}
		}
		for n := range d.b {
			if err := d.decode(d.b[:n]); !errors.Is(err, storage.ErrCorrupt) {
				t.Fatalf("%s cut to %d bytes: got error %v, want ErrCorrupt", name, n, err)
			}
		}
		if err := d.decode(append(bytes.Clone(d.b), 0)); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s with a byte more: got error %v, want ErrCorrupt", name, err)
		}
	}
	record[0] = entry[0]
	if err := decoders["record"].decode(reseal(record)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("an entry taken for a record: got error %v, want ErrCorrupt", err)
	}
}

// reseal gives bytes a correct checksum, as a newer version or an attacker would.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	body := b[:len(b)-4]
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestAnUnknownVersionIsNotDamage(t *testing.T) {
	b := storage.AppendRecord(nil, sample())
	b[1] = 99
	_, err := storage.DecodeRecord(reseal(b))
	if !errors.Is(err, storage.ErrVersion) || errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a record of the next version: got error %v, want ErrVersion", err)
	}
}

// formOfVersion1 is sample, without the fields of version 2, as the first
// programs wrote it.
const formOfVersion1 = "52011037644a7830516d42326b547a567739610c62696c6c696e6720f09f94910461636d65046c6976650370726f03616e6e03626f6205" +
	"6361726f6c066c65616b65648781f0908b9dc8718881f0908b9dc8718981f0908b9dc8718a81f0908b9dc8718b81f0908b9dc871090206" +
	"613a72656164012a02066d696e7574650a80e0ba84bf03036f646401ffffffffffffffffff0103050a000000081120010db80000000000" +
	"000000000000002001ff030000016101310162013202028781f0908b9dc871008080c58bc6d10100ffffffff0f008781f0908b9dc87100" +
	"8781f0908b9dc8710201000000000000000000000000000000000000000000000000000000000000000700000000000000000000000000" +
	"00000000000000000000000000000000000009ffffffff0f5a8b8c08"

// TestOldRecords: what version 1 wrote is read, and written again as it was, so
// that programs of both versions can share a store.
func TestOldRecords(t *testing.T) {
	old, err := hex.DecodeString(formOfVersion1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := storage.DecodeRecord(old)
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.Key.Locked, want.Request = false, [32]byte{}
	if d := cmp.Diff(want, r, sameNetwork); d != "" {
		t.Errorf("a record of version 1 (-want +got):\n%s", d)
	}
	if again := storage.AppendRecord(nil, r); !bytes.Equal(again, old) {
		t.Errorf("a record that version 1 can tell is written as version 1:\n%x\n%x", again, old)
	}
	locked, once := r, r
	locked.Key.Locked, once.Request = true, [32]byte{31: 1}
	for _, r := range []storage.Record{locked, once} {
		b := storage.AppendRecord(nil, r)
		if b[1] != 2 {
			t.Error("a record that version 1 cannot tell is none to it, rather than half a one")
		}
		if got, err := storage.DecodeRecord(b); err != nil || got.Key.Locked != r.Key.Locked || got.Request != r.Request {
			t.Errorf("a record of version 2 comes back: %v %v", got, err)
		}
	}
	empty := storage.AppendRecord(nil, locked)
	empty[len(empty)-37] = 0 // not locked
	if _, err := storage.DecodeRecord(reseal(empty)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("version 2 without its fields is a second encoding of version 1: got %v, want ErrCorrupt", err)
	}
}

// TestExtensions: what a later version adds is kept where it may be skipped, and
// is no record where it must be understood.
func TestExtensions(t *testing.T) {
	extend := func(tags ...uint64) (later []byte) {
		for _, tag := range tags {
			later = append(binary.AppendUvarint(binary.AppendUvarint(later, tag), 3), "abc"...)
		}
		return later
	}
	for _, r := range []storage.Record{{}, sample()} {
		r.Extensions = extend(1, 3, 1<<40+1)
		b := storage.AppendRecord(nil, r)
		got, err := storage.DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, got, sameNetwork); d != "" || b[1] != 3 {
			t.Errorf("a record of version %d with what may be skipped (-want +got):\n%s", b[1], d)
		}
		clear(b)
		if !bytes.Equal(got.Extensions, r.Extensions) {
			t.Error("a record shares memory with its encoding")
		}
		for want, later := range map[error][][]byte{
			storage.ErrVersion: {extend(2), extend(1, 2), extend(1, 2, 3)},
			storage.ErrCorrupt: {extend(3, 1), extend(1, 1), extend(0), {1}, {1, 9, 'a'}, {0x81, 0, 0}},
		} {
			for _, bad := range later {
				r.Extensions = bad
				if _, err := storage.DecodeRecord(storage.AppendRecord(nil, r)); !errors.Is(err, want) {
					t.Errorf("% x: error %v, want %v", bad, err, want)
				}
			}
		}
	}
	none := storage.AppendRecord(nil, storage.Record{Extensions: []byte{1, 0}})
	none = append(none[:len(none)-6], 0, 0, 0, 0)
	if _, err := storage.DecodeRecord(reseal(none)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("version 3 without extensions is a second encoding: got %v, want ErrCorrupt", err)
	}
}

func TestAHostileCountAllocatesNothing(t *testing.T) {
	b := append([]byte{'R', 1}, make([]byte, 15)...) // 9 strings, 5 times, revision: all zero
	b = binary.AppendUvarint(b, 1<<40)               // scopes
	b = reseal(append(b, make([]byte, 64)...))
	if n := testing.AllocsPerRun(10, func() { _, _ = storage.DecodeRecord(b) }); n > 10 {
		t.Errorf("a count of 2^40 in 80 bytes makes %v allocations", n)
	}
	if _, err := storage.DecodeRecord(b); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("got error %v, want ErrCorrupt", err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []storage.Record{{}, sample()} {
		f.Add(storage.AppendRecord(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			b = append(b, 0, 0, 0, 0)
		}
		for _, b := range [][]byte{b, reseal(b)} { // else the checksum stops all that is interesting
			r, err := storage.DecodeRecord(b)
			if err != nil {
				if !errors.Is(err, storage.ErrCorrupt) && !errors.Is(err, storage.ErrVersion) {
					t.Fatalf("the error is typed: %v", err)
				}
				continue
			}
			if again := storage.AppendRecord(nil, r); !bytes.Equal(again, b) {
				t.Fatalf("a record has one encoding:\n%x decodes, and encodes as\n%x", b, again)
			}
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(storage.AppendEntry(nil, apikey.AuditEntry{Seq: 3, Actor: "ann", Details: map[string]string{"a": "b"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			b = append(b, 0, 0, 0, 0)
		}
		b = reseal(b)
		if e, err := storage.DecodeEntry(b); err == nil && !bytes.Equal(storage.AppendEntry(nil, e), b) {
			t.Fatalf("an entry has one encoding: %x decodes to %+v", b, e)
		}
	})
}
