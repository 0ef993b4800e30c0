package cluster

import (
	"net/netip"
	"strings"
	"testing"

	"plenum.dev/cluster/internal/host"
)

func TestAFirewallThatMeansNothingIsRefused(t *testing.T) {
	endpoint := []netip.AddrPort{netip.MustParseAddrPort("100.64.1.11:30080")}
	for _, c := range []struct {
		allow  host.Allow
		except []netip.AddrPort
		want   string
	}{
		{host.AllowOpen, nil, ""},
		{host.AllowTCP443, endpoint, ""},
		{"udp", nil, "one of [open tcp tcp443 servers]"},
		{host.AllowTCP, endpoint, "tcp443 only"},
		{host.AllowTCP443, []netip.AddrPort{netip.MustParseAddrPort("[::1]:1")}, "IPv4"},
		{host.AllowTCP443, []netip.AddrPort{netip.MustParseAddrPort("100.64.1.11:0")}, "a port"},
	} {
		err := CheckClientFirewall(c.allow, c.except)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, not %q", c.allow, c.except, err, c.want)
		}
	}
}
