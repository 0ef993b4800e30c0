package cli

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"plenum.dev/cluster/internal/cluster"
)

func nodeCommand(o *options) *cobra.Command {
	command := &cobra.Command{Use: "node", Short: "Kill a node, or bring it back"}
	on := func(use, short string, do func(*cobra.Command, *cluster.Cluster, string) error) *cobra.Command {
		return &cobra.Command{Use: use + " NODE", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(command *cobra.Command, args []string) error {
				c, err := o.open()
				if err != nil {
					return err
				}
				return do(command, c, args[0])
			}}
	}
	command.AddCommand(
		on("kill", "Kill every process of a node at once, as a power cut would", func(command *cobra.Command, c *cluster.Cluster, name string) error {
			return c.KillNode(command.Context(), name)
		}),
		on("start", "Bring a killed node back and wait until it is Ready", func(command *cobra.Command, c *cluster.Cluster, name string) error {
			return c.StartNode(command.Context(), name)
		}),
	)
	return command
}

func clientCommand(o *options) *cobra.Command {
	command := &cobra.Command{Use: "client", Short: "Clients: network namespaces in a region, where browsers run"}
	command.AddCommand(clientAddCommand(o), clientExecCommand(o), clientRemoveCommand(o), clientListCommand(o), clientFirewallCommand(o))
	return command
}

func clientAddCommand(o *options) *cobra.Command {
	var region string
	command := &cobra.Command{Use: "add CLIENT --region REGION", Short: "Add a client and print its address", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			added, err := c.AddClient(command.Context(), args[0], region)
			if err != nil {
				return err
			}
			fmt.Println(added.Address)
			return nil
		}}
	command.Flags().StringVar(&region, "region", "eu-west", "the `region` that the client is in")
	return command
}

func clientExecCommand(o *options) *cobra.Command {
	return &cobra.Command{Use: "exec CLIENT -- COMMAND ARGS...", Short: "Become a command in the client's network", Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return c.ExecInClient(args[0], args[1:])
		}}
}

func clientRemoveCommand(o *options) *cobra.Command {
	return &cobra.Command{Use: "remove CLIENT", Short: "Remove a client and end what runs in it", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return c.RemoveClient(command.Context(), args[0])
		}}
}

func clientListCommand(o *options) *cobra.Command {
	var output string
	command := &cobra.Command{Use: "list", Short: "List the clients", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			clients, err := c.Clients()
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(clients)
			}
			return printClients(clients)
		}}
	outputFlag(command, &output)
	return command
}

func printClients(clients []cluster.ClientStatus) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tREGION\tADDRESS\tPID\tLINK")
	for _, c := range clients {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Name, c.Region, c.Address, pid(c.PID, c.Alive), c.Link)
	}
	return table.Flush()
}

func forwardCommand(o *options) *cobra.Command {
	var listen, to string
	command := &cobra.Command{Use: "forward --listen ADDRESS:PORT --to ADDRESS:PORT", Args: cobra.NoArgs,
		Short: "Carry TCP connections from this machine into the cluster, in the background until it is down",
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return c.AddForward(command.Context(), listen, to)
		}}
	command.Flags().StringVar(&listen, "listen", "", "where connections come in, such as `127.0.0.1:8080`")
	command.Flags().StringVar(&to, "to", "", "where they go, such as a `node's address and a NodePort`")
	for _, name := range []string{"listen", "to"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was not defined above
		}
	}
	return command
}

func registryCommand(o *options) *cobra.Command {
	var login string
	command := &cobra.Command{Use: "registry", Args: cobra.NoArgs,
		Short: "Run an image registry, in the background until the cluster is down, and print how its images' names begin",
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			registry, err := c.AddRegistry(command.Context(), login)
			if err != nil {
				return err
			}
			fmt.Println(registry.Name)
			return nil
		}}
	command.Flags().StringVar(&login, "login", "", "ask for a `NAME:PASSWORD`; by default nobody is asked")
	return command
}

func statusCommand(o *options) *cobra.Command {
	var output string
	command := &cobra.Command{Use: "status", Short: "Show the cluster; exit 3 when it is not running", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			s, err := c.Status(command.Context())
			if err != nil {
				return err
			}
			show := printStatus
			if output == "json" {
				show = func(s cluster.Status) error { return printJSON(s) }
			}
			if err := show(s); err != nil {
				return err
			}
			if !s.Running {
				return errNotRunning
			}
			return nil
		}}
	outputFlag(command, &output)
	return command
}

func printStatus(s cluster.Status) error {
	fmt.Printf("cluster %s, index %d: %s\n", s.Name, s.Index, word(s.Running, "running", "not running"))
	fmt.Printf("kubeconfig  %s\nstate       %s\npods        %s\nservices    %s\n\n", s.Kubeconfig, s.State, s.PodRange, s.ServiceRange)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tREGION\tZONE\tADDRESS\tPID\tREADY")
	cp := s.ControlPlane
	fmt.Fprintf(table, "control-plane\t\t\t%s\t%s\t%s\n", cp.Address, pid(cp.PID, cp.Alive), word(cp.Ready, "yes", "no"))
	for _, n := range s.Nodes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", n.Name, n.Region, n.Zone, n.Address, pid(n.PID, n.Alive), word(n.Ready && n.Alive, "yes", "no"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(s.Clients) > 0 {
		fmt.Println()
		if err := printClients(s.Clients); err != nil {
			return err
		}
	}
	for _, f := range s.Forwards {
		fmt.Printf("\nforward %s -> %s (%s)\n", f.Listen, f.To, pid(f.PID, f.Alive))
	}
	if r := s.Registry; r != nil {
		fmt.Printf("\nregistry %s (%s)\n", r.Name, pid(r.PID, r.Alive))
	}
	return nil
}

func pid(number int, alive bool) string {
	if !alive {
		return "dead"
	}
	return fmt.Sprint(number)
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
