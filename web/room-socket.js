// The room socket: one WebSocket, JSON messages, and a heartbeat that notices a dead gateway.

import { read, write } from './messages.js';

const SUBPROTOCOL = 'plenum.room.v1';
const PING_MILLIS = 1500;
/** How long an answer may take: to the connection and to a ping, and to the join, for which a room may have to be placed. */
const ANSWER_MILLIS = 4000;
const JOIN_MILLIS = 15000;

export class RoomSocket {
  #socket;
  /** Until when something must be heard; null while nothing is awaited. */
  #deadline = performance.now() + ANSWER_MILLIS;
  #joined = false;
  #timer;
  #over = false;

  /**
   * Connects and joins.
   * @param {URL} url of the socket
   * @param {{token: string, name: ?string, instance: string}} join
   * @param {{message: function(object), lost: function(string)}} handlers `lost` is called once, unless `close` was
   */
  constructor(url, join, handlers) {
    this.#socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket.onopen = () => {
      this.#deadline = performance.now() + JOIN_MILLIS;
      this.send({ type: 'join', token: join.token, name: join.name, instance: join.instance });
    };
    this.#socket.onmessage = (event) => {
      this.#deadline = null;
      this.#joined = true;
      const message = read(event.data);
      if (message && message.type !== 'pong') handlers.message(message);
    };
    this.#socket.onclose = (event) => this.#lose(handlers, event.reason || 'the connection to the gateway was lost');
    this.#timer = setInterval(() => this.#beat(handlers), PING_MILLIS);
  }

  #beat(handlers) {
    if (this.#deadline !== null && performance.now() > this.#deadline) {
      this.#lose(handlers, 'the gateway does not answer');
    } else if (this.#joined && this.send({ type: 'ping' })) {
      this.#deadline ??= performance.now() + ANSWER_MILLIS;
    }
  }

  /** Sends a message if the socket is open; says whether it was. */
  send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(write(message));
    return true;
  }

  /** Ends the socket without a word to the handlers. */
  close() {
    this.#over = true;
    clearInterval(this.#timer);
    this.#socket.close();
  }

  #lose(handlers, reason) {
    if (this.#over) return;
    this.close();
    handlers.lost(reason);
  }
}
