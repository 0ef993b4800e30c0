package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Hierarchy is a mounted cgroup hierarchy. Of version 1 there are several, each
// with its controllers; of version 2 there is one.
type Hierarchy struct {
	Mount   string
	Version int
	// Options are the super block's: for version 1 they name the controllers.
	Options []string
}

// Cgroups are the hierarchies of this machine.
type Cgroups []Hierarchy

// MountedCgroups reads the hierarchies from the mount table.
func MountedCgroups() (Cgroups, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	found := parseCgroups(string(text))
	if len(found) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted below /sys/fs/cgroup")
	}
	return found, nil
}

// parseCgroups reads proc(5)'s mountinfo: the mount point is field 5, and behind
// a lone dash stand type, source and the super block's options.
func parseCgroups(text string) Cgroups {
	var found Cgroups
	for _, line := range strings.Split(text, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(rest) < 3 || !strings.HasPrefix(fields[4], "/sys/fs/cgroup") {
			continue
		}
		switch rest[0] {
		case "cgroup":
			found = append(found, Hierarchy{Mount: fields[4], Version: 1, Options: strings.Split(rest[2], ",")})
		case "cgroup2":
			found = append(found, Hierarchy{Mount: fields[4], Version: 2})
		}
	}
	return found
}

// Version is 2 if that is the only kind there is, else 1 (a hybrid has its controllers in version 1).
func (c Cgroups) Version() int {
	for _, h := range c {
		if h.Version == 1 {
			return 1
		}
	}
	return 2
}

func (h Hierarchy) has(option string) bool {
	for _, o := range h.Options {
		if o == option {
			return true
		}
	}
	return false
}

// used are the hierarchies that hold controllers or systemd's sessions. In a hybrid, the one of version 2 holds neither.
func (c Cgroups) used() Cgroups {
	version := c.Version()
	var used Cgroups
	for _, h := range c {
		if h.Version == version {
			used = append(used, h)
		}
	}
	return used
}

// Make makes the cgroup in every hierarchy, with all controllers, and the levels above it.
func (c Cgroups) Make(path string) error {
	for _, h := range c.used() {
		directory := h.Mount
		for _, part := range strings.Split(path, "/") {
			if h.Version == 2 {
				if err := enableControllers(directory); err != nil {
					return err
				}
			}
			directory = filepath.Join(directory, part)
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return fmt.Errorf("making the cgroup: %w", err)
			}
			if h.has("cpuset") {
				if err := inheritCpuset(directory); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inheritCpuset gives a new cgroup its parent's processors and memory: in version 1 it starts with none.
func inheritCpuset(directory string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(directory), file))
		if err == nil {
			err = os.WriteFile(filepath.Join(directory, file), value, 0o644)
		}
		if err != nil {
			return fmt.Errorf("giving the cgroup its processors: %w", err)
		}
	}
	return nil
}

// enableControllers hands the controllers of a version 2 cgroup on to its children.
func enableControllers(directory string) error {
	available, err := os.ReadFile(filepath.Join(directory, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the controllers: %w", err)
	}
	var words []string
	for _, controller := range strings.Fields(string(available)) {
		words = append(words, "+"+controller)
	}
	err = os.WriteFile(filepath.Join(directory, "cgroup.subtree_control"), []byte(strings.Join(words, " ")), 0o644)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("the cgroup %s has processes of its own, so it can hand no controllers on (inside of a container, "+
			"move them into a child cgroup first): %w", directory, err)
	}
	if err != nil {
		return fmt.Errorf("handing on the controllers of %s: %w", directory, err)
	}
	return nil
}

// Adopt moves a process into the cgroup, out of the session that started it, so
// that the end of that session is not its end too.
func (c Cgroups) Adopt(path string, pid int) error {
	for _, h := range c.used() {
		if h.Version == 1 && !h.has("name=systemd") {
			continue
		}
		directory := filepath.Join(h.Mount, path)
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return fmt.Errorf("making the cgroup: %w", err)
		}
		if err := os.WriteFile(filepath.Join(directory, "cgroup.procs"), []byte(fmt.Sprint(pid)), 0o644); err != nil {
			return fmt.Errorf("moving process %d into %s: %w", pid, directory, err)
		}
	}
	return nil
}

// Remove removes the cgroup and those below it from every hierarchy, waiting
// for dead processes to leave. A cgroup with living processes stays, and is an error.
func (c Cgroups) Remove(path string, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for _, h := range c {
		top := filepath.Join(h.Mount, path)
		for {
			err := removeDepthFirst(top)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("removing the cgroup %s (does something of another cluster of that name run in it?): %w", top, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

func removeDepthFirst(directory string) error {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeDepthFirst(filepath.Join(directory, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(directory); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing %s: %w", directory, err)
	}
	return nil
}

// Exists says whether any hierarchy has the cgroup.
func (c Cgroups) Exists(path string) bool {
	for _, h := range c {
		if _, err := os.Stat(filepath.Join(h.Mount, path)); err == nil {
			return true
		}
	}
	return false
}
