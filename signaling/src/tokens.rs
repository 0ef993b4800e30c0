//! `POST /v1/tokens`: a join token for the holder of an API key.

use crate::body::read_text;
use crate::limits::MAX_TOKEN_BODY;
use crate::service::{SessionService, SourceAddress};
use crate::{Refusal, header};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode};
use plenum_protocol::problem::Code;
use plenum_protocol::token::MintToken;

pub(crate) fn routes<S: SessionService>() -> Router<S> {
    let options = async || StatusCode::NO_CONTENT;
    Router::new().route("/v1/tokens", post(mint::<S>).options(options))
}

async fn mint<S: SessionService>(
    State(service): State<S>,
    source: Option<Extension<SourceAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let credentials = header::basic(&headers)?;
    header::require_media_type(&headers, "application/json")?;
    let text = read_text(&headers, body, MAX_TOKEN_BODY).await?;
    let wish: MintToken = serde_json::from_str(&text)
        .map_err(|error| Refusal::new(Code::BadRequest, format!("the body is not a token request: {error}")))?;
    let minted = service.mint_token(credentials, source.map(|Extension(source)| source), wish).await;
    let minted = minted.map_err(Refusal::asking_for_api_key)?;
    let no_store = [(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Json(minted)).into_response())
}
