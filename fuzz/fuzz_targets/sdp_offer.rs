//! SDP offers: parsed, planned for both roles, and answered. Whatever the offer holds, the answer parses again and
//! has the same sections.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_media_core::sdp::{AnswerSpec, IceCredentials, Offer, Plan, Role, SectionAnswer, Transport};

fuzz_target!(|text: &str| {
    let Ok(offer) = Offer::parse(text) else { return };
    let ice = IceCredentials::new("fuzzufrag", "fuzzpassword0123456789").expect("credentials");
    let fingerprint = ["AB"; 32].join(":");
    for role in [Role::Publish, Role::Subscribe { audio: true, video: true }] {
        let Ok(plan) = Plan::new(&offer, role) else { continue };
        let mut sections = vec![SectionAnswer::Rejected; offer.sections.len()];
        for (at, codec) in plan.places() {
            sections[at] = match role {
                Role::Publish => SectionAnswer::Receive { codec, max_kbps: Some(1_000) },
                Role::Subscribe { .. } => SectionAnswer::Send { codec, ssrc: 7 },
            };
        }
        let transport = Transport { ice: &ice, fingerprint: &fingerprint, candidates: &[] };
        let answer = AnswerSpec { offer: &offer, sections: &sections, transport, session: 1 }.write();
        let read = Offer::parse(&answer).expect("the answer parses");
        let mids = |offer: &Offer| offer.sections.iter().map(|section| section.mid.clone()).collect::<Vec<_>>();
        assert_eq!(mids(&read), mids(&offer));
        assert_eq!(read.sections.iter().filter(|section| !section.stopped).count(), plan.places().count());
        assert_eq!(plan.mids(&offer).len(), plan.places().count());
    }
});
