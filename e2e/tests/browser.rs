//! The harness can drive a browser and judge media by frames: needs Chromium, no cluster.

mod page_ice_servers;
mod peer_negotiation;

use plenum_e2e::browser::Browser;
use plenum_e2e::client::Client;
use plenum_e2e::wait::{Look, until};
use std::path::Path;
use std::time::Duration;

/// Where Debian puts it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Two peer connections in one page, joined to each other on loopback.
const CALL: &str = r"
    const camera = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 240}});
    const a = new RTCPeerConnection(), b = new RTCPeerConnection();
    a.onicecandidate = e => e.candidate && b.addIceCandidate(e.candidate);
    b.onicecandidate = e => e.candidate && a.addIceCandidate(e.candidate);
    for (const track of camera.getTracks()) a.addTrack(track, camera);
    const video = document.body.appendChild(document.createElement('video'));
    video.muted = true;
    b.ontrack = e => { video.srcObject = e.streams[0]; video.play(); };
    await a.setLocalDescription(); await b.setRemoteDescription(a.localDescription);
    await b.setLocalDescription(); await a.setRemoteDescription(b.localDescription);
    window.receiver = b;";

const FRAMES: &str = r"
    let frames = 0;
    for (const s of (await window.receiver.getStats()).values()) if (s.type === 'inbound-rtp' && s.kind === 'video') frames += s.framesDecoded;
    return frames;";

async fn local_client(name: &str, logs: &Path) -> anyhow::Result<Client> {
    Client::on_this_machine(name, Path::new("chromedriver"), Path::new(CHROMIUM), logs).await
}

/// On chromedriver's own status page: loopback is a secure context.
async fn local_browser(client: &Client) -> anyhow::Result<Browser> {
    let browser = client.browser(&[]).await?;
    browser.go(client.driver_url()).await?;
    Ok(browser)
}

#[tokio::test]
async fn a_browser_decodes_frames_of_its_own_camera() -> anyhow::Result<()> {
    let logs = tempfile::tempdir()?;
    let client = local_client("browser-test", logs.path()).await?;
    let browser = local_browser(&client).await?;
    browser.run::<()>(CALL, &[]).await?;
    until("20 frames are decoded", Duration::from_secs(15), async || {
        let frames: u64 = browser.run(FRAMES, &[]).await?;
        Ok(Look::when(frames >= 20, (), || format!("{frames} frames")))
    })
    .await?;
    let thrown = browser.run::<()>("throw new Error('on purpose')", &[]).await.expect_err("a throw is an error");
    assert!(format!("{thrown:#}").contains("on purpose"), "{thrown:#}");
    browser.run::<()>("console.log('a word')", &[]).await?;
    assert!(browser.console().await?.iter().any(|line| line.contains("a word")), "the console is read");
    browser.close().await
}
