// The peer connection with one other person: own tracks go out, theirs come in. It outlives sockets: while one of the two is
// away it goes on, and what was said in vain is said again when both are back.

import { backoff, sleep } from './dom.js';
import { NONE } from './ice-servers.js';
import { preferVp8 } from './local-media.js';
import { MediaSession } from './media-session.js';
import { Negotiation, ufragOf } from './negotiation.js';
import { instanceOf, pairId } from './pair.js';

/** How long the other side may take to answer an ICE restart. */
const RESTART_MILLIS = 4000;

/** Dispatches `present`, `track` and `broken` (nothing but a new session helps), and `trouble` as all sessions do. */
export class PeerSession extends MediaSession {
  /** Whether the other one is in the room, as far as we know. */
  present = true;
  /** What comes in. */
  stream = new MediaStream();
  /** Ends everything that is done for the session. */
  abort = new AbortController();
  #absence = null;
  #ice;
  #used = NONE;
  #negotiation;

  /**
   * @param {object} entry of the roster
   * @param {string} own instance
   * @param {IceServers} ice
   * @param {function(PeerSession, object)} send a signal
   */
  constructor(entry, own, ice, send) {
    const instance = instanceOf(entry);
    super({ kind: 'peer', ice: NONE, publication: { id: instance, audio: false, video: false }, participant: entry.id });
    this.instance = instance;
    this.identity = entry.identity;
    /** The own side gives way when offers meet, and waits for an offer when a session has failed: one of the two does. */
    this.polite = own > instance;
    this.#ice = ice;
    this.#negotiation = new Negotiation(this.pc, {
      polite: this.polite,
      send: (signal) => {
        if (this.present) send(this, signal);
      },
      prepare: () => this.#prepare(),
      failed: (error) => this.dispatchEvent(new CustomEvent('broken', { detail: error.message })),
    });
    this.pc.addEventListener('track', ({ track }) => {
      this.stream.addTrack(track);
      this.publication[track.kind] = true;
      this.dispatchEvent(new Event('track'));
    });
    pairId(own, instance).then((id) => {
      this.id = id;
    });
  }

  /** Sends these tracks. */
  sendStream(stream) {
    for (const track of stream.getTracks()) this.pc.addTrack(track, stream);
    for (const transceiver of this.pc.getTransceivers()) if (transceiver.sender.track?.kind === 'video') preferVp8(transceiver);
  }

  /** Sends at most so much video; audio is small. */
  async limit(kbps) {
    for (const sender of this.pc.getSenders().filter(({ track }) => track?.kind === 'video')) {
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings) encoding.maxBitrate = kbps * 1000;
      await sender.setParameters(parameters);
    }
  }

  /** A signal of the other side. */
  receive(signal) {
    this.#negotiation.receive(signal);
  }

  /** The other one is in the room, perhaps again and under a new id. */
  meet(entry) {
    this.participant = entry.id;
    this.present = true;
    this.#absence?.abort();
    this.#absence = null;
    this.#negotiation.resume();
    this.dispatchEvent(new Event('present'));
  }

  /** One of the two is not in the room: the media goes on without signaling. Answers a signal that ends when they meet again. */
  miss() {
    this.present = false;
    this.#absence ??= new AbortController();
    return AbortSignal.any([this.#absence.signal, this.abort.signal]);
  }

  /** Resolves when there is something to connect. */
  async negotiated(signal) {
    await this.#happens(this.pc, 'signalingstatechange', () => this.pc.currentRemoteDescription !== null, signal);
  }

  /** Restarts ICE with the servers that `IceServers` holds; resolves when both sides have new credentials, whoever offered. */
  async restart(_, signal) {
    const { trouble } = this;
    await this.#happens(this, 'present', () => this.present, signal);
    const before = ufragOf(this.pc.currentLocalDescription);
    const renewed = () => this.pc.signalingState === 'stable' && ufragOf(this.pc.currentLocalDescription) !== before;
    this.pc.restartIce();
    await this.#happens(this.pc, 'signalingstatechange', renewed, AbortSignal.any([signal, AbortSignal.timeout(RESTART_MILLIS)]));
    if (this.trouble === trouble) this.trouble = null;
  }

  close() {
    this.abort.abort(new DOMException('the session is over', 'AbortError'));
    super.close();
  }

  /** Fresh servers, before anything is gathered. Without an answer nobody knows whether the room wants relays only. */
  async #prepare() {
    let servers = await this.#ice.get();
    for (let attempt = 0; servers === NONE; attempt += 1) {
      await sleep(backoff(attempt), this.abort.signal);
      servers = await this.#ice.get();
    }
    if (servers === this.#used || this.abort.signal.aborted) return;
    this.#used = servers;
    this.relay = servers.relay;
    this.pc.setConfiguration({
      ...this.pc.getConfiguration(),
      iceServers: servers.iceServers,
      iceTransportPolicy: servers.iceTransportPolicy,
    });
  }

  /** Resolves when `check()` holds, looking at each `type` of `target`; rejects when `signal` is aborted. */
  #happens(target, type, check, signal) {
    return new Promise((resolve, reject) => {
      const heard = new AbortController();
      const look = () => {
        if (!check()) return;
        heard.abort();
        resolve();
      };
      const fail = () => {
        heard.abort();
        reject(signal.reason);
      };
      if (signal.aborted) return fail();
      signal.addEventListener('abort', fail, { once: true, signal: heard.signal });
      target.addEventListener(type, look, { signal: heard.signal });
      look();
    });
  }
}
