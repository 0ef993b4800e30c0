//! Media state: what a publisher sends, what is kept of it, and what each subscriber gets.
//!
//! Pure bookkeeping: no addresses, no keys, no sockets. `forward` joins it with sessions.

pub(crate) mod clock;
pub(crate) mod keyframe;
pub(crate) mod missing;
pub(crate) mod packet_cache;
pub(crate) mod publication;
pub(crate) mod rate;
pub(crate) mod receive_stats;
pub(crate) mod sent_track;
pub(crate) mod track;
