// Command plenum-kube is all of Kubernetes in one program, from the upstream
// modules: `plenum-kube etcd|apiserver|controller-manager|scheduler|kubelet|proxy|kubectl|coredns [flags]`.
// It adds nothing of its own; which flags they get is decided in internal/cluster.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: plenum-kube etcd|apiserver|controller-manager|scheduler|kubelet|proxy|kubectl|coredns [flags]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	program, args := os.Args[1], os.Args[2:]
	switch program {
	case "etcd":
		etcdmain.Main(append([]string{"etcd"}, args...))
		return
	case "coredns":
		runCoreDNS(args)
		return
	case "kubectl":
		os.Args = append([]string{"kubectl"}, args...)
		command := kubectl.NewDefaultKubectlCommand()
		if err := cli.RunNoErrOutput(command); err != nil {
			kubectlutil.CheckErr(err)
		}
		return
	}
	command := upstream(program)
	if command == nil {
		fmt.Fprintf(os.Stderr, "unknown program %q; %s\n", program, usage)
		os.Exit(2)
	}
	os.Args = append([]string{"kube-" + program}, args...)
	os.Exit(cli.Run(command))
}

// upstream gives the command of a Kubernetes component, or nil when there is none of that name.
func upstream(program string) *cobra.Command {
	switch program {
	case "apiserver":
		return apiserver.NewAPIServerCommand()
	case "controller-manager":
		return controllers.NewControllerManagerCommand()
	case "scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "proxy":
		return proxy.NewProxyCommand()
	}
	return nil
}
