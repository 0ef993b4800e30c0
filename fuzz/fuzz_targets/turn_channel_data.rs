//! ChannelData, and how a stream is cut into messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plenum_turn_core::channel_data::{ChannelData, write};
use plenum_turn_core::{Frame, MAX_FRAME, frame_len};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match frame_len(rest) {
            Frame::Whole(len) => {
                assert!(len >= 4 && len <= rest.len() && len <= MAX_FRAME);
                let (frame, tail) = rest.split_at(len);
                // What is there cannot change where the first message ends.
                assert_eq!(frame_len(frame), Frame::Whole(len));
                if let Some(data) = ChannelData::parse(frame) {
                    let mut copy = vec![0xaa; len];
                    assert_eq!(write(&mut copy, data.channel, data.payload, true), Some(len));
                    assert_eq!(ChannelData::parse(&copy), Some(data));
                }
                rest = tail;
            }
            Frame::Need(len) => {
                assert!(len > rest.len() && len <= MAX_FRAME);
                break;
            }
            Frame::Broken => break,
        }
    }
});
