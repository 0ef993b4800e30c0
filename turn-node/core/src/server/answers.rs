//! Writes answers. What goes to the unauthenticated is counted against its bounds and says no more than it must:
//! no SOFTWARE, no reason phrase, no signature.
//!
//! Amplification, UDP payload: a 28-byte Allocate is answered by 60 bytes and the realm, padded (2.6 times with a
//! realm of ten bytes); a 20-byte Binding by 32 (IPv4) or 44 (IPv6); and all that at a bounded rate.

use super::{Received, Server};
use crate::allocation::Done;
use crate::config::CheckedConfig;
use crate::counters::{Method, Outcome};
use crate::credentials::Asker;
use crate::io::Io;
use crate::stun::attribute;
use crate::stun::write::{Writer, kind};
use plenum_sansio::stun::address::IPV6;
use std::net::SocketAddr;

/// Longest answer: the largest of those below, rounded up.
const MAX_ANSWER: usize = 256;
const SUCCESS: u16 = 0x100;
const ERROR: u16 = 0x110;
const SOFTWARE: &str = "plenum";

impl Server {
    /// Whether an answer may go where this message says it comes from; counts the answer, or the drop.
    pub(super) fn may_answer(&mut self, received: Received<'_>) -> bool {
        let Received { client, now, .. } = received;
        let slot = self.slot(client);
        let may = match slot.and_then(|slot| self.allocations.get_mut(slot)) {
            // Nobody puts another's address into a stream.
            _ if client.is_stream() => true,
            Some(allocation) => allocation.unsigned.take(1, now),
            None => self.limit.allows(client.remote.ip(), now),
        };
        if !may {
            self.counters.drops.unauthenticated_limited += 1;
        }
        may
    }

    pub(super) fn answer_binding(&mut self, received: Received<'_>, outcome: Outcome, io: &mut impl Io) {
        let Received { client, message, .. } = received;
        self.write(received, outcome != Outcome::Success, io, |writer| {
            if outcome == Outcome::Success {
                writer.xor_address(attribute::XOR_MAPPED_ADDRESS, client.address());
                if message.fingerprint {
                    writer.fingerprint();
                }
            } else {
                writer.error(attribute::ERROR_CODE, 0, outcome.code(), "");
                unknown_attributes(writer, message.unknown.as_slice());
            }
        });
    }

    /// Refuses somebody who is not known: asks for credentials, or for a new nonce.
    pub(super) fn challenge(
        &mut self,
        received: Received<'_>,
        method: Method,
        outcome: Outcome,
        (relay, io): (&CheckedConfig, &mut impl Io),
    ) {
        if !self.may_answer(received) {
            return;
        }
        self.counters.count_request(method, outcome);
        let nonce = self.nonces.make(received.unix, received.client);
        self.write(received, true, io, |writer| {
            writer.error(attribute::ERROR_CODE, 0, outcome.code(), "");
            if outcome != Outcome::BadRequest {
                writer.attribute(attribute::REALM, relay.realm.as_bytes());
                writer.attribute(attribute::NONCE, &nonce);
            }
        });
    }

    /// Answers an authentic request.
    pub(super) fn answer(
        &mut self,
        received: Received<'_>,
        answer: Result<Done, Outcome>,
        asker: &Asker<'_>,
        io: &mut impl Io,
    ) {
        let Received { client, message, .. } = received;
        let relayed = self.slot(client).and_then(|slot| self.allocations.get(slot)).map(|it| it.relayed);
        self.write(received, answer.is_err(), io, |writer| {
            match answer {
                Ok(Done::Allocated { lifetime, additional_refused }) => {
                    allocated(writer, relayed, client.address(), lifetime);
                    if additional_refused {
                        let (code, reason) = (Outcome::FamilyUnsupported.code(), Outcome::FamilyUnsupported.reason());
                        writer.error(attribute::ADDRESS_ERROR_CODE, IPV6, code, reason);
                    }
                }
                Ok(Done::Refreshed { lifetime }) => writer.attribute(attribute::LIFETIME, &lifetime.to_be_bytes()),
                Ok(Done::Granted) => {}
                Err(outcome) => {
                    writer.error(attribute::ERROR_CODE, 0, outcome.code(), outcome.reason());
                    if outcome == Outcome::UnknownAttribute {
                        unknown_attributes(writer, message.unknown.as_slice());
                    }
                }
            }
            writer.integrity(&asker.key);
            if message.fingerprint {
                writer.fingerprint();
            }
        });
    }

    fn write(&mut self, received: Received<'_>, error: bool, io: &mut impl Io, body: impl FnOnce(&mut Writer<'_>)) {
        let Received { client, message, .. } = received;
        let Some(buffer) = io.to_client(client, MAX_ANSWER) else {
            self.counters.drops.send_full += 1;
            return;
        };
        let class = if error { ERROR } else { SUCCESS };
        let mut writer = Writer::new(buffer, kind(message.method, class), message.transaction);
        body(&mut writer);
        match writer.finish() {
            Some(len) => io.commit_client(len),
            None => self.counters.drops.too_large += 1,
        }
    }
}

fn allocated(writer: &mut Writer<'_>, relayed: Option<SocketAddr>, mapped: SocketAddr, lifetime: u32) {
    if let Some(relayed) = relayed {
        writer.xor_address(attribute::XOR_RELAYED_ADDRESS, relayed);
    }
    writer.attribute(attribute::LIFETIME, &lifetime.to_be_bytes());
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, mapped);
    writer.attribute(attribute::SOFTWARE, SOFTWARE.as_bytes());
}

fn unknown_attributes(writer: &mut Writer<'_>, unknown: &[u16]) {
    let mut bytes = [0; 16];
    for (to, from) in bytes.chunks_exact_mut(2).zip(unknown) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    writer.attribute(attribute::UNKNOWN_ATTRIBUTES, bytes.get(..unknown.len() * 2).unwrap_or_default());
}
