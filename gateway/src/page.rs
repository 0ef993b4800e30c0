//! The page, embedded: static files with entity tags and a strict content policy.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use plenum_protocol::problem::Code;
use plenum_signaling::Refusal;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Scripts, styles and connections of the page's own origin only; nothing may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

struct File {
    name: &'static str,
    kind: &'static str,
    body: &'static str,
}

macro_rules! file {
    ($name:literal, $kind:expr) => {
        File { name: $name, kind: $kind, body: include_str!(concat!("../../web/", $name)) }
    };
}

static INDEX: File = file!("index.html", HTML);
static ROOM: File = file!("room.html", HTML);
static ASSETS: &[File] = &[
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
    file!("index.js", SCRIPT),
    file!("room.js", SCRIPT),
    file!("call.js", SCRIPT),
    file!("server-sessions.js", SCRIPT),
    file!("peers.js", SCRIPT),
    file!("peer-session.js", SCRIPT),
    file!("negotiation.js", SCRIPT),
    file!("pair.js", SCRIPT),
    file!("first-frame.js", SCRIPT),
    file!("messages.js", SCRIPT),
    file!("media-session.js", SCRIPT),
    file!("transport.js", SCRIPT),
    file!("fragment.js", SCRIPT),
    file!("ice-servers.js", SCRIPT),
    file!("relay-words.js", SCRIPT),
    file!("room-socket.js", SCRIPT),
    file!("local-media.js", SCRIPT),
    file!("stats.js", SCRIPT),
    file!("flow.js", SCRIPT),
    file!("picture.js", SCRIPT),
    file!("picture-parts.js", SCRIPT),
    file!("peer-picture.js", SCRIPT),
    file!("legs-table.js", SCRIPT),
    file!("tiles.js", SCRIPT),
    file!("dom.js", SCRIPT),
];

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| serve(&INDEX, &headers)))
        .route("/rooms/{namespace}/{name}", get(async |headers: HeaderMap| serve(&ROOM, &headers)))
        .route("/assets/{file}", get(asset))
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|file| file.name == name) {
        Some(file) => serve(file, &headers),
        None => Refusal::new(Code::NotFound, "there is no such file").into_response(),
    }
}

fn serve(file: &File, headers: &HeaderMap) -> Response {
    let etag = etag(file.body);
    let fixed = [
        (CONTENT_TYPE, file.kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(self), display-capture=()"),
    ];
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let unchanged = known.flat_map(|text| text.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let mut response = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { file.body.into_response() };
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// Equal for equal bodies: two replicas of one version agree.
fn etag(body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt as _;

    async fn fetch(path: &str, tag: Option<&HeaderValue>) -> Response {
        let mut request = Request::builder().uri(path);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        routes::<()>().with_state(()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_that_the_pages_and_modules_name_is_there() {
        let quoted = |body: &'static str| {
            body.split(['"', '\'']).filter(|part| part.starts_with("/assets/") || part.starts_with("./"))
        };
        let all = ASSETS.iter().chain([&INDEX, &ROOM]);
        for named in all.flat_map(|file| quoted(file.body)).filter(|name| name.contains(".")) {
            let path = named.replace("./", "/assets/");
            assert_eq!(fetch(&path, None).await.status(), 200, "{path}");
        }
    }

    #[tokio::test]
    async fn pages_forbid_foreign_scripts_and_are_fetched_once() {
        let response = fetch("/rooms/team-a/demo", None).await;
        assert_eq!(response.headers()[CONTENT_TYPE], HTML);
        assert!(response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'self'"));
        let again = fetch("/rooms/team-a/demo", Some(&response.headers()[ETAG])).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(fetch("/assets/nothing.js", None).await.status(), 404);
    }

    #[test]
    fn no_module_makes_markup_from_text() {
        for file in ASSETS {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "http://", "https://"] {
                let allowed = forbidden == "http://"
                    && file.body.matches(forbidden).count() == file.body.matches("http://www.w3.org/").count();
                assert!(allowed || !file.body.contains(forbidden), "{} has {forbidden}", file.name);
            }
        }
    }
}
