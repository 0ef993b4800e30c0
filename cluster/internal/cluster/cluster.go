// Package cluster starts, mends, shows and removes clusters. Whoever changes a
// cluster holds the lock of its state directory; what a killed run left behind
// is recognised by that directory and by the marks that every process of the
// cluster bears, never by a number alone.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"plenum.dev/cluster/internal/kubeapi"
	"plenum.dev/cluster/internal/pki"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

// Cluster is one cluster of this machine, by its plan and its state directory.
type Cluster struct {
	plan      plan.Plan
	directory state.Directory
	progress  *Progress
}

// ErrNotRunning: there is no such cluster, or its control plane does not run.
var ErrNotRunning = errors.New("the cluster is not running")

// Progress prints what is being done, with the time since the beginning.
type Progress struct {
	to    io.Writer
	start time.Time
}

// NewProgress begins to count now.
func NewProgress(to io.Writer) *Progress { return &Progress{to: to, start: time.Now()} }

// Say prints one line.
func (p *Progress) Say(format string, args ...any) {
	fmt.Fprintf(p.to, "[%5.1fs] %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// Open finds a cluster that was started. ErrNotRunning: it is not there.
func Open(name string, progress *Progress) (*Cluster, error) {
	directory, err := state.Of(name)
	if err != nil {
		return nil, err
	}
	saved, err := directory.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of %s: %w", name, err)
	}
	return &Cluster{plan: saved.Plan, directory: directory, progress: progress}, nil
}

// change locks a running cluster while something of it is changed.
func (c *Cluster) change(do func() error) error {
	lock, err := c.directory.LockExisting()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", c.plan.Name, ErrNotRunning)
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if !c.controlPlaneAlive() {
		return fmt.Errorf("%s: %w", c.plan.Name, ErrNotRunning)
	}
	return do()
}

func (c *Cluster) controlPlaneAlive() bool {
	tree, err := c.directory.Tree(state.ControlPlane, controlPlaneName)
	return err == nil && tree.Process.Alive()
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.directory.Kubeconfig() }

// Plan gives the cluster's addresses and names.
func (c *Cluster) Plan() plan.Plan { return c.plan }

// api is a client with the administrator's rights.
func (c *Cluster) api() (*kubeapi.Client, error) {
	var texts [3][]byte
	for i, name := range []string{"ca.crt", "admin.crt", "admin.key"} {
		text, err := os.ReadFile(c.directory.Path("pki", name))
		if err != nil {
			return nil, fmt.Errorf("reading the administrator's certificate: %w", err)
		}
		texts[i] = text
	}
	return kubeapi.New(c.plan.ControlPlane(), texts[0], pki.Pair{Certificate: texts[1], Key: texts[2]})
}

// wait tries until it works, gives up when `alive` says that there is no more hope, or when the time is over.
func wait(ctx context.Context, what string, limit time.Duration, alive, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if dead := alive(); dead != nil {
			return fmt.Errorf("waiting for %s: %w", what, dead)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting %s for %s: %w", limit, what, err)
		case <-ticker.C:
		}
	}
}
