//! CreatePermission and ChannelBind (RFC 8656, sections 9 and 12): which peers a client may hear and name.

use super::{Received, Server};
use crate::allocation::{Channel, Done};
use crate::channel_data::CHANNELS;
use crate::counters::Outcome;
use crate::peers::PeerPolicy;
use std::net::SocketAddr;

impl Server {
    /// All peers of the request are granted, or none.
    pub(super) fn create_permissions(
        &mut self,
        received: Received<'_>,
        slot: usize,
        policy: &PeerPolicy,
    ) -> Result<Done, Outcome> {
        let Received { now, message, .. } = received;
        let limit = self.config.limits.permissions;
        let allocation = self.allocations.get_mut(slot).ok_or(Outcome::AllocationMismatch)?;
        allocation.prune(now);
        let mut count = 0;
        let mut new = 0;
        for peer in message.peers() {
            let peer = peer.ok_or(Outcome::BadRequest)?;
            if !allocation.same_family(peer) {
                return Err(Outcome::FamilyMismatch);
            }
            policy.judge_address(allocation.scope, peer.ip()).map_err(|_| Outcome::Forbidden)?;
            count += 1;
            new += usize::from(!allocation.is_permitted(peer.ip(), now));
        }
        if count == 0 {
            return Err(Outcome::BadRequest);
        }
        if allocation.permissions.len() + new > limit {
            return Err(Outcome::InsufficientCapacity);
        }
        for peer in message.peers().flatten() {
            allocation.permit(peer.ip(), now);
        }
        self.set_timer(slot);
        Ok(Done::Granted)
    }

    pub(super) fn bind_channel(
        &mut self,
        received: Received<'_>,
        slot: usize,
        policy: &PeerPolicy,
    ) -> Result<Done, Outcome> {
        let Received { now, message, .. } = received;
        let limits = self.config.limits;
        let (number, peer) = message.channel.zip(message.peer).ok_or(Outcome::BadRequest)?;
        let allocation = self.allocations.get_mut(slot).ok_or(Outcome::AllocationMismatch)?;
        allocation.prune(now);
        // The same pair renews; a number or a peer that stands in another pair is taken.
        let is_taken = |(other, its_peer): (u16, SocketAddr)| (other == number) != (its_peer == peer);
        let mut bound = allocation.channels.iter().map(|channel| (channel.number, channel.peer));
        if !CHANNELS.contains(&number) || bound.any(is_taken) {
            return Err(Outcome::BadRequest);
        }
        if !allocation.same_family(peer) {
            return Err(Outcome::FamilyMismatch);
        }
        let known = allocation.channels.iter().find(|channel| channel.number == number);
        let heard = known.and_then(Channel::heard);
        let way = policy.way(allocation.scope, peer, heard).map_err(|_| Outcome::Forbidden)?;
        let is_new = known.is_none();
        let is_permitted = allocation.is_permitted(peer.ip(), now);
        let has_room = (!is_new || allocation.channels.len() < limits.channels)
            && (is_permitted || allocation.permissions.len() < limits.permissions);
        if !has_room {
            return Err(Outcome::InsufficientCapacity);
        }
        allocation.bind(number, peer, way, now);
        self.set_timer(slot);
        Ok(Done::Granted)
    }
}
