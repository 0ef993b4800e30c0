// A room with a media server: one WHIP session for the own media, a WHEP session for each publication of the others. Lasts from
// one join to the next: a new media pod knows nothing of the old sessions.

import { backoff, now, sleep } from './dom.js';
import { watchFirstFrame } from './first-frame.js';
import { preferVp8 } from './local-media.js';
import { MediaSession } from './media-session.js';
import { keepTransport } from './transport.js';

export class ServerSessions {
  /** The WHIP session. */
  publisher = null;
  /** WHEP sessions by publication id. */
  subscribers = new Map();
  #call;
  #room;
  #key;
  #signal;
  #subscriptions = new Map();

  /**
   * @param {object} call as `Peers` gets it, and `room` and `timings`
   * @param {string} key the own secret, which ties sessions to the participant
   * @param {AbortSignal} signal ends with the round
   */
  constructor(call, key, signal) {
    this.#call = call;
    this.#room = call.room;
    this.#key = key;
    this.#signal = signal;
  }

  /** All sessions. */
  get sessions() {
    return [this.publisher, ...this.subscribers.values()].filter(Boolean);
  }

  /** The room has taken us. */
  enter() {
    for (const entry of this.#call.roster.values()) this.came(entry);
    this.#publish();
  }

  /** Somebody is here. */
  came({ id, publications }) {
    for (const publication of publications) this.#subscribe(id, publication);
  }

  /** Somebody went. */
  went({ publications }) {
    for (const { id } of publications) this.#unsubscribe(id);
  }

  /** A message that only rooms of this kind send. */
  handle(message) {
    const entry = this.#call.roster.get(message.participant);
    if (message.type === 'published' && entry) {
      entry.publications = [...entry.publications.filter(({ id }) => id !== message.publication.id), message.publication];
      this.#subscribe(entry.id, message.publication);
    } else if (message.type === 'unpublished') {
      if (entry) entry.publications = entry.publications.filter(({ id }) => id !== message.publication);
      this.#unsubscribe(message.publication);
    }
  }

  /** Closes everything; `tell`: the room may not know, so every session is ended one by one. */
  close({ tell }) {
    this.publisher?.close({ tell });
    this.publisher = null;
    for (const id of [...this.subscribers.keys()]) this.#drop(id, tell);
  }

  async #publish() {
    const { stream } = await this.#call.media;
    if (!stream || this.#signal.aborted) return;
    await this.#keep(this.#signal, async () => {
      const session = new MediaSession(await this.#what('whip', this.#signal));
      this.publisher?.close();
      this.publisher = session;
      for (const track of stream.getTracks()) {
        const transceiver = session.pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
        if (track.kind === 'video') preferVp8(transceiver);
      }
      await session.open(new URL('whip', this.#room.base), this.#signal);
      this.#call.timings.published = now();
      return session;
    });
  }

  #subscribe(participant, publication) {
    if (this.#subscriptions.has(publication.id)) return;
    const abort = new AbortController();
    this.#subscriptions.set(publication.id, abort);
    const signal = AbortSignal.any([this.#signal, abort.signal]);
    this.#keep(signal, async () => {
      const session = new MediaSession({ ...(await this.#what('whep', signal)), publication, participant });
      this.subscribers.get(publication.id)?.close();
      this.subscribers.set(publication.id, session);
      this.#receive(session, publication, participant);
      const url = new URL('whep', this.#room.base);
      url.searchParams.set('publication', publication.id);
      await session.open(url, signal);
      watchFirstFrame(session, signal, () => this.#call.seen(publication.id));
      return session;
    });
  }

  async #what(kind, signal) {
    const ice = await this.#call.ice.get();
    signal.throwIfAborted();
    return { kind, token: this.#room.token, participantKey: this.#key, ice };
  }

  #receive(session, publication, participant) {
    const stream = new MediaStream();
    if (publication.audio) session.pc.addTransceiver('audio', { direction: 'recvonly' });
    if (publication.video) session.pc.addTransceiver('video', { direction: 'recvonly' });
    session.pc.addEventListener('track', (event) => stream.addTrack(event.track));
    this.#call.handlers.stream(publication, participant, stream);
  }

  #unsubscribe(publication) {
    this.#subscriptions.get(publication)?.abort(new DOMException('the publication is gone', 'AbortError'));
    this.#subscriptions.delete(publication);
    this.#drop(publication, true);
  }

  #drop(publication, tell) {
    this.subscribers.get(publication)?.close({ tell });
    this.subscribers.delete(publication);
    this.#call.handlers.gone(publication);
  }

  /** Opens a session, and another one whenever it fails, until `signal`. */
  async #keep(signal, open) {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const session = await open();
        const opened = performance.now();
        await keepTransport(session, this.#call.ice, signal, (reason) => this.#call.restarting(session, reason));
        if (!signal.aborted) this.#call.handlers.note('A media connection was lost and is opened again.');
        if (performance.now() - opened > 10000) attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#call.handlers.note(error.message);
        if (error.status === 401 || error.status === 403) return;
      }
      await sleep(backoff(attempt), signal).catch(() => {});
    }
  }
}
