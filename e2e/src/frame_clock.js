// Notes when pictures of one person come, whichever session brings them, and how long none came. Made by the tests, run in the
// page of a room.
window.frameClock = (() => {
  const PAUSE_MILLIS = 300;
  const MOST_PAUSES = 20;
  const seen = new WeakSet();
  let last = null;
  let shown = null;
  let longest = 0;
  let handover = null;
  let frames = 0;
  let pauses = [];

  function note(video) {
    const now = performance.now();
    const gap = now - last;
    longest = Math.max(longest, gap);
    const other = shown !== null && shown !== video;
    if (other) handover = gap;
    if (gap > PAUSE_MILLIS && pauses.length < MOST_PAUSES) pauses.push({ at: Date.now() - gap, millis: gap, other });
    [last, shown] = [now, video];
    frames += 1;
  }

  function watch(video) {
    if (seen.has(video)) return;
    seen.add(video);
    const next = () => {
      note(video);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  }

  function look(name) {
    for (const tile of document.querySelectorAll('#tiles .tile:not(.own)')) {
      if (tile.querySelector('figcaption').textContent === name) watch(tile.querySelector('video'));
    }
  }

  return {
    /** From now on, pictures of `name`. */
    start(name) {
      [last, shown, longest, handover, frames, pauses] = [performance.now(), null, 0, null, 0, []];
      look(name);
      new MutationObserver(() => look(name)).observe(document.getElementById('tiles'), { childList: true, subtree: true, characterData: true });
    },
    /**
     * The longest time without a picture, in milliseconds, the present one included; the time from the last picture of one
     * session to the first of the next; how many pictures there were; and when they paused.
     */
    read: () => ({ longest: Math.max(longest, performance.now() - last), handover, frames, pauses }),
  };
})();
