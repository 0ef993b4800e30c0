//! Requests: who asks (RFC 8489, section 9.2), whether it was asked before, and what to do.

use super::{Received, Server};
use crate::allocation::Done;
use crate::config::CheckedConfig;
use crate::counters::{Method, Outcome};
use crate::credentials::{Asker, long_term_key};
use crate::io::Io;
use crate::stun::method;
use plenum_protocol::turn::Username;
use std::sync::Arc;

impl Server {
    pub(super) fn handle_binding(&mut self, received: Received<'_>, io: &mut impl Io) {
        if !self.may_answer(received) {
            return;
        }
        let answer =
            if received.message.unknown.as_slice().is_empty() { Outcome::Success } else { Outcome::UnknownAttribute };
        self.counters.count_request(Method::Binding, answer);
        self.answer_binding(received, answer, io);
    }

    pub(super) fn handle_request(&mut self, received: Received<'_>, io: &mut impl Io) {
        let Some(relay) = self.relay.clone() else { return };
        let method = match received.message.method {
            method::ALLOCATE => Method::Allocate,
            method::REFRESH => Method::Refresh,
            method::CREATE_PERMISSION => Method::CreatePermission,
            method::CHANNEL_BIND => Method::ChannelBind,
            _ => {
                self.counters.drops.unexpected += 1;
                return;
            }
        };
        let asker = match self.authenticate(received, &relay) {
            Ok(asker) => asker,
            Err(outcome) => return self.challenge(received, method, outcome, (&relay, io)),
        };
        let answer = match self.answer_of_before(received, method, &asker) {
            Some(answer) => {
                self.counters.replayed += 1;
                answer
            }
            None => {
                let answer = self.decide(received, method, (&asker, &relay), io);
                self.remember(received, method, &asker, answer);
                answer
            }
        };
        match answer {
            Err(Outcome::Unauthorized) => self.challenge(received, method, Outcome::Unauthorized, (&relay, io)),
            answer => {
                self.counters.count_request(method, answer.err().unwrap_or(Outcome::Success));
                self.answer(received, answer, &asker, io);
            }
        }
    }

    /// Who asks. Before the signature is checked, nothing costs more than a hash.
    fn authenticate<'a>(&self, received: Received<'a>, relay: &CheckedConfig) -> Result<Asker<'a>, Outcome> {
        let message = received.message;
        if !message.has_integrity() {
            return Err(Outcome::Unauthorized);
        }
        let (Some(username), Some(_), Some(nonce)) = (message.username, message.realm, message.nonce) else {
            return Err(Outcome::BadRequest);
        };
        if !self.nonces.is_fresh(nonce, received.unix, received.client) {
            return Err(Outcome::StaleNonce);
        }
        let username = std::str::from_utf8(username).map_err(|_| Outcome::Unauthorized)?;
        let parsed = Username::parse(username).map_err(|_| Outcome::Unauthorized)?;
        let mine = self.slot(received.client).and_then(|slot| self.allocations.get(slot));
        let key = match mine.filter(|allocation| *allocation.username == *username) {
            Some(allocation) => Some(allocation.key).filter(|key| message.is_authentic(key)),
            None => {
                let mut keys = relay.secrets.iter().map(|secret| long_term_key(secret, username, &relay.realm));
                keys.find(|key| message.is_authentic(key))
            }
        };
        key.map(|key| Asker { username, parsed, key }).ok_or(Outcome::Unauthorized)
    }

    /// The answer that the same request got a moment ago.
    fn answer_of_before(
        &self,
        received: Received<'_>,
        method: Method,
        asker: &Asker<'_>,
    ) -> Option<Result<Done, Outcome>> {
        let Received { client, now, message, .. } = received;
        if method == Method::Refresh && self.ended.key(client, message.transaction, now) == Some(asker.key) {
            return Some(Ok(Done::Refreshed { lifetime: 0 }));
        }
        let allocation = self.allocations.get(self.slot(client)?)?;
        let same_user = *allocation.username == *asker.username;
        same_user.then(|| allocation.answered(method, message.transaction)).flatten()
    }

    fn remember(&mut self, received: Received<'_>, method: Method, asker: &Asker<'_>, answer: Result<Done, Outcome>) {
        let Some(slot) = self.slot(received.client) else { return };
        let Some(allocation) = self.allocations.get_mut(slot) else { return };
        if *allocation.username == *asker.username {
            allocation.remember(method, received.message.transaction, answer);
        }
    }

    fn decide(
        &mut self,
        received: Received<'_>,
        method: Method,
        (asker, relay): (&Asker<'_>, &Arc<CheckedConfig>),
        io: &mut impl Io,
    ) -> Result<Done, Outcome> {
        if !received.message.unknown.as_slice().is_empty() {
            return Err(Outcome::UnknownAttribute);
        }
        if received.message.invalid {
            return Err(Outcome::BadRequest);
        }
        if method == Method::Allocate {
            return self.allocate(received, asker, relay, io);
        }
        let slot = self.slot(received.client).ok_or(Outcome::AllocationMismatch)?;
        let allocation = self.allocations.get(slot).ok_or(Outcome::AllocationMismatch)?;
        if received.now >= allocation.until {
            return Err(Outcome::AllocationMismatch);
        }
        if *allocation.username != *asker.username {
            return Err(Outcome::WrongCredentials);
        }
        match method {
            Method::Refresh => self.refresh(received, slot, io),
            Method::CreatePermission => self.create_permissions(received, slot, relay.peers()),
            _ => self.bind_channel(received, slot, relay.peers()),
        }
    }
}
