// What the pictures of all flows are made of: boxes for entities, arrows, and words on lines.

import { rate, roundTrip, short, svg } from './dom.js';
import { byRelay } from './relay-words.js';

export const WIDTH = 960;
export const GATEWAY_Y = 30;
export const GATEWAY_HEIGHT = 58;
export const TOP = 142;
export const CLIENT_LEFT = 40;
export const CLIENT_WIDTH = 190;
export const RELAY_WIDTH = 140;
/** What a client does on a leg. */
export const WAYS = { Publisher: 'sends', Subscriber: 'receives', Peer: 'both ways' };

/** Boxes of gateways side by side between `left` and `right`, by name. */
export function placeGateways(gateways, left, right) {
  const width = Math.min(260, (right - left) / Math.max(1, gateways.length) - 12);
  const step = (right - left) / Math.max(1, gateways.length);
  return new Map(
    gateways.map((gateway, index) => [gateway.name, { ...gateway, width, x: left + step * index + (step - width) / 2 }]),
  );
}

/** A gateway in its place. */
export function gatewayBox({ name, region, home, x, width }) {
  const words = [svg('text', { class: 'what', x: x + 12, y: GATEWAY_Y + 20 }, home ? 'gateway · home of the room' : 'gateway')];
  words.push(svg('text', { class: 'name', x: x + 12, y: GATEWAY_Y + 38 }, tail(name, Math.floor((width - 20) / 8.8))));
  if (region) words.push(svg('text', { class: 'place', x: x + 12, y: GATEWAY_Y + 52 }, region));
  return svg('g', { class: 'entity' }, svg('rect', { x, y: GATEWAY_Y, width, height: GATEWAY_HEIGHT, rx: 10 }), ...words);
}

/** A client, at its upper left corner. */
export function clientBox(client, x, y, height) {
  const name = short(client.name, 22);
  return svg(
    'g',
    { class: client.mine ? 'entity mine' : 'entity' },
    svg('rect', { x, y, width: CLIENT_WIDTH, height, rx: 10 }),
    svg('text', { class: 'what', x: x + 12, y: y + 15 }, client.mine ? 'client (you)' : 'client'),
    svg('text', { class: 'name', x: x + 12, y: y + 30 }, name),
  );
}

/** A TURN pod on the way. */
export function relayBox(relay, x, y, height) {
  const what = `TURN · ${tail(relay.region, 14)}`;
  return svg(
    'g',
    { class: 'entity relay', 'data-relay': relay.pod },
    svg('title', {}, `relayed ${byRelay(relay)}`),
    svg('rect', { x, y, width: RELAY_WIDTH, height, rx: 8 }),
    svg('text', { class: 'what', x: x + 8, y: y + 15 }, what),
    svg('text', { class: 'name', x: x + 8, y: y + 30 }, tail(relay.pod, 16)),
  );
}

/** Heads of lines. */
export function arrows() {
  const marker = (id, kind, orient = 'auto') =>
    svg(
      'marker',
      { id, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient },
      svg('path', { class: kind, d: 'M 0 0 L 8 4 L 0 8 z' }),
    );
  const back = marker('media-start', 'media-arrow', 'auto-start-reverse');
  return svg('defs', {}, marker('media-end', 'media-arrow'), back, marker('signaling-end', 'signaling-arrow'));
}

/** How a leg runs, in few words. */
export function legText(leg) {
  const way = WAYS[leg.role];
  if (leg.state !== 'Connected') return `${way} · connecting`;
  if (leg.relay) return `${way} · over ${leg.relay.transport ?? '?'} · ${roundTrip(leg.rttMicros)} · ${rate(leg.kbps)}`;
  const types = `${leg.localType ?? '?'} → ${leg.remoteType ?? '?'} ${short(leg.relayProtocol ?? leg.protocol ?? '', 8)}`;
  return `${way} · ${types} · ${roundTrip(leg.rttMicros)} · ${rate(leg.kbps)}`;
}

/** Pod names differ at their end. */
export const tail = (text, most) => (text.length > most ? `…${text.slice(-(most - 1))}` : text);
