//! Deletes a Room that has been over for as long as it says (`lifecycle.ttlSecondsAfterEnded`).

use super::RoomError;
use super::observe::Observed;
use crate::context::Context;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use plenum_api::Room;

/// Deletes the Room as it was seen, and no other: one that was opened or applied again meanwhile stays.
pub(super) async fn expire(context: &Context, observed: &Observed) -> Result<Action, RoomError> {
    context.may_write()?;
    let metadata = &observed.room.metadata;
    let preconditions =
        Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let ttl = observed.room.spec.lifecycle.ttl_seconds_after_ended.unwrap_or_default();
    let api: Api<Room> = Api::namespaced(context.client.clone(), &observed.name.namespace);
    let deleted = api.delete(&observed.name.name, &params).await;
    deleted.map_err(|source| RoomError::Delete { name: observed.name.to_string(), source })?;
    let note = format!("deleted since it ended more than {ttl} s ago (lifecycle.ttlSecondsAfterEnded)");
    context.events.normal(observed.room.as_ref(), "RoomExpired", note);
    tracing::info!(room = %observed.name, ttl, "a room that is over was deleted");
    Ok(Action::await_change())
}
