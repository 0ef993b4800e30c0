// Elements, sleeping and words for numbers. Text from others only ever becomes text nodes and attributes.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** An HTML element. */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** Milliseconds since 1970, with fractions, monotonic within the page. */
export const now = () => performance.timeOrigin + performance.now();

/** Resolves after `millis`; rejects when `signal` is aborted. */
export function sleep(millis, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, millis);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** A random delay that grows with the attempt (0, 1, …): from 200 ms, at most 3 s. */
export function backoff(attempt) {
  const most = Math.min(3000, 200 * 2 ** Math.min(attempt, 10));
  return most * (0.5 + Math.random() / 2);
}

/** Cuts long text. */
export const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** kbit/s in words. */
export function rate(kbps) {
  if (kbps === null || kbps === undefined) return '–';
  return kbps >= 1000 ? `${(kbps / 1000).toFixed(1)} Mbit/s` : `${Math.round(kbps)} kbit/s`;
}

/** Microseconds in words. */
export function roundTrip(micros) {
  if (micros === null || micros === undefined) return '–';
  return `${(micros / 1000).toFixed(micros < 10000 ? 1 : 0)} ms`;
}
