package token

import (
	"encoding/binary"
	"hash/crc32"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// crcTables are the tables of the "slicing by 8" method (Kounavis and Berry,
// 2005): table k advances a byte past k more bytes.
var crcTables = func() *[8][256]uint32 {
	t := &[8][256]uint32{*crc32.IEEETable}
	for i := range 256 {
		crc := t[0][i]
		for k := 1; k < 8; k++ {
			crc = t[0][byte(crc)] ^ crc>>8
			t[k][i] = crc
		}
	}
	return t
}()

// checksum returns the CRC-32 (IEEE) of s.
func checksum(s string) uint32 { return ^checksumAfter(^uint32(0), s) }

// checksumAfter advances the register of a CRC past s. A CRC begins with all
// bits set and ends by inverting them all.
//
// It does not use hash/crc32, which takes a byte slice through a function
// variable: the slice would escape to the heap, an allocation for every
// request.
func checksumAfter(crc uint32, s string) uint32 {
	t, rest := crcTables, s
	for ; len(rest) >= 8; rest = rest[8:] {
		x := word(rest, 0) ^ uint64(crc)
		crc = t[7][byte(x)] ^ t[6][byte(x>>8)] ^ t[5][byte(x>>16)] ^ t[4][byte(x>>24)] ^
			t[3][byte(x>>32)] ^ t[2][byte(x>>40)] ^ t[1][byte(x>>48)] ^ t[0][x>>56]
	}
	// The rest at once: advance each byte past those behind it.
	x, n := uint64(crc)^lastBytes(s, len(rest)), len(rest)
	crc = uint32(x >> (8 * n))
	for ; n > 0; n-- {
		crc ^= t[n-1][byte(x)]
		x >>= 8
	}
	return crc
}

// lastBytes returns the last n bytes of s, fewer than 8, as a word.
func lastBytes(s string, n int) (x uint64) {
	if len(s) >= 8 {
		return binary.LittleEndian.Uint64([]byte(s[len(s)-8:])) >> (64 - 8*n)
	}
	for i := range n {
		x |= uint64(s[i]) << (8 * i)
	}
	return x
}

// The same byte in all eight of a word, and the top bit of each.
const (
	everyByte = 0x0101010101010101
	topBits   = 0x80 * everyByte
)

// atLeast sets the top bit of each byte of x that is c or more; bytes of x and
// c are below 0x80. This is arithmetic on eight bytes at once, SWAR (Lamport,
// "Multiple byte processing with full-word instructions", 1975).
func atLeast(x uint64, c byte) uint64 { return x + (0x80-uint64(c))*everyByte }

// word returns the eight bytes that begin at s[i].
func word(s string, i int) uint64 { return binary.LittleEndian.Uint64([]byte(s[i : i+8])) }

// digits sets the top bit of each byte of x that is a base62 digit. A byte of
// 0x80 or more is not one, and affects only its neighbours.
func digits(x uint64) uint64 {
	lower := x | 0x20*everyByte
	digit := atLeast(x, '0') ^ atLeast(x, '9'+1)
	letter := atLeast(lower, 'a') ^ atLeast(lower, 'z'+1)
	return (digit | letter) &^ x
}

// isBody reports whether s is "<id>_<secret>", in its alphabet.
func isBody(s string) bool {
	const end, secret = bodyLen - 8, IDLen + 1 // the last eight bytes overlap those before
	if len(s) != bodyLen || s[IDLen] != '_' {
		return false
	}
	all := digits(word(s, 0)) & digits(word(s, 8)) & digits(word(s, secret)) & digits(word(s, secret+8)) &
		digits(word(s, secret+16)) & digits(word(s, secret+24)) & digits(word(s, end))
	return all&topBits == topBits
}

// appendChecksum appends the six base62 digits of sum, zero-padded.
func appendChecksum(dst []byte, sum uint32) []byte {
	var d [crcLen]byte
	for i := crcLen - 1; i >= 0; i-- {
		d[i] = base62[sum%62]
		sum /= 62
	}
	return append(dst, d[:]...)
}

// isChecksum reports whether text is the checksum's six digits. It works on
// both halves at the same time.
func isChecksum(text string, sum uint32) bool {
	const half = 62 * 62 * 62
	high, low := sum/half, sum%half
	return text[0] == base62[high/(62*62)] && text[1] == base62[high/62%62] && text[2] == base62[high%62] &&
		text[3] == base62[low/(62*62)] && text[4] == base62[low/62%62] && text[5] == base62[low%62]
}
