package cluster

import (
	"context"
	"fmt"
	"time"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/proc"
	"plenum.dev/cluster/internal/state"
)

// startNode starts a node's tree and gives it its images. What a former life left behind is cleared first.
func (c *Cluster) startNode(ctx context.Context, node plan.Node, images []string) error {
	if err := c.endNode(ctx, node); err != nil {
		return err
	}
	cgroups, err := host.MountedCgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Make(nodeCgroup(c.plan, node)); err != nil {
		return err
	}
	wire := host.Wire{
		Link: c.plan.NodeLink(node), Router: c.plan.Router(), Far: c.plan.NodeAddress(node), Behind: c.plan.NodePods(node),
	}
	if err := c.spawn(ctx, state.Tree{Kind: state.Node, Name: node.Name}, ownMachine, &wire); err != nil {
		return err
	}
	pause, err := c.pauseArchive()
	if err != nil {
		return err
	}
	return c.importImages(ctx, node, append([]string{pause}, images...))
}

// endNode kills the node's tree, if it runs, and removes its link and its cgroups.
func (c *Cluster) endNode(ctx context.Context, node plan.Node) error {
	if record, err := c.directory.Tree(state.Node, node.Name); err == nil {
		if err := proc.KillAll([]proc.Process{record.Process}, clearTimeout); err != nil {
			return err
		}
	}
	if err := host.RemoveLink(ctx, c.plan.NodeLink(node)); err != nil {
		return err
	}
	cgroups, err := host.MountedCgroups()
	if err != nil {
		return err
	}
	return cgroups.Remove(nodeCgroup(c.plan, node), clearTimeout)
}

// KillNode ends a node as a power cut would: every process of it at once, and its link with it.
func (c *Cluster) KillNode(ctx context.Context, name string) error {
	node, err := c.plan.Node(name)
	if err != nil {
		return err
	}
	return c.change(func() error {
		if err := c.treeAlive(state.Node, name); err != nil {
			return fmt.Errorf("killing a node: %w", err)
		}
		return c.endNode(ctx, node)
	})
}

// StartNode brings a killed node back and waits until it is Ready. One that runs is left alone.
func (c *Cluster) StartNode(ctx context.Context, name string) error {
	node, err := c.plan.Node(name)
	if err != nil {
		return err
	}
	return c.change(func() error {
		if c.treeAlive(state.Node, name) != nil {
			if err := c.startNode(ctx, node, nil); err != nil {
				return err
			}
		}
		return c.awaitNode(ctx, node)
	})
}

// awaitNode waits for Ready. A node that was killed moments ago is still called
// Ready, so its kubelet must answer too.
func (c *Cluster) awaitNode(ctx context.Context, node plan.Node) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	return wait(ctx, "node "+node.Name, 60*time.Second,
		func() error { return c.treeAlive(state.Node, node.Name) },
		func() error {
			if err := api.KubeletHealthy(ctx, node.Name); err != nil {
				return err
			}
			ready, err := api.ReadyNodes(ctx)
			if err != nil {
				return err
			}
			if !ready[node.Name] {
				return fmt.Errorf("%s is not Ready", node.Name)
			}
			return nil
		})
}
