//! A client made of `rtc-ice` and `rtc-dtls`.

use super::Stack;
use aws_lc_rs::digest;
use bytes::BytesMut;
use plenum_media_core::srtp::Profile;
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_ice::agent::agent_config::AgentConfig;
use rtc_ice::agent::{Agent, Event};
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::candidate::{Candidate, CandidateConfig};
use rtc_shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use sansio::Protocol as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub const GCM: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm;
pub const CM: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80;

pub struct RtcStack {
    ice: Agent,
    dtls: Endpoint,
    config: Arc<HandshakeConfig>,
    credentials: (String, String),
    fingerprint: String,
    restarts: u32,
    address: SocketAddr,
    node: Option<SocketAddr>,
    connecting: bool,
    out: Vec<Vec<u8>>,
    keys: Option<(Profile, Vec<u8>)>,
}

fn host(address: SocketAddr) -> Candidate {
    let base_config = CandidateConfig {
        network: "udp".into(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..Default::default()
    };
    CandidateHostConfig { base_config, ..Default::default() }.new_candidate_host().unwrap()
}

fn hex(der: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, der);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn credentials(name: &str, restarts: u32) -> (String, String) {
    (format!("{name}x{restarts}ufrag"), format!("{name}password{restarts:020}"))
}

impl RtcStack {
    pub fn new(now: Instant, name: &str, address: SocketAddr, profiles: Vec<SrtpProtectionProfile>) -> Self {
        let provider: Arc<dyn RTCCryptoProvider> = rtc_crypto::default_provider().unwrap();
        let certificate = Certificate::generate_self_signed(vec!["client".into()], provider.crypto()).unwrap();
        let fingerprint = hex(&certificate.certificate[0]);
        let credentials = credentials(name, 0);
        let config = AgentConfig {
            local_ufrag: credentials.0.clone(),
            local_pwd: credentials.1.clone(),
            is_controlling: true,
            ..Default::default()
        };
        let mut ice = Agent::new(now, Arc::new(config), provider.clone()).unwrap();
        ice.add_local_candidate(host(address)).unwrap();
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![certificate])
            .with_srtp_protection_profiles(profiles)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(true, None)
            .unwrap();
        let dtls = Endpoint::new(address, TransportProtocol::UDP, None);
        Self {
            ice,
            dtls,
            config: Arc::new(config),
            credentials,
            fingerprint,
            restarts: 0,
            address,
            node: None,
            connecting: false,
            out: Vec::new(),
            keys: None,
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.ice.poll_event() {
            if let (Event::SelectedCandidatePairChange(..), false, Some(node)) =
                (event.event, self.connecting, self.node)
            {
                self.connecting = true;
                self.dtls.connect(now, node, self.config.clone(), None).unwrap();
            }
        }
        while let Some(message) = self.ice.poll_write() {
            self.out.push(message.message.to_vec());
        }
        while let Some(message) = self.dtls.poll_transmit() {
            self.out.push(message.message.to_vec());
        }
    }
}

impl Stack for RtcStack {
    fn credentials(&self) -> (String, String) {
        self.credentials.clone()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn start(&mut self, now: Instant, remote: (&str, &str), node: SocketAddr) {
        self.node = Some(node);
        self.ice.add_remote_candidate(host(node)).unwrap();
        self.ice.start_connectivity_checks(now, true, remote.0.into(), remote.1.into()).unwrap();
        self.drain(now);
    }

    fn restart(&mut self, now: Instant, address: SocketAddr) {
        self.restarts += 1;
        let name = self.credentials.0.split('x').next().unwrap().to_owned();
        self.credentials = credentials(&name, self.restarts);
        self.address = address;
        self.ice.restart(now, self.credentials.0.clone(), self.credentials.1.clone(), false).unwrap();
        self.ice.add_local_candidate(host(address)).unwrap();
        while self.ice.poll_write().is_some() {}
    }

    fn handle(&mut self, now: Instant, datagram: &[u8]) {
        let Some(node) = self.node else { return };
        if datagram[0] < 4 {
            let transport = TransportContext {
                local_addr: self.address,
                peer_addr: node,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            };
            // Checks of an old ICE generation are refused; that is what a client does too.
            let _refused = self.ice.handle_read(TaggedBytesMut { now, transport, message: BytesMut::from(datagram) });
        } else {
            for event in self.dtls.read(now, node, None, BytesMut::from(datagram)).unwrap_or_default() {
                if matches!(event, EndpointEvent::HandshakeComplete) {
                    let state = self.dtls.get_connection_state(node).unwrap();
                    let profile = if state.srtp_protection_profile() == GCM {
                        Profile::AeadAes128Gcm
                    } else {
                        Profile::Aes128CmSha1
                    };
                    let len = profile.keying_material_len();
                    let secret = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], len).unwrap();
                    self.keys = Some((profile, secret.as_ref().to_vec()));
                }
            }
        }
        self.drain(now);
    }

    fn tick(&mut self, now: Instant) {
        if self.node.is_none() {
            return;
        }
        if self.ice.poll_timeout().is_some_and(|at| at <= now) {
            self.ice.handle_timeout(now).unwrap();
        }
        if let Some(node) = self.node.filter(|node| self.dtls.get_connection_state(*node).is_some()) {
            let _gave_up = self.dtls.handle_timeout(node, now);
        }
        self.drain(now);
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| self.out.remove(0))
    }

    fn keys(&mut self) -> Option<(Profile, Vec<u8>)> {
        self.keys.take()
    }

    fn close(&mut self, now: Instant) {
        self.dtls.close(now).unwrap();
        self.drain(now);
    }
}
