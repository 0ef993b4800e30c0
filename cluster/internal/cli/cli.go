// Package cli is the command line. It reads flags and prints; what is done is
// decided in internal/cluster.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"plenum.dev/cluster/internal/cluster"
	"plenum.dev/cluster/internal/state"
	"plenum.dev/cluster/internal/tree"
)

// Exit codes: everything that failed is 1, a wrong command line is 2, and a cluster that is not there is 3.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
)

// errNotRunning ends a command whose answer was already printed.
var errNotRunning = errors.New("")

// Main runs one command line and gives the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	parsed := false
	onRun(root, func() { parsed = true })
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if err != errNotRunning {
		fmt.Fprintln(os.Stderr, "plenum-cluster:", err)
	}
	switch {
	case err == errNotRunning, errors.Is(err, cluster.ErrNotRunning):
		return exitNotRunning
	case !parsed:
		return exitUsage
	}
	return exitFailed
}

// onRun calls a function before any command's own work, that is once its command line was found to be right.
func onRun(command *cobra.Command, call func()) {
	if run := command.RunE; run != nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			call()
			return run(command, args)
		}
	}
	for _, child := range command.Commands() {
		onRun(child, call)
	}
}

// options are what every command takes.
type options struct{ name string }

func (o *options) open() (*cluster.Cluster, error) {
	return cluster.Open(o.name, cluster.NewProgress(os.Stderr))
}

func rootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "plenum-cluster",
		Short:         "A real Kubernetes on one machine: a control plane, three nodes in two regions, and clients",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&o.name, "name", "plenum", "the cluster's `name`")
	root.AddCommand(
		upCommand(o), downCommand(o), statusCommand(o), kubeconfigCommand(o),
		toolCommand(o, "kubectl", "Run kubectl on the cluster", "plenum-kube", "kubectl"),
		toolCommand(o, "helm", "Run Helm on the cluster", "helm"),
		loadImageCommand(o), packImageCommand(), nodeCommand(o), clientCommand(o), forwardCommand(o), registryCommand(o), treeCommand(),
	)
	return root
}

func upCommand(o *options) *cobra.Command {
	up := cluster.UpOptions{}
	command := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster, mend it, or find that it runs",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			progress := cluster.NewProgress(os.Stderr)
			up.Name = o.name
			c, err := cluster.Up(command.Context(), up, progress)
			if err != nil {
				return err
			}
			progress.Say("%s is up; kubeconfig: %s", o.name, c.Kubeconfig())
			return nil
		},
	}
	command.Flags().IntVar(&up.Index, "index", cluster.AnyIndex, "which of the 16 address plans to use; by default the first free `one`")
	command.Flags().StringVar(&up.ImageDir, "image-dir", "", "a `directory` of image archives (*.tar) for every node")
	return command
}

func downCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the cluster and everything that belongs to it",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return cluster.Down(command.Context(), o.name, cluster.NewProgress(os.Stderr))
		},
	}
}

func kubeconfigCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the administrator's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			fmt.Println(c.Kubeconfig())
			return nil
		},
	}
}

// treeCommand is how this program runs as the first process of a tree.
func treeCommand() *cobra.Command {
	var directory string
	command := &cobra.Command{
		Use:    tree.Command + " KIND NAME",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			return tree.Run(command.Context(), state.Directory(directory), state.Kind(args[0]), args[1])
		},
	}
	command.Flags().StringVar(&directory, tree.StateFlag[2:], "", "the cluster's state `directory`")
	return command
}

func printJSON(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// outputFlag adds -o, whose only value is json.
func outputFlag(command *cobra.Command, output *string) {
	command.Flags().StringVarP(output, "output", "o", "", "`json` prints it for programs")
	command.PreRunE = func(*cobra.Command, []string) error {
		if *output != "" && *output != "json" {
			return fmt.Errorf("the output %q is not known: leave it out, or say json", *output)
		}
		return nil
	}
}
