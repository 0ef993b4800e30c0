// Who this page is to the other people of a peer-to-peer room, over rejoins, and the name of a pair of them.

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

/** Minted anew with every load of the page: the same instance still has its peer connections, another one has none. */
export const INSTANCE = base64url(crypto.getRandomValues(new Uint8Array(16)));

/** The instance of a roster entry; a client that mints none is known by its id. */
export const instanceOf = (entry) => entry.instance ?? entry.id;

/**
 * The id of a pair, which both sides and the room compute alike; null where browsers do not hash (pages without HTTPS).
 * @param {string} one an instance
 * @param {string} other another one
 */
export async function pairId(one, other) {
  const text = new TextEncoder().encode([one, other].sort().join('.'));
  const hash = await crypto.subtle?.digest('SHA-256', text);
  if (!hash) return null;
  const bytes = [...new Uint8Array(hash).slice(0, 16)];
  return `P_${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
