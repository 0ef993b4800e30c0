// Perfect negotiation (WebRTC 1.0, section 10.7) of one peer connection: offers, answers, candidates, glare, and what was under
// way when signaling broke. Knows no page and no socket: signals come in by `receive` and go out by `send`.
// Everything is done one after another, so that no step meets another one halfway.

/** Own candidates that are kept for a peer who may not have heard of them. */
const MOST_CANDIDATES = 64;
/** Signals that may wait for the ones before them: a negotiation needs a few dozen. */
const MOST_WAITING = 256;

/** The ICE user name fragment of a description: another one is another ICE session. */
export const ufragOf = (description) => /^a=ice-ufrag:(\S+)/m.exec(description?.sdp ?? '')?.[1] ?? null;

/** Session and version of a description (RFC 8829, section 5.2.1): each version is of one description only. */
function originOf(description) {
  const [, session = null, version = '0'] = /^o=\S+ (\S+) (\d+) /m.exec(description?.sdp ?? '') ?? [];
  return { session, version: BigInt(version) };
}

export class Negotiation {
  #pc;
  #polite;
  #send;
  #prepare;
  #failed;
  #last = Promise.resolve();
  #waiting = 0;
  /** The other side's offer is ignored, and so are candidates that nothing is known of. */
  #ignoring = false;
  /** Origin of what was last taken from the other side. */
  #taken = originOf(null);
  #candidates = [];

  /**
   * @param {RTCPeerConnection} pc
   * @param {{polite: boolean, send: function(object), prepare: function(): Promise, failed: function(Error)}} how the polite
   *   side gives way when offers meet: one of the two sides is; `prepare` is awaited before anything that gathers
   */
  constructor(pc, { polite, send, prepare = async () => {}, failed }) {
    this.#pc = pc;
    this.#polite = polite;
    this.#send = send;
    this.#prepare = prepare;
    this.#failed = failed;
    pc.addEventListener('negotiationneeded', () => this.#then(() => this.#offer()));
    pc.addEventListener('icecandidate', ({ candidate }) => this.#found(candidate));
  }

  /** Resolves when everything that came so far is done. */
  get done() {
    return this.#last;
  }

  /** A signal of the other side. */
  receive(signal) {
    if (signal.kind === 'description') this.#then(() => this.#described(signal.sdpType, signal.sdp));
    else if (signal.kind === 'candidate') this.#then(() => this.#candidate(signal.candidate));
  }

  /** Signaling is back: what was said before may not have arrived. */
  resume() {
    this.#then(() => {
      if (this.#pc.signalingState === 'have-local-offer') this.#describe(this.#pc.localDescription);
      const present = ufragOf(this.#pc.localDescription);
      for (const candidate of this.#candidates) {
        if (candidate.usernameFragment === present) this.#send({ kind: 'candidate', candidate });
      }
    });
  }

  #then(step) {
    if (this.#waiting >= MOST_WAITING) return this.#failed(new Error('the other side sends more than can be answered'));
    this.#waiting += 1;
    this.#last = this.#last
      .then(() => (this.#pc.signalingState === 'closed' ? undefined : step()))
      .catch((error) => {
        if (this.#pc.signalingState !== 'closed') this.#failed(error);
      })
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  async #offer() {
    await this.#prepare();
    // Otherwise an own offer is under way, after which the browser asks again if it must.
    if (this.#pc.signalingState !== 'stable') return;
    await this.#pc.setLocalDescription();
    this.#describe(this.#pc.localDescription);
  }

  async #described(type, sdp) {
    const { session, version } = originOf({ sdp });
    if (session === this.#taken.session && version <= this.#taken.version) return this.#again(type, version);
    const offered = this.#pc.signalingState === 'have-local-offer';
    this.#ignoring = type === 'offer' && offered && !this.#polite;
    if (this.#ignoring || (type === 'answer' && !offered) || !['offer', 'answer'].includes(type)) return;
    if (type === 'offer') await this.#prepare();
    // An offer rolls the own one back, if there is one.
    await this.#pc.setRemoteDescription({ type, sdp });
    this.#taken = { session, version };
    if (type !== 'offer') return;
    await this.#pc.setLocalDescription();
    this.#describe(this.#pc.localDescription);
  }

  /** A description that came before. When it is the offer that was answered last, the answer was lost; the same one is due. */
  #again(type, version) {
    if (type !== 'offer' || version !== originOf(this.#pc.currentRemoteDescription).version) return;
    this.#describe(this.#pc.currentLocalDescription);
    // An own offer that met the repeated one was ignored.
    if (this.#pc.signalingState === 'have-local-offer') this.#describe(this.#pc.pendingLocalDescription);
  }

  #describe({ type, sdp }) {
    this.#send({ kind: 'description', sdpType: type, sdp });
  }

  async #candidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate ?? undefined);
    } catch {
      // Of an offer that was ignored, or told again before the description that it belongs to: the path has others, and
      // whoever keeps the transport sees when it has not.
    }
  }

  #found(candidate) {
    const plain = candidate?.toJSON() ?? null;
    if (plain) this.#candidates = [...this.#candidates, plain].slice(-MOST_CANDIDATES);
    this.#send({ kind: 'candidate', candidate: plain });
  }
}
