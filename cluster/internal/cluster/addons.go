package cluster

import (
	"context"

	"plenum.dev/cluster/internal/kubeapi"
)

type object = map[string]any

// applyAddons gives the DNS server, which is a program of the control plane,
// its rights and its service.
func (c *Cluster) applyAddons(ctx context.Context, api *kubeapi.Client) error {
	const rbac = "/apis/rbac.authorization.k8s.io/v1"
	const group = "rbac.authorization.k8s.io"
	watch := []string{"list", "watch"}
	for _, one := range []struct {
		path string
		body object
	}{
		{rbac + "/clusterroles/system:coredns", object{
			"apiVersion": group + "/v1", "kind": "ClusterRole", "metadata": object{"name": "system:coredns"},
			"rules": []object{
				{"apiGroups": []string{""}, "resources": []string{"services", "pods", "namespaces"}, "verbs": watch},
				{"apiGroups": []string{"discovery.k8s.io"}, "resources": []string{"endpointslices"}, "verbs": watch},
			},
		}},
		{rbac + "/clusterrolebindings/system:coredns", object{
			"apiVersion": group + "/v1", "kind": "ClusterRoleBinding", "metadata": object{"name": "system:coredns"},
			"roleRef":  object{"apiGroup": group, "kind": "ClusterRole", "name": "system:coredns"},
			"subjects": []object{{"apiGroup": group, "kind": "User", "name": "system:coredns"}},
		}},
		{"/api/v1/namespaces/kube-system/services/kube-dns", object{
			"apiVersion": "v1", "kind": "Service",
			"metadata": object{"name": "kube-dns", "namespace": "kube-system", "labels": object{"k8s-app": "kube-dns"}},
			"spec": object{
				"clusterIP": c.plan.DNSService(),
				"ports": []object{
					{"name": "dns", "port": 53, "protocol": "UDP"},
					{"name": "dns-tcp", "port": 53, "protocol": "TCP"},
				},
			},
		}},
		{"/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns", object{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata": object{"name": "kube-dns", "namespace": "kube-system", "labels": object{
				"kubernetes.io/service-name":             "kube-dns",
				"endpointslice.kubernetes.io/managed-by": "plenum-cluster",
			}},
			"addressType": "IPv4",
			"endpoints":   []object{{"addresses": []any{c.plan.ControlPlane()}, "conditions": object{"ready": true}}},
			"ports": []object{
				{"name": "dns", "port": 53, "protocol": "UDP"},
				{"name": "dns-tcp", "port": 53, "protocol": "TCP"},
			},
		}},
	} {
		if err := api.Apply(ctx, one.path, one.body); err != nil {
			return err
		}
	}
	return nil
}
