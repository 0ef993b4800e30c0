//! Batched UDP and the loop of one worker thread.
//!
//! Owns every socket system call of the media path: `recvmmsg` with `UDP_GRO` in, `sendmmsg` with `UDP_SEGMENT` out,
//! epoll, the waker, a bounded command channel. Two loops: one socket per worker, or thousands and TCP streams beside them.
//! Knows nothing of WebRTC and TURN and allocates nothing per packet.
//! A kernel or device without segmentation offload costs speed, never packets: trains are then sent one by one.
#![allow(unsafe_code, reason = "the one home of socket system calls; each block carries a SAFETY note")]

mod address;
mod commands;
mod outbox;
mod poller;
mod receive;
mod relay;
mod scratch;
mod send;
mod socket;
mod thread;
mod train;
mod waker;
mod worker;

pub use commands::{CommandError, CommandReceiver, CommandSender, command_channel};
pub use outbox::Outbox;
pub use receive::{RecvBatch, RecvCounters};
pub use relay::{RelayHandler, RelayNet, RelayNetError, RelayReceived, StreamKey, run_relay_worker};
pub use send::SendBatch;
pub use socket::{SocketError, UdpSocket};
pub use thread::spawn_worker;
pub use train::{MAX_TRAIN_BYTES, MAX_TRAIN_SEGMENTS, SendCounters, SendState};
pub use waker::Waker;
pub use worker::{Handler, WorkerError, run_worker};
