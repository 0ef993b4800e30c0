// A call: joins a room, and joins again whenever it is over. Which way the media goes is the room's affair: through a media
// server (`ServerSessions`) or straight to the other one (`Peers`), and a room may change from the one to the other.

import { backoff, now, sleep } from './dom.js';
import { FRESH_MILLIS, IceServers } from './ice-servers.js';
import { INSTANCE } from './pair.js';
import { Peers } from './peers.js';
import { RoomSocket } from './room-socket.js';
import { ServerSessions } from './server-sessions.js';

/** Refusals of a join that trying again cannot mend. */
const FINAL = new Set(['bad-request', 'unauthorized', 'forbidden', 'not-found']);
const MOST_RESTARTS_NOTED = 200;
/** Over what time the clients of a lost relay spread. */
const LOSS_SPREAD_MILLIS = 250;

export class Call {
  /** idle, joining, joined, rejoining, left, ended or refused. */
  state = 'idle';
  /** In plain words, why the state is what it is. */
  detail = '';
  /** Own public id. */
  participant = null;
  /** Everybody else: id to `{id, identity, name, publications, instance}`. */
  roster = new Map();
  /** Sessions with the media server, in a room that has one. */
  server = null;
  /** Sessions with other people, in a peer-to-peer room. */
  peers = null;
  /** STUN and TURN servers. */
  ice;
  /** Milliseconds since 1970. */
  timings = { joinStarted: null, joined: null, published: null, firstFrame: {}, rejoins: [], iceRestarts: [] };
  #room;
  #handlers;
  #round = null;
  /** What the ways of the media get of the call. */
  #shared;
  /** Peers whose room has a media server now. */
  #retired = null;

