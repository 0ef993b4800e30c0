// The picture of the running flow: clients on the left, the media pod on the right, gateways above. Every leg is a line;
// a relayed one goes through the box of its TURN pod.
// Entities are red, signaling is green, media is blue. Built anew only when who is there changes.

import { rate, roundTrip, short, svg } from './dom.js';
import { byRelay } from './relay-words.js';

const WIDTH = 960;
const GATEWAY_Y = 30;
const GATEWAY_HEIGHT = 58;
const TOP = 142;
const LEG_HEIGHT = 40;
const CLIENT_LEFT = 40;
const CLIENT_WIDTH = 190;
const RELAY_LEFT = 530;
const RELAY_WIDTH = 140;
const POD_LEFT = 720;
const POD_WIDTH = 224;
const MOST_CLIENTS = 12;
const MOST_LEGS = 64;

export class Picture {
  #root;
  #shape = '';
  #labels = new Map();
  #drawn = [];

  constructor(root) {
    this.#root = root;
  }

  /** The legs that the picture shows now. */
  get legs() {
    return this.#drawn;
  }

  /** Draws `report` (may be null) and `legs`; `self` is `{id, name, gatewayOnly}`. */
  draw(report, legs, self) {
    const clients = grouped(legs, self);
    this.#drawn = clients.flatMap((client) => client.legs);
    const shape = JSON.stringify([
      report?.gateway,
      report?.gatewayRegion,
      report?.media,
      clients.map((client) => [client.id, client.name, client.mine, client.legs.map((leg) => [leg.session, leg.role, leg.gateway, leg.state, leg.relay])]),
    ]);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#build(report, clients, legs.length - this.#drawn.length);
    }
    for (const leg of this.#drawn) {
      const label = this.#labels.get(leg.session);
      const text = legText(leg);
      if (label && label.textContent !== text) label.textContent = text;
    }
  }

  #build(report, clients, hidden) {
    this.#labels.clear();
    const rows = clients.reduce((sum, client) => sum + Math.max(1, client.legs.length), 0);
    const height = TOP + Math.max(3, rows) * LEG_HEIGHT + clients.length * 14 + 30;
    const gateways = gatewaysOf(report, clients);
    const children = [
      svg('title', { id: 'picture-title' }, 'How signaling and media flow in this room'),
      svg('desc', { id: 'picture-desc' }, description(report, clients, gateways)),
      arrows(),
    ];
    const boxes = placeGateways(gateways);
    children.push(...this.#clients(clients, boxes, report));
    children.push(...(report?.media ? pod(report.media, height, boxes) : [waitingPod(height)]));
    for (const box of boxes.values()) children.push(gatewayBox(box));
    if (hidden > 0) {
      const words = `… and ${hidden} more legs: the table below lists them all`;
      children.push(svg('text', { class: 'note', x: CLIENT_LEFT, y: height - 8 }, words));
    }
    this.#root.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
    this.#root.replaceChildren(...children);
  }

  #clients(clients, boxes, report) {
    const parts = [];
    let y = TOP;
    clients.forEach((client, index) => {
      const height = Math.max(1, client.legs.length) * LEG_HEIGHT;
      parts.push(...signaling(client, boxes, y, index));
      parts.push(clientBox(client, y, height - 6));
      client.legs.forEach((leg, row) => parts.push(...this.#leg(leg, y + row * LEG_HEIGHT + 22, report)));
      if (report?.media) parts.push(...relayBoxes(client.legs, y));
      y += height + 14;
    });
    return parts;
  }

  #leg(leg, y, report) {
    if (!report?.media) return [];
    const [from, to] = [CLIENT_LEFT + CLIENT_WIDTH + 4, POD_LEFT - 6];
    const out = leg.role === 'Publisher';
    const hops = leg.relay ? [[from, RELAY_LEFT - 6], [RELAY_LEFT + RELAY_WIDTH + 4, to]] : [[from, to]];
    const lines = hops.map(([near, far]) =>
      svg('line', {
        class: `media ${leg.state === 'Connected' ? 'live' : 'connecting'}`,
        x1: out ? near : far,
        x2: out ? far : near,
        y1: y,
        y2: y,
        'marker-end': 'url(#media-end)',
        'data-session': leg.session,
      }),
    );
    const [, end] = hops[0];
    const label = svg('text', { class: 'leg', x: (from + end) / 2, y: y - 6, 'text-anchor': 'middle' }, legText(leg));
    this.#labels.set(leg.session, label);
    return [...lines, label];
  }
}

