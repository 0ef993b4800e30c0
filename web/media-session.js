// One WHIP or WHEP session: a peer connection and its resource at the gateway.
// The media node is ICE-lite with all its candidates in the answer, so offers are posted without waiting for ours.

import { answerWith, fragmentOf } from './fragment.js';
import { selectedPair } from './stats.js';

const REQUEST_MILLIS = 8000;
const RESTART_MILLIS = 4000;

/** A refused request, with what the gateway said. */
export class Refused extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Dispatches `trouble`. */
export class MediaSession extends EventTarget {
  /** Session id at the media node, once opened. */
  id = null;
  /** Strong entity tag of the ICE session. */
  etag = null;
  /** The relay that it was told of, `{pod, region}`; whether the media goes by it is another matter. */
  relay = null;
  /** Type of the own candidate when last looked at: a broken path has none. */
  localType = null;
  /** The room's flow report says that it is relayed. */
  reportedRelayed = false;
  /** Why the path must be given up although the browser still trusts it; until the next restart. */
  trouble = null;
  #resource = null;
  #headers;

  /**
   * @param {{kind: 'whip'|'whep', token: string, participantKey: ?string, ice: object, publication: ?object, participant: ?string}} what
   *   `ice` is an answer of `IceServers`
   */
  constructor({ kind, token, participantKey, ice, publication = null, participant = null }) {
    super();
    this.kind = kind;
    this.publication = publication;
    this.participant = participant;
    this.relay = ice.relay;
    this.pc = new RTCPeerConnection({
      bundlePolicy: 'max-bundle',
      iceServers: ice.iceServers,
      iceTransportPolicy: ice.iceTransportPolicy,
    });
    this.#headers = { Authorization: `Bearer ${token}` };
    if (participantKey) this.#headers['Plenum-Participant'] = participantKey;
  }

  /** Offers what the peer connection holds; resolves when the answer is in place. */
  async open(url, signal) {
    await this.pc.setLocalDescription();
    const response = await this.#send(url, 'POST', { 'Content-Type': 'application/sdp' }, this.pc.localDescription.sdp, REQUEST_MILLIS, signal);
    this.#resource = new URL(response.headers.get('Location'), response.url);
    this.id = this.#resource.pathname.split('/').pop();
    this.etag = response.headers.get('ETag');
    const sdp = await response.text();
    signal.throwIfAborted();
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
  }

  /** Restarts ICE with new servers (RFC 9725 section 4.3.3); resolves when the node's new credentials are in place. */
  async restart(ice, signal) {
    const { trouble } = this;
    this.relay = ice.relay;
    this.pc.setConfiguration({
      ...this.pc.getConfiguration(),
      iceServers: ice.iceServers,
      iceTransportPolicy: ice.iceTransportPolicy,
    });
    this.pc.restartIce();
    await this.pc.setLocalDescription();
    const headers = { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' };
    const response = await this.#send(this.#resource, 'PATCH', headers, fragmentOf(this.pc.localDescription.sdp), RESTART_MILLIS, signal);
    this.etag = response.headers.get('ETag') ?? this.etag;
    const sdp = answerWith(this.pc.currentRemoteDescription.sdp, await response.text());
    signal.throwIfAborted();
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
    if (this.trouble === trouble) this.trouble = null;
  }

  /** Whether the media goes by a relay, or did when there last was a path. */
  async isRelayed() {
    this.localType = (await this.#pair())?.localType ?? this.localType;
    return this.seemsRelayed;
  }

  /** The same by the last look. Where the node sees a relay at another address than we do, the browser only says `prflx`. */
  get seemsRelayed() {
    return this.localType === 'relay' || (this.localType === 'prflx' && this.reportedRelayed);
  }

  /** Grows with whatever comes by the path, checks included. */
  async heard() {
    return (await this.#pair())?.heard ?? 0;
  }

  async #pair() {
    const report = await this.pc.getStats();
    return selectedPair(report, [...report.values()]);
  }

  /** The path must be given up: whoever keeps the transport hears of it. During a restart that means the new path. */
  fail(reason) {
    this.trouble = reason;
    this.dispatchEvent(new Event('trouble'));
  }

  /** A relay is gone: the path must be given up if it goes by it, or if there is none yet. */
  async loseRelay(pod) {
    if (this.relay?.pod !== pod) return;
    const flows = ['connected', 'completed'].includes(this.pc.iceConnectionState);
    if (flows && !this.seemsRelayed && !(await this.isRelayed())) return;
    if (this.relay?.pod === pod) this.fail(`relay ${pod} is gone`);
  }

  /** Ends the session here and, unless the room does it anyway, at the gateway. */
  close({ tell = true } = {}) {
    this.pc.close();
    if (!tell || !this.#resource) return;
    const resource = this.#resource;
    this.#resource = null;
    fetch(resource, { method: 'DELETE', headers: this.#headers, keepalive: true }).catch(() => {
      // The node ends silent sessions by itself.
    });
  }

  async #send(url, method, headers, body, millis, signal) {
    const response = await fetch(url, {
      method,
      headers: { ...this.#headers, ...headers },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(millis)]),
    });
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

async function refusal(response) {
  let detail = `the gateway answered ${response.status}`;
  try {
    const problem = await response.json();
    if (typeof problem.detail === 'string') detail = problem.detail;
  } catch {
    // No problem document: the status must do.
  }
  return new Refused(response.status, detail, Number(response.headers.get('Retry-After')) || 0);
}
