package test

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// registryAsksForItsLogin: on loopback, and under the address at which the nodes pull.
func registryAsksForItsLogin(m machine) {
	name := m.must(second, "registry", "--login", "me:secret")
	before := m.status(second)
	if again := m.must(second, "registry", "--login", "me:secret"); again != name {
		m.Errorf("it was %s and is %s", name, again)
	}
	s := m.status(second)
	if s.Registry != before.Registry || !s.Registry.Alive || s.Registry.Name != name {
		m.Errorf("it was %+v and is %+v", before.Registry, s.Registry)
	}
	_, port, _ := strings.Cut(name, ":")
	for _, at := range []string{name, fmt.Sprintf("100.%d.0.254:%s", 64+s.Index, port)} {
		for password, want := range map[string]int{"secret": http.StatusOK, "guess": http.StatusUnauthorized} {
			if got, err := logIn(at, "me", password); got != want || err != nil {
				m.Errorf("%s with the password %q: %d, %v", at, password, got, err)
			}
		}
	}
	if _, err := m.run(second, "registry", "--login", "me"); err == nil {
		m.Error("a login without a password was taken")
	}
}

func logIn(address, name, password string) (int, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+address+"/v2/", nil)
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth(name, password)
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{}}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}
