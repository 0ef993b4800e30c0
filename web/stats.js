// What getStats says, per session: the selected pair, what arrives, what goes out, and bit rates between two looks.

/** Looks at sessions again and again. */
export class Stats {
  #last = new Map();

  /** @param {MediaSession[]} sessions */
  async collect(sessions) {
    const found = { inbound: [], outbound: [], pairs: [] };
    await Promise.all(sessions.filter((session) => session.id).map((session) => this.#look(session, found)));
    const known = new Set(sessions.map((session) => session.id));
    for (const id of this.#last.keys()) if (!known.has(id)) this.#last.delete(id);
    return found;
  }

  async #look(session, found) {
    const report = await session.pc.getStats();
    const stats = [...report.values()];
    const pair = selectedPair(report, stats);
    session.localType = pair?.localType ?? session.localType;
    if (session.kind !== 'whip') found.inbound.push(inbound(session, stats));
    if (session.kind !== 'whep') found.outbound.push(...stats.filter((stat) => stat.type === 'outbound-rtp').map((stat) => outbound(session, stat)));
    if (pair) found.pairs.push({ session: session.id, kind: session.kind, relay: session.relay?.pod ?? null, ...pair, kbps: this.#rate(session, pair) });
  }

  /** kbit/s since the last look, in the direction of the media; both ways between peers. */
  #rate(session, { bytes, at }) {
    const last = this.#last.get(session.id);
    if (!last || at > last.at) this.#last.set(session.id, { bytes: bytes[session.kind], at });
    if (!last || at <= last.at) return last?.kbps ?? null;
    const kbps = Math.max(0, ((bytes[session.kind] - last.bytes) * 8) / (at - last.at));
    this.#last.get(session.id).kbps = kbps;
    return kbps;
  }
}

/** The candidate pair that the media goes by, if there is one. */
export function selectedPair(report, stats) {
  const transport = stats.find((stat) => stat.type === 'transport' && stat.selectedCandidatePairId);
  // Firefox has no transport statistics: there the pair itself says that it is selected.
  const pair = transport ? report.get(transport.selectedCandidatePairId) : stats.find((stat) => stat.type === 'candidate-pair' && stat.selected);
  if (!pair) return null;
  const local = report.get(pair.localCandidateId);
  const remote = report.get(pair.remoteCandidateId);
  return {
    localType: local?.candidateType ?? null,
    localAddress: local?.address ?? local?.ip ?? null,
    localPort: local?.port ?? null,
    url: local?.url ?? null,
    remoteType: remote?.candidateType ?? null,
    remoteAddress: remote?.address ?? remote?.ip ?? null,
    remotePort: remote?.port ?? null,
    protocol: local?.protocol ?? remote?.protocol ?? null,
    relayProtocol: local?.relayProtocol ?? null,
    rtt: pair.currentRoundTripTime ?? null,
    heard: (pair.packetsReceived ?? 0) + (pair.responsesReceived ?? 0) + (pair.requestsReceived ?? 0),
    bytesSent: pair.bytesSent ?? 0,
    bytesReceived: pair.bytesReceived ?? 0,
    bytes: { whip: pair.bytesSent ?? 0, whep: pair.bytesReceived ?? 0, peer: (pair.bytesSent ?? 0) + (pair.bytesReceived ?? 0) },
    at: pair.timestamp,
  };
}

function inbound(session, stats) {
  const of = (kind) => stats.find((stat) => stat.type === 'inbound-rtp' && stat.kind === kind);
  const [audio, video] = [of('audio'), of('video')];
  return {
    session: session.id,
    publication: session.publication.id,
    participant: session.participant,
    connection: session.pc.connectionState,
    framesDecoded: video?.framesDecoded ?? 0,
    frameWidth: video?.frameWidth ?? 0,
    frameHeight: video?.frameHeight ?? 0,
    keyFramesDecoded: video?.keyFramesDecoded ?? 0,
    freezeCount: video?.freezeCount ?? 0,
    freezeSeconds: video?.totalFreezesDuration ?? 0,
    pliCount: video?.pliCount ?? 0,
    nackCount: video?.nackCount ?? 0,
    audioSamples: audio?.totalSamplesReceived ?? 0,
    concealed: audio?.concealedSamples ?? 0,
    audioEnergy: audio?.totalAudioEnergy ?? 0,
    packetsReceived: (audio?.packetsReceived ?? 0) + (video?.packetsReceived ?? 0),
    packetsLost: (audio?.packetsLost ?? 0) + (video?.packetsLost ?? 0),
    jitter: video?.jitter ?? audio?.jitter ?? null,
  };
}

function outbound(session, stat) {
  return {
    session: session.id,
    connection: session.pc.connectionState,
    kind: stat.kind,
    bytesSent: stat.bytesSent ?? 0,
    packetsSent: stat.packetsSent ?? 0,
    framesSent: stat.framesSent ?? 0,
    frameWidth: stat.frameWidth ?? 0,
    keyFramesEncoded: stat.keyFramesEncoded ?? 0,
    pliCount: stat.pliCount ?? 0,
    nackCount: stat.nackCount ?? 0,
    retransmitted: stat.retransmittedPacketsSent ?? 0,
  };
}

/** What the room is told of the own legs (message `view`): those between peers, or those with a media server. */
export function viewOf({ inbound, outbound, pairs }, peers) {
  const own = pairs.filter((pair) => (pair.kind === 'peer') === peers);
  return own.map((pair) => ({
    session: pair.session,
    localType: pair.localType,
    remoteType: pair.remoteType,
    protocol: pair.protocol,
    relayProtocol: pair.relayProtocol,
    rttMicros: pair.rtt === null ? null : Math.round(pair.rtt * 1e6),
    frames:
      inbound.find((one) => one.session === pair.session)?.framesDecoded ??
      outbound.find((one) => one.session === pair.session && one.kind === 'video')?.framesSent ??
      null,
    ...(peers && peerView(pair)),
  }));
}

/** Nobody but the two sees what goes between peers, so they say more of it. */
function peerView({ localType, relayProtocol, relay, bytesSent, bytesReceived }) {
  // A relayed candidate that is seen at another address than the relay's own is called `prflx`.
  const relayed = localType === 'relay' || relayProtocol !== null;
  return { localType: relayed ? 'relay' : localType, localRelay: relayed ? relay : null, bytesSent, bytesReceived };
}
