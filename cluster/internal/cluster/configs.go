package cluster

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
	"plenum.dev/cluster/internal/tree"
)

// hiddenRanges are those that neither clients nor this machine's own programs reach.
func hiddenRanges(p plan.Plan) []netip.Prefix { return []netip.Prefix{p.Pods(), p.Services()} }

// writeConfigs writes the configuration of every program that takes one. JSON is
// YAML, so all but the DNS server's are written as JSON.
func (c *Cluster) writeConfigs() error {
	if err := state.WriteFile(c.directory.Path("control-plane", "Corefile"), []byte(corefile()), 0o644); err != nil {
		return err
	}
	// What pods with dnsPolicy Default get: there is nothing outside of the cluster for them to ask.
	resolver := fmt.Sprintf("nameserver %s\n", c.plan.DNSService())
	if err := state.WriteFile(c.directory.Path("resolv.conf"), []byte(resolver), 0o644); err != nil {
		return err
	}
	for _, node := range c.plan.Nodes() {
		for file, config := range map[string]map[string]any{
			"kubelet.yaml":           kubeletConfig(c.plan, node),
			"kube-proxy.yaml":        proxyConfig(c.plan, node),
			"cni/10-plenum.conflist": podNetwork(c.plan, node),
		} {
			text, err := json.MarshalIndent(config, "", "  ")
			if err != nil {
				return fmt.Errorf("writing %s of %s: %w", file, node.Name, err)
			}
			if err := state.WriteFile(c.directory.Path("nodes", node.Name, file), append(text, '\n'), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func kubeletConfig(p plan.Plan, node plan.Node) map[string]any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": tree.Inside.Path("pki", "ca.crt")},
		},
		"authorization":             map[string]any{"mode": "Webhook"},
		"tlsCertFile":               tree.Inside.Path("pki", node.Name+".crt"),
		"tlsPrivateKeyFile":         tree.Inside.Path("pki", node.Name+".key"),
		"address":                   p.NodeAddress(node),
		"containerRuntimeEndpoint":  "unix://" + tree.ContainerdSocket,
		"volumePluginDir":           "/var/lib/kubelet/volume-plugins",
		"resolvConf":                tree.Inside.Path("resolv.conf"),
		"clusterDNS":                []any{p.DNSService()},
		"clusterDomain":             "cluster.local",
		"cgroupDriver":              "cgroupfs",
		"cgroupRoot":                "/" + nodeCgroup(p, node),
		"failCgroupV1":              false,
		"failSwapOn":                false,
		"enforceNodeAllocatable":    []string{},
		"nodeStatusUpdateFrequency": "2s",
		// The disk is the machine's own: its filling up is no reason to evict pods or to drop images.
		"evictionHard":                map[string]string{"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
	}
}

func proxyConfig(p plan.Plan, node plan.Node) map[string]any {
	return map[string]any{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"mode":             "iptables",
		"clusterCIDR":      p.Pods(),
		"hostnameOverride": node.Name,
		"clientConnection": map[string]any{"kubeconfig": tree.Inside.Path("kubeconfigs", "kube-proxy")},
		// In so small a cluster, rules are cheap to write: services follow their pods at once.
		"iptables": map[string]any{"minSyncPeriod": "100ms"},
		// These limits are the whole machine's.
		"conntrack":          map[string]any{"maxPerCore": 0, "min": 0},
		"metricsBindAddress": "127.0.0.1:10249",
		"healthzBindAddress": fmt.Sprintf("%s:10256", p.NodeAddress(node)),
	}
}

// podNetwork: every pod hangs on its node by a link of its own, so that all of
// its packets are routed and pass the service rules. (On a bridge, pods of one
// node would answer each other past them, unless br_netfilter is loaded.)
func podNetwork(p plan.Plan, node plan.Node) map[string]any {
	return map[string]any{
		"cniVersion": "1.0.0",
		"name":       "plenum",
		"plugins": []any{
			map[string]any{"type": "ptp", "ipMasq": false, "ipam": map[string]any{
				"type":   "host-local",
				"ranges": []any{[]any{map[string]any{"subnet": p.NodePods(node)}}},
				"routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
			}},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}
}

// corefile answers for the cluster's names and for no others: the cluster has no way out.
func corefile() string {
	return fmt.Sprintf(`.:53 {
    errors
    health 127.0.0.1:8080
    ready 127.0.0.1:8181
    cache 10
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %s
        pods insecure
        ttl 10
    }
}
`, tree.Inside.Path("kubeconfigs", "coredns"))
}

func nodeCgroup(p plan.Plan, node plan.Node) string { return p.Cgroup() + "/" + node.Name }
