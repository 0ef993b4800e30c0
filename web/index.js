// The front page: namespace, room and token lead to the page of the room.

import { byId } from './dom.js';

byId('join').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = (id) => byId(id).value.trim();
  const fragment = new URLSearchParams({ token: value('token') });
  if (value('name')) fragment.set('name', value('name'));
  const path = `/rooms/${encodeURIComponent(value('namespace'))}/${encodeURIComponent(value('room'))}`;
  location.assign(`${path}#${fragment}`);
});
