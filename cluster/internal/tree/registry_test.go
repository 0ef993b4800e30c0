package tree

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestARegistryServesItsMachineAndClusterAndAsksForTheLogin(t *testing.T) {
	served := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) { answer.WriteHeader(http.StatusOK) })
	cluster := netip.MustParsePrefix("100.64.0.0/16")
	for _, c := range []struct {
		login, from, name, password string
		want                        int
	}{
		{"", "127.0.0.1:1", "", "", http.StatusOK},
		{"", "100.64.1.11:1", "", "", http.StatusOK},
		{"", "100.65.1.11:1", "", "", http.StatusForbidden},
		{"", "192.0.2.1:1", "", "", http.StatusForbidden},
		{"a:b", "127.0.0.1:1", "", "", http.StatusUnauthorized},
		{"a:b", "127.0.0.1:1", "a", "c", http.StatusUnauthorized},
		{"a:b", "127.0.0.1:1", "c", "b", http.StatusUnauthorized},
		{"a:b", "127.0.0.1:1", "a", "b", http.StatusOK},
		{"a:b", "192.0.2.1:1", "a", "b", http.StatusForbidden},
	} {
		request := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		request.RemoteAddr = c.from
		if c.name != "" {
			request.SetBasicAuth(c.name, c.password)
		}
		answer := httptest.NewRecorder()
		fromWithin(cluster, signedIn(c.login, served)).ServeHTTP(answer, request)
		if answer.Code != c.want {
			t.Errorf("%+v: got %d", c, answer.Code)
		}
		if asks := answer.Header().Get("WWW-Authenticate") != ""; asks != (c.want == http.StatusUnauthorized) {
			t.Errorf("%+v: asks for a login: %v", c, asks)
		}
	}
}
