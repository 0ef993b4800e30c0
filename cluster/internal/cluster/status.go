package cluster

import (
	"context"
	"time"

	"plenum.dev/cluster/internal/state"
)

// Status is what `status` shows. Running: the control plane's processes live.
type Status struct {
	Name         string             `json:"name"`
	Index        int                `json:"index"`
	Phase        state.Phase        `json:"phase"`
	Running      bool               `json:"running"`
	Kubeconfig   string             `json:"kubeconfig"`
	State        string             `json:"state"`
	Router       string             `json:"router"`
	PodRange     string             `json:"podRange"`
	ServiceRange string             `json:"serviceRange"`
	ControlPlane ControlPlaneStatus `json:"controlPlane"`
	Nodes        []NodeStatus       `json:"nodes"`
	Clients      []ClientStatus     `json:"clients"`
	Forwards     []ForwardStatus    `json:"forwards"`
	Registry     *RegistryStatus    `json:"registry,omitempty"`
}

// ControlPlaneStatus: Ready is the API server's own word.
type ControlPlaneStatus struct {
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Alive   bool   `json:"alive"`
	Ready   bool   `json:"ready"`
}

// NodeStatus: Alive is seen by its processes, Ready is what the API server says.
type NodeStatus struct {
	Name     string `json:"name"`
	Region   string `json:"region"`
	Zone     string `json:"zone"`
	Address  string `json:"address"`
	PodRange string `json:"podRange"`
	PID      int    `json:"pid"`
	Link     string `json:"link"`
	Alive    bool   `json:"alive"`
	Ready    bool   `json:"ready"`
}

// Status looks at the cluster as it is now.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	saved, err := c.directory.Load()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Name: c.plan.Name, Index: c.plan.Index, Phase: saved.Phase, Running: c.controlPlaneAlive(),
		Kubeconfig: c.Kubeconfig(), State: string(c.directory), Router: c.plan.Router().String(),
		PodRange: c.plan.Pods().String(), ServiceRange: c.plan.Services().String(),
		ControlPlane: ControlPlaneStatus{Address: c.plan.ControlPlane().String(), Alive: c.controlPlaneAlive()},
	}
	if record, err := c.directory.Tree(state.ControlPlane, controlPlaneName); err == nil {
		s.ControlPlane.PID = record.Process.PID
	}
	var ready map[string]bool
	if s.Running {
		ready = c.readyNodes(ctx)
		s.ControlPlane.Ready = ready != nil
	}
	for _, node := range c.plan.Nodes() {
		one := NodeStatus{
			Name: node.Name, Region: node.Region, Zone: node.Zone, Address: c.plan.NodeAddress(node).String(),
			PodRange: c.plan.NodePods(node).String(), Link: c.plan.NodeLink(node), Ready: ready[node.Name],
		}
		if record, err := c.directory.Tree(state.Node, node.Name); err == nil {
			one.PID, one.Alive = record.Process.PID, record.Process.Alive()
		}
		s.Nodes = append(s.Nodes, one)
	}
	if s.Clients, err = c.Clients(); err != nil {
		return Status{}, err
	}
	if s.Forwards, err = c.Forwards(); err != nil {
		return Status{}, err
	}
	if s.Registry, err = c.Registry(); err != nil {
		return Status{}, err
	}
	return s, nil
}

// readyNodes asks the API server; nil: it does not answer.
func (c *Cluster) readyNodes(ctx context.Context) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	api, err := c.api()
	if err != nil {
		return nil
	}
	ready, err := api.ReadyNodes(ctx)
	if err != nil {
		return nil
	}
	return ready
}
