package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/image"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
	"plenum.dev/cluster/internal/tree"
)

// PauseImage is the image of the process that holds a pod's namespaces open.
const PauseImage = "docker.io/plenum/pause:1"

// LoadImages imports image archives into every node that runs, all at once.
func (c *Cluster) LoadImages(ctx context.Context, files []string) error {
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("loading images: %w", err)
		}
	}
	return c.change(func() error {
		group, groupContext := errgroup.WithContext(ctx)
		for _, node := range c.plan.Nodes() {
			if err := c.treeAlive(state.Node, node.Name); err != nil {
				c.progress.Say("node %s is down and gets no images", node.Name)
				continue
			}
			group.Go(func() error { return c.importImages(groupContext, node, files) })
		}
		return group.Wait()
	})
}

// importImages waits for the node's containerd and imports archives into it.
func (c *Cluster) importImages(ctx context.Context, node plan.Node, files []string) error {
	record, err := c.directory.Tree(state.Node, node.Name)
	if err != nil {
		return fmt.Errorf("reading the record of node %s: %w", node.Name, err)
	}
	socket := fmt.Sprintf("/proc/%d/root%s", record.Process.PID, tree.ContainerdSocket)
	err = wait(ctx, "containerd of "+node.Name, 30*time.Second,
		func() error { return c.treeAlive(state.Node, node.Name) },
		func() error {
			connection, err := net.Dial("unix", socket)
			if err != nil {
				return err
			}
			return connection.Close()
		})
	if err != nil {
		return err
	}
	snapshotter, err := os.ReadFile(c.directory.Path("nodes", node.Name, "snapshotter"))
	if err != nil {
		return fmt.Errorf("reading which snapshotter %s has: %w", node.Name, err)
	}
	for _, file := range files {
		_, err := host.Run(ctx, "", "ctr", "--address", socket, "--namespace", "k8s.io",
			"images", "import", "--snapshotter", strings.TrimSpace(string(snapshotter)), file)
		if err != nil {
			return fmt.Errorf("importing into %s: %w", node.Name, err)
		}
	}
	return nil
}

// pauseArchive packs the pause program, which stands beside this one, into an image.
func (c *Cluster) pauseArchive() (string, error) {
	binary, err := Sibling("plenum-pause")
	if err != nil {
		return "", err
	}
	path := c.directory.Path("pause.tar")
	return path, PackImage(image.Spec{Name: PauseImage, Entrypoint: "/pause", User: "65535"}, binary, path)
}

// PackImage packs one static binary into an image archive.
func PackImage(spec image.Spec, binary, path string) error {
	text, err := os.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("packing %s: %w", spec.Name, err)
	}
	spec.Binary = text
	var archive bytes.Buffer
	if err := spec.Write(&archive); err != nil {
		return fmt.Errorf("packing %s: %w", spec.Name, err)
	}
	return state.WriteFile(path, archive.Bytes(), 0o644)
}

// Sibling finds a program that is built and installed beside this one.
func Sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s must stand beside plenum-cluster (build all of cluster/ into one directory): %w", name, err)
	}
	return path, nil
}

// imagesIn lists the image archives of a directory; an empty name has none.
func imagesIn(directory string) ([]string, error) {
	if directory == "" {
		return nil, nil
	}
	if _, err := os.Stat(directory); err != nil {
		return nil, fmt.Errorf("looking for images: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(directory, "*.tar"))
	if err != nil {
		return nil, fmt.Errorf("looking for images: %w", err)
	}
	return files, nil
}
