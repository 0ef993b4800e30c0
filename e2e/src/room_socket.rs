//! A participant without media: the room socket, spoken by the test itself.

use crate::door::Door;
use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use plenum_protocol::peer::Instance;
use plenum_protocol::room::{ClientMessage, SUBPROTOCOL, ServerMessage};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// One room socket.
#[derive(Debug)]
pub struct RoomSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl RoomSocket {
    /// Connects without joining.
    ///
    /// # Errors
    /// The gateway refuses the upgrade.
    pub async fn connect(door: &Door, namespace: &str, room: &str) -> Result<Self> {
        let url = door.room_url(namespace, room, "socket").replacen("http", "ws", 1);
        let address = url.parse().with_context(|| format!("parsing {url}"))?;
        let request = ClientRequestBuilder::new(address).with_sub_protocol(SUBPROTOCOL);
        let (stream, _) = timeout(ANSWER, connect_async(request))
            .await
            .with_context(|| format!("connecting to {url} takes too long"))?
            .with_context(|| format!("connecting to {url}"))?;
        Ok(Self { stream })
    }

    /// Connects and joins, as a fresh load of a page does; the first message is returned, whatever it is.
    ///
    /// # Errors
    /// The gateway refuses the upgrade or does not answer.
    pub async fn join(door: &Door, namespace: &str, room: &str, token: &str) -> Result<(Self, ServerMessage)> {
        let instance = format!("socket-{:032x}", rand::random::<u128>()).parse().context("minting an instance")?;
        Self::join_as(door, namespace, room, token, Some(instance)).await
    }

    /// The same, as a certain load of a page, or as a client that does not say which.
    ///
    /// # Errors
    /// See [`Self::join`].
    pub async fn join_as(
        door: &Door,
        namespace: &str,
        room: &str,
        token: &str,
        instance: Option<Instance>,
    ) -> Result<(Self, ServerMessage)> {
        let mut socket = Self::connect(door, namespace, room).await?;
        socket.send(&ClientMessage::Join { token: token.to_owned(), name: None, instance }).await?;
        let answer = socket.next().await?;
        Ok((socket, answer))
    }

    /// Joins; fails unless the room takes us.
    ///
    /// # Errors
    /// The answer is not `joined`.
    pub async fn joined(door: &Door, namespace: &str, room: &str, token: &str) -> Result<Self> {
        let (socket, answer) = Self::join(door, namespace, room, token).await?;
        ensure!(matches!(answer, ServerMessage::Joined { .. }), "the answer to join is {answer:?}");
        Ok(socket)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<()> {
        let text = serde_json::to_string(message).context("writing a message")?;
        self.send_text(text).await
    }

    /// Sends any text.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send_text(&mut self, text: String) -> Result<()> {
        self.stream.send(Message::text(text)).await.context("sending a message")
    }

    /// The next message.
    ///
    /// # Errors
    /// None comes within ten seconds, the socket closes, or it is not of the protocol.
    pub async fn next(&mut self) -> Result<ServerMessage> {
        timeout(ANSWER, self.next_text()).await.context("the room says nothing")?
    }

    async fn next_text(&mut self) -> Result<ServerMessage> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).with_context(|| format!("parsing {text}"));
                }
                Some(Ok(Message::Close(frame))) => bail!("the room closed the socket: {frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error).context("reading the socket"),
                None => bail!("the room closed the socket"),
            }
        }
    }

    /// Reads until a message satisfies `wanted`; others are skipped.
    ///
    /// # Errors
    /// It does not come within `within`.
    pub async fn expect(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&ServerMessage) -> bool,
    ) -> Result<ServerMessage> {
        timeout(within, async {
            loop {
                let message = self.next_text().await?;
                if wanted(&message) {
                    return Ok(message);
                }
            }
        })
        .await
        .with_context(|| format!("waiting for {what}"))?
    }
}
