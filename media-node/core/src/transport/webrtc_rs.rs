//! The transport made of `rtc-ice` and `rtc-dtls`.
//!
//! Both libraries are kept away from addresses: they see placeholders on our side, and DTLS sees one constant peer,
//! so that a change of the nominated pair does not end its association. The agent's timers are not driven: a lite
//! agent only uses them to fail, and consent is the engine's business.

use super::{PeerTransport, Transmit, TransportError, TransportEvent, TransportFactory, TransportSpec};
use crate::client_hello::{HelloPeek, Peek};
use crate::config::{Certificate, fingerprint_text};
use crate::sdp::IceCredentials;
use crate::srtp::Profile;
use crate::stun::{Binding, Class, Kind, classify};
use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_ice::agent::Agent;
use rtc_ice::agent::agent_config::AgentConfig;
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::candidate::{Candidate, CandidateConfig, CandidateType};
use rtc_shared::error::Error;
use rtc_shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use sansio::Protocol as _;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Our own address towards the libraries (documentation ranges, RFC 5737 and RFC 3849).
const LOCAL_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
const LOCAL_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9);
/// The peer's address towards DTLS.
const DTLS_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);
/// RFC 5764, section 4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// First retransmission of a lost flight; `rtc-dtls` waits a second by default.
const FLIGHT_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// Most datagrams that are held until the ClientHello is whole.
const MAX_HELD: usize = 8;

/// Makes [`WebrtcRs`] transports.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebrtcRsFactory;

impl TransportFactory for WebrtcRsFactory {
    fn create(&self, now: Instant, spec: TransportSpec<'_>) -> Result<Box<dyn PeerTransport>, TransportError> {
        Ok(Box::new(WebrtcRs::new(now, spec)?))
    }
}

/// One peer.
pub struct WebrtcRs {
    ice: Agent,
    dtls: Endpoint,
    certificate: Certificate,
    remote_fingerprint: String,
    hello: HelloPeek,
    /// Fragments of the first ClientHello, until its profiles are known.
    held: Vec<BytesMut>,
    /// A ClientHello has chosen the profile and the endpoint runs.
    started: bool,
    connected: bool,
    /// Set by the certificate check inside the library.
    wrong_certificate: Arc<AtomicBool>,
    nominated: Option<SocketAddr>,
    /// Where DTLS came from last: where answers go before the nomination.
    dtls_from: Option<SocketAddr>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<TransportEvent>,
}

fn ice_error(error: Error) -> TransportError {
    TransportError::Ice(error.to_string())
}

fn dtls_error(error: Error) -> TransportError {
    TransportError::Dtls(error.to_string())
}

