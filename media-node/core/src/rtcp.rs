//! RTCP (RFC 3550, RFC 4585, RFC 5104, RFC 3611, REMB): bounded views for reading, a writer for sending.
//!
//! Keeps no state: what a report means for a track is the business of `media`.

pub mod parse;
pub mod write;

pub use parse::{Compound, Malformed, Packet, ReportBlock, SenderInfo};
pub use write::Writer;

/// Packet types (RFC 3550, section 12.1; RFC 4585; RFC 3611).
pub(crate) mod kind {
    pub(crate) const SENDER_REPORT: u8 = 200;
    pub(crate) const RECEIVER_REPORT: u8 = 201;
    pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
    pub(crate) const GOODBYE: u8 = 203;
    pub(crate) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(crate) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(crate) const EXTENDED_REPORT: u8 = 207;
}

/// Feedback message types, the count field of feedback packets.
pub(crate) mod format {
    /// Transport feedback: generic NACK.
    pub(crate) const NACK: u8 = 1;
    /// Payload feedback: picture loss indication.
    pub(crate) const PICTURE_LOSS: u8 = 1;
    /// Payload feedback: full intra request.
    pub(crate) const FULL_INTRA: u8 = 4;
    /// Payload feedback: application layer, REMB among them.
    pub(crate) const APPLICATION: u8 = 15;
}

/// Block types of extended reports (RFC 3611, section 4.4 and 4.5).
pub(crate) mod block {
    pub(crate) const RECEIVER_REFERENCE_TIME: u8 = 4;
    pub(crate) const DELAY_SINCE_LAST: u8 = 5;
}
