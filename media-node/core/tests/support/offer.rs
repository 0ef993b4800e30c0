//! Offers as a browser writes them.

/// Who sends, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    SendOnly,
    RecvOnly,
}

pub const AUDIO_PT: u8 = 111;
pub const VIDEO_PT: u8 = 96;
/// Header extension id of the MID.
pub const MID_ID: u8 = 4;

pub fn offer(way: Way, credentials: &(String, String), fingerprint: &str) -> String {
    let direction = match way {
        Way::SendOnly => "sendonly",
        Way::RecvOnly => "recvonly",
    };
    let (ufrag, pwd) = credentials;
    let section = |media: &str, mid: u8, codecs: &str| {
        format!(
            "m={media}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
             a=extmap:{MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid\r\na={direction}\r\na=rtcp-mux\r\n{codecs}"
        )
    };
    let audio = section("audio 9 UDP/TLS/RTP/SAVPF 111", 0, "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n");
    let video = section(
        "video 9 UDP/TLS/RTP/SAVPF 96 97",
        1,
        "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\n\
         a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
    );
    format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n{audio}{video}")
}
