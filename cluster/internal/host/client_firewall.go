package host

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Allow is what a client's firewall lets out.
type Allow string

// The firewalls that people meet. What is not let out is dropped without a word, as most of them do.
const (
	// AllowOpen lets everything out.
	AllowOpen Allow = "open"
	// AllowTCP lets TCP out, and DNS.
	AllowTCP Allow = "tcp"
	// AllowTCP443 lets TCP to port 443 out, and DNS.
	AllowTCP443 Allow = "tcp443"
	// AllowServers lets everything out but what goes to other clients.
	AllowServers Allow = "servers"
)

// Allows lists the firewalls in the order in which they are shown.
func Allows() []Allow { return []Allow{AllowOpen, AllowTCP, AllowTCP443, AllowServers} }

// ClientFirewall stands between one client and everything behind the router.
type ClientFirewall struct {
	// Owner is written beside the rule, so that it is recognised when nothing else of the cluster is left.
	Owner string
	Chain string
	// Link is the router's end of the client's link.
	Link  string
	Allow Allow
	// Except are TCP endpoints that are let out too.
	Except []netip.AddrPort
	// Clients is the range of all clients, for AllowServers.
	Clients netip.Prefix
}

// Rules gives the chain as input for iptables-restore --noflush.
func (f ClientFirewall) Rules() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("*filter")
	line(":%s - [0:0]", f.Chain)
	line("-A %s -p udp --dport 53 -j RETURN", f.Chain)
	switch f.Allow {
	case AllowTCP:
		line("-A %s -p tcp -j RETURN", f.Chain)
	case AllowTCP443:
		line("-A %s -p tcp --dport 443 -j RETURN", f.Chain)
	case AllowServers:
		line("-A %s ! -d %s -j RETURN", f.Chain, f.Clients)
	}
	for _, except := range f.Except {
		line("-A %s -d %s -p tcp --dport %d -j RETURN", f.Chain, except.Addr(), except.Port())
	}
	line("-A %s -j DROP", f.Chain)
	line("-I FORWARD -i %s -m comment --comment %s -j %s", f.Link, f.Owner, f.Chain)
	line("COMMIT")
	return b.String()
}

// Raise puts the firewall in place of the client's former one. AllowOpen only removes that.
func (f ClientFirewall) Raise(ctx context.Context) error {
	if err := RemoveChains(ctx, f.Chain); err != nil {
		return err
	}
	if f.Allow == AllowOpen {
		return nil
	}
	if _, err := Run(ctx, f.Rules(), "iptables-restore", "--wait", "10", "--noflush"); err != nil {
		return fmt.Errorf("raising the firewall of %s: %w", f.Link, err)
	}
	return nil
}
