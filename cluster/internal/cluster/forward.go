package cluster

import (
	"context"
	"fmt"
	"net/netip"

	"plenum.dev/cluster/internal/state"
)

// ForwardStatus is a forwarder: TCP connections to Listen go on to To.
type ForwardStatus struct {
	Listen string `json:"listen"`
	To     string `json:"to"`
	PID    int    `json:"pid"`
	Alive  bool   `json:"alive"`
}

// AddForward makes sure that a forwarder runs in the background. It ends with the cluster.
// One that listens there and leads elsewhere is replaced.
func (c *Cluster) AddForward(ctx context.Context, listen, to string) error {
	for _, address := range []string{listen, to} {
		if _, err := netip.ParseAddrPort(address); err != nil {
			return fmt.Errorf("%q is not ADDRESS:PORT: %w", address, err)
		}
	}
	return c.change(func() error {
		return c.background(ctx, state.Tree{Kind: state.Forward, Name: listen, Listen: listen, To: to})
	})
}

// Forwards lists the forwarders.
func (c *Cluster) Forwards() ([]ForwardStatus, error) {
	records, err := c.directory.Trees(state.Forward)
	if err != nil {
		return nil, err
	}
	all := []ForwardStatus{}
	for _, record := range records {
		all = append(all, ForwardStatus{Listen: record.Listen, To: record.To, PID: record.Process.PID, Alive: record.Process.Alive()})
	}
	return all, nil
}