/** Clients with their legs, the own one first, within the bounds of a picture. */
function grouped(legs, self) {
  const clients = new Map();
  if (self.id) clients.set(self.id, { id: self.id, name: self.name, mine: true, legs: [] });
  let room = MOST_LEGS;
  for (const leg of legs) {
    if (!clients.has(leg.participant)) {
      if (clients.size >= MOST_CLIENTS) continue;
      clients.set(leg.participant, { id: leg.participant, name: leg.participantName, mine: leg.mine, legs: [] });
    }
    if (room > 0) {
      clients.get(leg.participant).legs.push(leg);
      room -= 1;
    }
  }
  return [...clients.values()];
}

function gatewaysOf(report, clients) {
  const names = new Set(clients.flatMap((client) => client.legs.map((leg) => leg.gateway)));
  if (report?.gateway) names.add(report.gateway);
  const region = (name) => (name === report?.gateway ? report.gatewayRegion : null);
  return [...names].sort().slice(0, 3).map((name) => ({ name, region: region(name) }));
}

function placeGateways(gateways) {
  const [left, right] = [CLIENT_LEFT + CLIENT_WIDTH + 30, POD_LEFT - 30];
  const width = Math.min(260, (right - left) / Math.max(1, gateways.length) - 12);
  const step = (right - left) / Math.max(1, gateways.length);
  return new Map(
    gateways.map((gateway, index) => [gateway.name, { ...gateway, width, x: left + step * index + (step - width) / 2 }]),
  );
}

function gatewayBox({ name, region, x, width }) {
  const words = [svg('text', { class: 'what', x: x + 12, y: GATEWAY_Y + 20 }, 'gateway')];
  words.push(svg('text', { class: 'name', x: x + 12, y: GATEWAY_Y + 38 }, tail(name, Math.floor((width - 20) / 8.8))));
  if (region) words.push(svg('text', { class: 'place', x: x + 12, y: GATEWAY_Y + 52 }, region));
  return svg('g', { class: 'entity' }, svg('rect', { x, y: GATEWAY_Y, width, height: GATEWAY_HEIGHT, rx: 10 }), ...words);
}

function clientBox(client, y, height) {
  const name = short(client.name, 22);
  return svg(
    'g',
    { class: client.mine ? 'entity mine' : 'entity' },
    svg('rect', { x: CLIENT_LEFT, y, width: CLIENT_WIDTH, height, rx: 10 }),
    svg('text', { class: 'what', x: CLIENT_LEFT + 12, y: y + 15 }, client.mine ? 'client (you)' : 'client'),
    svg('text', { class: 'name', x: CLIENT_LEFT + 12, y: y + 30 }, name),
  );
}

/** One box per TURN pod and neighbouring legs of a client; `y` is the top of the client. */
function relayBoxes(legs, y) {
  const runs = [];
  legs.forEach(({ relay }, row) => {
    const last = runs.at(-1);
    if (relay && last?.relay.pod === relay.pod && last.row + last.rows === row) last.rows += 1;
    else if (relay) runs.push({ relay, row, rows: 1 });
  });
  return runs.map(({ relay, row, rows }) => relayBox(relay, y + row * LEG_HEIGHT + 2, rows * LEG_HEIGHT - 4));
}

function relayBox(relay, y, height) {
  const what = `TURN · ${tail(relay.region, 14)}`;
  return svg(
    'g',
    { class: 'entity relay', 'data-relay': relay.pod },
    svg('title', {}, `relayed ${byRelay(relay)}`),
    svg('rect', { x: RELAY_LEFT, y, width: RELAY_WIDTH, height, rx: 8 }),
    svg('text', { class: 'what', x: RELAY_LEFT + 8, y: y + 15 }, what),
    svg('text', { class: 'name', x: RELAY_LEFT + 8, y: y + 30 }, tail(relay.pod, 16)),
  );
}

