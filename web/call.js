// A call: joins a room, publishes the own media, subscribes to everybody else's, and joins again whenever it is over.

import { backoff, now, sleep } from './dom.js';
import { FRESH_MILLIS, IceServers } from './ice-servers.js';
import { preferVp8 } from './local-media.js';
import { MediaSession } from './media-session.js';
import { RoomSocket } from './room-socket.js';
import { keepTransport } from './transport.js';

/** Refusals of a join that trying again cannot mend. */
const FINAL = new Set(['bad-request', 'unauthorized', 'forbidden', 'not-found']);
const MOST_RESTARTS_NOTED = 200;
/** Over what time the clients of a lost relay spread. */
const LOSS_SPREAD_MILLIS = 250;
const FIRST_FRAME_POLL_MILLIS = 50;
const FIRST_FRAME_PATIENCE_MILLIS = 30000;

export class Call {
  /** idle, joining, joined, rejoining, left, ended or refused. */
  state = 'idle';
  /** In plain words, why the state is what it is. */
  detail = '';
  /** Own public id. */
  participant = null;
  /** Everybody else: id to `{id, identity, name, publications}`. */
  roster = new Map();
  /** The WHIP session. */
  publisher = null;
  /** WHEP sessions by publication id. */
  subscribers = new Map();
  /** STUN and TURN servers. */
  ice;
  /** Milliseconds since 1970. */
  timings = { joinStarted: null, joined: null, published: null, firstFrame: {}, rejoins: [], iceRestarts: [] };
  #room;
  #handlers;
  #round = null;
  #media;

  /**
   * @param {{base: URL, token: string, name: ?string, region: ?string}} room `base` is `…/v1/rooms/{namespace}/{name}/`
   * @param {Promise<{stream: ?MediaStream}>} media
   * @param {{changed: function(), stream: function(object, string, MediaStream), gone: function(string), note: function(string)}} handlers
   */
  constructor(room, media, handlers) {
    this.#room = room;
    this.#media = media;
    this.#handlers = handlers;
    this.ice = new IceServers(room);
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

  #set(state, detail) {
    this.state = state;
    this.detail = detail;
    this.#handlers.changed();
  }

  #join(attempt) {
    // By the time that the room lets us in they are there. The room may have changed its mind about relays.
    this.ice.get(FRESH_MILLIS);
    const round = { attempt, abort: new AbortController(), subscriptions: new Map(), joined: false };
    this.#round = round;
    this.#set(this.timings.rejoins.length > 0 || attempt > 0 ? 'rejoining' : 'joining', this.detail);
    const url = new URL('socket', this.#room.base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const current = (handle) => (value) => {
      if (this.#round === round) handle(value);
    };
    round.socket = new RoomSocket(url, this.#room, {
      message: current((message) => this.#handle(round, message)),
      lost: current((reason) => this.#again(reason, backoff(round.joined ? 0 : attempt), round.joined ? 0 : attempt + 1)),
    });
  }

  /**
   * Tears everything down and joins again after `delay` milliseconds. `tell`: the room may not know, so every session
   * is ended one by one.
   */
  #again(reason, delay, attempt, tell = true) {
    if (this.#round?.joined) this.timings.rejoins.push({ at: now(), reason, joined: null });
    this.#tearDown({ tell });
    this.#set('rejoining', reason);
    const waiting = { abort: new AbortController(), socket: { send: () => false, close: () => {} }, subscriptions: new Map() };
    this.#round = waiting;
    sleep(delay, waiting.abort.signal).then(
      () => this.#join(attempt),
      () => {},
    );
  }

  #end(state, detail) {
    this.#tearDown({ leave: true });
    this.#set(state, detail);
  }

