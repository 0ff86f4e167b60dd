package redisstore

import "strings"

// A subject has one key in Redis. Its hash tag is the subject's own, as Redis
// sees it (what is between the first { and the next }), or the whole subject.
func (l *Limiter) key(subject string) string {
	if tag(subject) == subject {
		return l.prefix + "s{" + subject + "}"
	}
	return l.prefix + "t" + subject
}

// onceKey returns the key that remembers a request of the subject, with the same
// hash tag.
func (l *Limiter) onceKey(subject, nonce string) string {
	return l.prefix + "o" + l.key(subject)[len(l.prefix):] + "\x00" + nonce
}

// tag returns the part of a key that a cluster hashes.
func tag(key string) string {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if inside, _, ok := strings.Cut(after, "}"); ok && inside != "" {
			return inside
		}
	}
	return key
}

// slotOf returns the key's slot in a cluster: CRC-16/XMODEM of its tag.
func slotOf(key string) (crc uint16) {
	for _, b := range []byte(tag(key)) {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}
