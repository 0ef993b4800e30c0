package main

import (
	"reflect"
	"testing"

	"github.com/pion/webrtc/v4"
)

func TestLinksToRelaysAreRead(t *testing.T) {
	found, err := serversOf([]string{
		`<stun:192.0.2.1:3478>; rel="ice-server"`,
		`<turn:192.0.2.1:3478?transport=udp>; rel="ice-server"; username="9:a:media"; credential="c\"d="; credential-type="password"`,
		`<https://example.org>; rel="help"`,
	})
	wanted := []server{
		{URLs: []string{"stun:192.0.2.1:3478"}},
		{[]string{"turn:192.0.2.1:3478?transport=udp"}, "9:a:media", `c"d=`},
	}
	if err != nil || !reflect.DeepEqual(found, wanted) {
		t.Errorf("found %v, %v", found, err)
	}
	for _, bad := range []string{"", "turn:192.0.2.1", `<turn:192.0.2.1; rel="ice-server"`, `<turn:a>; rel="ice`} {
		if found, err := serversOf([]string{bad}); err == nil {
			t.Errorf("%q is read as %v", bad, found)
		}
	}
}

func TestOnlyRelaysOfTheWayAreAsked(t *testing.T) {
	servers := []server{
		{URLs: []string{"stun:192.0.2.1:3478"}},
		{[]string{"turn:r:1?transport=udp", "turn:r:1?transport=tcp", "turns:r:2?transport=tcp"}, "u", "c"},
	}
	for way, target := range map[way]string{byUDP: "turn:r:1?transport=udp", byTCP: "turn:r:1?transport=tcp", byTLS: "turns:r:2?transport=tcp"} {
		found, err := way.configuration(servers)
		wanted := []webrtc.ICEServer{{URLs: []string{target}, Username: "u", Credential: "c"}}
		if err != nil || found.ICETransportPolicy != webrtc.ICETransportPolicyRelay || !reflect.DeepEqual(found.ICEServers, wanted) {
			t.Errorf("%s: %v, %v", way, found, err)
		}
		if _, err := way.configuration(servers[:1]); err == nil {
			t.Errorf("%s: there is no relay, and nobody says so", way)
		}
	}
}