  /**
   * @param {{base: URL, token: string, name: ?string, region: ?string}} room `base` is `…/v1/rooms/{namespace}/{name}/`
   * @param {Promise<{stream: ?MediaStream}>} media
   * @param {{changed: function(), stream: function(object, string, MediaStream), gone: function(string), note: function(string)}} handlers
   */
  constructor(room, media, handlers) {
    this.#room = { ...room, instance: INSTANCE };
    this.#handlers = handlers;
    this.ice = new IceServers(room);
    this.#shared = {
      room,
      media,
      handlers,
      ice: this.ice,
      roster: this.roster,
      timings: this.timings,
      send: (message) => this.#round?.socket.send(message) ?? false,
      seen: (publication) => this.firstFrame(publication),
      restarting: (session, reason) => this.#restarting(session, reason),
    };
  }

  /** All sessions that carry media. */
  get sessions() {
    return [this.server, this.peers, this.#retired].flatMap((way) => way?.sessions ?? []);
  }

  /** Joins, and stays until `leave`. */
  start() {
    this.timings.joinStarted = now();
    this.#join(0);
  }

  /** Goes for good. */
  leave() {
    this.#end('left', 'You have left the room.');
  }

  /** Tells the room what this client sees of its legs. */
  sendView(legs) {
    this.#round?.socket.send({ type: 'view', legs });
  }

  /** Notes when the first frame was there; called by whoever sees it first. */
  firstFrame(publication) {
    this.timings.firstFrame[publication] ??= now();
    if (!this.#retired) return;
    const from = [...this.roster.values()].find((entry) => entry.publications.some(({ id }) => id === publication));
    if (from) this.#retired.replaced(from);
  }

  #set(state, detail) {
    this.state = state;
    this.detail = detail;
    this.#handlers.changed();
  }

  #join(attempt) {
    // By the time that the room lets us in they are there. The room may have changed its mind about relays.
    this.ice.get(FRESH_MILLIS);
    const round = { attempt, abort: new AbortController(), way: null };
    this.#round = round;
    this.#set(this.timings.rejoins.length > 0 || attempt > 0 ? 'rejoining' : 'joining', this.detail);
    const url = new URL('socket', this.#room.base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const current = (handle) => (value) => {
      if (this.#round === round) handle(value);
    };
    round.socket = new RoomSocket(url, this.#room, {
      message: current((message) => this.#handle(round, message)),
      lost: current((reason) => this.#again(reason, backoff(round.way ? 0 : attempt), round.way ? 0 : attempt + 1)),
    });
  }

  /**
   * Tears down what does not outlive a socket and joins again after `delay` milliseconds. `tell`: the room may not know, so
   * every session is ended one by one.
   */
  #again(reason, delay, attempt, tell = true) {
    if (this.#round?.way) this.timings.rejoins.push({ at: now(), reason, joined: null });
    this.#tearDown(tell);
    this.peers?.away();
    this.#set('rejoining', reason);
    const waiting = { abort: new AbortController(), socket: { send: () => false, close: () => {} }, way: null };
    this.#round = waiting;
    sleep(delay, waiting.abort.signal).then(
      () => this.#join(attempt),
      () => {},
    );
  }

  #end(state, detail) {
    this.peers?.close();
    this.#retired?.close();
    this.peers = this.#retired = null;
    this.#round?.socket.send({ type: 'leave' });
    this.#tearDown(false);
    this.#set(state, detail);
  }

  #tearDown(tell) {
    const round = this.#round;
    this.#round = null;
    round?.abort.abort(new DOMException('the round is over', 'AbortError'));
    round?.socket.close();
    this.server?.close({ tell });
    this.server = null;
    this.roster.clear();
    this.participant = null;
  }

  #handle(round, message) {
    switch (message.type) {
      case 'joined':
        return this.#joined(round, message);
      case 'participantJoined':
        this.roster.set(message.participant.id, message.participant);
        round.way?.came(message.participant);
        break;
      case 'participantLeft':
        this.#left(round, message.participant);
        break;
      case 'relayLost':
        this.#loseRelay(round, message.pod);
        return;
      case 'rejoin':
        return this.#again(message.reason, Math.random() * message.withinMillis, 0, false);
      case 'ended':
        return this.#end('ended', message.detail);
      case 'error':
        if (round.way) this.#handlers.note(message.detail);
        else if (FINAL.has(message.code)) this.#end('refused', message.detail);
        else this.#again(message.detail, backoff(round.attempt), round.attempt + 1);
        return;
      default:
        round.way?.handle(message);
    }
    this.#handlers.changed();
  }

  /** A relay is gone. Its clients spread, so that they do not ask for another one all at once. */
  async #loseRelay(round, pod) {
    this.ice.lose(pod);
    await sleep(Math.random() * LOSS_SPREAD_MILLIS);
    if (this.#round !== round) return;
    for (const session of this.sessions) session.loseRelay(pod);
  }

  #joined(round, message) {
    this.participant = message.participant;
    this.timings.joined = now();
    const last = this.timings.rejoins.at(-1);
    if (last) last.joined = this.timings.joined;
    this.#set('joined', '');
    for (const entry of message.roster) this.roster.set(entry.id, entry);
    round.way = message.mode === 'PeerToPeer' ? this.#toPeers(message) : this.#toServer(round, message);
    round.way.enter();
    this.#handlers.changed();
  }

  #toPeers({ participant, maxBitrateKbps }) {
    this.ice.toPeers(participant);
    this.peers ??= new Peers(this.#shared);
    this.peers.limit(maxBitrateKbps);
    return this.peers;
  }

  /** Connections to peers go on until the media server has taken over. */
  #toServer(round, { participantKey }) {
    this.peers?.retire();
    this.#retired = this.peers ?? this.#retired;
    this.peers = null;
    this.ice.toServer();
    this.server = new ServerSessions(this.#shared, participantKey, round.abort.signal);
    return this.server;
  }

  #left(round, participant) {
    const entry = this.roster.get(participant);
    this.roster.delete(participant);
    if (entry) round.way?.went(entry);
  }

  #restarting(session, reason) {
    const restarts = this.timings.iceRestarts;
    restarts.push({ at: now(), session: session.id, kind: session.kind, relay: session.relay?.pod ?? null, reason });
    if (restarts.length > MOST_RESTARTS_NOTED) restarts.shift();
  }
}
