//! Clients that know only WHIP (RFC 9725) and WHEP: from another origin, without the room socket.

use anyhow::{Context, Result, ensure};
use plenum_e2e::plain_client::{PeerId, PlainClient};
use plenum_e2e::scene::Scene;
use plenum_e2e::suite::room_spec;
use plenum_e2e::wait::{Look, until};
use reqwest::{Method, StatusCode, header};
use serde_json::json;
use std::time::Duration;

const READY: Duration = Duration::from_secs(10);
/// Long enough for a browser on a busy machine; what a person would bear is measured by the page's own test.
const MEDIA: Duration = Duration::from_secs(20);

/// A browser on a page of gateway `number` that is not the demo page.
async fn blank(scene: &Scene<'_>, region: &str, client: usize, number: usize) -> Result<PlainClient> {
    let browser = scene.client(region, client).await?.browser(scene.suite.origins()).await?;
    browser.go(&format!("{}/assets/none", scene.suite.door(number)?.base())).await?;
    PlainClient::new(browser).await
}

async fn sends(page: &PlainClient, peer: &PeerId) -> Result<()> {
    until("the publisher sends", MEDIA, async || {
        let stats = page.stats(peer).await?;
        Ok(Look::when(stats.frames_sent > 5 && stats.audio_sent > 5, (), || format!("{stats:?}")))
    })
    .await
}

pub(crate) async fn plain_whip_and_whep_carry_media_across_origins(scene: &Scene<'_>) -> Result<()> {
    scene.suite.shared_pools().await?;
    scene.suite.kube.apply_room(&scene.namespace, "plain", room_spec("eu-west")).await?;
    scene.suite.kube.ready_room(&scene.namespace, "plain", READY).await?;
    let door = scene.suite.door(0)?;
    // Pages of one gateway's origin that call another's.
    let publisher = blank(scene, "eu-west", 0, 1).await?;
    let viewer = blank(scene, "eu-west", 1, 1).await?;
    let publish = scene.token("plain", "encoder").await?;
    let sent = publisher.publish(&door.room_url(&scene.namespace, "plain", "whip"), &publish).await?;
    sends(&publisher, &sent).await?;
    let watch = scene.token("plain", "viewer").await?;
    let seen = viewer.watch(&door.room_url(&scene.namespace, "plain", "whep"), &watch).await?;
    viewer.decodes(&seen, 30, MEDIA).await?;

    preconditions_of_patch(&publisher, &sent).await?;
    viewer.decodes(&seen, 30, MEDIA).await.context("after the ICE restart")?;

    let gone = publisher.request(&sent, "DELETE", json!({}), None).await?;
    ensure!(gone.status == 200, "DELETE: {gone:?}");
    let again = publisher.request(&sent, "DELETE", json!({}), None).await?;
    ensure!(again.status == 404, "DELETE again: {again:?}");
    until("the room has no legs any more", MEDIA, async || {
        let flow = door.flow(&scene.namespace, "plain", &watch).await?;
        Ok(Look::when(flow.legs.is_empty(), (), || format!("{:?}", flow.legs)))
    })
    .await?;
    publisher.close().await?;
    viewer.close().await
}

/// What RFC 9725 section 4.3 asks of PATCH.
async fn preconditions_of_patch(page: &PlainClient, peer: &PeerId) -> Result<()> {
    const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
    let details = page.details(peer).await?;
    ensure!(details.url.contains("/whip/"), "Location is {}", details.url);
    let etag = details.etag.context("the answer to POST has no ETag")?;
    ensure!(etag.starts_with('"') && etag.ends_with('"'), "the entity tag {etag} is not a strong one");

    let missing =
        page.request(peer, "PATCH", json!({"content-type": FRAGMENT}), Some("a=end-of-candidates\r\n")).await?;
    ensure!(missing.status == 428, "without If-Match: {missing:?}");
    let stale = json!({"content-type": FRAGMENT, "if-match": "\"another\""});
    let stale = page.request(peer, "PATCH", stale, Some("a=end-of-candidates\r\n")).await?;
    ensure!(stale.status == 412, "with a stale If-Match: {stale:?}");
    let wrong = page.request(peer, "PATCH", json!({"content-type": "text/plain", "if-match": etag}), Some("x")).await?;
    ensure!(wrong.status == 415, "with another media type: {wrong:?}");

    let restarted = page.restart(peer).await?;
    ensure!(restarted.status == 200, "ICE restart: {restarted:?}");
    ensure!(restarted.etag.as_ref().is_some_and(|new| *new != etag), "ICE restart keeps the entity tag {etag}");
    let old = json!({"content-type": FRAGMENT, "if-match": etag});
    let old = page.request(peer, "PATCH", old, Some("a=end-of-candidates\r\n")).await?;
    ensure!(old.status == 412, "with the entity tag from before the restart: {old:?}");
    Ok(())
}

pub(crate) async fn browsers_of_any_origin_may_ask_first(scene: &Scene<'_>) -> Result<()> {
    let door = scene.suite.door(0)?;
    for (path, method) in [("whip", "POST"), ("whep", "POST"), ("whip/x", "PATCH"), ("whip/x", "DELETE")] {
        let path = format!("/v1/rooms/{}/any/{path}", scene.namespace);
        let answer = door
            .request(Method::OPTIONS, &path)
            .header(header::ORIGIN, "https://app.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, method)
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type,if-match")
            .send()
            .await
            .context("asking")?;
        let text =
            |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        ensure!(answer.status().is_success(), "OPTIONS {path}: {}", answer.status());
        ensure!(text(header::ACCESS_CONTROL_ALLOW_ORIGIN) == "*", "OPTIONS {path} allows no other origin");
        ensure!(
            text(header::ACCESS_CONTROL_ALLOW_METHODS).contains(&method.to_ascii_lowercase()),
            "OPTIONS {path} does not allow {method}"
        );
        for name in ["authorization", "content-type", "if-match"] {
            ensure!(text(header::ACCESS_CONTROL_ALLOW_HEADERS).contains(name), "OPTIONS {path} does not allow {name}");
        }
        // No credentials of relays in a preflight (RFC 9725 section 4.4).
        ensure!(answer.headers().get(header::LINK).is_none(), "OPTIONS {path} has a Link header");
    }
    let whip = format!("/v1/rooms/{}/any/whip", scene.namespace);
    let options = door.request(Method::OPTIONS, &whip).send().await.context("asking")?;
    let accepted = options.headers().get("accept-post").and_then(|v| v.to_str().ok());
    ensure!(accepted == Some("application/sdp"), "Accept-Post is {accepted:?}");
    let get = door.request(Method::GET, &whip).send().await.context("getting")?;
    ensure!(get.status() == StatusCode::NO_CONTENT, "GET {whip}: {}", get.status());
    Ok(())
}
