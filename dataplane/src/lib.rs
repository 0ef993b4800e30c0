//! Batched UDP and the loop of one worker thread.
//!
//! Owns every socket system call of the media path: `recvmmsg` with `UDP_GRO` in, `sendmmsg` with `UDP_SEGMENT` out,
//! epoll, the waker, a bounded command channel. Knows nothing of WebRTC and allocates nothing per packet.
//! A kernel or device without segmentation offload costs speed, never packets: trains are then sent one by one.
#![allow(unsafe_code, reason = "the one home of socket system calls; each block carries a SAFETY note")]

mod address;
mod commands;
mod outbox;
mod poller;
mod receive;
mod send;
mod socket;
mod waker;
mod worker;

pub use commands::{CommandError, CommandReceiver, CommandSender, command_channel};
pub use outbox::Outbox;
pub use receive::{RecvBatch, RecvCounters};
pub use send::{MAX_TRAIN_BYTES, MAX_TRAIN_SEGMENTS, SendBatch, SendCounters, SendState};
pub use socket::{SocketError, UdpSocket};
pub use waker::Waker;
pub use worker::{Handler, WorkerError, run_worker};
