// Package plan derives everything that names or numbers a cluster from its name
// and its index: addresses, links, firewall chains, cgroups. It is pure. Two
// clusters whose index differs share nothing, which is what lets them run side by side.
package plan

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// MaxIndex is the highest index that the address ranges have room for.
const MaxIndex = 15

// MaxClients is how many clients a cluster can have: one /24 holds them.
const MaxClients = 250

// Plan is a cluster's identity. Its zero value is the cluster "" of index 0;
// make one with New, which checks both.
type Plan struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
}

// Node is one of the cluster's three nodes. Slot is unique in the cluster and starts at 1.
type Node struct {
	Name   string
	Region string
	Zone   string
	Slot   int
}

var nodes = []Node{
	{Name: "eu-west-a", Region: "eu-west", Zone: "eu-west-a", Slot: 1},
	{Name: "eu-west-b", Region: "eu-west", Zone: "eu-west-b", Slot: 2},
	{Name: "us-east-a", Region: "us-east", Zone: "us-east-a", Slot: 3},
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// ValidName says whether a cluster or client may have this name: a DNS label of at most 32 characters.
func ValidName(name string) bool { return label.MatchString(name) }

// New makes a plan, or says what is wrong with the name or the index.
func New(name string, index int) (Plan, error) {
	if !ValidName(name) {
		return Plan{}, fmt.Errorf("the name %q is not usable: lower-case letters, digits and dashes, at most 32", name)
	}
	if index < 0 || index > MaxIndex {
		return Plan{}, fmt.Errorf("the index %d is not usable: it goes from 0 to %d", index, MaxIndex)
	}
	return Plan{Name: name, Index: index}, nil
}

// Nodes lists the nodes of every cluster, in the order of their slots.
func (p Plan) Nodes() []Node { return append([]Node(nil), nodes...) }

// Node finds a node by its name.
func (p Plan) Node(name string) (Node, error) {
	for _, n := range nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("there is no node %q; the nodes are eu-west-a, eu-west-b and us-east-a", name)
}

// Regions lists the regions in which nodes and clients can be.
func (p Plan) Regions() []string { return []string{"eu-west", "us-east"} }

func (p Plan) outside(third, fourth int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, byte(64 + p.Index), byte(third), byte(fourth)})
}

// Outside is the range of the control plane, the nodes and the clients: what would be the internet.
func (p Plan) Outside() netip.Prefix { return netip.PrefixFrom(p.outside(0, 0), 16) }

// Router is the address under which the machine's own namespace routes between all of them.
func (p Plan) Router() netip.Addr { return p.outside(0, 254) }

// ControlPlane is the address of the API server (port 6443) and of the cluster's DNS.
func (p Plan) ControlPlane() netip.Addr { return p.outside(0, 1) }

// NodeAddress is a node's InternalIP.
func (p Plan) NodeAddress(n Node) netip.Addr { return p.outside(1, 10+n.Slot) }

// ClientAddress is the address of the client in a slot (1 to MaxClients).
func (p Plan) ClientAddress(slot int) netip.Addr { return p.outside(2, slot) }

// Clients is the range of all clients.
func (p Plan) Clients() netip.Prefix { return netip.PrefixFrom(p.outside(2, 0), 24) }

// Pods is the range of all pods.
func (p Plan) Pods() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(244 - p.Index), 0, 0}), 16)
}

// NodePods is the range of one node's pods.
func (p Plan) NodePods(n Node) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(244 - p.Index), byte(n.Slot), 0}), 24)
}

func (p Plan) service(third, fourth int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(96 + p.Index), byte(third), byte(fourth)})
}

// Services is the range of cluster addresses.
func (p Plan) Services() netip.Prefix { return netip.PrefixFrom(p.service(0, 0), 16) }

// APIService is the cluster address of the API server.
func (p Plan) APIService() netip.Addr { return p.service(0, 1) }

// DNSService is the cluster address of the DNS server.
func (p Plan) DNSService() netip.Addr { return p.service(0, 10) }

// Ranges lists the ranges that the cluster claims on this machine.
func (p Plan) Ranges() []netip.Prefix {
	return []netip.Prefix{p.Outside(), p.Pods(), p.Services()}
}

// LinkPrefix begins the name of every link of the cluster in the router, and of no other.
func (p Plan) LinkPrefix() string { return fmt.Sprintf("pl%d-", p.Index) }

// ControlPlaneLink is the router's end of the control plane's link.
func (p Plan) ControlPlaneLink() string { return p.LinkPrefix() + "k" }

// NodeLink is the router's end of a node's link.
func (p Plan) NodeLink(n Node) string { return fmt.Sprintf("%sn%d", p.LinkPrefix(), n.Slot) }

// ClientLink is the router's end of a client's link.
func (p Plan) ClientLink(slot int) string { return fmt.Sprintf("%sc%d", p.LinkPrefix(), slot) }

// ClientChain is the chain of the firewall of the client in a slot.
func (p Plan) ClientChain(slot int) string { return fmt.Sprintf("PLENUM-C%d-%d", p.Index, slot) }

// ChainsOfClients picks, out of chains, those of clients' firewalls of this index.
func (p Plan) ChainsOfClients(chains []string) []string {
	var found []string
	for _, chain := range chains {
		if strings.HasPrefix(chain, fmt.Sprintf("PLENUM-C%d-", p.Index)) {
			found = append(found, chain)
		}
	}
	return found
}

// ForwardChain is the chain that packets between links pass.
func (p Plan) ForwardChain() string { return fmt.Sprintf("PLENUM-F%d", p.Index) }

// OutputChain is the chain that this machine's own packets pass.
func (p Plan) OutputChain() string { return fmt.Sprintf("PLENUM-O%d", p.Index) }

// Cgroup is the cluster's cgroup below the root of each hierarchy, and the mark of its firewall rules.
func (p Plan) Cgroup() string { return "plenum-" + p.Name }
