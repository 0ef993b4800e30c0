// The tiles: one video element per publication, with the name of who sends it.

import { byId, html, short } from './dom.js';

const MOST_NAME = 40;

export class Tiles {
  #tiles = new Map();
  #grid = byId('tiles');
  #firstFrame;

  /** @param {function(string)} firstFrame called with the publication whose first frame is on the screen */
  constructor(firstFrame) {
    this.#firstFrame = firstFrame;
  }

  /** The own camera, mirrored and silent. */
  showOwn(stream, name) {
    const tile = this.#tile('own', `${name} (you)`);
    tile.root.classList.add('own');
    tile.video.muted = true;
    this.#attach(tile, stream);
    tile.root.classList.toggle('blank', stream.getVideoTracks().length === 0);
  }

  /** What somebody publishes. */
  show(publication, name, stream) {
    const tile = this.#tile(publication.id, name);
    tile.root.classList.toggle('blank', !publication.video);
    tile.root.dataset.publication = publication.id;
    tile.video.requestVideoFrameCallback?.(() => this.#firstFrame(publication.id));
    this.#attach(tile, stream);
  }

  /** Takes a publication away. */
  remove(key) {
    const tile = this.#tiles.get(key);
    if (!tile) return;
    tile.video.srcObject = null;
    tile.root.remove();
    this.#tiles.delete(key);
    this.#count();
  }

  /** Marks the own tile while microphone or camera are off. */
  markOwn({ muted, dark }) {
    const tile = this.#tiles.get('own');
    if (!tile) return;
    tile.root.classList.toggle('muted', muted);
    tile.root.classList.toggle('dark', dark);
  }

  #tile(key, name) {
    let tile = this.#tiles.get(key);
    if (!tile) {
      const video = html('video', { autoplay: true, playsinline: true });
      const label = html('figcaption');
      const root = html('figure', { class: 'tile' }, html('span', { class: 'initial', 'aria-hidden': 'true' }), video, label);
      tile = { root, video, label };
      this.#tiles.set(key, tile);
      this.#grid.append(root);
      this.#count();
    }
    tile.label.textContent = short(name, MOST_NAME);
    tile.video.setAttribute('aria-label', `Video of ${name}`);
    tile.root.firstChild.textContent = [...name.trim()][0]?.toUpperCase() ?? '?';
    return tile;
  }

  #attach({ video }, stream) {
    video.srcObject = stream;
    video.play().catch((error) => {
      if (error.name !== 'NotAllowedError') return;
      // Sound needs a gesture first: play silently until there was one.
      video.muted = true;
      byId('unmute').hidden = false;
      video.play().catch(() => {});
    });
  }

  /** After a gesture: everybody but oneself is heard. */
  unmute() {
    for (const [key, { video }] of this.#tiles) if (key !== 'own') video.muted = false;
    byId('unmute').hidden = true;
  }

  #count() {
    this.#grid.dataset.count = String(Math.min(this.#tiles.size, 9));
  }
}
