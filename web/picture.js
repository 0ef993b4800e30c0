// The picture of the running flow: clients on the left, the media pod on the right, gateways above. Every leg is a line;
// a relayed one goes through the box of its TURN pod. Peer-to-peer rooms have a picture of their own (`peerScene`).
// Entities are red, signaling is green, media is blue. Built anew only when who is there changes.

import { svg } from './dom.js';
import { peerScene, peerText } from './peer-picture.js';
import { CLIENT_LEFT, CLIENT_WIDTH, GATEWAY_HEIGHT, GATEWAY_Y, RELAY_WIDTH, TOP, WIDTH } from './picture-parts.js';
import { arrows, clientBox, gatewayBox, legText, placeGateways, relayBox, tail } from './picture-parts.js';

const LEG_HEIGHT = 40;
const RELAY_LEFT = 530;
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

  /** Draws `report` (may be null) and `legs`; `self` is `{id, name, peers}`, the last for a peer-to-peer room. */
  draw(report, legs, self) {
    const clients = grouped(legs, self);
    this.#drawn = clients.flatMap((client) => client.legs);
    const shape = JSON.stringify([
      report?.gateway,
      report?.gatewayRegion,
      report?.home,
      report?.media,
      self.peers,
      clients.map((client) => [client.id, client.name, client.mine, client.legs.map((leg) => [leg.session, leg.role, leg.gateway, leg.state, leg.relay])]),
    ]);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#labels.clear();
      if (self.peers) this.#buildPeers(report, clients);
      else this.#build(report, clients, legs.length - this.#drawn.length);
    }
    for (const leg of this.#drawn) {
      const label = this.#labels.get(keyOf(leg));
      const text = leg.role === 'Peer' ? peerText(leg) : legText(leg);
      if (label && label.textContent !== text) label.textContent = text;
    }
  }

  #show(height, description, children) {
    const title = svg('title', { id: 'picture-title' }, 'How signaling and media flow in this room');
    this.#root.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
    this.#root.replaceChildren(title, svg('desc', { id: 'picture-desc' }, description), arrows(), ...children);
  }

  #buildPeers(report, clients) {
    const { height, children, labels, description } = peerScene(report, clients);
    for (const [leg, label] of labels) this.#labels.set(keyOf(leg), label);
    this.#show(height, description, children);
  }

  #build(report, clients, hidden) {
    const rows = clients.reduce((sum, client) => sum + Math.max(1, client.legs.length), 0);
    const height = TOP + Math.max(3, rows) * LEG_HEIGHT + clients.length * 14 + 30;
    const gateways = gatewaysOf(report, clients);
    const boxes = placeGateways(gateways, CLIENT_LEFT + CLIENT_WIDTH + 30, POD_LEFT - 30);
    const children = this.#clients(clients, boxes, report);
    children.push(...(report?.media ? pod(report.media, height, boxes) : [waitingPod(height)]));
    for (const box of boxes.values()) children.push(gatewayBox(box));
    if (hidden > 0) {
      const words = `… and ${hidden} more legs: the table below lists them all`;
      children.push(svg('text', { class: 'note', x: CLIENT_LEFT, y: height - 8 }, words));
    }
    this.#show(height, description(report, clients, gateways), children);
  }

  #clients(clients, boxes, report) {
    const parts = [];
    let y = TOP;
    clients.forEach((client, index) => {
      const height = Math.max(1, client.legs.length) * LEG_HEIGHT;
      parts.push(...signaling(client, boxes, y, index));
      parts.push(clientBox(client, CLIENT_LEFT, y, height - 6));
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
    this.#labels.set(keyOf(leg), label);
    return [...lines, label];
  }
}

/** Both legs of a pair of peers bear its name. */
const keyOf = (leg) => `${leg.session} ${leg.participant}`;

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

/** One box per TURN pod and neighbouring legs of a client; `y` is the top of the client. */
function relayBoxes(legs, y) {
  const runs = [];
  legs.forEach(({ relay }, row) => {
    const last = runs.at(-1);
    if (relay && last?.relay.pod === relay.pod && last.row + last.rows === row) last.rows += 1;
    else if (relay) runs.push({ relay, row, rows: 1 });
  });
  return runs.map(({ relay, row, rows }) => relayBox(relay, RELAY_LEFT, y + row * LEG_HEIGHT + 2, rows * LEG_HEIGHT - 4));
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

function description(report, clients, gateways) {
  const legs = clients.reduce((sum, client) => sum + client.legs.length, 0);
  const where = report?.media ? `media pod ${report.media.pod} in ${report.media.region}` : 'no media pod yet';
  const relayed = clients.reduce((sum, client) => sum + client.legs.filter((leg) => leg.relay).length, 0);
  const relays = relayed > 0 ? `, ${relayed} of them relayed` : '';
  return `${clients.length} clients, ${gateways.length} gateways, ${where}, ${legs} media legs${relays}.`;
}
