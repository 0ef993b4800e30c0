package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The clusters of this test, and how long a pod may take.
const (
	first     = "itest-a"
	second    = "itest-b"
	podLimit  = "--timeout=40s"
	echoImage = "docker.io/plenum/itest-echo:1"
)

// TestClusters is one story, since starting clusters is what costs time. Each
// chapter is a subtest; the machine is as it was when it is over.
func TestClusters(t *testing.T) {
	m := newMachine(t)
	before := surroundings()
	t.Cleanup(func() {
		for _, name := range []string{first, second} {
			if _, err := m.run(name, "down"); err != nil {
				t.Error(err)
			}
		}
	})
	upBoth(t, m)
	chapter := func(name string, do func(machine)) {
		if !t.Run(name, func(t *testing.T) { do(machine{T: t, program: m.program}) }) {
			t.FailNow()
		}
	}
	chapter("up of a running cluster changes nothing", runningUpChangesNothing)
	chapter("a pod from the pause image runs in each of two clusters", pausePodsRun)
	chapter("pods are reached as on a real cluster and clients cannot reach past the nodes", podsAndClients)
	chapter("a client's firewall lets out what it says", clientFirewalls)
	chapter("a registry asks for its login where it is pushed to and where it is pulled from", registryAsksForItsLogin)
	chapter("a killed node is brought back with its pods", killedNodeComesBack)
	chapter("down ends what runs in clients and leaves nothing", downLeavesNothing)
	chapter("up recovers when an up was killed half-way", upRecoversFromKilledUp)
	chapter("up recovers when everything was killed at once", upRecoversFromDeath)
	chapter("both clusters leave nothing", func(m machine) {
		for _, name := range []string{first, second} {
			s := m.status(name)
			m.must(name, "down")
			if left := m.traces(name, s); len(left) > 0 {
				m.Errorf("left of %s:\n%s", name, strings.Join(left, "\n"))
			}
		}
		if after := surroundings(); after != before {
			m.Errorf("the machine was:\n%s\nand is:\n%s", before, after)
		}
	})
}

