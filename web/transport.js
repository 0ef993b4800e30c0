// Keeps the transport of one session: restarts ICE when it is cut off or its relay is lost, a few times, then gives up.

import { sleep } from './dom.js';
import { FRESH_MILLIS } from './ice-servers.js';

/** How long the first connection, and one after a restart, may take. */
const CONNECT_MILLIS = 10000;
const RESTORE_MILLIS = 3500;
/** A direct path that is cut off may come back by itself. */
const GRACE_MILLIS = 1000;
const RETRY_MILLIS = 300;
/** A relay from which nothing was heard for so long is lost: a node reports every second, browsers notice after five. */
const SILENCE_MILLIS = 2500;
const LISTEN_MILLIS = 400;
/** Restarts in a row, and how long a transport must last to begin anew. */
const MOST_RESTARTS = 4;
const STABLE_MILLIS = 10000;
/** Refusals that another restart cannot mend: the session is gone, or not ours. */
const FINAL = new Set([400, 401, 403, 404, 405, 415]);

/**
 * Resolves when the transport of `session` is lost for good.
 * @param {MediaSession} session opened
 * @param {IceServers} ice
 * @param {AbortSignal} signal
 * @param {function(string)} restarting told why, before each restart
 */
export async function keepTransport(session, ice, signal, restarting) {
  const { pc } = session;
  const up = () => ['connected', 'completed'].includes(pc.iceConnectionState) && !session.trouble;
  const cut = () => session.trouble || ['disconnected', 'failed'].includes(pc.iceConnectionState);
  // The node ends a session by closing DTLS; no ICE restart brings it back.
  const over = () => pc.iceConnectionState === 'closed' || ['closed', 'failed'].includes(dtls(pc)?.state);
  const reach = (check, millis) => until(session, () => check() || over(), millis, signal);
  let restarts = 0;
  let blame = true;
  await reach(() => up() || cut(), CONNECT_MILLIS);
  while (!over()) {
    if (up()) {
      const since = performance.now();
      const listening = new AbortController();
      listen(session, AbortSignal.any([signal, listening.signal]));
      await reach(cut, Infinity).finally(() => listening.abort());
      if (performance.now() - since > STABLE_MILLIS) restarts = 0;
      const direct = !session.trouble && pc.iceConnectionState === 'disconnected' && !(await session.isRelayed());
      if (direct) await reach(() => up() || session.trouble, GRACE_MILLIS);
      if (up() || over()) continue;
    }
    if (restarts >= MOST_RESTARTS) return;
    restarts += 1;
    restarting(session.trouble ?? (pc.iceConnectionState === 'disconnected' ? 'the path is cut off' : 'there is no path'));
    // A relay is to blame when the media went by it, or when nothing connected.
    if (blame && session.relay && (pc.iceConnectionState !== 'disconnected' || (await session.isRelayed()))) ice.lose(session.relay.pod);
    try {
      await session.restart(await ice.get(FRESH_MILLIS), signal);
      blame = true;
      await reach(() => up() || session.trouble, RESTORE_MILLIS);
    } catch (error) {
      // The gateway's fault, or the node's.
      blame = false;
      if (signal.aborted || FINAL.has(error.status)) return;
      await sleep(RETRY_MILLIS * restarts, signal);
    }
  }
}

/** The one DTLS transport of a bundle, once there is one. */
function dtls(pc) {
  return pc.getTransceivers().map(({ sender, receiver }) => sender.transport ?? receiver.transport).find(Boolean) ?? null;
}

/** Notices when a relay falls silent, until `signal`. Direct paths are left to the browser. */
async function listen(session, signal) {
  let last = { heard: -1, at: 0, looked: 0 };
  while (!signal.aborted) {
    await sleep(LISTEN_MILLIS, signal).catch(() => {});
    if (signal.aborted || !session.seemsRelayed) continue;
    const [heard, at] = [await session.heard(), performance.now()];
    // A page that was put to sleep has not listened.
    if (heard !== last.heard || at - last.looked > SILENCE_MILLIS) last = { heard, at };
    last.looked = at;
    if (at - last.at > SILENCE_MILLIS && !signal.aborted) session.fail(`nothing is heard by relay ${session.relay?.pod}`);
  }
}

/** Resolves when `check()` holds, or after `millis`; rejects when `signal` is aborted. */
function until(session, check, millis, signal) {
  return new Promise((resolve, reject) => {
    const abort = new AbortController();
    const timer = millis === Infinity ? null : setTimeout(end, millis);
    function end() {
      clearTimeout(timer);
      abort.abort();
      resolve();
    }
    const look = () => {
      if (check()) end();
    };
    const fail = () => {
      clearTimeout(timer);
      abort.abort();
      reject(signal.reason);
    };
    if (signal.aborted) return fail();
    signal.addEventListener('abort', fail, { once: true, signal: abort.signal });
    session.pc.addEventListener('iceconnectionstatechange', look, { signal: abort.signal });
    session.pc.addEventListener('connectionstatechange', look, { signal: abort.signal });
    session.addEventListener('trouble', look, { signal: abort.signal });
    dtls(session.pc)?.addEventListener('statechange', look, { signal: abort.signal });
    look();
  });
}
