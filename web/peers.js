// The other people of a peer-to-peer room: a peer connection to each. They are known by `instance`, so that connections go on
// when either side joins again, under whatever id.

import { sleep } from './dom.js';
import { watchFirstFrame } from './first-frame.js';
import { INSTANCE, instanceOf } from './pair.js';
import { PeerSession } from './peer-session.js';
import { keepTransport } from './transport.js';

/** Who goes without a word may come back: their gateway may have died. */
const COME_BACK_MILLIS = 15000;
/** A failed session is begun anew after so long: by then nothing of the old one is under way. */
const RENEW_MILLIS = 1500;
/** When a media server takes over: how long connections go on. The other side may see its first picture later than we do. */
const OVERLAP_MILLIS = 5000;
const MOST_UNTOLD = 16;

export class Peers {
  #call;
  /** By instance. */
  #sessions = new Map();
  /** Instances that could not be told that their session is closed. */
  #untold = new Set();
  /** Most that one of us may send, kbit/s; unset: as the browser likes. */
  #maxKbps;
  #over = false;

  /**
   * @param {{ice: IceServers, media: Promise<{stream: ?MediaStream}>, roster: Map, handlers: object, send: function(object),
   *   seen: function(string), restarting: function(MediaSession, string)}} call what the ways of the media get of a call
   */
  constructor(call) {
    this.#call = call;
  }

  /** All sessions. */
  get sessions() {
    return [...this.#sessions.values()];
  }

  /** The room says how much may be sent: nobody stands between us to see to it. */
  limit(kbps) {
    this.#maxKbps = kbps;
    for (const session of this.sessions) this.#bound(session);
  }

  /** The room has taken us, perhaps again: the roster says who is here. */
  enter() {
    const here = [...this.#call.roster.values()];
    for (const entry of here) this.came(entry);
    for (const session of this.sessions) if (!here.some(({ id }) => id === session.participant)) this.#miss(session);
  }

  /** Somebody is here, perhaps again. */
  came(entry) {
    const instance = instanceOf(entry);
    if (instance === INSTANCE) return;
    // There is room for two: who was away has not come back.
    for (const other of this.sessions) if (!other.present && other.instance !== instance) this.#close(other);
    const session = this.#sessions.get(instance);
    if (session) session.meet(entry);
    else if (this.#untold.delete(instance)) this.#beginAnew(entry);
    else this.#open(entry);
  }

  /** Somebody went. Whoever goes for good says `bye` first. */
  went({ id }) {
    const session = this.#with(id);
    if (session) this.#miss(session);
  }

  /** A message that only rooms of this kind send. */
  handle(message) {
    if (message.type !== 'signal') return;
    const session = this.#with(message.from);
    const entry = this.#call.roster.get(message.from);
    if (message.kind === 'bye') {
      if (!session) return;
      this.#close(session, { told: true });
      this.#renew(session.instance);
    } else if (session) {
      session.receive(message);
    } else if (entry && message.sdpType === 'offer') {
      this.#open(entry).receive(message);
    }
  }

  /** The own socket is gone: the media goes on. */
  away() {
    for (const session of this.sessions) session.miss();
  }

  /** A media server takes over. */
  retire() {
    this.#over = true;
    for (const session of this.sessions) {
      session.miss();
      this.#closeAfter(session, OVERLAP_MILLIS, session.abort.signal);
    }
  }

  /** Somebody's picture has come by the media server. */
  replaced(entry) {
    const same = (session) => (entry.instance ? entry.instance === session.instance : entry.identity === session.identity);
    for (const session of this.sessions.filter(same)) this.#call.handlers.gone(session.publication.id);
  }

  /** Ends everything. */
  close() {
    this.#over = true;
    for (const session of this.sessions) this.#close(session, { told: this.#bye(session) });
  }

  #with(participant) {
    return this.sessions.find((session) => session.participant === participant);
  }

  #open(entry) {
    const session = new PeerSession(entry, INSTANCE, this.#call.ice, (to, signal) => this.#send(to.participant, signal));
    const { signal } = session.abort;
    this.#sessions.set(session.instance, session);
    this.#call.media.then(({ stream }) => {
      if (!stream || signal.aborted) return;
      session.sendStream(stream);
      this.#bound(session);
    });
    session.addEventListener('track', () => {
      this.#call.handlers.stream(session.publication, session.participant, session.stream);
    });
    session.addEventListener('broken', ({ detail }) => this.#fail(session, detail));
    this.#keep(session, signal);
    return session;
  }

  #bound(session) {
    if (this.#maxKbps) session.limit(this.#maxKbps).catch((error) => this.#call.handlers.note(error.message));
  }

  /** Restarts ICE whenever the path is lost, until nothing but a new session helps. */
  async #keep(session, signal) {
    try {
      await session.negotiated(signal);
      watchFirstFrame(session, signal, () => this.#call.seen(session.publication.id));
      await keepTransport(session, this.#call.ice, signal, (reason) => this.#call.restarting(session, reason));
      this.#fail(session, 'The connection to the other one was lost and is made again.');
    } catch (error) {
      this.#fail(session, error.message);
    }
  }

  #fail(session, why) {
    if (session.abort.signal.aborted) return;
    if (!this.#over) this.#call.handlers.note(why);
    this.#close(session, { told: this.#bye(session) });
    this.#renew(session.instance);
  }

  /** They still have the session that is closed here. */
  #beginAnew(entry) {
    this.#send(entry.id, { kind: 'bye' });
    this.#renew(instanceOf(entry));
  }

  /** Begins another session if the other one is still here. One side does, so that the new ones do not cross. */
  async #renew(instance) {
    if (INSTANCE > instance) return;
    await sleep(RENEW_MILLIS);
    const entry = [...this.#call.roster.values()].find((one) => instanceOf(one) === instance);
    if (entry && !this.#sessions.has(instance) && !this.#over) this.#open(entry);
  }

  #miss(session) {
    const absent = session.miss();
    this.#closeAfter(session, COME_BACK_MILLIS, absent);
    const cut = () => ['disconnected', 'failed', 'closed'].includes(session.pc.iceConnectionState);
    const look = () => {
      if (cut()) this.#close(session);
    };
    session.pc.addEventListener('iceconnectionstatechange', look, { signal: absent });
    look();
  }

  #closeAfter(session, millis, signal) {
    sleep(millis, signal).then(
      () => this.#close(session),
      () => {},
    );
  }

  /** `told`: the other side knows, or has closed it before. */
  #close(session, { told = false } = {}) {
    session.close();
    if (this.#sessions.get(session.instance) === session) this.#sessions.delete(session.instance);
    if (!told && !this.#over) {
      this.#untold.add(session.instance);
      if (this.#untold.size > MOST_UNTOLD) this.#untold.delete(this.#untold.values().next().value);
    }
    this.#call.handlers.gone(session.publication.id);
  }

  /** Says whether it could be sent. */
  #bye(session) {
    return session.present && this.#send(session.participant, { kind: 'bye' });
  }

  #send(to, signal) {
    return this.#call.send({ type: 'signal', to, ...signal });
  }
}
