// The running flow as the page knows it: the gateway's report, with the own legs as getStats sees them.

const POLL_MILLIS = 2000;
const REQUEST_MILLIS = 5000;

/** Keeps the last report of `…/flow`. */
export class Flow {
  report = null;
  #url;
  #token;

  constructor(base, token) {
    this.#url = new URL('flow', base);
    this.use(token);
  }

  /** Asks with this token from now on. */
  use(token) {
    this.#token = token;
  }

  /** Polls while `wanted()`; one request at a time. */
  start(wanted) {
    const poll = async () => {
      if (wanted()) await this.refresh();
      setTimeout(poll, POLL_MILLIS);
    };
    poll();
  }

  async refresh() {
    try {
      const response = await fetch(this.#url, {
        headers: { Authorization: `Bearer ${this.#token}` },
        signal: AbortSignal.timeout(REQUEST_MILLIS),
      });
      if (response.ok) this.report = await response.json();
    } catch {
      // The socket says what is wrong; the picture keeps what it last knew.
    }
  }
}

/**
 * The legs to draw, own ones first.
 * @param {?object} report
 * @param {{pairs: object[]}} stats own statistics
 * @param {?string} own participant id
 */
export function legsToDraw(report, stats, own) {
  const pairs = new Map(stats.pairs.map((pair) => [pair.session, pair]));
  const legs = (report?.legs ?? []).map((leg) => {
    const view = leg.clientView ?? {};
    const mine = leg.participant === own;
    // Both legs of a pair of peers bear its name.
    const pair = mine ? pairs.get(leg.session) : undefined;
    return {
      session: leg.session,
      participant: leg.participant,
      participantName: leg.participantName,
      peer: leg.peer ?? null,
      mine,
      role: leg.role,
      publication: leg.publication,
      state: leg.state,
      basis: leg.basis,
      gateway: leg.gateway,
      pod: report.media?.pod ?? null,
      localType: pair?.localType ?? view.localType ?? leg.client.candidateType,
      remoteType: pair?.remoteType ?? view.remoteType ?? leg.node.candidateType,
      protocol: pair?.protocol ?? view.protocol ?? leg.protocol,
      relayProtocol: pair?.relayProtocol ?? view.relayProtocol ?? null,
      relay: relayOf(leg.relay, pair?.relayProtocol ?? view.relayProtocol),
      remoteAddress: pair?.remoteAddress ?? leg.node.address ?? null,
      remotePort: pair?.remotePort ?? leg.node.port ?? null,
      rttMicros: micros(pair?.rtt) ?? leg.rttMicros ?? view.rttMicros ?? null,
      kbps: pair?.kbps ?? (leg.role === 'Peer' ? null : leg.role === 'Publisher' ? leg.receiveKbps : leg.sendKbps),
    };
  });
  const rank = (leg) => `${leg.mine ? 0 : 1}${leg.participant}${leg.role === 'Publisher' ? 0 : 1}${leg.publication}`;
  return legs.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** The relay as the media node sees it; the way to it as the relay says, else as the client does. */
function relayOf(relay, claimed) {
  if (!relay) return null;
  return { pod: relay.pod, region: relay.region, transport: relay.transport ?? claimed?.toUpperCase() ?? null };
}

const micros = (seconds) => (seconds === null || seconds === undefined ? null : Math.round(seconds * 1e6));
