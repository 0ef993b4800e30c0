//! Sessions on behalf of clients.

use crate::harness::{Harness, code, grant, publish, sync, uid};
use plenum_protocol::control::{
    IfMatch, OpenSession, PatchSession, RevokeReason, SessionKind, SessionPatched, SyncRequest,
};
use plenum_protocol::flow::{LegRole, LegState};
use plenum_protocol::ids::{Epoch, ParticipantKey};
use plenum_protocol::problem::Code;

#[tokio::test]
async fn a_session_is_opened_patched_listed_and_closed() {
    let harness = Harness::with_room().await;
    let opened = harness.open(&publish(None)).await.unwrap();
    let port = |port: &u16| opened.answer.contains(&format!(" 127.0.0.1 {port} typ host"));
    assert!(harness.ports.iter().any(port), "no candidate in {}", opened.answer);
    assert!(opened.answer.contains("a=ice-lite"));

    let legs = harness.legs(1).await.unwrap().legs;
    assert_eq!(legs.len(), 1);
    assert_eq!(
        (&legs[0].session, legs[0].role, legs[0].state),
        (&opened.session, LegRole::Publisher, LegState::Connecting)
    );
    assert_eq!((legs[0].gateway.as_str(), legs[0].participant_name.as_str()), ("gateway-0", "Ann"));
    assert_eq!(code(harness.legs(2).await), Code::NotGranted);

    let patch = |room: &str, if_match| PatchSession {
        room: uid(room),
        if_match,
        fragment: "a=mid:0\r\na=candidate:1 1 udp 2113937151 127.0.0.1 40000 typ host\r\n".into(),
    };
    let etag = Some(IfMatch::Etag(opened.etag.clone()));
    assert_eq!(harness.patch(&opened.session, &patch("a", etag.clone())).await.unwrap(), SessionPatched::Trickled);
    assert_eq!(code(harness.patch(&opened.session, &patch("b", etag)).await), Code::NotFound);
    let other = Some(IfMatch::Etag("other".into()));
    assert_eq!(code(harness.patch(&opened.session, &patch("a", other)).await), Code::PreconditionFailed);
    assert_eq!(code(harness.patch(&opened.session, &patch("a", None)).await), Code::PreconditionRequired);

    assert_eq!(code(harness.close(&opened.session, "b").await), Code::NotFound);
    harness.close(&opened.session, "a").await.unwrap();
    assert_eq!(code(harness.close(&opened.session, "a").await), Code::NotFound);
    assert!(harness.legs(1).await.unwrap().legs.is_empty());
}

#[tokio::test]
async fn sessions_need_a_grant_an_offer_and_somebody_who_publishes() {
    let harness = Harness::with_room().await;
    let other = OpenSession { epoch: Epoch(2), ..publish(None) };
    assert_eq!(code(harness.open(&other).await), Code::NotGranted);
    let broken = OpenSession { offer: "hello".into(), ..publish(None) };
    assert_eq!(code(harness.open(&broken).await), Code::BadSdp);
    let nobody = OpenSession { session: SessionKind::Subscribe { publication: None }, ..publish(None) };
    assert_eq!(code(harness.open(&nobody).await), Code::NotFound);
    let stranger = publish(Some(ParticipantKey::from_bits("PK_", 1)));
    assert_eq!(code(harness.open(&stranger).await), Code::NotFound);
    assert_eq!(harness.sync(&sync(1)).await.unwrap().load.participants, 0, "a refused session left a participant");
    harness.revoke(RevokeReason::Rebound).await;
    assert_eq!(code(harness.open(&publish(None)).await), Code::NotGranted);
    let again = harness.sync(&SyncRequest { grants: vec![grant("a", 1)], ..sync(1) }).await.unwrap();
    assert!(again.rooms.is_empty(), "a revoked epoch came back");
}