impl WebrtcRs {
    fn new(now: Instant, spec: TransportSpec<'_>) -> Result<Self, TransportError> {
        let config = AgentConfig {
            local_ufrag: spec.local.ufrag.clone(),
            local_pwd: spec.local.pwd.clone(),
            lite: true,
            candidate_types: vec![CandidateType::Host],
            ..AgentConfig::default()
        };
        let mut ice = Agent::new(now, Arc::new(config), spec.certificate.provider.clone()).map_err(ice_error)?;
        for local in [LOCAL_V4, LOCAL_V6] {
            ice.add_local_candidate(host_candidate(local)?).map_err(ice_error)?;
        }
        ice.start_connectivity_checks(now, false, spec.remote.ufrag.clone(), spec.remote.pwd.clone())
            .map_err(ice_error)?;
        Ok(Self {
            ice,
            dtls: Endpoint::new(LOCAL_V4, TransportProtocol::UDP, None),
            certificate: spec.certificate.clone(),
            remote_fingerprint: spec.remote_fingerprint.to_owned(),
            hello: HelloPeek::default(),
            held: Vec::new(),
            started: false,
            connected: false,
            wrong_certificate: Arc::new(AtomicBool::new(false)),
            nominated: None,
            dtls_from: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    fn handle_stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), TransportError> {
        let local_addr = if from.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 };
        let transport =
            TransportContext { local_addr, peer_addr: from, ecn: None, transport_protocol: TransportProtocol::UDP };
        let result = self.ice.handle_read(TaggedBytesMut { now, transport, message: BytesMut::from(datagram) });
        let nominating = Binding::parse(datagram).is_some_and(|binding| binding.use_candidate);
        while let Some(message) = self.ice.poll_write() {
            let (to, bytes) = (message.transport.peer_addr, message.message.to_vec());
            // The agent answers a nomination only after the pair passed a check of its own, which proves that the
            // peer really is at that address. Later nominations count too: the agent itself keeps to the first.
            let answered = Binding::parse(&bytes).is_some_and(|answer| answer.class == Class::Success) && to == from;
            if nominating && answered && self.nominated != Some(from) {
                self.nominated = Some(from);
                self.events.push_back(TransportEvent::Nominated(from));
            }
            self.transmits.push_back(Transmit { to, bytes });
        }
        // Its own view of states and pairs is not used.
        while self.ice.poll_event().is_some() {}
        result.map_err(ice_error)
    }

    fn handle_dtls(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), TransportError> {
        self.dtls_from = Some(from);
        if self.started {
            return self.read_dtls(now, BytesMut::from(datagram));
        }
        let peek = match self.hello.add(datagram) {
            Peek::NotHello => return Err(TransportError::NoHandshake),
            Peek::Partial if self.held.len() >= MAX_HELD => Peek::Unclear,
            peek => peek,
        };
        self.held.push(BytesMut::from(datagram));
        let Some(profiles) = profiles(peek) else { return Ok(()) };
        let config = self.handshake_config(profiles)?;
        self.dtls.set_server_config(Some(Arc::new(config)));
        self.started = true;
        std::mem::take(&mut self.held).into_iter().try_for_each(|held| self.read_dtls(now, held))
    }

    fn read_dtls(&mut self, now: Instant, datagram: BytesMut) -> Result<(), TransportError> {
        let result = self.dtls.read(now, DTLS_PEER, None, datagram);
        self.collect_dtls();
        if self.wrong_certificate.load(Ordering::Relaxed) {
            self.events.push_back(TransportEvent::Failed);
        }
        for event in result.map_err(dtls_error)? {
            match event {
                EndpointEvent::HandshakeComplete => self.export_keys(),
                EndpointEvent::PeerClosed => self.events.push_back(TransportEvent::Closed),
                // Data channels are not served; their sections are rejected in the answer.
                _ => {}
            }
        }
        Ok(())
    }

    fn handshake_config(&self, profiles: Vec<SrtpProtectionProfile>) -> Result<HandshakeConfig, TransportError> {
        let expected = self.remote_fingerprint.clone();
        let wrong = self.wrong_certificate.clone();
        ConfigBuilder::default()
            .with_crypto_provider(self.certificate.provider.clone())
            .with_certificates(vec![self.certificate.dtls.clone()])
            .with_srtp_protection_profiles(profiles)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // No CA signs these certificates: the fingerprint in the offer is what authenticates (RFC 8122).
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_verify_peer_certificate(Some(Arc::new(move |chain: &[Vec<u8>], _: &[_]| {
                if chain.first().is_some_and(|der| fingerprint_text(der) == expected) {
                    return Ok(());
                }
                wrong.store(true, Ordering::Relaxed);
                Err(Error::Other("the certificate is not the one of the offer".to_owned()))
            })))
            .build(false, None)
            .map_err(dtls_error)
    }

    fn export_keys(&mut self) {
        let keys = self.dtls.get_connection_state(DTLS_PEER).and_then(|state| {
            let profile = match state.srtp_protection_profile() {
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::Aes128CmSha1,
                _ => return None,
            };
            let secret = state.export_keying_material(EXPORTER, &[], profile.keying_material_len()).ok()?;
            Some(TransportEvent::Keys { profile, material: secret.as_ref().to_vec() })
        });
        self.connected = keys.is_some();
        self.events.push_back(keys.unwrap_or(TransportEvent::Failed));
    }

    fn collect_dtls(&mut self) {
        while let Some(message) = self.dtls.poll_transmit() {
            if let Some(to) = self.nominated.or(self.dtls_from) {
                self.transmits.push_back(Transmit { to, bytes: message.message.to_vec() });
            }
        }
    }
}

/// The SRTP profiles that DTLS may choose from, given the ClientHello. `None`: not known yet.
fn profiles(hello: Peek) -> Option<Vec<SrtpProtectionProfile>> {
    let gcm = SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm;
    let cm = SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80;
    match hello {
        Peek::NotHello | Peek::Partial => None,
        Peek::Offers { gcm: true, .. } => Some(vec![gcm]),
        Peek::Offers { gcm: false, .. } => Some(vec![cm]),
        Peek::Unclear => Some(vec![gcm, cm]),
    }
}

fn host_candidate(address: SocketAddr) -> Result<Candidate, TransportError> {
    let base_config = CandidateConfig {
        network: "udp".to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..CandidateConfig::default()
    };
    CandidateHostConfig { base_config, ..CandidateHostConfig::default() }.new_candidate_host().map_err(ice_error)
}

impl PeerTransport for WebrtcRs {
    fn handle_packet(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), TransportError> {
        match classify(datagram) {
            Some(Kind::Stun) => self.handle_stun(now, from, datagram),
            _ => self.handle_dtls(now, from, datagram),
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.connected { None } else { self.dtls.poll_timeout(&DTLS_PEER) }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        if self.dtls.handle_timeout(DTLS_PEER, now).is_err() {
            self.events.push_back(TransportEvent::Failed);
        }
        self.collect_dtls();
    }

    fn restart(&mut self, now: Instant, local: &IceCredentials, remote: &IceCredentials) -> Result<(), TransportError> {
        self.ice.restart(now, local.ufrag.clone(), local.pwd.clone(), true).map_err(ice_error)?;
        self.ice.start_connectivity_checks(now, false, remote.ufrag.clone(), remote.pwd.clone()).map_err(ice_error)?;
        while self.ice.poll_write().is_some() {}
        while self.ice.poll_event().is_some() {}
        Ok(())
    }

    fn close(&mut self, now: Instant) {
        // A failure to say goodbye changes nothing: the peer's consent runs out.
        if self.connected && self.dtls.close(now).is_ok() {
            self.collect_dtls();
        }
    }
}
