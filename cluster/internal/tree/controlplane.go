package tree

import (
	"context"
	"fmt"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

const kube = programs + "/plenum-kube"

// runControlPlane is etcd, the API server, both controllers' programs and the DNS server.
func runControlPlane(ctx context.Context, directory state.Directory, p plan.Plan) error {
	if err := awaitLink(); err != nil {
		return err
	}
	if err := enterMounts(directory, "control-plane", nil); err != nil {
		return err
	}
	wire := host.Wire{Link: p.ControlPlaneLink(), Router: p.Router(), Far: p.ControlPlane()}
	if err := wire.TakeAddress(ctx); err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	ready := apiReady(p)
	return supervise(ctx, []service{
		controlPlaneService("etcd", nil, etcdFlags()),
		controlPlaneService("apiserver", nil, apiServerFlags(p)),
		controlPlaneService("controller-manager", ready, controllerFlags()),
		controlPlaneService("scheduler", ready, []string{
			"--kubeconfig=" + Inside.Path("kubeconfigs", "scheduler"),
			"--leader-elect=false", "--bind-address=127.0.0.1",
		}),
		controlPlaneService("coredns", ready, []string{"-conf", Inside.Path("control-plane", "Corefile")}),
	})
}

func controlPlaneService(name string, gate func(context.Context) error, flags []string) service {
	return service{
		name: name,
		args: append([]string{kube, name}, flags...),
		log:  Inside.Path("logs", name+".log"),
		gate: gate,
	}
}

const etcdURL = "http://127.0.0.1:2379"

// etcdFlags: it does not wait for the disk, since a cluster whose machine died is made anew.
func etcdFlags() []string {
	return []string{
		"--name=plenum", "--data-dir=" + Inside.Path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=plenum=http://127.0.0.1:2380",
	}
}

func apiServerFlags(p plan.Plan) []string {
	key := func(name string) string { return Inside.Path("pki", name) }
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=0.0.0.0", "--secure-port=6443", fmt.Sprintf("--advertise-address=%s", p.ControlPlane()),
		"--tls-cert-file=" + key("apiserver.crt"), "--tls-private-key-file=" + key("apiserver.key"),
		"--client-ca-file=" + key("ca.crt"),
		"--kubelet-client-certificate=" + key("kubelet-client.crt"), "--kubelet-client-key=" + key("kubelet-client.key"),
		"--kubelet-certificate-authority=" + key("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range=" + p.Services().String(),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + key("service-accounts.pub"), "--service-account-signing-key-file=" + key("service-accounts.key"),
		"--enable-aggregator-routing=true",
		"--requestheader-client-ca-file=" + key("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--proxy-client-cert-file=" + key("front-proxy-client.crt"), "--proxy-client-key-file=" + key("front-proxy-client.key"),
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
	}
}

func controllerFlags() []string {
	return []string{
		"--kubeconfig=" + Inside.Path("kubeconfigs", "controller-manager"),
		"--service-account-private-key-file=" + Inside.Path("pki", "service-accounts.key"),
		"--root-ca-file=" + Inside.Path("pki", "ca.crt"),
		"--cluster-signing-cert-file=" + Inside.Path("pki", "ca.crt"),
		"--cluster-signing-key-file=" + Inside.Path("pki", "ca.key"),
		"--use-service-account-credentials=true", "--kube-api-qps=200", "--kube-api-burst=400",
		"--flex-volume-plugin-dir=/run/plenum/volume-plugins", "--allocate-node-cidrs=false",
		"--leader-elect=false", "--bind-address=127.0.0.1",
	}
}
