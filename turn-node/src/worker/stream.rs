//! One TCP or TLS stream of a client: what came and is not a whole message yet, what waits to leave. Both are bounded.

use super::sources::Source;
use plenum_turn_core::{ClientId, MAX_FRAME};
use rustls::ServerConnection;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that may wait to leave beside what the kernel holds; a client that does not read loses packets then.
const OUT_LIMIT: usize = 64 << 10;
/// Ciphertext that may wait in a TLS connection, bytes.
const TLS_LIMIT: usize = 32 << 10;
/// A buffer that grew beyond is given back when it is empty: thousands of streams are silent most of the time.
const KEPT: usize = 4 << 10;

/// Why a stream ends before its client closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Reading or writing failed.
    Socket,
    /// The TLS handshake, or TLS itself.
    Tls,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

pub(super) struct Stream {
    pub(super) client: ClientId,
    pub(super) source: Source,
    tls: Option<Box<ServerConnection>>,
    /// Begin of a message whose end has not come, less than [`MAX_FRAME`] bytes.
    pub(super) pending: Vec<u8>,
    /// Whole messages; the first `sent` bytes left.
    out: Vec<u8>,
    sent: usize,
    /// Length of `out` before the reserved message.
    reserved: Option<usize>,
    /// It is in the list of streams to be flushed.
    pub(super) listed: bool,
    /// The server is done with it: ends with the next flush.
    pub(super) closing: bool,
    pub(super) accepted: Instant,
    /// When it was last seen to have an allocation, else when it came.
    pub(super) useful: Instant,
}

impl Stream {
    pub(super) fn new(client: ClientId, source: Source, tls: Option<ServerConnection>, now: Instant) -> Self {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(Some(TLS_LIMIT));
            Box::new(tls)
        });
        Self {
            client,
            source,
            tls,
            pending: Vec::new(),
            out: Vec::new(),
            sent: 0,
            reserved: None,
            listed: false,
            closing: false,
            accepted: now,
            useful: now,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// There is room for a message of `max_len` bytes.
    pub(super) fn has_room(&self, max_len: usize) -> bool {
        !self.closing && self.out.len() - self.sent + max_len <= OUT_LIMIT
    }

    /// Room for a message; ask [`Stream::has_room`] first.
    pub(super) fn reserve(&mut self, max_len: usize) -> Option<&mut [u8]> {
        self.take_back();
        let before = self.out.len();
        self.out.resize(before + max_len, 0);
        self.reserved = Some(before);
        self.out.get_mut(before..)
    }

    pub(super) fn commit(&mut self, len: usize) {
        if let Some(before) = self.reserved.take() {
            self.out.truncate((before + len).min(self.out.len()));
        }
    }

    /// A reservation that was not committed is void.
    fn take_back(&mut self) {
        if let Some(before) = self.reserved.take() {
            self.out.truncate(before);
        }
    }

    /// Reads what the socket has, plaintext or not, into `raw`.
    pub(super) fn read(socket: &TcpStream, raw: &mut [u8]) -> Result<Found, Broken> {
        let mut socket = socket;
        match socket.read(raw) {
            Ok(0) => Ok(Found::End),
            Ok(len) => Ok(Found::Bytes(len)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(Found::Nothing)
            }
            Err(_) => Err(Broken::Socket),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes ciphertext from the front of `raw`, as much as fits; ask [`Stream::plaintext`] then, until it has none.
    pub(super) fn decrypt(&mut self, raw: &mut &[u8]) -> Result<(), Broken> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.read_tls(raw).map_err(|_| Broken::Tls)?;
        tls.process_new_packets().map_err(|_| Broken::Tls)?;
        Ok(())
    }

    /// Plaintext that was decrypted.
    pub(super) fn plaintext(&mut self, into: &mut [u8]) -> Result<Found, Broken> {
        let Some(tls) = &mut self.tls else { return Ok(Found::Nothing) };
        match tls.reader().read(into) {
            Ok(0) => Ok(Found::End),
            Ok(len) => Ok(Found::Bytes(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Nothing),
            Err(_) => Err(Broken::Tls),
        }
    }

    /// Something waits to leave.
    pub(super) fn wants_write(&self) -> bool {
        self.sent < self.out.len() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self, socket: &TcpStream) -> Result<(), Broken> {
        self.take_back();
        let outcome = match self.tls.take() {
            None => self.flush_plain(socket),
            Some(mut tls) => {
                let outcome = self.flush_tls(&mut tls, socket);
                self.tls = Some(tls);
                outcome
            }
        };
        if self.sent == self.out.len() {
            self.sent = 0;
            self.out.clear();
            if self.out.capacity() > KEPT {
                self.out = Vec::new();
            }
        } else if self.sent > OUT_LIMIT / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(Broken::Socket),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn unsent(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    fn flush_plain(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while !self.unsent().is_empty() {
            self.sent += written(socket.write(self.unsent()))?;
        }
        Ok(())
    }

    fn flush_tls(&mut self, tls: &mut ServerConnection, mut socket: &TcpStream) -> io::Result<()> {
        loop {
            // Nothing is taken while TLS holds as much as it may, or still shakes hands.
            if !tls.is_handshaking() && !self.unsent().is_empty() {
                self.sent += tls.writer().write(self.unsent())?;
            }
            if !tls.wants_write() {
                return Ok(());
            }
            written(tls.write_tls(&mut socket))?;
        }
    }

    /// Says goodbye, as far as the socket takes it.
    pub(super) fn say_end(&mut self, mut socket: &TcpStream) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Nobody is owed more than the attempt.
            while tls.wants_write() && tls.write_tls(&mut socket).is_ok_and(|len| len > 0) {}
        }
    }

    /// Gives back memory that a long message took.
    pub(super) fn keep_pending(&mut self, mut pending: Vec<u8>) {
        debug_assert!(pending.len() < MAX_FRAME, "a whole message was not handled");
        if pending.is_empty() && pending.capacity() > KEPT {
            pending = Vec::new();
        }
        self.pending = pending;
    }
}

/// A TLS connection of a server that lives in `config`.
pub(super) fn tls(config: Arc<rustls::ServerConfig>) -> Option<ServerConnection> {
    ServerConnection::new(config).ok()
}

/// Zero bytes written to a socket that was given some is an end.
fn written(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
