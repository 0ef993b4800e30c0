package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"plenum.dev/cluster/internal/state"
	"plenum.dev/cluster/internal/tree"
)

// firstRegistryPort is the port of the registry of the cluster with index 0.
const firstRegistryPort = 5000

const registryName = "registry"

// RegistryStatus is the registry of a cluster. Name begins the names of its images, such as localhost:5000/x:1.
type RegistryStatus struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Alive bool   `json:"alive"`
}

// AddRegistry makes sure that an image registry runs in the background and that
// the nodes pull from it. It ends with the cluster. A login is NAME:PASSWORD;
// an empty one lets everybody in. One that has another login is replaced, and its images are gone.
func (c *Cluster) AddRegistry(ctx context.Context, login string) (RegistryStatus, error) {
	if name, password, found := strings.Cut(login, ":"); login != "" && (!found || name == "" || password == "") {
		return RegistryStatus{}, errors.New("the login is not NAME:PASSWORD")
	}
	if err := c.change(func() error { return c.startRegistry(ctx, login) }); err != nil {
		return RegistryStatus{}, fmt.Errorf("starting the registry: %w", err)
	}
	status, err := c.Registry()
	if err != nil {
		return RegistryStatus{}, err
	}
	return *status, nil
}

func (c *Cluster) startRegistry(ctx context.Context, login string) error {
	port := uint16(firstRegistryPort + c.plan.Index)
	within := netip.AddrPortFrom(c.plan.Router(), port)
	wanted := state.Tree{
		Kind: state.Registry, Name: registryName, Login: login, To: within.String(),
		Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port).String(),
	}
	// containerd reads this at each pull: who asks for localhost is led to the router, without TLS.
	hosts := fmt.Sprintf("server = \"http://%[1]s\"\n[host.\"http://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", within)
	file := c.directory.Path(tree.RegistryHosts, imagePrefix(wanted), "hosts.toml")
	if err := state.WriteFile(file, []byte(hosts), 0o644); err != nil {
		return err
	}
	return c.background(ctx, wanted)
}

// Registry shows the registry; nil: there is none.
func (c *Cluster) Registry() (*RegistryStatus, error) {
	record, err := c.directory.Tree(state.Registry, registryName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the registry's record: %w", err)
	}
	return &RegistryStatus{Name: imagePrefix(record), PID: record.Process.PID, Alive: record.Process.Alive()}, nil
}

// imagePrefix names the registry as images do: tools push to localhost without TLS of their own accord.
func imagePrefix(record state.Tree) string {
	return strings.Replace(record.Listen, "127.0.0.1", "localhost", 1)
}
