// The page of one room: reads who joins from the fragment, runs the call, and shows it.

import { Call } from './call.js';
import { byId, short } from './dom.js';
import { Flow, legsToDraw } from './flow.js';
import { drawTable } from './legs-table.js';
import { openLocalMedia } from './local-media.js';
import { Picture } from './picture.js';
import { relayWords } from './relay-words.js';
import { Stats, viewOf } from './stats.js';
import { Tiles } from './tiles.js';

const TICK_MILLIS = 1000;
const NOTE_MILLIS = 8000;
const STATES = {
  idle: 'not joined',
  joining: 'joining …',
  joined: 'in the room',
  rejoining: 'joining again …',
  left: 'left',
  ended: 'room ended',
  refused: 'refused',
};

const [, , namespace, name] = location.pathname.split('/');
const base = new URL(`/v1/rooms/${namespace}/${name}/`, location.origin);
const fragment = new URLSearchParams(location.hash.slice(1));
const picture = new Picture(byId('picture'));
const stats = new Stats();
let look = { inbound: [], outbound: [], pairs: [] };
let media = null;
let stream = null;
let call = null;
let flow = null;
let ownName = 'You';
let tiles = null;

function join(token, displayName) {
  call?.leave();
  media ??= openLocalMedia().then((opened) => {
    stream = opened.stream;
    byId('media-note').textContent = opened.note;
    if (stream) tiles.showOwn(stream, ownName);
    showControls();
    return opened;
  });
  ownName = displayName || nameOf(token);
  call = new Call({ base, token, name: displayName || null, region: new URLSearchParams(location.search).get('region') }, media, {
    changed: showState,
    stream: (publication, participant, remote) => tiles.show(publication, call.roster.get(participant)?.name ?? 'Somebody', remote),
    gone: (publication) => tiles.remove(publication),
    note,
  });
  tiles ??= new Tiles((publication) => call.firstFrame(publication));
  if (stream) tiles.showOwn(stream, ownName);
  if (!flow) {
    flow = new Flow(base, token);
    flow.start(() => call.state === 'joined');
  }
  flow.use(token);
  call.start();
}

/** The name in the token, which only the gateway can verify: good for a label. */
function nameOf(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.codePointAt(0))));
    return String(claims.name ?? claims.sub ?? 'You');
  } catch {
    return 'You';
  }
}

let noteTimer = null;
function note(text) {
  if (!text) return;
  byId('note').textContent = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => {
    byId('note').textContent = '';
  }, NOTE_MILLIS);
}

function showState() {
  if (!call) return;
  const pill = byId('state');
  pill.dataset.state = call.state;
  pill.textContent = STATES[call.state];
  byId('detail').textContent = call.detail;
  const over = ['idle', 'left', 'ended', 'refused'].includes(call.state);
  if (over) closeMedia();
  byId('entry').hidden = !over;
  byId('leave').disabled = over;
  const others = [...call.roster.values()].map((participant) => short(participant.name, 30));
  byId('roster').textContent = others.length === 0 ? 'Nobody else is here yet.' : `With ${others.join(', ')}.`;
  byId('roster').hidden = call.state !== 'joined';
}

/** Camera and microphone are off while nobody is in the room. */
function closeMedia() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  if (call.state !== 'idle') [media, stream] = [null, null];
  tiles?.remove('own');
  showControls();
}

function showControls() {
  for (const [id, kind, words] of [
    ['mute', 'audio', ['Mute', 'Unmute']],
    ['camera', 'video', ['Camera off', 'Camera on']],
  ]) {
    const tracks = stream?.getTracks().filter((track) => track.kind === kind) ?? [];
    const on = tracks.some((track) => track.enabled);
    byId(id).disabled = tracks.length === 0;
    byId(id).setAttribute('aria-pressed', String(tracks.length > 0 && !on));
    byId(id).textContent = tracks.length > 0 && !on ? words[1] : words[0];
  }
  const off = (kind) => stream?.getTracks().some((track) => track.kind === kind && !track.enabled) ?? false;
  tiles?.markOwn({ muted: off('audio'), dark: off('video') });
}

