// Notices the first frame, or sound, of what somebody sends.

import { sleep } from './dom.js';

const POLL_MILLIS = 50;
const PATIENCE_MILLIS = 30000;

/** Calls `seen` when a picture of `session` was decoded (sound, if it has none); gives up after half a minute, or by `signal`. */
export async function watchFirstFrame(session, signal, seen) {
  const until = performance.now() + PATIENCE_MILLIS;
  while (!signal.aborted && performance.now() < until) {
    const report = await session.pc.getStats();
    const wanted = session.publication.video ? 'framesDecoded' : 'totalSamplesReceived';
    for (const stat of report.values()) {
      if (stat.type === 'inbound-rtp' && stat[wanted] > 0 && !signal.aborted) return seen();
    }
    await sleep(POLL_MILLIS);
  }
}
