package host

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// Firewall keeps a cluster to itself: clients and this machine's own programs
// do not reach pods and services, and nothing leaves the cluster by the machine's other links.
type Firewall struct {
	// Owner is written beside the rules, so that they are recognised when nothing else of the cluster is left.
	Owner        string
	ForwardChain string
	OutputChain  string
	// LinkPrefix begins the names of all links of the cluster.
	LinkPrefix string
	// ClientPrefix begins the names of the clients' links.
	ClientPrefix string
	// Hidden are the ranges that clients and this machine do not reach.
	Hidden []netip.Prefix
}

// Rules gives the chains as input for iptables-restore --noflush.
func (f Firewall) Rules() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("*filter")
	line(":%s - [0:0]", f.ForwardChain)
	line(":%s - [0:0]", f.OutputChain)
	for _, hidden := range f.Hidden {
		line("-A %s -i %s+ -d %s -j REJECT", f.ForwardChain, f.ClientPrefix, hidden)
		line("-A %s -d %s -j REJECT", f.OutputChain, hidden)
	}
	line("-A %s -i %s+ -o %s+ -j ACCEPT", f.ForwardChain, f.LinkPrefix, f.LinkPrefix)
	line("-A %s -j REJECT", f.ForwardChain)
	line("-I FORWARD -i %s+ -m comment --comment %s -j %s", f.LinkPrefix, f.Owner, f.ForwardChain)
	line("-I FORWARD -o %s+ -m comment --comment %s -j %s", f.LinkPrefix, f.Owner, f.ForwardChain)
	line("-I OUTPUT -m comment --comment %s -j %s", f.Owner, f.OutputChain)
	line("COMMIT")
	return b.String()
}

// Raise puts the rules in place, after what was left of former ones is gone.
func (f Firewall) Raise(ctx context.Context) error {
	if err := RemoveChains(ctx, f.ForwardChain, f.OutputChain); err != nil {
		return err
	}
	if _, err := Run(ctx, f.Rules(), "iptables-restore", "--wait", "10", "--noflush"); err != nil {
		return fmt.Errorf("raising the firewall: %w", err)
	}
	return nil
}

// OwnedChains lists the chains that an owner's rules lead to.
func OwnedChains(ctx context.Context, owner string) ([]string, error) {
	listing, err := Run(ctx, "", "iptables", "--wait", "10", "-S")
	if err != nil {
		return nil, fmt.Errorf("listing firewall rules: %w", err)
	}
	return ownedChains(listing, owner), nil
}

func ownedChains(listing, owner string) []string {
	var chains []string
	for _, line := range strings.Split(listing, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "-A" || fields[len(fields)-2] != "-j" {
			continue
		}
		for i, field := range fields {
			if field == "--comment" && strings.Trim(fields[i+1], `"`) == owner {
				chains = append(chains, fields[len(fields)-1])
			}
		}
	}
	return chains
}

// RemoveChains removes chains of the filter table and every rule of the built-in chains that jumps to them.
func RemoveChains(ctx context.Context, chains ...string) error {
	listing, err := Run(ctx, "", "iptables", "--wait", "10", "-S")
	if err != nil {
		return fmt.Errorf("listing firewall rules: %w", err)
	}
	undo := undoChains(listing, chains)
	if undo == "" {
		return nil
	}
	if _, err := Run(ctx, undo, "iptables-restore", "--wait", "10", "--noflush"); err != nil {
		return fmt.Errorf("removing firewall chains: %w", err)
	}
	return nil
}

// undoChains reads a listing of `iptables -S` and gives what removes the chains, or nothing if none is there.
func undoChains(listing string, chains []string) string {
	ours := map[string]bool{}
	for _, chain := range chains {
		ours[chain] = true
	}
	var jumps, flushes, deletions []string
	for _, line := range strings.Split(listing, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch {
		case fields[0] == "-N" && ours[fields[1]]:
			flushes = append(flushes, "-F "+fields[1])
			deletions = append(deletions, "-X "+fields[1])
		case fields[0] == "-A" && !ours[fields[1]] && ours[fields[len(fields)-1]] && fields[len(fields)-2] == "-j":
			jumps = append(jumps, "-D "+strings.TrimPrefix(line, "-A "))
		}
	}
	if len(jumps)+len(flushes) == 0 {
		return ""
	}
	lines := append(append(jumps, flushes...), deletions...)
	return "*filter\n" + strings.Join(lines, "\n") + "\nCOMMIT\n"
}

// Masquerade makes what leaves `from` for anything but `within` bear this
// namespace's own address. It is run inside of a node, whose namespace ends with it.
func Masquerade(ctx context.Context, from, within netip.Prefix) error {
	_, err := Run(ctx, "", "iptables", "--wait", "10", "-t", "nat", "-A", "POSTROUTING",
		"-s", from.String(), "!", "-d", within.String(), "-o", "eth0", "-j", "MASQUERADE")
	if err != nil {
		return fmt.Errorf("masquerading %s: %w", from, err)
	}
	return nil
}

// missing says whether a program is not on the PATH.
func missing(program string) bool {
	_, err := exec.LookPath(program)
	return err != nil
}