  #tearDown({ leave = false, tell = false }) {
    const round = this.#round;
    this.#round = null;
    if (leave) round?.socket.send({ type: 'leave' });
    round?.abort.abort(new DOMException('the round is over', 'AbortError'));
    round?.socket.close();
    this.publisher?.close({ tell });
    this.publisher = null;
    for (const id of [...this.subscribers.keys()]) this.#drop(id, tell);
    this.roster.clear();
    this.participant = null;
  }

  #handle(round, message) {
    switch (message.type) {
      case 'joined':
        return this.#joined(round, message);
      case 'participantJoined':
        this.roster.set(message.participant.id, message.participant);
        for (const publication of message.participant.publications) this.#subscribe(round, message.participant.id, publication);
        break;
      case 'participantLeft':
        for (const { id } of this.roster.get(message.participant)?.publications ?? []) this.#unsubscribe(round, id);
        this.roster.delete(message.participant);
        break;
      case 'published':
        this.#published(round, message);
        break;
      case 'unpublished':
        this.#unpublished(round, message);
        break;
      case 'relayLost':
        this.#loseRelay(round, message.pod);
        return;
      case 'rejoin':
        return this.#again(message.reason, Math.random() * (message.withinMillis ?? 500), 0, false);
      case 'ended':
        return this.#end('ended', message.detail);
      case 'error':
        if (round.joined) this.#handlers.note(message.detail);
        else if (FINAL.has(message.code)) this.#end('refused', message.detail);
        else this.#again(message.detail, backoff(round.attempt), round.attempt + 1);
        return;
      default:
        return;
    }
    this.#handlers.changed();
  }

  /** A relay is gone. Its clients spread, so that they do not ask for another one all at once. */
  async #loseRelay(round, pod) {
    this.ice.lose(pod);
    await sleep(Math.random() * LOSS_SPREAD_MILLIS);
    if (this.#round !== round) return;
    for (const session of [this.publisher, ...this.subscribers.values()]) session?.loseRelay(pod);
  }

  #joined(round, message) {
    round.joined = true;
    round.key = message.participantKey;
    this.participant = message.participant;
    this.timings.joined = now();
    const last = this.timings.rejoins.at(-1);
    if (last) last.joined = this.timings.joined;
    this.#set('joined', '');
    for (const participant of message.roster) {
      this.roster.set(participant.id, participant);
      for (const publication of participant.publications) this.#subscribe(round, participant.id, publication);
    }
    this.#publish(round);
    this.#handlers.changed();
  }

  #published(round, { participant, publication }) {
    if (participant === this.participant) return;
    const entry = this.roster.get(participant);
    if (!entry) return;
    entry.publications = [...entry.publications.filter(({ id }) => id !== publication.id), publication];
    this.#subscribe(round, participant, publication);
  }

  #unpublished(round, { participant, publication }) {
    const entry = this.roster.get(participant);
    if (entry) entry.publications = entry.publications.filter(({ id }) => id !== publication);
    this.#unsubscribe(round, publication);
  }

  async #publish(round) {
    const { stream } = await this.#media;
    if (!stream || round.abort.signal.aborted) return;
    await this.#keep(round.abort.signal, async () => {
      const ice = await this.#iceServers(round.abort.signal);
      const session = new MediaSession({ kind: 'whip', token: this.#room.token, participantKey: round.key, ice });
      this.publisher?.close();
      this.publisher = session;
      for (const track of stream.getTracks()) {
        const transceiver = session.pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
        if (track.kind === 'video') preferVp8(transceiver);
      }
      await session.open(new URL('whip', this.#room.base), round.abort.signal);
      this.timings.published = now();
      return session;
    });
  }

  #subscribe(round, participant, publication) {
    if (round.subscriptions.has(publication.id)) return;
    const abort = new AbortController();
    round.subscriptions.set(publication.id, abort);
    const signal = AbortSignal.any([round.abort.signal, abort.signal]);
    this.#keep(signal, async () => {
      const ice = await this.#iceServers(signal);
      const what = { kind: 'whep', token: this.#room.token, participantKey: round.key, ice, publication, participant };
      const session = new MediaSession(what);
      this.subscribers.get(publication.id)?.close();
      this.subscribers.set(publication.id, session);
      this.#receive(session, publication, participant);
      const url = new URL('whep', this.#room.base);
      url.searchParams.set('publication', publication.id);
      await session.open(url, signal);
      this.#watchFirstFrame(session, publication, signal);
      return session;
    });
  }

  async #iceServers(signal) {
    const ice = await this.ice.get();
    signal.throwIfAborted();
    return ice;
  }

  #receive(session, publication, participant) {
    const stream = new MediaStream();
    if (publication.audio) session.pc.addTransceiver('audio', { direction: 'recvonly' });
    if (publication.video) session.pc.addTransceiver('video', { direction: 'recvonly' });
    session.pc.addEventListener('track', (event) => stream.addTrack(event.track));
    this.#handlers.stream(publication, participant, stream);
  }

  /** Notes when the first frame was there; called by whoever sees it first. */
  firstFrame(publication) {
    this.timings.firstFrame[publication] ??= now();
  }

  async #watchFirstFrame(session, publication, signal) {
    const wanted = publication.video ? 'framesDecoded' : 'totalSamplesReceived';
    const until = performance.now() + FIRST_FRAME_PATIENCE_MILLIS;
    while (!signal.aborted && performance.now() < until && !(publication.id in this.timings.firstFrame)) {
      for (const stat of (await session.pc.getStats()).values()) {
        if (stat.type === 'inbound-rtp' && stat[wanted] > 0) this.firstFrame(publication.id);
      }
      await sleep(FIRST_FRAME_POLL_MILLIS);
    }
  }

  #unsubscribe(round, publication) {
    round.subscriptions.get(publication)?.abort(new DOMException('the publication is gone', 'AbortError'));
    round.subscriptions.delete(publication);
    this.#drop(publication, true);
  }

  #drop(publication, tell) {
    this.subscribers.get(publication)?.close({ tell });
    this.subscribers.delete(publication);
    this.#handlers.gone(publication);
  }

  #restarting(session, reason) {
    const restarts = this.timings.iceRestarts;
    restarts.push({ at: now(), session: session.id, kind: session.kind, relay: session.relay?.pod ?? null, reason });
    if (restarts.length > MOST_RESTARTS_NOTED) restarts.shift();
  }

  /** Opens a session, and another one whenever it fails, until `signal`. */
  async #keep(signal, open) {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const session = await open();
        const opened = performance.now();
        await keepTransport(session, this.ice, signal, (reason) => this.#restarting(session, reason));
        if (!signal.aborted) this.#handlers.note('A media connection was lost and is opened again.');
        if (performance.now() - opened > 10000) attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#handlers.note(error.message);
        if (error.status === 401 || error.status === 403) return;
      }
      await sleep(backoff(attempt), signal).catch(() => {});
    }
  }
}
