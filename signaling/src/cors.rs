//! Cross-origin access: any origin may call, since credentials are bearer tokens and never cookies.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Response headers that scripts of other origins may read.
pub const EXPOSED: &str = "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate";
/// Request headers that they may send.
pub const ALLOWED_HEADERS: &str = "Authorization, Content-Type, If-Match, Plenum-Participant";
/// Methods that they may use.
pub const ALLOWED_METHODS: &str = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";

/// Middleware that adds the headers to every answer. Handlers of `OPTIONS` add `Accept-Post` and the like.
pub async fn add_headers(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    set_headers(response.headers_mut(), preflight);
    response
}

/// The headers themselves, for answers that are made outside the router.
pub fn set_headers(headers: &mut HeaderMap, preflight: bool) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if preflight {
        set(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        set(header::ACCESS_CONTROL_MAX_AGE, "600");
    }
}
