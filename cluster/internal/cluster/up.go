package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

// AnyIndex lets Up choose the first free index.
const AnyIndex = -1

// UpOptions say which cluster is wanted.
type UpOptions struct {
	Name string
	// Index is AnyIndex, or the one that the cluster must have.
	Index int
	// ImageDir, if set, holds image archives (*.tar) for every node.
	ImageDir string
}

// Up makes sure that the cluster runs and is ready: it returns at once when it
// is, mends it when only nodes died, and clears what is left of it and starts
// anew otherwise.
func Up(ctx context.Context, options UpOptions, progress *Progress) (*Cluster, error) {
	if err := host.Require(); err != nil {
		return nil, err
	}
	directory, err := state.Of(options.Name)
	if err != nil {
		return nil, err
	}
	images, err := imagesIn(options.ImageDir)
	if err != nil {
		return nil, err
	}
	lock, err := directory.Lock()
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	c, running, err := prepare(ctx, directory, options, progress)
	if err != nil {
		return nil, err
	}
	if running {
		err = c.mend(ctx, images)
	} else {
		err = c.begin(ctx, images)
	}
	if err != nil {
		return nil, fmt.Errorf("bringing up %s: %w", options.Name, err)
	}
	return c, nil
}

// prepare finds out whether the cluster runs. If not, what is left of it is
// cleared, an index is chosen, and the state says that it is starting.
func prepare(ctx context.Context, directory state.Directory, options UpOptions, progress *Progress) (*Cluster, bool, error) {
	saved, err := directory.Load()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		progress.Say("the state of an earlier run is not readable: clearing it (%v)", err)
	}
	known := err == nil
	if known && options.Index != AnyIndex && options.Index != saved.Index {
		return nil, false, fmt.Errorf("the cluster %s has the index %d, not %d: take it down first", options.Name, saved.Index, options.Index)
	}
	c := &Cluster{plan: saved.Plan, directory: directory, progress: progress}
	if known && saved.Phase == state.Up && c.answers(ctx) {
		return c, true, nil
	}
	c.plan.Name = options.Name
	if err := c.clearLeftovers(ctx, known); err != nil {
		return nil, false, fmt.Errorf("clearing what is left of an earlier %s: %w", options.Name, err)
	}
	root, err := state.LockRoot()
	if err != nil {
		return nil, false, err
	}
	defer root.Unlock()
	wanted := options.Index
	if known {
		wanted = saved.Index
	}
	if c.plan, err = choose(ctx, options.Name, wanted); err != nil {
		return nil, false, err
	}
	if err := ensureInotify(progress); err != nil {
		return nil, false, err
	}
	return c, false, directory.Save(state.Cluster{Plan: c.plan, Phase: state.Starting})
}

// choose takes the wanted index, or the first that nobody uses. The caller holds the lock of all clusters.
func choose(ctx context.Context, name string, wanted int) (plan.Plan, error) {
	taken, err := state.Indexes()
	if err != nil {
		return plan.Plan{}, err
	}
	delete(taken, name)
	if wanted != AnyIndex {
		p, err := plan.New(name, wanted)
		if err != nil {
			return plan.Plan{}, err
		}
		return p, available(ctx, p, taken)
	}
	for index := 0; index <= plan.MaxIndex; index++ {
		p, err := plan.New(name, index)
		if err != nil {
			return plan.Plan{}, err
		}
		if err = available(ctx, p, taken); err == nil {
			return p, nil
		}
	}
	return plan.Plan{}, errors.New("no index is free: take a cluster down first")
}

// available is an error when another cluster, or this machine itself, uses what the plan would.
func available(ctx context.Context, p plan.Plan, taken map[string]int) error {
	for other, index := range taken {
		if index == p.Index {
			return fmt.Errorf("the index %d belongs to the cluster %s", index, other)
		}
	}
	links, err := host.Links(p.LinkPrefix())
	if err != nil {
		return err
	}
	if len(links) > 0 {
		return fmt.Errorf("the index %d is in use by a cluster whose state is elsewhere (link %s)", p.Index, links[0])
	}
	route, err := host.Conflict(ctx, p.Ranges(), p.LinkPrefix())
	if err != nil {
		return err
	}
	if route != "" {
		return fmt.Errorf("the index %d would use addresses that this machine already has a route to (%s)", p.Index, route)
	}
	return nil
}

// answers says whether the control plane runs and serves.
func (c *Cluster) answers(ctx context.Context) bool {
	if !c.controlPlaneAlive() {
		return false
	}
	api, err := c.api()
	if err != nil {
		return false
	}
	// A machine that was asleep or is very busy gets a second chance.
	return wait(ctx, "the API server", 10*time.Second,
		func() error { return c.treeAlive(state.ControlPlane, controlPlaneName) },
		func() error { return api.Ready(ctx) }) == nil
}