func upBoth(t *testing.T, m machine) {
	var wait sync.WaitGroup
	for _, name := range []string{first, second} {
		wait.Add(1)
		go func() {
			defer wait.Done()
			start := time.Now()
			if _, err := m.run(name, "up"); err != nil {
				t.Error(err)
			}
			t.Logf("%s is up after %s, beside another one", name, time.Since(start).Round(100*time.Millisecond))
		}()
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	a, b := m.status(first), m.status(second)
	if a.Index == b.Index {
		t.Fatalf("both have the index %d", a.Index)
	}
	for name, s := range map[string]status{first: a, second: b} {
		if found := m.traces(name, s); len(found) < 10 {
			t.Fatalf("the search for leftovers sees too little of %s to be trusted: %v", name, found)
		}
	}
}

func runningUpChangesNothing(m machine) {
	before := m.must(first, "status", "-o", "json")
	start := time.Now()
	m.must(first, "up")
	if took := time.Since(start); took > 3*time.Second {
		m.Errorf("it took %s", took)
	}
	if after := m.must(first, "status", "-o", "json"); after != before {
		m.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

func pausePodsRun(m machine) {
	for _, name := range []string{first, second} {
		m.kubectl(name, "run", "pause", "--image=docker.io/plenum/pause:1", "--labels=in="+name)
	}
	for _, name := range []string{first, second} {
		m.kubectl(name, "wait", "--for=condition=Ready", "pod/pause", podLimit)
		if labels := m.kubectl(name, "get", "pods", "-o", "jsonpath={.items[*].metadata.labels.in}"); labels != name {
			m.Errorf("the pods of %s are those of %s", name, labels)
		}
	}
}

const echoManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 3
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: echo}}}
      containers:
      - name: echo
        image: ` + echoImage + `
        ports:
        - {containerPort: 7000, hostPort: 7000, protocol: UDP}
        - {containerPort: 8080, hostPort: 7080}
        securityContext:
          runAsNonRoot: true
          readOnlyRootFilesystem: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
          seccompProfile: {type: RuntimeDefault}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {type: NodePort, selector: {app: echo}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
`

func podsAndClients(m machine) {
	deployEcho(m)
	s := m.status(first)
	address := m.must(first, "client", "add", "berlin", "--region", "eu-west")
	for _, node := range s.Nodes {
		answer, err := m.reachFrom(first, "berlin", "udp://"+node.Address+":7000")
		if err != nil || !strings.HasPrefix(answer, "saw "+address+":") {
			m.Errorf("hostPort of %s: %q, %v: the pod must see the client's own address %s", node.Name, answer, err, address)
		}
		for _, port := range []string{"7080", "30080"} {
			// A service's port opens a little after its pods are ready.
			m.eventually("port "+port+" of "+node.Name+" from a client", 10*time.Second, func() error {
				_, err := m.reachFrom(first, "berlin", "http://"+node.Address+":"+port)
				return err
			})
		}
	}
	pod, podAddress, found := strings.Cut(m.kubectl(first, "get", "pods", "-l", "app=echo",
		"-o", "jsonpath={.items[0].metadata.name} {.items[0].status.podIP}"), " ")
	if !found {
		m.Fatal("there is no pod")
	}
	service := m.kubectl(first, "get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}")
	for _, hidden := range []string{podAddress + ":8080", service + ":80"} {
		if answer, err := m.reachFrom(first, "berlin", "http://"+hidden); err == nil {
			m.Errorf("a client reached %s: %q", hidden, answer)
		}
		if answer, err := reach("http://" + hidden); err == nil {
			m.Errorf("this machine reached %s: %q", hidden, answer)
		}
	}
	if names := m.kubectl(first, "exec", pod, "--", "/echo", "lookup", "echo.default.svc.cluster.local"); names != "["+service+"]" {
		m.Errorf("a pod resolves the service to %s, not to %s", names, service)
	}
	if text := m.kubectl(first, "logs", pod); !strings.Contains(text, "echo is here") {
		m.Errorf("the log is %q", text)
	}
	// From the API server to a pod, and from this machine by a forwarder.
	if text := m.kubectl(first, "get", "--raw", "/api/v1/namespaces/default/services/echo/proxy/"); !strings.HasPrefix(text, "saw ") {
		m.Errorf("through the API server: %q", text)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", 38000+s.Index)
	for range 2 {
		m.must(first, "forward", "--listen", listen, "--to", s.Nodes[0].Address+":30080")
	}
	if text, err := reach("http://" + listen); err != nil || !strings.HasPrefix(text, "saw ") {
		m.Errorf("through the forwarder: %q, %v", text, err)
	}
}

func clientFirewalls(m machine) {
	node := m.status(first).Nodes[0].Address
	udp, http := "udp://"+node+":7000", "http://"+node+":7080"
	for _, c := range []struct {
		firewall  []string
		udp, http bool
	}{
		{[]string{"--allow", "tcp"}, false, true},
		{[]string{"--allow", "tcp443"}, false, false},
		{[]string{"--allow", "tcp443", "--except", node + ":7080"}, false, true},
		{[]string{"--allow", "open"}, true, true},
		{[]string{"--allow", "tcp443"}, false, false},
	} {
		m.must(first, append([]string{"client", "firewall", "berlin"}, c.firewall...)...)
		for target, want := range map[string]bool{udp: c.udp, http: c.http} {
			if answer, err := m.reachFrom(first, "berlin", target); (err == nil) != want {
				m.Errorf("%v: %s: %q, %v", c.firewall, target, answer, err)
			}
		}
	}
	// The rules go with the client, and the next one in its slot starts without.
	m.must(first, "client", "remove", "berlin")
	m.must(first, "client", "add", "berlin", "--region", "eu-west")
	if _, err := m.reachFrom(first, "berlin", udp); err != nil {
		m.Errorf("a new client inherits a firewall: %v", err)
	}
	// One is left for `down` to remove.
	m.must(second, "client", "add", "boston", "--region", "us-east")
	m.must(second, "client", "firewall", "boston", "--allow", "tcp")
}

func deployEcho(m machine) {
	directory := m.TempDir()
	binary, archive := filepath.Join(directory, "echo"), filepath.Join(directory, "echo.tar")
	build := exec.Command("go", "build", "-o", binary, "./echo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		m.Fatalf("building the pods' program: %v: %s", err, out)
	}
	m.must(first, "pack-image", "--tag", echoImage, "--binary", binary, "--entrypoint", "/echo", "-o", archive)
	m.must(first, "load-image", archive)
	manifest := filepath.Join(directory, "echo.yaml")
	if err := os.WriteFile(manifest, []byte(echoManifest), 0o600); err != nil {
		m.Fatal(err)
	}
	m.kubectl(first, "apply", "-f", manifest)
	m.kubectl(first, "rollout", "status", "deployment/echo", podLimit)
}

func killedNodeComesBack(m machine) {
	const node = "us-east-a"
	address := m.status(first).Nodes[2].Address
	m.must(first, "node", "kill", node)
	s := m.status(first)
	if killed := s.Nodes[2]; killed.Name != node || killed.Alive {
		m.Fatalf("after the kill: %+v", killed)
	}
	if left := exec.Command("ip", "link", "show", fmt.Sprintf("pl%d-n3", s.Index)).Run(); left == nil {
		m.Error("the link of the killed node is still there")
	}
	if answer, err := m.reachFrom(first, "berlin", "http://"+address+":7080"); err == nil {
		m.Errorf("the killed node answers %q", answer)
	}
	m.must(first, "node", "start", node)
	m.eventually("the pod of the node that came back", 40*time.Second, func() error {
		_, err := m.reachFrom(first, "berlin", "udp://"+address+":7000")
		return err
	})
}

func downLeavesNothing(m machine) {
	m.must(second, "client", "add", "boston", "--region", "us-east")
	sleeper := m.command(second, "client", "exec", "boston", "--", "sleep", "600")
	if err := sleeper.Start(); err != nil {
		m.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleeper.Wait() }()
	m.eventually("the program in the client", 5*time.Second, func() error {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", sleeper.Process.Pid))
		if err == nil && !strings.HasPrefix(string(line), "sleep") {
			err = fmt.Errorf("it still is %q", line)
		}
		return err
	})
	s := m.status(second)
	m.must(second, "down")
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		m.Error("what ran in the client outlived it")
	}
	if left := m.traces(second, s); len(left) > 0 {
		m.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
	if _, err := m.run(second, "status"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		m.Errorf("status of a cluster that is down: %v", err)
	}
	m.must(second, "down") // once more is fine
	// The other cluster did not notice.
	m.kubectl(first, "get", "--raw", "/readyz")
}

func upRecoversFromKilledUp(m machine) {
	up := m.command(second, "up")
	up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := up.Start(); err != nil {
		m.Fatal(err)
	}
	state := filepath.Join(filepath.Dir(m.status(first).State), second)
	m.eventually("the first node's tree", 20*time.Second, func() error {
		found, err := filepath.Glob(filepath.Join(state, "trees", "node_*.json"))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no node was started")
		}
		return err
	})
	if err := syscall.Kill(-up.Process.Pid, syscall.SIGKILL); err != nil {
		m.Fatal(err)
	}
	if err := up.Wait(); err == nil {
		m.Fatal("up ended before it could be killed")
	}
	m.must(second, "up")
	checkWhole(m, second)
}

func upRecoversFromDeath(m machine) {
	s := m.status(first)
	pids := []int{s.ControlPlane.PID}
	for _, node := range s.Nodes {
		pids = append(pids, node.PID)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			m.Fatalf("killing %s: %v", strconv.Itoa(pid), err)
		}
	}
	m.eventually("the end of the cluster", 5*time.Second, func() error {
		if _, err := m.run(first, "status"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
			return fmt.Errorf("a dead cluster's status: %v", err)
		}
		return nil
	})
	m.must(first, "up")
	checkWhole(m, first)
	if pods := m.kubectl(first, "get", "pods", "-o", "name"); pods != "pod/again" {
		m.Errorf("it was to be a new cluster, but it has %s", pods)
	}
}

func checkWhole(m machine, name string) {
	m.Helper()
	for _, node := range m.status(name).Nodes {
		if !node.Alive || !node.Ready {
			m.Errorf("%s: %+v", name, node)
		}
	}
	m.kubectl(name, "run", "again", "--image=docker.io/plenum/pause:1")
	m.kubectl(name, "wait", "--for=condition=Ready", "pod/again", podLimit)
}
