//! Step 1: the Room as new as it is known, and what surrounds it.

use crate::caches::namespace_labels;
use crate::context::Context;
use crate::ledger::uid_of;
use kube::ResourceExt;
use plenum_api::Room;
use plenum_protocol::ids::{RoomName, RoomUid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was seen of one Room.
pub(super) struct Observed {
    pub(super) room: Arc<Room>,
    pub(super) uid: RoomUid,
    pub(super) name: RoomName,
    pub(super) namespace_labels: BTreeMap<String, String>,
    pub(super) has_gateway: bool,
}

/// `None`: nothing to do, since the Room is being deleted.
pub(super) fn observe(context: &Context, room: Arc<Room>) -> Option<Observed> {
    let room = context.rooms.newest(room);
    if room.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let uid = uid_of(&room)?;
    let name = RoomName { namespace: room.namespace()?, name: room.name_any() };
    let namespace_labels = namespace_labels(&context.caches.namespaces, &name.namespace);
    Some(Observed { has_gateway: context.caches.has_gateway(), room, uid, name, namespace_labels })
}
