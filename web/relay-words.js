// Who is relayed, in plain words.

/** The narrowest way in comes last. */
const ORDER = ['UDP', 'TCP', 'TLS'];
const WHY = {
  UDP: (own, one, end) => `there is no direct path between ${own ? 'your network' : one ? 'its network' : 'their networks'} and ${end}`,
  TCP: (own, one) => `${own ? 'your network blocks' : one ? 'its network blocks' : 'their networks block'} UDP`,
};
WHY.TLS = WHY.TCP;

/** `over TLS by POD (region)`. */
export const byRelay = ({ transport, pod, region }) => `${transport ? `over ${transport} ` : ''}by ${pod}${region ? ` (${region})` : ''}`;

/**
 * Sentences about the relayed clients; empty when there are none.
 * @param {object[]} legs as `legsToDraw` gives them
 * @param {boolean} always the room asks for relays (`relay.policy: Always`)
 */
export function relayWords(legs, always) {
  const clients = new Map();
  for (const leg of legs.filter(({ state }) => state === 'Connected')) {
    const known = clients.get(leg.participant);
    const narrower = leg.relay && (!known?.relay || ORDER.indexOf(leg.relay.transport) > ORDER.indexOf(known.relay.transport));
    clients.set(leg.participant, { mine: leg.mine, relay: narrower ? leg.relay : known?.relay ?? null });
  }
  const all = [...clients.values()];
  const room = { always, end: legs.some(({ role }) => role === 'Peer') ? 'the other client' : 'the media pod' };
  const sentences = all.filter((client) => client.mine && client.relay).map(({ relay }) => ownWords(relay, room));
  for (const transport of [...ORDER, null]) {
    const count = all.filter((client) => !client.mine && client.relay && client.relay.transport === transport).length;
    if (count > 0) sentences.push(othersWords(count, all.length, transport, room));
  }
  return sentences.join(' ');
}

function ownWords(relay, room) {
  return `You are relayed ${byRelay(relay)}${reason(relay.transport, room, true, true)}.`;
}

function othersWords(count, total, transport, room) {
  const who = `${count} of ${total} clients ${count === 1 ? 'is' : 'are'} relayed`;
  return `${who}${transport ? ` over ${transport}` : ''}${reason(transport, room, false, count === 1)}.`;
}

function reason(transport, { always, end }, own, one) {
  if (always && (transport === 'UDP' || !transport)) return ': this room sends everybody by a relay';
  return transport ? `: ${WHY[transport](own, one, end)}` : '';
}
