// Command build builds every program of the embedded cluster into one
// directory: `go run ./cmd/build -o DIRECTORY`. The versions that the programs
// report are those of the modules in go.mod.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	kubernetes = "k8s.io/kubernetes"
	helm       = "helm.sh/helm/v3"
)

func main() {
	output := flag.String("o", "", "the `directory` for the programs")
	flag.Parse()
	if err := build(*output); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(output string) error {
	if output == "" {
		return errors.New("name a directory with -o")
	}
	if err := os.MkdirAll(output, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", output, err)
	}
	flags, err := linkerFlags()
	if err != nil {
		return err
	}
	// The trailing separator makes it a directory for every number of programs.
	command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", output+string(filepath.Separator),
		"./cmd/plenum-cluster", "./cmd/plenum-pause", "./cmd/plenum-kube", helm+"/cmd/helm")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	return nil
}

// linkerFlags set the versions that upstream's own build scripts set.
func linkerFlags() (string, error) {
	kube, err := version(kubernetes)
	if err != nil {
		return "", err
	}
	charts, err := version(helm)
	if err != nil {
		return "", err
	}
	parts := strings.SplitN(strings.TrimPrefix(kube, "v"), ".", 3)
	if len(parts) != 3 {
		return "", fmt.Errorf("the version %q of %s is not vX.Y.Z", kube, kubernetes)
	}
	flags := []string{"-s", "-w"}
	set := func(name, value string) { flags = append(flags, "-X", name+"="+value) }
	set("k8s.io/component-base/version.gitVersion", kube)
	set("k8s.io/component-base/version.gitMajor", parts[0])
	set("k8s.io/component-base/version.gitMinor", parts[1])
	set("k8s.io/component-base/version.gitTreeState", "clean")
	set("k8s.io/component-base/version.gitCommit", "unknown")
	set(helm+"/internal/version.version", charts)
	for _, where := range []string{"/pkg/chartutil", "/pkg/lint/rules"} {
		set(helm+where+".k8sVersionMajor", parts[0])
		set(helm+where+".k8sVersionMinor", parts[1])
	}
	return strings.Join(flags, " "), nil
}

func version(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("finding the version of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}
