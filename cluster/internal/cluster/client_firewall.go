package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/state"
)

// SetClientFirewall replaces a client's firewall; it goes with the client.
func (c *Cluster) SetClientFirewall(ctx context.Context, name string, allow host.Allow, except []netip.AddrPort) error {
	err := c.change(func() error {
		record, err := c.directory.Tree(state.Client, name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no client %s: add it first", name)
		}
		if err != nil {
			return fmt.Errorf("reading the client's record: %w", err)
		}
		return c.clientFirewall(record.Slot, allow, except).Raise(ctx)
	})
	if err != nil {
		return fmt.Errorf("setting the firewall of %s: %w", name, err)
	}
	return nil
}

// CheckClientFirewall says what is wrong with a firewall before anything is done.
func CheckClientFirewall(allow host.Allow, except []netip.AddrPort) error {
	if !slices.Contains(host.Allows(), allow) {
		return fmt.Errorf("the firewall %q is not known: it is one of %v", allow, host.Allows())
	}
	if len(except) > 0 && allow != host.AllowTCP443 {
		return fmt.Errorf("exceptions go with %s only: %s lets them out anyway", host.AllowTCP443, allow)
	}
	for _, endpoint := range except {
		if !endpoint.Addr().Is4() || endpoint.Port() == 0 {
			return fmt.Errorf("the exception %s is not usable: it must be an IPv4 address and a port", endpoint)
		}
	}
	return nil
}

func (c *Cluster) clientFirewall(slot int, allow host.Allow, except []netip.AddrPort) host.ClientFirewall {
	return host.ClientFirewall{
		Owner: c.plan.Cgroup(), Chain: c.plan.ClientChain(slot), Link: c.plan.ClientLink(slot), Allow: allow, Except: except,
		Clients: c.plan.Clients(),
	}
}
