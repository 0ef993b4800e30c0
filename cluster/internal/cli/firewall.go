package cli

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"plenum.dev/cluster/internal/cluster"
	"plenum.dev/cluster/internal/host"
)

func clientFirewallCommand(o *options) *cobra.Command {
	var allow string
	var texts []string
	var except []netip.AddrPort
	command := &cobra.Command{Use: "firewall CLIENT --allow open|tcp|tcp443|servers [--except ADDRESS:PORT]...", Args: cobra.ExactArgs(1),
		Short: "Set what a client's firewall lets out: everything, TCP, TCP to port 443 and to the exceptions, or whatever is not for other clients",
		PreRunE: func(*cobra.Command, []string) error {
			for _, text := range texts {
				endpoint, err := netip.ParseAddrPort(text)
				if err != nil {
					return fmt.Errorf("the exception %q is no address and port: %w", text, err)
				}
				except = append(except, endpoint)
			}
			return cluster.CheckClientFirewall(host.Allow(allow), except)
		},
		RunE: func(command *cobra.Command, args []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return c.SetClientFirewall(command.Context(), args[0], host.Allow(allow), except)
		}}
	command.Flags().StringVar(&allow, "allow", "", "`what` is let out: open, tcp, tcp443, servers; DNS always is")
	command.Flags().StringArrayVar(&texts, "except", nil, "with tcp443: a TCP `endpoint` that is let out too, such as the gateway's; repeatable")
	if err := command.MarkFlagRequired("allow"); err != nil {
		panic(err) // a flag that was not defined above
	}
	return command
}
