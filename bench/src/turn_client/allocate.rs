//! Allocations and channels for many clients, some of them at a time.

use super::stun::{Answer, Credentials, Question, Request};
use super::{Buffers, Pair};
use anyhow::bail;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Clients that ask at the same time.
const AT_ONCE: usize = 32;
/// An unanswered request is sent again after this long.
const AGAIN: Duration = Duration::from_millis(400);
/// Longest time for those that ask at the same time.
const DEADLINE: Duration = Duration::from_secs(20);

/// Where a client is.
struct Asking<'a> {
    pair: &'a mut Pair,
    question: Question,
    request: Request,
    nonce: Vec<u8>,
    sent: Instant,
    done: bool,
}

/// An allocation with a channel to its peer, for every pair.
pub(crate) fn allocate(
    pairs: &mut [Pair],
    server: SocketAddr,
    credentials: &Credentials,
    buffers: &mut Buffers,
) -> anyhow::Result<()> {
    for some in pairs.chunks_mut(AT_ONCE) {
        let deadline = Instant::now() + DEADLINE;
        let mut asking = Vec::with_capacity(some.len());
        for pair in some {
            let request = Request::new(Question::Nonce, credentials, &[])?;
            buffers.send(&mut pair.client, server, request.bytes(), 1);
            let (question, sent) = (Question::Nonce, Instant::now());
            asking.push(Asking { pair, question, request, nonce: Vec::new(), sent, done: false });
        }
        while asking.iter().any(|one| !one.done) {
            for one in asking.iter_mut().filter(|one| !one.done) {
                one.hear(server, credentials, buffers)?;
            }
            if Instant::now() > deadline {
                bail!("the server at {server} did not answer within {} s", DEADLINE.as_secs());
            }
        }
    }
    Ok(())
}

impl Asking<'_> {
    /// Takes an answer, if there is one, and goes on; or asks again when it is time.
    fn hear(&mut self, server: SocketAddr, credentials: &Credentials, buffers: &mut Buffers) -> anyhow::Result<()> {
        buffers.receive(&self.pair.client)?;
        let mut answer = None;
        for (_, datagram) in buffers.inbox.datagrams() {
            answer = self.request.answer(datagram)?.or(answer);
        }
        match answer {
            Some(answer) => match self.next(answer)? {
                Some(question) => {
                    self.question = question;
                    self.request = Request::new(question, credentials, &self.nonce)?;
                }
                None => {
                    self.done = true;
                    return Ok(());
                }
            },
            None if self.sent.elapsed() < AGAIN => return Ok(()),
            None => {}
        }
        buffers.send(&mut self.pair.client, server, self.request.bytes(), 1);
        self.sent = Instant::now();
        Ok(())
    }

    /// What to ask after this answer; nothing when all is there.
    fn next(&mut self, answer: Answer) -> anyhow::Result<Option<Question>> {
        Ok(match (self.question, answer) {
            (Question::Nonce, Answer::Refused { code: 401, nonce: Some(nonce) }) => {
                self.nonce = nonce;
                Some(Question::Allocation)
            }
            (question, Answer::Refused { code: 438, nonce: Some(nonce) }) => {
                self.nonce = nonce;
                Some(question)
            }
            (Question::Allocation, Answer::Relayed(relay)) => {
                self.pair.relay = Some(relay);
                Some(Question::Channel(self.pair.peer_address))
            }
            (Question::Channel(_), Answer::Bound) => None,
            (question, answer) => bail!("{question:?} was answered by {answer:?}"),
        })
    }
}
