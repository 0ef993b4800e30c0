// The table under the picture: every leg with its numbers.

import { html, rate, roundTrip, short } from './dom.js';
import { WAYS } from './picture-parts.js';
import { byRelay } from './relay-words.js';

const MOST_ROWS = 500;

export function drawTable(body, legs) {
  const rows = legs.slice(0, MOST_ROWS).map((leg) =>
    html(
      'tr',
      { 'data-session': leg.session, class: leg.mine ? 'mine' : null },
      html('td', {}, short(leg.participantName, 30) + (leg.mine ? ' (you)' : '')),
      html('td', {}, WAYS[leg.role]),
      html('td', {}, state(leg)),
      html('td', {}, `${leg.localType ?? '?'} → ${leg.remoteType ?? '?'}`),
      html('td', {}, transport(leg)),
      html('td', {}, leg.remoteAddress ? endpoint(leg) : '–'),
      html('td', { class: 'number' }, roundTrip(leg.rttMicros)),
      html('td', { class: 'number' }, rate(leg.kbps)),
      html('td', {}, leg.gateway),
    ),
  );
  if (rows.length === 0) rows.push(html('tr', {}, html('td', { colspan: 9, class: 'none' }, 'No legs yet.')));
  body.replaceChildren(...rows);
}

/** A client's word alone is marked as such. */
function state(leg) {
  const basis = { Claimed: ' (says one side)', Confirmed: ' (both sides agree)' }[leg.basis] ?? '';
  return leg.state === 'Connected' ? `connected${basis}` : 'connecting';
}

function transport(leg) {
  if (leg.relay) return `relayed ${byRelay(leg.relay)}`;
  return short([leg.protocol, leg.relayProtocol].filter(Boolean).join(' by ') || '–', 20);
}

function endpoint({ remoteAddress, remotePort }) {
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
