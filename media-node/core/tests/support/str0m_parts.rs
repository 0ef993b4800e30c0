//! The second implementation of both sides, made of `is` and `dimpl`: a client, and a transport for the engine.

use super::Stack;
use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use plenum_media_core::Certificate;
use plenum_media_core::sdp::IceCredentials;
use plenum_media_core::srtp::Profile;
use plenum_media_core::transport::{
    PeerTransport, Transmit, TransportError, TransportEvent, TransportFactory, TransportSpec,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What both roles share.
struct Parts {
    ice: IceAgent,
    dtls: Dtls,
    local: SocketAddr,
    /// DTLS may speak.
    go: bool,
    deadline: Option<Instant>,
    remote: Option<SocketAddr>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<TransportEvent>,
    expected_fingerprint: Option<String>,
}

fn profile(profile: SrtpProfile) -> Option<Profile> {
    match profile {
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::Aes128CmSha1),
        _ => None,
    }
}

fn hex(der: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

impl Parts {
    fn new(now: Instant, certificate: &DtlsCertificate, creds: IceCreds, local: SocketAddr, client: bool) -> Self {
        let mut ice = IceAgent::new(creds);
        ice.set_controlling(client);
        ice.set_ice_lite(!client);
        ice.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let config = Arc::new(Config::builder().build().unwrap());
        let mut dtls = Dtls::new_12(config, certificate.clone(), now);
        dtls.set_active(client);
        Self {
            ice,
            dtls,
            local,
            go: false,
            deadline: None,
            remote: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            expected_fingerprint: None,
        }
    }

    fn begin_dtls(&mut self, now: Instant) {
        if !self.go {
            self.go = true;
            self.dtls.handle_timeout(now).unwrap();
        }
    }

    fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        let taken = if datagram[0] < 4 {
            let Ok(message) = StunMessage::parse(datagram) else { return false };
            let packet = StunPacket { proto: Protocol::Udp, source: from, destination: self.local, message };
            let taken = self.ice.handle_packet(now, packet);
            self.ice.handle_timeout(now);
            taken
        } else {
            self.begin_dtls(now);
            self.dtls.handle_packet(datagram).is_ok()
        };
        self.drain(now, from);
        taken
    }

    fn tick(&mut self, now: Instant) {
        if self.ice.poll_timeout().is_some_and(|at| at <= now) {
            self.ice.handle_timeout(now);
        }
        if self.go && self.deadline.is_some_and(|at| at <= now) {
            let _gave_up = self.dtls.handle_timeout(now);
        }
        let to = self.remote.unwrap_or(self.local);
        self.drain(now, to);
    }

    fn drain(&mut self, now: Instant, from: SocketAddr) {
        while let Some(event) = self.ice.poll_event() {
            if let IceAgentEvent::NominatedSend { destination, .. } = event {
                self.remote = Some(destination);
                self.events.push_back(TransportEvent::Nominated(destination));
                self.begin_dtls(now);
            }
        }
        while let Some(transmit) = self.ice.poll_transmit() {
            self.out.push_back((transmit.destination, Vec::from(transmit.contents)));
        }
        if !self.go {
            return;
        }
        let mut buffer = vec![0; 4096];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(bytes) => self.out.push_back((self.remote.unwrap_or(from), bytes.to_vec())),
                Output::Timeout(at) => {
                    self.deadline = Some(at);
                    return;
                }
                Output::PeerCert(der) if self.expected_fingerprint.as_ref().is_some_and(|it| *it != hex(der)) => {
                    self.events.push_back(TransportEvent::Failed);
                }
                Output::KeyingMaterial(material, negotiated) => self.events.push_back(match profile(negotiated) {
                    Some(profile) => TransportEvent::Keys { profile, material: material.as_ref().to_vec() },
                    None => TransportEvent::Failed,
                }),
                Output::CloseNotify => self.events.push_back(TransportEvent::Closed),
                _ => {}
            }
        }
    }
}

/// A client.
pub struct Str0mStack {
    parts: Parts,
    name: String,
    credentials: (String, String),
    fingerprint: String,
    restarts: u32,
    node: Option<SocketAddr>,
}

