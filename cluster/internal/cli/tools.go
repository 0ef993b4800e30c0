package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"plenum.dev/cluster/internal/cluster"
	"plenum.dev/cluster/internal/image"
)

// toolCommand replaces this program by a tool that works on the cluster.
func toolCommand(o *options, use, short, program string, first ...string) *cobra.Command {
	return &cobra.Command{
		Use:   use + " [--name NAME] -- ARGS...",
		Short: short,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			path, err := cluster.Sibling(program)
			if err != nil {
				return err
			}
			arguments := append(append([]string{program}, first...), args...)
			if err := unix.Exec(path, arguments, toolEnvironment(c)); err != nil {
				return fmt.Errorf("running %s: %w", program, err)
			}
			return nil
		},
	}
}

// toolEnvironment points tools at the cluster, past any proxy.
func toolEnvironment(c *cluster.Cluster) []string {
	direct := c.Plan().ControlPlane().String()
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if former := os.Getenv(name); former != "" {
			direct = former + "," + direct
			break
		}
	}
	var environment []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if name != "KUBECONFIG" && !strings.EqualFold(name, "NO_PROXY") {
			environment = append(environment, entry)
		}
	}
	return append(environment, "KUBECONFIG="+c.Kubeconfig(), "NO_PROXY="+direct, "no_proxy="+direct)
}

func loadImageCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "load-image FILE...",
		Short: "Import image archives (OCI or docker) into every node",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, files []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return c.LoadImages(command.Context(), files)
		},
	}
}

func packImageCommand() *cobra.Command {
	var spec image.Spec
	var binary, output string
	command := &cobra.Command{
		Use:   "pack-image",
		Short: "Pack one static binary into an image archive, without any container tool",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return cluster.PackImage(spec, binary, output)
		},
	}
	flags := command.Flags()
	flags.StringVar(&spec.Name, "tag", "", "the image's whole `name`, such as docker.io/plenum/gateway:dev")
	flags.StringVar(&binary, "binary", "", "the `file` of the binary")
	flags.StringVar(&spec.User, "user", "65532", "the `user` it runs as")
	flags.StringVar(&spec.Entrypoint, "entrypoint", "", "the `path` of the binary in the image")
	flags.StringVarP(&output, "output", "o", "", "the `file` to write")
	for _, name := range []string{"tag", "binary", "entrypoint", "output"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was not defined above
		}
	}
	return command
}
