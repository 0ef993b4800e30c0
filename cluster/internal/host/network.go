package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Wire is a link from this namespace, the router, into another one, where it is called eth0.
type Wire struct {
	Link   string
	Router netip.Addr
	Far    netip.Addr
	// Behind is a range that is routed through the far end; the zero prefix: none.
	Behind netip.Prefix
}

// Connect lays the wire into the network namespace of a process. The far end
// still has to take its address: see TakeAddress.
func (w Wire) Connect(ctx context.Context, pid int) error {
	batch := []string{
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", w.Link, pid),
		fmt.Sprintf("address add %s/32 dev %s", w.Router, w.Link),
		fmt.Sprintf("link set %s up", w.Link),
		fmt.Sprintf("route replace %s/32 dev %s src %s", w.Far, w.Link, w.Router),
	}
	if w.Behind.IsValid() {
		batch = append(batch, fmt.Sprintf("route replace %s via %s dev %s onlink", w.Behind, w.Far, w.Link))
	}
	if err := ipBatch(ctx, batch); err != nil {
		return fmt.Errorf("laying the link %s: %w", w.Link, err)
	}
	// Forwarding is switched on for this link only: the machine's own setting stays, and this one ends with the link.
	setting := "/proc/sys/net/ipv4/conf/" + w.Link + "/forwarding"
	if err := os.WriteFile(setting, []byte("1"), 0o644); err != nil {
		return fmt.Errorf("switching on forwarding for %s: %w", w.Link, err)
	}
	return nil
}

// TakeAddress is the far end's half of Connect, run inside of its namespace.
func (w Wire) TakeAddress(ctx context.Context) error {
	err := ipBatch(ctx, []string{
		"link set lo up",
		fmt.Sprintf("address add %s/32 dev eth0", w.Far),
		"link set eth0 up",
		fmt.Sprintf("route add %s/32 dev eth0", w.Router),
		fmt.Sprintf("route add default via %s", w.Router),
	})
	if err != nil {
		return fmt.Errorf("taking the address %s: %w", w.Far, err)
	}
	return nil
}

func ipBatch(ctx context.Context, lines []string) error {
	_, err := Run(ctx, strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
	return err
}

// Links lists this namespace's links whose name begins with a prefix.
func Links(prefix string) ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	var found []string
	for _, link := range all {
		if strings.HasPrefix(link.Name, prefix) {
			found = append(found, link.Name)
		}
	}
	return found, nil
}

// RemoveLink removes a link, and with it its addresses and routes. One that is gone is fine.
func RemoveLink(ctx context.Context, name string) error {
	if _, err := net.InterfaceByName(name); err != nil {
		return nil
	}
	_, err := Run(ctx, "", "ip", "link", "delete", name)
	if _, gone := net.InterfaceByName(name); gone != nil {
		return nil
	}
	return err
}

// Conflict finds a route of this machine that leads into one of the ranges and
// does not go over a link of the given prefix. Wider routes do not matter: the narrower one wins.
func Conflict(ctx context.Context, ranges []netip.Prefix, ownLinks string) (string, error) {
	text, err := Run(ctx, "", "ip", "-json", "-4", "route", "show", "table", "all")
	if err != nil {
		return "", err
	}
	return findConflict(text, ranges, ownLinks)
}

func findConflict(text string, ranges []netip.Prefix, ownLinks string) (string, error) {
	var routes []struct {
		Destination string `json:"dst"`
		Device      string `json:"dev"`
		Type        string `json:"type"`
	}
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return "", fmt.Errorf("reading the routes of this machine: %w", err)
	}
	for _, route := range routes {
		if strings.HasPrefix(route.Device, ownLinks) {
			continue
		}
		destination, err := parseDestination(route.Destination)
		if err != nil {
			continue // "default" and the like
		}
		for _, r := range ranges {
			if r.Contains(destination.Addr()) && destination.Bits() >= r.Bits() {
				return fmt.Sprintf("%s over %s", route.Destination, route.Device), nil
			}
		}
	}
	return "", nil
}

func parseDestination(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(address, address.BitLen()), nil
}

// Resolve asks a DNS server for a name and checks what it answers.
func Resolve(ctx context.Context, server netip.Addr, name string, want netip.Addr) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", netip.AddrPortFrom(server, 53).String())
	}}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	found, err := resolver.LookupNetIP(ctx, "ip4", name+".")
	if err != nil {
		return err
	}
	for _, address := range found {
		if address.Unmap() == want {
			return nil
		}
	}
	return fmt.Errorf("%s is %v instead of %s", name, found, want)
}