function pod(media, height, boxes) {
  const place = [media.region, media.zone].filter(Boolean).join(' / ');
  const lines = boxes.size === 0 ? [] : [...boxes.values()].map((box, index) => podSignaling(box, index));
  const box = svg(
    'g',
    { class: 'entity' },
    svg('rect', { x: POD_LEFT, y: TOP, width: POD_WIDTH, height: height - TOP - 30, rx: 10 }),
    svg('text', { class: 'what', x: POD_LEFT + 14, y: TOP + 20 }, 'media pod'),
    svg('text', { class: 'name', x: POD_LEFT + 14, y: TOP + 40 }, tail(media.pod, 26)),
    svg('text', { class: 'place', x: POD_LEFT + 14, y: TOP + 60 }, media.node ? `node ${tail(media.node, 22)}` : ''),
    svg('text', { class: 'place', x: POD_LEFT + 14, y: TOP + 78 }, place),
  );
  return [...lines, box];
}

function waitingPod(height) {
  const words = svg('text', { class: 'note', x: POD_LEFT + 14, y: TOP + 30 }, 'no media pod yet');
  const frame = { class: 'waiting', x: POD_LEFT, y: TOP, width: POD_WIDTH, height: height - TOP - 30, rx: 10 };
  return svg('g', {}, svg('rect', frame), words);
}

/** From a client's left side, along a lane below the gateways, up into each of its gateways. */
function signaling(client, boxes, y, index) {
  const names = new Set(client.legs.map((leg) => leg.gateway));
  const to = [...boxes.values()].filter((box) => names.has(box.name) || (client.mine && names.size === 0));
  const side = CLIENT_LEFT - 8 - (index % 4) * 7;
  const lane = GATEWAY_Y + GATEWAY_HEIGHT + 16 + (index % 4) * 8;
  return to.map((box) => {
    const up = box.x + 24 + (index % 12) * 9;
    const path = `M ${CLIENT_LEFT} ${y + 12} H ${side} V ${lane} H ${up} V ${GATEWAY_Y + GATEWAY_HEIGHT + 3}`;
    return svg('path', { class: 'signaling', d: path, 'marker-end': 'url(#signaling-end)', 'data-client': client.id });
  });
}

/** From a gateway's top, over its neighbours, down into the pod. */
function podSignaling(box, index) {
  const down = POD_LEFT + 60 + index * 18;
  const path = `M ${box.x + box.width - 24} ${GATEWAY_Y} V ${GATEWAY_Y - 6 - index * 7} H ${down} V ${TOP - 3}`;
  return svg('path', { class: 'signaling', d: path, 'marker-end': 'url(#signaling-end)' });
}

function arrows() {
  const marker = (id, kind) =>
    svg(
      'marker',
      { id, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto' },
      svg('path', { class: kind, d: 'M 0 0 L 8 4 L 0 8 z' }),
    );
  return svg('defs', {}, marker('media-end', 'media-arrow'), marker('signaling-end', 'signaling-arrow'));
}

function legText(leg) {
  if (leg.state !== 'Connected') return `${leg.role === 'Publisher' ? 'sends' : 'receives'} · connecting`;
  const way = leg.role === 'Publisher' ? 'sends' : 'receives';
  if (leg.relay) return `${way} · over ${leg.relay.transport ?? '?'} · ${roundTrip(leg.rttMicros)} · ${rate(leg.kbps)}`;
  const types = `${leg.localType ?? '?'} → ${leg.remoteType ?? '?'} ${short(leg.relayProtocol ?? leg.protocol ?? '', 8)}`;
  return `${way} · ${types} · ${roundTrip(leg.rttMicros)} · ${rate(leg.kbps)}`;
}

function description(report, clients, gateways) {
  const legs = clients.reduce((sum, client) => sum + client.legs.length, 0);
  const where = report?.media ? `media pod ${report.media.pod} in ${report.media.region}` : 'no media pod yet';
  const relayed = clients.reduce((sum, client) => sum + client.legs.filter((leg) => leg.relay).length, 0);
  const relays = relayed > 0 ? `, ${relayed} of them relayed` : '';
  return `${clients.length} clients, ${gateways.length} gateways, ${where}, ${legs} media legs${relays}.`;
}

/** Pod names differ at their end. */
const tail = (text, most) => (text.length > most ? `…${text.slice(-(most - 1))}` : text);
