package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// cniPlugins are the plugins that the nodes' network is made from.
var cniPlugins = []string{"ptp", "host-local", "portmap", "loopback"}

// requirements are the programs that must be on the PATH, and the Debian package of each.
var requirements = []struct{ program, pkg string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"ip", "iproute2"},
	{"iptables", "iptables"},
	{"iptables-restore", "iptables"},
	{"conntrack", "conntrack"},
	{"mount", "mount"},
}

// PluginDirectory finds the directory of the CNI plugins.
func PluginDirectory() (string, error) {
	for _, directory := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		complete := true
		for _, plugin := range cniPlugins {
			if _, err := os.Stat(filepath.Join(directory, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return directory, nil
		}
	}
	return "", fmt.Errorf("no directory has the CNI plugins %s", strings.Join(cniPlugins, ", "))
}

// Require says in plain words what this machine lacks, and the one line that installs it.
func Require() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster makes network namespaces, mounts and cgroups: run this as root (sudo)")
	}
	var lacking, packages []string
	add := func(what, pkg string) {
		lacking = append(lacking, what)
		for _, p := range packages {
			if p == pkg {
				return
			}
		}
		packages = append(packages, pkg)
	}
	for _, r := range requirements {
		if missing(r.program) {
			add(r.program, r.pkg)
		}
	}
	if _, err := PluginDirectory(); err != nil {
		add("the CNI plugins "+strings.Join(cniPlugins, ", "), "containernetworking-plugins")
	}
	if len(lacking) == 0 {
		return nil
	}
	return fmt.Errorf("this machine lacks %s. On Debian and Ubuntu this installs it:\n"+
		"  apt-get update && apt-get install --no-install-recommends -y %s",
		strings.Join(lacking, ", "), strings.Join(packages, " "))
}
