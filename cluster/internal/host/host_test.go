package host

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLeftoversOfOneClusterAreUndoneAndAnothersStay(t *testing.T) {
	listing := `-P INPUT ACCEPT
-P FORWARD DROP
-N DOCKER
-N PLENUM-F1
-N PLENUM-F10
-N PLENUM-O1
-A FORWARD -o pl1-+ -j PLENUM-F1
-A FORWARD -i pl1-+ -j PLENUM-F1
-A FORWARD -i pl10-+ -j PLENUM-F10
-A OUTPUT -j PLENUM-O1
-A OUTPUT -m comment --comment "PLENUM-O1" -j DOCKER
-A PLENUM-F1 -i pl1-+ -o pl1-+ -j ACCEPT
-A PLENUM-F1 -j REJECT --reject-with icmp-port-unreachable
`
	want := `*filter
-D FORWARD -o pl1-+ -j PLENUM-F1
-D FORWARD -i pl1-+ -j PLENUM-F1
-D OUTPUT -j PLENUM-O1
-F PLENUM-F1
-F PLENUM-O1
-X PLENUM-F1
-X PLENUM-O1
COMMIT
`
	if got := undoChains(listing, []string{"PLENUM-F1", "PLENUM-O1"}); got != want {
		t.Errorf("got:\n%s", got)
	}
}

func TestAHalfMadeFirewallIsUndoneAsFarAsItCame(t *testing.T) {
	chains := []string{"PLENUM-F1", "PLENUM-O1"}
	if got, want := undoChains("-N PLENUM-O1\n", chains), "*filter\n-F PLENUM-O1\n-X PLENUM-O1\nCOMMIT\n"; got != want {
		t.Errorf("got %q", got)
	}
	for _, nothing := range []string{"", "-P FORWARD ACCEPT\n-N PLENUM-F2\n", "garbage\n-A\n"} {
		if got := undoChains(nothing, chains); got != "" {
			t.Errorf("%q gives %q", nothing, got)
		}
	}
}

func TestRulesAreRecognisedByTheirOwner(t *testing.T) {
	listing := `-N PLENUM-F1
-A FORWARD -i pl1-+ -m comment --comment plenum-x -j PLENUM-F1
-A OUTPUT -m comment --comment "plenum-x" -j PLENUM-O1
-A OUTPUT -m comment --comment plenum-xy -j PLENUM-O2
-A OUTPUT -j PLENUM-O3
-A OUTPUT -m comment --comment
`
	if got := strings.Join(ownedChains(listing, "plenum-x"), " "); got != "PLENUM-F1 PLENUM-O1" {
		t.Errorf("got %s", got)
	}
}

func TestTheFirewallHidesRangesBeforeItAccepts(t *testing.T) {
	rules := Firewall{
		ForwardChain: "F", OutputChain: "O", LinkPrefix: "pl1-", ClientPrefix: "pl1-c",
		Hidden: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
	}.Rules()
	refuse, accept := strings.Index(rules, "-A F -i pl1-c+ -d 10.1.0.0/16 -j REJECT"), strings.Index(rules, "-A F -i pl1-+ -o pl1-+ -j ACCEPT")
	last := strings.Index(rules, "-A F -j REJECT")
	if refuse < 0 || accept < refuse || last < accept {
		t.Errorf("the order is wrong:\n%s", rules)
	}
	if !strings.Contains(rules, "-A O -d 10.1.0.0/16 -j REJECT") {
		t.Errorf("this machine's own packets are not refused:\n%s", rules)
	}
}

func TestOnlyRoutesIntoTheRangesConflict(t *testing.T) {
	ranges := []netip.Prefix{netip.MustParsePrefix("100.65.0.0/16"), netip.MustParsePrefix("10.97.0.0/16")}
	for _, c := range []struct {
		destination, device string
		want                bool
	}{
		{"default", "eth0", false},
		{"10.0.0.0/8", "tun0", false}, // wider: the cluster's own routes win
		{"10.97.0.0/16", "tun0", true},
		{"10.97.3.0/24", "tun0", true},
		{"100.65.7.8", "tailscale0", true},
		{"100.65.7.8", "pl1-n1", false}, // its own
		{"100.66.7.8", "pl2-n1", false},
	} {
		text := fmt.Sprintf(`[{"dst":%q,"dev":%q,"flags":[]}]`, c.destination, c.device)
		got, err := findConflict(text, ranges, "pl1-")
		if err != nil || (got != "") != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	if _, err := findConflict("not json", ranges, "pl1-"); err == nil {
		t.Error("an unreadable list of routes is no list without conflicts")
	}
}

const hybrid = `25 1 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
28 25 0:25 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
30 25 0:26 / /somewhere/else rw,relatime - cgroup2 cgroup2 rw
`

func TestHybridHierarchiesCountAsVersionOne(t *testing.T) {
	found := parseCgroups(hybrid)
	if len(found) != 4 || found.Version() != 1 || len(found.used()) != 3 {
		t.Errorf("%d hierarchies, version %d, used %v", len(found), found.Version(), found.used())
	}
	if !found[0].has("cpuacct") || !found[1].has("cpuset") || !found[2].has("name=systemd") {
		t.Errorf("controllers: %+v", found)
	}
	pure := parseCgroups("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n")
	if len(pure) != 1 || pure.Version() != 2 || len(pure.used()) != 1 {
		t.Errorf("pure: %+v", pure)
	}
	if got := parseCgroups("\n- -\n1 2 3\n"); len(got) != 0 {
		t.Errorf("garbage gives %+v", got)
	}
}

func TestEveryLevelOfAVersionOneCpusetGetsItsParentsProcessors(t *testing.T) {
	root := t.TempDir()
	for file, value := range map[string]string{"cpuset.cpus": "0-1", "cpuset.mems": "0"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := (Cgroups{{Mount: root, Version: 1, Options: []string{"cpuset"}}}).Make("plenum-x/node"); err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"plenum-x", "plenum-x/node"} {
		text, err := os.ReadFile(filepath.Join(root, level, "cpuset.cpus"))
		if err != nil || string(text) != "0-1" {
			t.Errorf("%s: %q, %v", level, text, err)
		}
	}
}

func TestAVersionTwoCgroupHandsItsControllersOn(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpu memory pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := enableControllers(root); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	if err != nil || string(text) != "+cpu +memory +pids" {
		t.Errorf("%q, %v", text, err)
	}
}

// A hybrid machine's version 2 hierarchy has no controllers, but is version 2 in all else.
func TestAVersionTwoCgroupIsMadeFilledAndRemovedOnThisKernel(t *testing.T) {
	mounted, err := MountedCgroups()
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and cgroups")
	}
	var second Cgroups
	for _, h := range mounted {
		if h.Version == 2 {
			second = append(second, h)
		}
	}
	if len(second) == 0 {
		t.Skip("this machine has no cgroup version 2")
	}
	name := fmt.Sprintf("plenum-unit-test-%d", os.Getpid())
	command := exec.Command("sleep", "600")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if err := second.Remove(name, 5*time.Second); err != nil {
			t.Error(err)
		}
	})
	if err := second.Make(name + "/node"); err != nil {
		t.Skipf("this machine's cgroups are not to be written: %v", err)
	}
	if err := second.Adopt(name+"/processes/node", command.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := second.Remove(name, 50*time.Millisecond); err == nil {
		t.Error("a cgroup with a living process was removed")
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.Remove(name, 5*time.Second); err != nil || second.Exists(name) {
		t.Errorf("left over: %v", err)
	}
}
