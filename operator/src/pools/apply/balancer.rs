//! The Service of a pool with exposure LoadBalancer: made, corrected, and deleted when the exposure changes.

use super::{Applied, Trouble, failed, is_refusal};
use crate::context::Context;
use crate::pools::PoolError;
use crate::pools::observe::Observed;
use crate::pools::service;
use crate::relays::pool::TurnPool;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use plenum_api::pool::ExposureType;
use std::sync::Arc;

/// Field manager of Services.
const MANAGER: &str = "plenum-operator";

/// Brings the Service to what the pool wants; what is in the way goes into `applied`.
pub(super) async fn apply(
    context: &Context,
    observed: &Observed,
    turn: &TurnPool,
    applied: &mut Applied,
) -> Result<(), PoolError> {
    let name = service::name_of(&observed.pool.name_any());
    let shown = context.service(&observed.namespace, &name);
    let api: Api<Service> = Api::namespaced(context.client.clone(), &observed.namespace);
    if turn.exposure != ExposureType::LoadBalancer {
        return match shown.filter(|shown| service::is_of(shown, &observed.pool)) {
            Some(shown) => delete(context, observed, &api, &shown).await,
            None => Ok(()),
        };
    }
    let wanted = service::wanted(&observed.pool, turn, &observed.namespace);
    if shown
        .as_ref()
        .is_some_and(|shown| service::is_of(shown, &observed.pool) && service::is_as_wanted(shown, &wanted))
    {
        return Ok(());
    }
    let reading = |source| failed(observed, "reading the Service of RelayPool", source);
    let found = match shown {
        Some(shown) => Some(shown),
        None => api.get_opt(&name).await.map_err(reading)?.map(Arc::new),
    };
    if found.is_some_and(|found| !service::is_of(&found, &observed.pool)) {
        let message = format!("a Service {name} exists that is not this pool's: delete it, or name the pool otherwise");
        applied.trouble = Some(Trouble::Service(message));
        return Ok(());
    }
    context.may_write()?;
    let params = PatchParams::apply(MANAGER).force();
    match api.patch(&name, &params, &Patch::Apply(&wanted)).await {
        Ok(_) => context.events.normal(observed.pool.as_ref(), "ServiceWritten", format!("Service {name}")),
        Err(error) if is_refusal(&error) => {
            let message = format!("the API server refuses Service {name}: {}", crate::errors::chain(&error));
            applied.trouble = Some(Trouble::Service(message));
        }
        Err(source) => return Err(failed(observed, "writing the Service of RelayPool", source)),
    }
    Ok(())
}

async fn delete(context: &Context, observed: &Observed, api: &Api<Service>, shown: &Service) -> Result<(), PoolError> {
    let preconditions = Preconditions { uid: shown.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    context.may_write()?;
    match api.delete(&shown.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(error) if crate::errors::is_not_found(&error) => Ok(()),
        Err(source) => Err(failed(observed, "deleting the Service of RelayPool", source)),
    }
}
