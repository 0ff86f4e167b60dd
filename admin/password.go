package admin

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of the hashes that HashPassword makes: the second recommended set of
// RFC 9106, with one lane.
const (
	hashMemory = 64 << 10 // KiB
	hashTime   = 3
	hashLanes  = 1
)

// Bounds of what is hashed, and at what cost, so that a hash from a
// configuration cannot use up the machine's memory.
const (
	minPassword   = 12
	maxPassword   = 1024
	maxHashMemory = 256 << 10 // KiB
	maxHashTime   = 16
	maxHashLanes  = 16
)

// HashPassword returns the argon2id hash of a password, with its own salt, for
// [Account]. It uses 64 MiB for a moment. A password has 12 to 1,024 bytes.
func HashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", invalid("HashPassword", fmt.Sprintf("the password must have %d to %d bytes", minPassword, maxPassword))
	}
	h := passwordHash{memory: hashMemory, time: hashTime, lanes: hashLanes, salt: make([]byte, 16), sum: make([]byte, 32)}
	_, _ = rand.Read(h.salt) // never fails: it ends the program instead
	h.sum = h.of(password)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.lanes, encode(h.salt), encode(h.sum)), nil
}

// passwordHash is an argon2id hash, parsed.
type passwordHash struct {
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
}

// parsePasswordHash reads the form that the argon2 program and most libraries
// write (PHC string format).
func parsePasswordHash(text string) (*passwordHash, error) {
	form := errors.New("must be an argon2id hash like $argon2id$v=19$m=65536,t=3,p=1$salt$hash: make one with admin.HashPassword")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, form
	}
	h := new(passwordHash)
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.lanes); n != 3 || err != nil ||
		parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.time, h.lanes) {
		return nil, form
	}
	var saltErr, sumErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, sumErr = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case saltErr != nil, sumErr != nil:
		return nil, form
	case h.lanes < 1, h.lanes > maxHashLanes, h.time < 1, h.time > maxHashTime, h.memory < 8*uint32(h.lanes), h.memory > maxHashMemory:
		return nil, fmt.Errorf("costs m=%d, t=%d, p=%d, which is not within m=%d, t=%d, p=%d", h.memory, h.time, h.lanes, maxHashMemory, maxHashTime, maxHashLanes)
	case len(h.salt) < 8, len(h.salt) > 64, len(h.sum) < 16, len(h.sum) > 64:
		return nil, errors.New("has a salt or a hash of an unusual length: make one with admin.HashPassword")
	}
	return h, nil
}

func (h *passwordHash) of(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.lanes, uint32(len(h.sum)))
}

// matches reports whether the password is correct. It takes the same time
// either way.
func (h *passwordHash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password), h.sum) == 1
}

// costs reports whether h takes more work than o.
func (h *passwordHash) costs(o *passwordHash) bool {
	return uint64(h.memory)*uint64(h.time) > uint64(o.memory)*uint64(o.time)
}

// decoy returns a hash that costs as much as h and belongs to nobody.
func (h *passwordHash) decoy() *passwordHash {
	d := *h
	d.salt, d.sum = make([]byte, len(h.salt)), make([]byte, len(h.sum))
	_, _ = rand.Read(d.salt)
	_, _ = rand.Read(d.sum)
	return &d
}
