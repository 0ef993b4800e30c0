// Command plenum-cluster is a real Kubernetes on one machine, for laptops and CI.
// It only starts things and looks after them: Kubernetes itself is in
// plenum-kube, which stands beside it, and so this program stays small enough to
// be the first process of every node, client and forwarder.
package main

import (
	"os"

	"plenum.dev/cluster/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
