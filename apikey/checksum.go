package apikey

import "hash/crc32"

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// foreign is 0 for the alphabet, 1 for the underscore and more than any token
// has characters for every other byte.
var foreign = func() (t [256]uint16) {
	for i := range t {
		t[i] = 1 << 8
	}
	for i := range len(base62) {
		t[base62[i]] = 0
	}
	t['_'] = 1
	return t
}()

// crcTables are those of the "slicing by 8" method (Kounavis and Berry, 2005):
// table k advances a byte past k more bytes.
var crcTables = func() (t [8][256]uint32) {
	t[0] = *crc32.IEEETable
	for i := range 256 {
		crc := t[0][i]
		for k := 1; k < 8; k++ {
			crc = t[0][byte(crc)] ^ crc>>8
			t[k][i] = crc
		}
	}
	return t
}()

// scan returns the CRC-32 (IEEE) of s, and the sum of foreign over it, in one
// pass: the number of underscores when s holds nothing else but base62. s is
// no longer than a token.
//
// It is not hash/crc32, which takes a byte slice through a function variable,
// so that the slice escapes to the heap: an allocation for every request.
func scan(s string) (crc uint32, strange uint16) {
	t, f := &crcTables, &foreign
	crc = ^crc
	for len(s) >= 8 {
		strange += f[s[0]] + f[s[1]] + f[s[2]] + f[s[3]] + f[s[4]] + f[s[5]] + f[s[6]] + f[s[7]]
		crc ^= uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		crc = t[7][byte(crc)] ^ t[6][byte(crc>>8)] ^ t[5][byte(crc>>16)] ^ t[4][crc>>24] ^
			t[3][s[4]] ^ t[2][s[5]] ^ t[1][s[6]] ^ t[0][s[7]]
		s = s[8:]
	}
	for i := range len(s) {
		strange += f[s[i]]
		crc = t[0][byte(crc)^s[i]] ^ crc>>8
	}
	return ^crc, strange
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

// isChecksum reports whether text is the checksum's six digits.
func isChecksum(text string, sum uint32) bool {
	for i := crcLen - 1; i >= 0; i-- {
		if text[i] != base62[sum%62] {
			return false
		}
		sum /= 62
	}
	return true
}
