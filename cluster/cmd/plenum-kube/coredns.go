package main

import (
	"os"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	// The plugins that the cluster's Corefile names, and no others.
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

// runCoreDNS runs the DNS server. The order of the directives is the order in
// which a query passes the plugins, whatever the Corefile's own order.
func runCoreDNS(args []string) {
	dnsserver.Directives = []string{"errors", "health", "ready", "cache", "kubernetes"}
	os.Args = append([]string{"coredns"}, args...)
	coremain.Run()
}
