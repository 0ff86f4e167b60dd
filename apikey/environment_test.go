package apikey_test

import (
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

func TestEnvironmentServesItsHostsOnly(t *testing.T) {
	e := apikey.Environment{Name: "live", BaseURL: "https://api.example.com", Hosts: []string{"API.example.com", "localhost:8080", "[::1]:8080"}}
	if err := e.Normalize(true); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"api.example.com": true, "API.EXAMPLE.COM": true, "api.example.com.": true, "api.example.com:443": true, "api.example.com:8443": true,
		"localhost:8080": true, "[::1]:8080": true, "LOCALHOST:8080": true,
		"localhost": false, "localhost:8081": false, "[::1]:8081": false, "sandbox.example.com": false, "example.com": false,
		"api.example.com.evil.com": false, "": false, ":8080": false, "evil.com:api.example.com": false,
	} {
		if got := e.Serves(host); got != want {
			t.Errorf("serves(%q) = %v, want %v", host, got, want)
		}
	}
}
