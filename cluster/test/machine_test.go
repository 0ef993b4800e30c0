package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain: with PLENUM_TEST_REACH this program is run in a client and tells what it reaches.
func TestMain(m *testing.M) {
	if target := os.Getenv("PLENUM_TEST_REACH"); target != "" {
		answer, err := reach(target)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(answer)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// reach talks to udp://ADDRESS:PORT or http://ADDRESS:PORT and gives the answer.
func reach(target string) (string, error) {
	if address, ok := strings.CutPrefix(target, "udp://"); ok {
		connection, err := net.Dial("udp", address)
		if err != nil {
			return "", err
		}
		if err := connection.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return "", err
		}
		if _, err := connection.Write([]byte("hello")); err != nil {
			return "", err
		}
		buffer := make([]byte, 1500)
		n, err := connection.Read(buffer)
		return string(buffer[:n]), err
	}
	client := http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(target)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// machine runs plenum-cluster for one test.
type machine struct {
	*testing.T
	program string
}

func newMachine(t *testing.T) machine {
	t.Helper()
	directory := os.Getenv("PLENUM_CLUSTER_PROGRAMS")
	if directory == "" {
		t.Skip("starts real clusters: set PLENUM_CLUSTER_PROGRAMS to the directory of the built programs, as root")
	}
	program := filepath.Join(directory, "plenum-cluster")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("build first (go run ./cmd/build -o DIRECTORY): %v", err)
	}
	return machine{T: t, program: program}
}

func (m machine) command(cluster string, args ...string) *exec.Cmd {
	command := exec.Command(m.program, append([]string{"--name", cluster}, args...)...)
	command.Stderr = &bytes.Buffer{}
	return command
}

// run gives what a command printed; complaints are in the error.
func (m machine) run(cluster string, args ...string) (string, error) {
	command := m.command(cluster, args...)
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s %v: %w: %s%s", cluster, args, err, out, command.Stderr)
	}
	return string(out), err
}

func (m machine) must(cluster string, args ...string) string {
	m.Helper()
	out, err := m.run(cluster, args...)
	if err != nil {
		m.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (m machine) kubectl(cluster string, args ...string) string {
	m.Helper()
	return m.must(cluster, append([]string{"kubectl", "--"}, args...)...)
}

type status struct {
	Index        int    `json:"index"`
	State        string `json:"state"`
	ControlPlane struct {
		PID     int    `json:"pid"`
		Address string `json:"address"`
	} `json:"controlPlane"`
	Nodes []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
		PID     int    `json:"pid"`
		Alive   bool   `json:"alive"`
		Ready   bool   `json:"ready"`
	} `json:"nodes"`
	Registry struct {
		Name  string `json:"name"`
		PID   int    `json:"pid"`
		Alive bool   `json:"alive"`
	} `json:"registry"`
}

func (m machine) status(cluster string) status {
	m.Helper()
	var s status
	if err := json.Unmarshal([]byte(m.must(cluster, "status", "-o", "json")), &s); err != nil {
		m.Fatal(err)
	}
	return s
}

// eventually waits for a condition; there is no other waiting in these tests.
func (m machine) eventually(what string, limit time.Duration, try func() error) {
	m.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// reachFrom runs this program in a client's network.
func (m machine) reachFrom(cluster, client, target string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := m.command(cluster, "client", "exec", client, "--", self)
	command.Env = append(os.Environ(), "PLENUM_TEST_REACH="+target)
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, command.Stderr)
	}
	return string(out), err
}

// traces lists whatever on this machine bears a cluster's marks. An empty list: nothing is left of it.
func (m machine) traces(name string, s status) []string {
	m.Helper()
	marks := []string{
		fmt.Sprintf("pl%d-", s.Index), fmt.Sprintf("PLENUM-F%d ", s.Index), fmt.Sprintf("PLENUM-O%d ", s.Index), fmt.Sprintf("PLENUM-C%d-", s.Index),
		s.State + "/", fmt.Sprintf(" 100.%d.", 64+s.Index), fmt.Sprintf(" 10.%d.", 244-s.Index),
	}
	var found []string
	search := func(where, text string) {
		for _, line := range strings.Split(text, "\n") {
			for _, mark := range marks {
				if strings.Contains(" "+line+" ", mark) {
					found = append(found, where+": "+line)
					break
				}
			}
		}
	}
	for _, listing := range [][]string{
		{"ip", "-o", "address"}, {"ip", "-o", "link"}, {"ip", "route", "show", "table", "all"},
		{"iptables", "-S"}, {"iptables", "-t", "nat", "-S"}, {"cat", "/proc/self/mountinfo"},
		{"ps", "-eo", "pid,args"},
	} {
		out, err := exec.Command(listing[0], listing[1:]...).Output()
		if err != nil {
			m.Fatalf("%v: %v", listing, err)
		}
		search(strings.Join(listing, " "), string(out))
	}
	for _, pattern := range []string{"/sys/fs/cgroup/plenum-" + name, "/sys/fs/cgroup/*/plenum-" + name, s.State} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			m.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// surroundings are what a cluster must not change, though it would be easy to.
func surroundings() string {
	var b strings.Builder
	for _, setting := range []string{"kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom",
		"net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max"} {
		text, err := os.ReadFile("/proc/sys/" + setting)
		fmt.Fprintln(&b, setting, strings.TrimSpace(string(text)), err)
	}
	for _, directory := range []string{"/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/etc/cni",
		"/etc/kubernetes", "/opt/containerd", "/opt/cni", "/usr/libexec/kubernetes", "/run/containerd", "/run/netns", "/run/plenum"} {
		entries, err := os.ReadDir(directory)
		fmt.Fprintln(&b, directory, len(entries), err)
	}
	return b.String()
}