// mend starts those nodes of a running cluster again that died.
func (c *Cluster) mend(ctx context.Context, images []string) error {
	group, groupContext := errgroup.WithContext(ctx)
	for _, node := range c.plan.Nodes() {
		if c.treeAlive(state.Node, node.Name) == nil {
			group.Go(func() error { return c.importImages(groupContext, node, images) })
			continue
		}
		c.progress.Say("node %s is down: starting it again", node.Name)
		group.Go(func() error { return c.startNode(groupContext, node, images) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.awaitReady(ctx)
}

// begin starts everything.
func (c *Cluster) begin(ctx context.Context, images []string) error {
	c.progress.Say("cluster %s, index %d: keys and configuration", c.plan.Name, c.plan.Index)
	if err := c.writeKeys(time.Now()); err != nil {
		return err
	}
	if err := c.writeConfigs(); err != nil {
		return err
	}
	if err := c.firewall().Raise(ctx); err != nil {
		return err
	}
	c.progress.Say("starting the control plane and %d nodes", len(c.plan.Nodes()))
	if err := c.startControlPlane(ctx); err != nil {
		return err
	}
	group, groupContext := errgroup.WithContext(ctx)
	for _, node := range c.plan.Nodes() {
		group.Go(func() error { return c.startNode(groupContext, node, images) })
	}
	group.Go(func() error { return c.awaitControlPlane(groupContext) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.awaitReady(ctx); err != nil {
		return err
	}
	return c.directory.Save(state.Cluster{Plan: c.plan, Phase: state.Up})
}

func (c *Cluster) startControlPlane(ctx context.Context) error {
	wire := host.Wire{Link: c.plan.ControlPlaneLink(), Router: c.plan.Router(), Far: c.plan.ControlPlane()}
	return c.spawn(ctx, state.Tree{Kind: state.ControlPlane, Name: controlPlaneName}, ownMachine, &wire)
}

// awaitControlPlane waits for the API server and gives it what the cluster needs from the start.
func (c *Cluster) awaitControlPlane(ctx context.Context) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	err = wait(ctx, "the API server (its log is apiserver.log in "+c.directory.Path("logs")+")", 90*time.Second,
		func() error { return c.treeAlive(state.ControlPlane, controlPlaneName) },
		func() error { return api.Ready(ctx) })
	if err != nil {
		return err
	}
	c.progress.Say("the API server is ready")
	return c.applyAddons(ctx, api)
}

// awaitReady waits until all nodes are Ready, names are resolved, and pods can be made in the default namespace.
func (c *Cluster) awaitReady(ctx context.Context) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	err = wait(ctx, "the nodes (logs in "+c.directory.Path("logs")+")", 90*time.Second, c.nodesAlive, func() error {
		ready, err := api.ReadyNodes(ctx)
		if err != nil {
			return err
		}
		return c.missingNodes(ready, seen)
	})
	if err != nil {
		return err
	}
	err = wait(ctx, "the DNS server (its log is coredns.log in "+c.directory.Path("logs")+")", 30*time.Second, c.nodesAlive, func() error {
		return host.Resolve(ctx, c.plan.ControlPlane(), "kubernetes.default.svc.cluster.local", c.plan.APIService())
	})
	if err != nil {
		return err
	}
	return wait(ctx, "the default service account", 30*time.Second, c.nodesAlive, func() error {
		there, err := api.Exists(ctx, "/api/v1/namespaces/default/serviceaccounts/default")
		if err == nil && !there {
			err = errors.New("it is not there yet")
		}
		return err
	})
}

// missingNodes is an error that names the nodes that are not Ready. It says once of each that it is.
func (c *Cluster) missingNodes(ready, seen map[string]bool) error {
	var missing []string
	for _, node := range c.plan.Nodes() {
		if !ready[node.Name] {
			missing = append(missing, node.Name)
		} else if !seen[node.Name] {
			seen[node.Name] = true
			c.progress.Say("node %s is Ready", node.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	sort.Strings(missing)
	return fmt.Errorf("not Ready: %v", missing)
}

func (c *Cluster) nodesAlive() error {
	for _, node := range c.plan.Nodes() {
		if err := c.treeAlive(state.Node, node.Name); err != nil {
			return err
		}
	}
	return c.treeAlive(state.ControlPlane, controlPlaneName)
}

func (c *Cluster) firewall() host.Firewall {
	return host.Firewall{
		Owner:        c.plan.Cgroup(),
		ForwardChain: c.plan.ForwardChain(),
		OutputChain:  c.plan.OutputChain(),
		LinkPrefix:   c.plan.LinkPrefix(),
		ClientPrefix: c.plan.LinkPrefix() + "c",
		Hidden:       hiddenRanges(c.plan),
	}
}
