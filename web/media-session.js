// One WHIP or WHEP session: a peer connection and its resource at the gateway.
// The media node is ICE-lite with all its candidates in the answer, so offers are posted without waiting for ours.

const REQUEST_MILLIS = 8000;

/** A refused request, with what the gateway said. */
export class Refused extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class MediaSession {
  /** Session id at the media node, once opened. */
  id = null;
  /** Strong entity tag of the ICE session. */
  etag = null;
  #resource = null;
  #headers;

  /** @param {{kind: 'whip'|'whep', token: string, participantKey: ?string, publication: ?object, participant: ?string}} what */
  constructor({ kind, token, participantKey, publication = null, participant = null }) {
    this.kind = kind;
    this.publication = publication;
    this.participant = participant;
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.#headers = { Authorization: `Bearer ${token}` };
    if (participantKey) this.#headers['Plenum-Participant'] = participantKey;
  }

  /** Offers what the peer connection holds; resolves when the answer is in place. */
  async open(url, signal) {
    await this.pc.setLocalDescription();
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...this.#headers, 'Content-Type': 'application/sdp' },
      body: this.pc.localDescription.sdp,
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MILLIS)]),
    });
    if (!response.ok) throw await refusal(response);
    this.#resource = new URL(response.headers.get('Location'), response.url);
    this.id = this.#resource.pathname.split('/').pop();
    this.etag = response.headers.get('ETag');
    const sdp = await response.text();
    signal.throwIfAborted();
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
  }

  /** Resolves when the transport has failed for good. */
  failed(signal) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.pc.connectionState === 'failed') resolve();
      };
      this.pc.addEventListener('connectionstatechange', look);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      look();
    });
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
