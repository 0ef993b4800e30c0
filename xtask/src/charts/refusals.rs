//! Values that the charts must refuse, and a word that the message must hold so that a person finds the mistake.

use super::Charts;
use anyhow::bail;

const CASES: [(&str, &str); 19] = [
    ("gatway.replicas=2", "gatway"),
    ("gateway.replica=2", "replica"),
    ("gateway.replicas=0", "replicas"),
    ("gateway.replicas=two", "replicas"),
    ("operator.replicas=6", "replicas"),
    ("image.tag=latest", "tag"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("image.registry=", "registry"),
    ("gateway.publicURL=rooms.example", "publicURL"),
    ("gateway.publicURL=https://rooms.example/", "publicURL"),
    ("gateway.service.type=ExternalName", "type"),
    ("gateway.service.port=70000", "port"),
    ("gateway.service.nodePort=30080", "NodePort"),
    ("gateway.tls.secretName=Not_A_Name", "secretName"),
    ("networkPolicies.mediaNamespaces={Bad_Name}", "mediaNamespaces"),
    ("operator.turnAuthSecrets={Not_A_Name}", "turnAuthSecrets"),
    ("pools[0].name=eu,pools[0].spec.region=eu,pools[0].spec.role=turn", "role"),
    ("pools[0].name=eu", "spec"),
    ("pools[0].spec.region=eu,pools[0].name=eu", "role"),
];

/// Every case is refused, by its name.
pub(super) fn check(charts: &Charts) -> anyhow::Result<()> {
    for (value, word) in CASES {
        match charts.template(&[value]) {
            Ok(_) => bail!("the chart takes {value}"),
            Err(error) if format!("{error:#}").contains(word) => {}
            Err(error) => bail!("the chart refuses {value} without a word about {word}: {error:#}"),
        }
    }
    Ok(())
}