impl Str0mStack {
    pub fn new(now: Instant, name: &str, address: SocketAddr) -> Self {
        let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
        let credentials = (format!("{name}0ufrag"), format!("{name}password0123456789012345"));
        let creds = IceCreds { ufrag: credentials.0.clone(), pass: credentials.1.clone() };
        let parts = Parts::new(now, &certificate, creds, address, true);
        let fingerprint = certificate.fingerprint_str();
        Self { parts, name: name.into(), credentials, fingerprint, restarts: 0, node: None }
    }
}

impl Stack for Str0mStack {
    fn credentials(&self) -> (String, String) {
        self.credentials.clone()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn start(&mut self, now: Instant, remote: (&str, &str), node: SocketAddr) {
        self.node = Some(node);
        self.parts.ice.set_remote_credentials(IceCreds { ufrag: remote.0.into(), pass: remote.1.into() });
        self.parts.ice.add_remote_candidate(Candidate::host(node, "udp").unwrap());
        self.parts.ice.handle_timeout(now);
        self.parts.drain(now, node);
    }

    fn restart(&mut self, _now: Instant, address: SocketAddr) {
        self.restarts += 1;
        self.credentials =
            (format!("{}{}ufrag", self.name, self.restarts), format!("{}password{:020}", self.name, self.restarts));
        let creds = IceCreds { ufrag: self.credentials.0.clone(), pass: self.credentials.1.clone() };
        self.parts.ice.ice_restart(creds, false);
        self.parts.ice.add_local_candidate(Candidate::host(address, "udp").unwrap());
        self.parts.local = address;
    }

    fn handle(&mut self, now: Instant, datagram: &[u8]) {
        if let Some(node) = self.node {
            self.parts.handle(now, node, datagram);
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.node.is_some() {
            self.parts.tick(now);
        }
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        self.parts.out.pop_front().map(|(_, bytes)| bytes)
    }

    fn keys(&mut self) -> Option<(Profile, Vec<u8>)> {
        while let Some(event) = self.parts.events.pop_front() {
            if let TransportEvent::Keys { profile, material } = event {
                return Some((profile, material));
            }
        }
        None
    }

    fn close(&mut self, now: Instant) {
        self.parts.dtls.close().unwrap();
        let node = self.node.unwrap();
        self.parts.drain(now, node);
    }
}

/// The node's side.
pub struct Str0mFactory {
    certificate: DtlsCertificate,
}

impl Str0mFactory {
    pub fn new() -> Self {
        Self { certificate: dimpl::certificate::generate_self_signed_certificate().unwrap() }
    }
}

impl TransportFactory for Str0mFactory {
    fn create(&self, now: Instant, spec: TransportSpec<'_>) -> Result<Box<dyn PeerTransport>, TransportError> {
        let creds = IceCreds { ufrag: spec.local.ufrag.clone(), pass: spec.local.pwd.clone() };
        let mut parts = Parts::new(now, &self.certificate, creds, "192.0.2.1:9".parse().unwrap(), false);
        parts.expected_fingerprint = Some(spec.remote_fingerprint.to_owned());
        parts.ice.set_remote_credentials(IceCreds { ufrag: spec.remote.ufrag.clone(), pass: spec.remote.pwd.clone() });
        Ok(Box::new(Str0mTransport(parts)))
    }

    fn fingerprint(&self, _certificate: &Certificate) -> String {
        self.certificate.fingerprint_str()
    }
}

struct Str0mTransport(Parts);

impl PeerTransport for Str0mTransport {
    fn handle_packet(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), TransportError> {
        if self.0.handle(now, from, datagram) { Ok(()) } else { Err(TransportError::Dtls("refused".into())) }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.0.out.pop_front().map(|(to, bytes)| Transmit { to, bytes })
    }

    fn poll_event(&mut self) -> Option<TransportEvent> {
        self.0.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.deadline
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.tick(now);
    }

    fn restart(&mut self, now: Instant, local: &IceCredentials, remote: &IceCredentials) -> Result<(), TransportError> {
        self.0.ice.ice_restart(IceCreds { ufrag: local.ufrag.clone(), pass: local.pwd.clone() }, true);
        self.0.ice.set_remote_credentials(IceCreds { ufrag: remote.ufrag.clone(), pass: remote.pwd.clone() });
        self.0.ice.handle_timeout(now);
        Ok(())
    }

    fn close(&mut self, now: Instant) {
        if self.0.dtls.close().is_ok() {
            let to = self.0.remote.unwrap_or(self.0.local);
            self.0.drain(now, to);
        }
    }
}
