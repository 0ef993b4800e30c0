// STUN and TURN servers of the room, with credentials for a while: asked for at the join and before every ICE restart.

const REQUEST_MILLIS = 3000;
/** Credentials are used no nearer to their end than this. */
const SPARE_MILLIS = 30000;
/** How long a relay that failed is avoided, and how many at most are named (the gateway takes 16). */
const AVOID_MILLIS = 60000;
const MOST_AVOIDED = 16;
/** An answer this young is fresh enough for an ICE restart: all legs of a lost relay share it. */
export const FRESH_MILLIS = 2000;

/** Without any server: enough for whoever reaches the media pod directly. */
export const NONE = { iceServers: [], iceTransportPolicy: 'all', relay: null };

export class IceServers {
  /** What was answered last: `{iceServers, iceTransportPolicy, relay: ?{pod, region}}`. */
  held = null;
  #url;
  #room;
  /** What is asked for. */
  #body;
  #token;
  #at = 0;
  #expires = 0;
  #asking = null;
  #avoid = new Map();

  /** @param {{base: URL, token: string, region: ?string}} room `base` is `…/v1/rooms/{namespace}/{name}/` */
  constructor({ base, token, region = null }) {
    const [namespace, name] = base.pathname.split('/').slice(-3).map(decodeURIComponent);
    this.#url = new URL('../../../ice-servers', base);
    this.#room = region ? { namespace, room: name, region } : { namespace, room: name };
    this.#body = this.#room;
    this.#token = token;
  }

  /**
   * A configuration for a peer connection, at most `maxAge` milliseconds old. Never fails: without an answer there are
   * no servers, and the next call asks again.
   */
  async get(maxAge = Infinity) {
    const good = this.held && performance.now() - this.#at <= maxAge && Date.now() < this.#expires;
    if (!this.#asking && good) return this.held;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  /** A peer-to-peer room has taken us in under this id: its relays report our legs under it. */
  toPeers(participant) {
    this.#body = { ...this.#room, participant };
    this.#expires = 0;
    this.#asking = null;
  }

  /** A media server has taken us in: credentials for peers, from when the room had none, do not open it. */
  toServer() {
    this.#body = { ...this.#room, mode: 'MediaServer' };
    if (this.held && isForPeers(this.held)) this.held = null;
  }

  /** This relay failed: it is not used for new sessions and named as one to avoid. */
  lose(pod) {
    this.#avoid.delete(pod);
    this.#avoid.set(pod, performance.now() + AVOID_MILLIS);
    while (this.#avoid.size > MOST_AVOIDED) this.#avoid.delete(this.#avoid.keys().next().value);
    if (this.held?.relay?.pod === pod) this.held = null;
  }

  async #ask() {
    for (const [pod, until] of this.#avoid) if (performance.now() > until) this.#avoid.delete(pod);
    const body = this.#body;
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: { Authorization: `Bearer ${this.#token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ ...body, avoid: [...this.#avoid.keys()] }),
        signal: AbortSignal.timeout(REQUEST_MILLIS),
      });
      if (!response.ok) return this.held ?? NONE;
      const { iceServers, iceTransportPolicy, expiresAt } = await response.json();
      const relay = iceServers.find((server) => server.relay)?.relay ?? null;
      const answer = { iceServers, iceTransportPolicy, relay };
      // Credentials in another name than the present one, or for peers where there are none, are not used.
      if (body !== this.#body && this.#body.participant) return this.get();
      if (body !== this.#body && isForPeers(answer)) return this.#ask();
      this.held = answer;
      this.#at = performance.now();
      this.#expires = expiresAt * 1000 - SPARE_MILLIS;
      return this.held;
    } catch {
      // The room socket says what is wrong with the gateway.
      return this.held ?? NONE;
    }
  }
}

function isForPeers({ iceServers }) {
  return iceServers.some(({ username }) => username?.endsWith(':peers'));
}
