// The messages of the room socket: their fields, a `?` behind those that may be missing. The tests of signaling/ compare the
// tables with the room's own types: what stands between `= ` and `;` is JSON.

const TO_ROOM = {
  "join": ["token", "name?", "instance?"],
  "view": ["legs"],
  "signal": ["to", "kind"],
  "leave": [],
  "ping": []
};

const FROM_ROOM = {
  "joined": ["participant", "participantKey", "roster", "mode?", "maxBitrateKbps?"],
  "participantJoined": ["participant"],
  "participantLeft": ["participant"],
  "published": ["participant", "publication"],
  "unpublished": ["participant", "publication"],
  "signal": ["from", "kind"],
  "relayLost": ["pod"],
  "rejoin": ["reason", "withinMillis"],
  "ended": ["detail"],
  "error": ["code", "detail"],
  "pong": []
};

/** What a `signal` has beside that, by its `kind`. */
const SIGNALS = {
  "description": ["sdpType", "sdp"],
  "candidate": ["candidate"],
  "bye": []
};

/** The text of a message to the room. */
export function write(message) {
  const fields = fieldsOf(TO_ROOM, message)?.map((field) => field.replace('?', ''));
  for (const name of Object.keys(message)) {
    if (name !== 'type' && !fields?.includes(name)) throw new TypeError(`a message ${message.type} has no field ${name}`);
  }
  return JSON.stringify(message);
}

/** A message of the room; null when it is of a type that this page does not know, or lacks what the type needs. */
export function read(text) {
  const message = parse(text);
  const fields = fieldsOf(FROM_ROOM, message);
  return fields?.every((field) => field.endsWith('?') || Object.hasOwn(message, field)) ? message : null;
}

function fieldsOf(table, message) {
  const fields = known(table, message?.type);
  if (message?.type !== 'signal') return fields;
  const more = known(SIGNALS, message.kind);
  return more && [...fields, ...more];
}

const known = (table, name) => (typeof name === 'string' && Object.hasOwn(table, name) ? table[name] : null);

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
