package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/proc"
	"plenum.dev/cluster/internal/state"
	"plenum.dev/cluster/internal/tree"
)

// clientMark is the environment variable that every program run in a client bears; its value is the client's state.
const clientMark = "PLENUM_CLUSTER_CLIENT"

const clearTimeout = 15 * time.Second

// Down removes the cluster and everything that is left of it. One that is not there is fine.
func Down(ctx context.Context, name string, progress *Progress) error {
	if os.Geteuid() != 0 {
		return errors.New("removing a cluster needs root (sudo)")
	}
	directory, err := state.Of(name)
	if err != nil {
		return err
	}
	lock, err := directory.Lock()
	if err != nil {
		return err
	}
	defer lock.Unlock()
	saved, err := directory.Load()
	known := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		progress.Say("the state of %s is not readable; what can be found is cleared (%v)", name, err)
	}
	c := &Cluster{plan: saved.Plan, directory: directory, progress: progress}
	c.plan.Name = name
	if err := c.clearLeftovers(ctx, known); err != nil {
		return fmt.Errorf("taking down %s: %w", name, err)
	}
	if err := os.Remove(string(directory)); err != nil {
		return fmt.Errorf("taking down %s: %w", name, err)
	}
	if err := restoreInotify(); err != nil {
		return fmt.Errorf("taking down %s: %w", name, err)
	}
	progress.Say("%s is down", name)
	return nil
}

// clearLeftovers ends every process of the cluster and removes its links,
// chains, cgroups and files; the state directory itself, which is locked, stays.
func (c *Cluster) clearLeftovers(ctx context.Context, indexKnown bool) error {
	processes, err := c.processes()
	if err != nil {
		return err
	}
	if len(processes) > 0 {
		c.progress.Say("ending %d processes of %s", len(processes), c.plan.Name)
	}
	if err := proc.KillAll(processes, clearTimeout); err != nil {
		return err
	}
	cgroups, err := host.MountedCgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Remove(c.plan.Cgroup(), clearTimeout); err != nil {
		return err
	}
	if err := c.clearNetwork(ctx, indexKnown); err != nil {
		return err
	}
	return emptyDirectory(string(c.directory))
}

// clearNetwork removes links and chains. They belong to an index, which is the
// known one, or the one that rules with the cluster's mark tell.
func (c *Cluster) clearNetwork(ctx context.Context, indexKnown bool) error {
	owned, err := host.OwnedChains(ctx, c.plan.Cgroup())
	if err != nil {
		return err
	}
	for index := range plan.MaxIndex + 1 {
		p := plan.Plan{Name: c.plan.Name, Index: index}
		ours := indexKnown && index == c.plan.Index
		if !ours && !slices.Contains(owned, p.ForwardChain()) && !slices.Contains(owned, p.OutputChain()) {
			continue
		}
		links, err := host.Links(p.LinkPrefix())
		if err != nil {
			return err
		}
		for _, link := range links {
			if err := host.RemoveLink(ctx, link); err != nil {
				return err
			}
		}
		if err := host.RemoveChains(ctx, append(p.ChainsOfClients(owned), p.ForwardChain(), p.OutputChain())...); err != nil {
			return err
		}
	}
	return nil
}

// processes finds what belongs to the cluster: the first process of each tree
// (its death ends the rest of it) and whatever runs in its clients.
func (c *Cluster) processes() ([]proc.Process, error) {
	found := map[proc.Process]bool{}
	trees, err := proc.WithArguments(tree.Command, tree.StateFlag, string(c.directory))
	if err != nil {
		return nil, err
	}
	inClients, err := proc.WithEnvironment(clientMark, func(value string) bool {
		return filepath.Dir(value) == string(c.directory)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range append(trees, inClients...) {
		found[p] = true
	}
	// A record that cannot be read hides nothing: trees are found by their arguments too.
	records, err := c.directory.Trees("")
	if err != nil {
		c.progress.Say("a record of %s is not readable: %v", c.plan.Name, err)
	}
	for _, record := range records {
		if record.Process.Alive() {
			found[record.Process] = true
		}
	}
	all := make([]proc.Process, 0, len(found))
	for p := range found {
		all = append(all, p)
	}
	return all, nil
}

// emptyDirectory waits for the kernel to let go of mounts that ended with their namespace.
func emptyDirectory(path string) error {
	deadline := time.Now().Add(clearTimeout)
	for {
		err := removeEntries(path)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func removeEntries(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(path, entry.Name())); err != nil {
			return fmt.Errorf("emptying the state directory: %w", err)
		}
	}
	return nil
}
