package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"plenum.dev/cluster/internal/state"
)

// Where a tree sees the cluster's state and programs, whatever their place on the machine.
const (
	Inside   = state.Directory("/run/plenum/state")
	programs = "/run/plenum/bin"
)

// enterMounts gives the tree mounts of its own: /run and /proc anew, and in
// place of each of the given directories one of the tree's own, kept below
// `own` in the state directory.
func enterMounts(directory state.Directory, own string, replaced []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	// First private, so that nothing reaches the machine's mounts; then shared within, as the kubelet wants it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the mounts within the tree: %w", err)
	}
	if err := mountState(directory, filepath.Dir(self)); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, target := range replaced {
		source := Inside.Path(own, filepath.Base(filepath.Dir(target))+"-"+filepath.Base(target))
		if err := bind(source, target); err != nil {
			return err
		}
	}
	return nil
}

// mountState puts a new /run in place, with the state and the programs in it.
// Both are opened before, since they may themselves lie below /run.
func mountState(directory state.Directory, bin string) error {
	sources := map[string]string{string(Inside): string(directory), programs: bin}
	var mounts []func() error
	for target, source := range sources {
		handle, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", source, err)
		}
		mounts = append(mounts, func() error {
			err := bind(fmt.Sprintf("/proc/self/fd/%d", handle), target)
			return errors.Join(err, unix.Close(handle))
		})
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	for _, mount := range mounts {
		if err := mount(); err != nil {
			return err
		}
	}
	return os.MkdirAll("/run/netns", 0o755)
}

func bind(source, target string) error {
	for _, path := range []string{source, target} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", path, err)
		}
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s in place of %s: %w", source, target, err)
	}
	return nil
}

// kernelSettings are those that a kubelet writes for the whole machine when they differ.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// coverKernelSettings shows the kubelet what it wants to see, so that it leaves the machine's settings alone.
func coverKernelSettings() error {
	for name, value := range kernelSettings {
		cover, setting := filepath.Join("/run/plenum/sysctl", name), filepath.Join("/proc/sys", name)
		if _, err := os.Stat(setting); err != nil {
			continue // this kernel has no such setting
		}
		if err := state.WriteFile(cover, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(cover, setting, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("covering the kernel setting %s: %w", name, err)
		}
	}
	return nil
}

// overlayWorks tries whether the file system below a directory can carry overlay mounts, as image layers want it.
func overlayWorks(directory string) bool {
	trial := filepath.Join(directory, "overlay-trial")
	defer func() { _ = os.RemoveAll(trial) }()
	for _, part := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(trial, part), 0o755); err != nil {
			return false
		}
	}
	merged := filepath.Join(trial, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", trial)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return false
	}
	return unix.Unmount(merged, 0) == nil
}
