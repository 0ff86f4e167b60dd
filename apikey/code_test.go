package apikey_test

import (
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

func TestEveryCodeHasItsOwnRow(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range apikey.Codes() {
		info := c.Info()
		if info.Name == "" || info.Title == "" || info.Status < 200 || names[info.Name] {
			t.Errorf("code %d: row %+v is incomplete or is duplicated", c, info)
		}
		names[info.Name] = true
		if c != apikey.OK && (info.GRPC == 0 || info.Connect == "") {
			t.Errorf("%v does not map to gRPC and Connect", c)
		}
		if (info.Status == 401 || info.Status == 403) && info.Connect != map[int]string{401: "unauthenticated", 403: "permission_denied"}[info.Status] {
			t.Errorf("%v is %d but %s", c, info.Status, info.Connect)
		}
	}
	if apikey.Code(250).Info().Status != 500 {
		t.Error("a number outside the set does not answer as internal")
	}
}
