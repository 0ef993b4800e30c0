// The picture of a peer-to-peer room: the two browsers with one line between them, relays on it, gateways above. The room's home
// is one of the gateways, and the others speak with it.

import { byRelay } from './relay-words.js';
import { svg } from './dom.js';
import { CLIENT_LEFT, CLIENT_WIDTH, GATEWAY_HEIGHT, GATEWAY_Y, RELAY_WIDTH, TOP, WIDTH } from './picture-parts.js';
import { clientBox, gatewayBox, legText, placeGateways, relayBox } from './picture-parts.js';

const RIGHT = WIDTH - CLIENT_LEFT - CLIENT_WIDTH;
const CLIENT_HEIGHT = 96;
const LINE_Y = TOP + CLIENT_HEIGHT / 2;
const RELAY_HEIGHT = 38;
const SPACE = RIGHT - CLIENT_LEFT - CLIENT_WIDTH;

/**
 * @param {?object} report of the gateway
 * @param {object[]} clients with their legs, the own one first
 * @returns {{height: number, children: SVGElement[], labels: Map, description: string}} labels by leg
 */
export function peerScene(report, clients) {
  const [own = null, other = null] = clients;
  const boxes = placeGateways(gatewaysOf(report, clients), CLIENT_LEFT + CLIENT_WIDTH + 30, RIGHT - 30);
  const children = [...homeLines(boxes, report)];
  const labels = new Map();
  if (own) children.push(...clientSignaling(own, boxes, report, 0), clientBox(own, CLIENT_LEFT, TOP, CLIENT_HEIGHT));
  if (other) {
    children.push(...clientSignaling(other, boxes, report, 1), clientBox(other, RIGHT, TOP, CLIENT_HEIGHT));
    children.push(...between(own.legs[0] ?? null, other.legs[0] ?? null, labels));
  } else {
    children.push(...waiting());
  }
  for (const box of boxes.values()) children.push(gatewayBox(box));
  return { height: TOP + CLIENT_HEIGHT + 40, children, labels, description: description(report, clients, boxes) };
}

/** The own gateway, the home, the other one's: each beside those that it speaks with. */
function gatewaysOf(report, [own, other]) {
  const names = new Set([own?.legs[0]?.gateway ?? report?.gateway, report?.home, other?.legs[0]?.gateway].filter(Boolean));
  const region = (name) => (name === report?.gateway ? report.gatewayRegion : null);
  return [...names].map((name) => ({ name, region: region(name), home: name === report?.home }));
}

function homeLines(boxes, report) {
  const home = boxes.get(report?.home);
  const y = GATEWAY_Y + GATEWAY_HEIGHT / 2;
  const line = (box) => {
    const left = box.x < home.x;
    const path = `M ${left ? box.x + box.width : box.x} ${y} H ${left ? home.x - 3 : home.x + home.width + 3}`;
    return svg('path', { class: 'signaling', d: path, 'marker-end': 'url(#signaling-end)' });
  };
  return home ? [...boxes.values()].filter((box) => box !== home).map(line) : [];
}

/** From the top of a client, along a lane below the gateways, up into its own. */
function clientSignaling(client, boxes, report, index) {
  const box = boxes.get(client.legs[0]?.gateway ?? (client.mine ? report?.gateway : null));
  if (!box) return [];
  const from = (index === 0 ? CLIENT_LEFT : RIGHT) + CLIENT_WIDTH / 2;
  const up = box.x + (box.width * (1 + index)) / 3;
  const bottom = GATEWAY_Y + GATEWAY_HEIGHT;
  const path = `M ${from} ${TOP} V ${bottom + 20 + index * 10} H ${up} V ${bottom + 3}`;
  return [svg('path', { class: 'signaling', d: path, 'marker-end': 'url(#signaling-end)', 'data-client': client.id })];
}

/** The line between the two, through the relay of each that has one; each end says how its client sees it. */
function between(own, other, labels) {
  if (!own && !other) return [];
  const relays = [
    own?.relay && { relay: own.relay, x: CLIENT_LEFT + CLIENT_WIDTH + SPACE / 4 - RELAY_WIDTH / 2 },
    other?.relay && { relay: other.relay, x: RIGHT - SPACE / 4 - RELAY_WIDTH / 2 },
  ].filter(Boolean);
  const stops = [CLIENT_LEFT + CLIENT_WIDTH, ...relays.flatMap(({ x }) => [x, x + RELAY_WIDTH]), RIGHT];
  const live = [own, other].some((leg) => leg?.state === 'Connected');
  const parts = [];
  for (let stop = 0; stop < stops.length; stop += 2) parts.push(hop(stops[stop], stops[stop + 1], live, own ?? other));
  for (const { relay, x } of relays) parts.push(relayBox(relay, x, LINE_Y - RELAY_HEIGHT / 2, RELAY_HEIGHT));
  for (const [leg, x, anchor, y] of [
    [own, CLIENT_LEFT + CLIENT_WIDTH + 12, 'start', LINE_Y - 28],
    [other, RIGHT - 12, 'end', LINE_Y + 38],
  ]) {
    if (!leg) continue;
    const label = svg('text', { class: 'leg', x, y, 'text-anchor': anchor }, peerText(leg));
    labels.set(leg, label);
    parts.push(label);
  }
  return parts;
}

/** Media goes both ways. */
function hop(from, to, live, { session }) {
  return svg('line', {
    class: `media ${live ? 'live' : 'connecting'}`,
    x1: from + 6,
    x2: to - 6,
    y1: LINE_Y,
    y2: LINE_Y,
    'marker-start': 'url(#media-start)',
    'marker-end': 'url(#media-end)',
    'data-session': session,
  });
}

function waiting() {
  const frame = { class: 'waiting', x: RIGHT, y: TOP, width: CLIENT_WIDTH, height: CLIENT_HEIGHT, rx: 10 };
  return [svg('rect', frame), svg('text', { class: 'note', x: RIGHT + 12, y: TOP + 30 }, 'nobody else yet')];
}

/** How a leg runs and who says so. */
export function peerText(leg) {
  const who = leg.mine ? 'you' : 'they say';
  return leg.basis === 'Confirmed' ? `${who}: ${legText(leg)} · confirmed` : `${who}: ${legText(leg)}`;
}

function description(report, clients, boxes) {
  const relays = clients.flatMap(({ legs }) => legs.map(({ relay }) => relay)).filter(Boolean);
  const way = clients.length < 2 ? 'nobody to send to yet' : relays.length === 0 ? 'media goes straight between them' : `media goes ${relays.map(byRelay).join(' and ')}`;
  const home = report?.home ? `, of which ${report.home} is the home of the room` : '';
  return `${clients.length} clients, ${boxes.size} gateways${home}: ${way}.`;
}
