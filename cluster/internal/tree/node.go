package tree

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/kubeapi"
	"plenum.dev/cluster/internal/pki"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

// ContainerdSocket is where a node's containerd listens, seen from inside of the node.
const ContainerdSocket = "/run/containerd/containerd.sock"

// RegistryHosts is the directory of the state that tells containerd how registries are reached, one directory for each.
const RegistryHosts = "registries"

// runNode is containerd, the kubelet and the service proxy.
func runNode(ctx context.Context, directory state.Directory, p plan.Plan, name string) error {
	node, err := p.Node(name)
	if err != nil {
		return err
	}
	if err := awaitLink(); err != nil {
		return err
	}
	own := "nodes/" + name
	// Pods, images, address leases and logs live below these; what the machine itself has there is not seen.
	if err := enterMounts(directory, own, []string{"/var/lib", "/var/log"}); err != nil {
		return err
	}
	if err := coverKernelSettings(); err != nil {
		return err
	}
	if err := enterNetwork(ctx, p, node); err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if err := writeContainerdConfig(name); err != nil {
		return err
	}
	containerd, err := exec.LookPath("containerd")
	if err != nil {
		return fmt.Errorf("finding containerd: %w", err)
	}
	config := func(file string) string { return Inside.Path(own, file) }
	logs := func(file string) string { return Inside.Path("logs", name+"-"+file+".log") }
	ready := apiReady(p)
	return supervise(ctx, []service{
		{name: "containerd", args: []string{containerd, "--config", config("containerd.toml"), "--log-level", "warn"}, log: logs("containerd")},
		{name: "kubelet", log: logs("kubelet"), gate: both(socketOpen(ContainerdSocket), ready), args: []string{
			kube, "kubelet", "--config=" + config("kubelet.yaml"), "--kubeconfig=" + Inside.Path("kubeconfigs", name),
			"--hostname-override=" + name, fmt.Sprintf("--node-ip=%s", p.NodeAddress(node)),
			"--node-labels=topology.kubernetes.io/region=" + node.Region + ",topology.kubernetes.io/zone=" + node.Zone,
		}},
		{name: "kube-proxy", log: logs("kube-proxy"), gate: ready, args: []string{
			kube, "proxy", "--config=" + config("kube-proxy.yaml"),
		}},
	})
}

// enterNetwork gives the node its name, its address, and the one rule by which its pods leave.
func enterNetwork(ctx context.Context, p plan.Plan, node plan.Node) error {
	if err := unix.Sethostname([]byte(node.Name)); err != nil {
		return fmt.Errorf("taking the host name: %w", err)
	}
	wire := host.Wire{Link: p.NodeLink(node), Router: p.Router(), Far: p.NodeAddress(node)}
	if err := wire.TakeAddress(ctx); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("switching on forwarding: %w", err)
	}
	// Leases of the pods of a former life of this node: those pods are gone.
	if err := os.RemoveAll("/var/lib/cni"); err != nil {
		return fmt.Errorf("clearing old address leases: %w", err)
	}
	return host.Masquerade(ctx, p.NodePods(node), p.Pods())
}

// writeContainerdConfig is written here, since only inside of the node can it be tried which snapshotter works.
func writeContainerdConfig(name string) error {
	plugins, err := host.PluginDirectory()
	if err != nil {
		return err
	}
	snapshotter := "native"
	if overlayWorks("/var/lib") {
		snapshotter = "overlayfs"
	}
	text := fmt.Sprintf(containerdConfig, snapshotter, plugins, Inside.Path("nodes", name, "cni"), Inside.Path(RegistryHosts))
	if err := state.WriteFile(Inside.Path("nodes", name, "containerd.toml"), []byte(text), 0o644); err != nil {
		return err
	}
	return state.WriteFile(Inside.Path("nodes", name, "snapshotter"), []byte(snapshotter), 0o644)
}

// containerdConfig: lowering oom_score_adj needs CAP_SYS_RESOURCE, which root of a container often lacks.
const containerdConfig = `version = 2
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/plenum/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "%s"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%s"
    conf_dir = "%s"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "%s"
`

func both(first, second func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := first(ctx); err != nil {
			return err
		}
		return second(ctx)
	}
}

// apiReady is open once the API server says that it is ready.
func apiReady(p plan.Plan) func(context.Context) error {
	return func(ctx context.Context) error {
		authority, err := os.ReadFile(Inside.Path("pki", "ca.crt"))
		if err != nil {
			return fmt.Errorf("reading the cluster's CA: %w", err)
		}
		client, err := kubeapi.New(p.ControlPlane(), authority, pki.Pair{})
		if err != nil {
			return err
		}
		return poll(ctx, func() error { return client.Ready(ctx) })
	}
}

func socketOpen(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		return poll(ctx, func() error {
			connection, err := net.Dial("unix", path)
			if err != nil {
				return err
			}
			return connection.Close()
		})
	}
}

// poll tries until it works; a tree has no reason to give up before it is ended.
func poll(ctx context.Context, try func() error) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for try() != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}