function toggle(kind) {
  for (const track of stream?.getTracks() ?? []) if (track.kind === kind) track.enabled = !track.enabled;
  showControls();
}

function sessions() {
  return call?.sessions ?? [];
}

async function tick() {
  look = await stats.collect(sessions());
  if (call?.state === 'joined') {
    const view = viewOf(look, call.peers !== null);
    if (view.length > 0) call.sendView(view);
  }
  if (call) draw();
}

function draw() {
  const here = call.state === 'joined';
  const report = here ? flow.report : null;
  const legs = here ? legsToDraw(report, look, call.participant) : [];
  const relayed = new Set(legs.filter((leg) => leg.mine && leg.relay).map((leg) => leg.session));
  for (const session of sessions()) session.reportedRelayed = relayed.has(session.id);
  picture.draw(report, legs, { id: call.participant, name: ownName, peers: call.peers !== null });
  drawTable(byId('legs'), legs);
  showRelays(legs);
  const region = report?.media?.region;
  byId('flow-name').textContent = report ? `${report.flow} · ${report.basis.toLowerCase()}${region ? ` · ${region}` : ''}` : '';
}

function showRelays(legs) {
  const text = relayWords(legs, call.ice.held?.iceTransportPolicy === 'relay');
  if (byId('relay-note').textContent !== text) byId('relay-note').textContent = text;
}

async function collect() {
  look = await stats.collect(sessions());
  return {
    state: call?.state ?? 'idle',
    detail: call?.detail ?? '',
    participant: call?.participant ?? null,
    roster: call ? [...call.roster.values()] : [],
    ...look,
  };
}

/** What tests and curious people look at. Times are milliseconds since 1970. */
window.plenum = {
  get state() {
    return call?.state ?? 'idle';
  },
  get detail() {
    return call?.detail ?? '';
  },
  get participant() {
    return call?.participant ?? null;
  },
  get publisher() {
    return call?.server?.publisher?.pc ?? null;
  },
  get subscribers() {
    return new Map([...(call?.server?.subscribers ?? [])].map(([publication, session]) => [publication, session.pc]));
  },
  /** Kinds of all sessions: `whip`, `whep`, `peer`. */
  get sessions() {
    return sessions().map(({ kind }) => kind);
  },
  /** Connections with other people, by their instance. */
  get peers() {
    return new Map((call?.peers?.sessions ?? []).map(({ instance, pc }) => [instance, pc]));
  },
  get timings() {
    return call?.timings ?? null;
  },
  /** The relay and the policy of new sessions: `{relay: ?{pod, region}, policy}`; no credentials. */
  get ice() {
    const held = call?.ice.held;
    return held ? { relay: held.relay, policy: held.iceTransportPolicy } : null;
  },
  get flow() {
    return flow?.report ?? null;
  },
  stats: collect,
  drawnLegs: () => picture.legs.map((leg) => ({ ...leg })),
  join,
  leave: () => call?.leave(),
};

byId('room-name').textContent = `${decodeURIComponent(namespace)}/${decodeURIComponent(name)}`;
document.title = `${decodeURIComponent(name)} · Plenum`;
byId('mute').addEventListener('click', () => toggle('audio'));
byId('camera').addEventListener('click', () => toggle('video'));
byId('leave').addEventListener('click', () => call?.leave());
byId('unmute').addEventListener('click', () => tiles?.unmute());
byId('entry').addEventListener('submit', (event) => {
  event.preventDefault();
  const token = byId('token').value.trim();
  if (token) join(token, byId('name').value.trim());
});
addEventListener('pagehide', () => call?.leave());
addEventListener('pageshow', (event) => {
  if (event.persisted && fragment.get('token')) join(fragment.get('token'), fragment.get('name'));
});
showControls();
drawTable(byId('legs'), []);
setInterval(tick, TICK_MILLIS);

if (fragment.get('token')) {
  byId('token').value = fragment.get('token');
  byId('name').value = fragment.get('name') ?? '';
  join(fragment.get('token'), fragment.get('name'));
} else {
  byId('entry').hidden = false;
}
