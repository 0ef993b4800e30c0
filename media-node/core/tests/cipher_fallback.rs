//! GCM when the client has it, whatever its order; CM with SHA-1 when it has not.

use crate::support::net::{Make, Net};
use plenum_media_core::srtp::Profile;
use std::time::Duration;

#[test]
fn a_client_without_gcm_works_and_others_get_gcm() {
    let mut net = Net::new(61);
    let publisher = net.connect(Make::RtcCmOnly, None);
    let plain = net.connect(Make::RtcCmOnly, Some(publisher));
    let modern = net.connect(Make::Rtc, Some(publisher));
    for number in 0..20u64 {
        net.clients[publisher].send_rtp(true, 65_530 + number, 0, &[number as u8; 900]);
    }
    net.run(Duration::from_millis(100));
    assert_eq!(net.clients[plain].profile, Some(Profile::Aes128CmSha1));
    assert_eq!(net.clients[modern].profile, Some(Profile::AeadAes128Gcm));
    assert_eq!(net.clients[plain].video_payloads().len(), 20);
    assert_eq!(net.clients[plain].video_payloads(), net.clients[modern].video_payloads());
}

#[test]
fn a_client_hello_in_two_records_gets_gcm_too() {
    let mut net = Net::new(62);
    net.cut_hellos = true;
    let publisher = net.connect(Make::Rtc, None);
    assert_eq!(net.clients[publisher].profile, Some(Profile::AeadAes128Gcm));
}
