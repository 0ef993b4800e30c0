// Package host does things to this machine: links, routes, firewall chains and
// cgroups. Each has a function that makes it and one that removes what is left
// of it. Nothing here knows what a cluster is for.
package host

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Run runs a command to its end and gives what it printed. Its error carries the command's own words.
func Run(ctx context.Context, input, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Stdin = strings.NewReader(input)
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	if err := command.Run(); err != nil {
		words := strings.Join(strings.Fields(complaint.String()), " ")
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, words)
	}
	return out.String(), nil
}
