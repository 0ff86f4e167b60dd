package main

import (
	"fmt"
	"net/http"
)

// parity checks, before anything is timed, that contestants do the same job:
// with small budgets, they admit and refuse the same requests. It runs twice,
// so that each of the two limits is once the one that refuses. Contestants
// without limits admit what the others refuse for a limit, and the bare
// handlers admit everybody.
func parity(peers []peer) error {
	for _, b := range []budget{{5, 1000}, {1000, 5}} {
		if err := parityOf(peers, b); err != nil {
			return err
		}
	}
	return nil
}

func parityOf(peers []peer, b budget) error {
	const keys = 3
	k, err := newKeyset(keys, b)
	if err != nil {
		return err
	}
	defer k.close()
	for _, p := range peers {
		err := parityPeer(p, k, keys)
		if err != nil { // a window that is aligned to the clock may have turned over meanwhile
			err = parityPeer(p, k, keys)
		}
		if err != nil {
			return fmt.Errorf("parity: %s, %d a minute and %d a day: %w", p.name, b.minute, b.day, err)
		}
	}
	return nil
}

func parityPeer(p peer, k *keyset, keys int) error {
	ops, closer, err := p.open(k)
	if err != nil {
		return err
	}
	defer closer()
	f := ops()
	for attempt := range 8 {
		for token := range keys {
			want := http.StatusOK
			if attempt >= 5 && (p.does == verifyAndLimit || p.does == limitOnly) {
				want = http.StatusTooManyRequests
			}
			if got := f(uint32(token)); got != want {
				return fmt.Errorf("request %d of key %d was answered with %d, want %d", attempt+1, token, got, want)
			}
		}
		if p.does == limitOnly {
			continue
		}
		for _, bad := range []int{0, 1} { // mistyped, unknown
			want := http.StatusOK
			if p.does != admitAll {
				want = http.StatusUnauthorized
			}
			if got := f(uint32(keys + bad + 2*attempt)); got != want {
				return fmt.Errorf("a bad key was answered with %d, want %d", got, want)
			}
		}
	}
	return nil
}
