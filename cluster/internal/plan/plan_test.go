package plan

import (
	"net/netip"
	"strings"
	"testing"
)

func all(t *testing.T) []Plan {
	t.Helper()
	var plans []Plan
	for i := 0; i <= MaxIndex; i++ {
		p, err := New("c", i)
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, p)
	}
	return plans
}

func TestTwoIndexesNeverShareAnAddress(t *testing.T) {
	plans := all(t)
	for i, a := range plans {
		for _, b := range plans[i+1:] {
			for _, ra := range a.Ranges() {
				for _, rb := range b.Ranges() {
					if ra.Overlaps(rb) {
						t.Errorf("index %d claims %s and index %d claims %s", a.Index, ra, b.Index, rb)
					}
				}
			}
		}
	}
}

func TestTheRangesOfOneIndexDoNotOverlap(t *testing.T) {
	for _, p := range all(t) {
		ranges := p.Ranges()
		for i, a := range ranges {
			for _, b := range ranges[i+1:] {
				if a.Overlaps(b) {
					t.Errorf("index %d: %s and %s", p.Index, a, b)
				}
			}
		}
	}
}

func TestEveryAddressOfAClusterIsUniqueAndInItsRange(t *testing.T) {
	for _, p := range all(t) {
		seen := map[netip.Addr]string{}
		add := func(what string, a netip.Addr) {
			if other, taken := seen[a]; taken {
				t.Errorf("index %d: %s and %s share %s", p.Index, what, other, a)
			}
			if !p.Outside().Contains(a) {
				t.Errorf("index %d: %s is outside of %s", p.Index, a, p.Outside())
			}
			seen[a] = what
		}
		add("router", p.Router())
		add("control plane", p.ControlPlane())
		for _, n := range p.Nodes() {
			add(n.Name, p.NodeAddress(n))
			if !p.Pods().Overlaps(p.NodePods(n)) {
				t.Errorf("index %d: %s's pods are outside of %s", p.Index, n.Name, p.Pods())
			}
		}
		for slot := 1; slot <= MaxClients; slot++ {
			add("client", p.ClientAddress(slot))
		}
	}
}

func TestLinkAndChainNamesFitTheKernelAndAreNoPrefixOfAnothers(t *testing.T) {
	plans := all(t)
	for i, a := range plans {
		if name := a.ClientLink(MaxClients); len(name) > 15 {
			t.Errorf("%s is longer than a link's name may be", name)
		}
		for j, b := range plans {
			if i != j && strings.HasPrefix(b.ClientLink(1), a.LinkPrefix()) {
				t.Errorf("%s begins with %s", b.ClientLink(1), a.LinkPrefix())
			}
			if i != j && (a.ForwardChain() == b.ForwardChain() || a.OutputChain() == b.OutputChain()) {
				t.Errorf("indexes %d and %d share a chain", i, j)
			}
		}
	}
}

func TestChainsOfClientsAreThoseOfTheirIndexOnly(t *testing.T) {
	one, ten := Plan{Name: "a", Index: 1}, Plan{Name: "b", Index: 10}
	chains := []string{one.ClientChain(3), ten.ClientChain(3), one.ForwardChain(), one.ClientChain(MaxClients)}
	if found := one.ChainsOfClients(chains); len(found) != 2 || found[0] != chains[0] || found[1] != chains[3] {
		t.Errorf("of %v index 1 has %v", chains, found)
	}
	if len(one.ClientChain(MaxClients)) > 28 {
		t.Errorf("%s is longer than a chain's name may be", one.ClientChain(MaxClients))
	}
}

func TestNamesThatCannotBeUsedAreRefused(t *testing.T) {
	for _, name := range []string{"", "UPPER", "a/b", "..", "-a", "a-", "a b", strings.Repeat("a", 33)} {
		if _, err := New(name, 0); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, index := range []int{-1, MaxIndex + 1} {
		if _, err := New("fine", index); err == nil {
			t.Errorf("index %d was taken", index)
		}
	}
	if _, err := New("plenum-test", 1); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownNodeIsNamedInTheError(t *testing.T) {
	if _, err := (Plan{}).Node("mars-a"); err == nil || !strings.Contains(err.Error(), "mars-a") {
		t.Errorf("got %v", err)
	}
}
