// What the page's own store of ICE servers asks for and answers when a room grows. Made by the tests; the gateway is made up: it
// answers with a name of scope `peers` until a request says that a media server has taken the client in.
window.iceCredentials = (() => {
  const load = async (source) => import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));

  function gateway(before) {
    const asked = [];
    window.fetch = async (_, { body }) => {
      const wish = JSON.parse(body);
      asked.push(wish);
      await new Promise((resolve) => queueMicrotask(resolve));
      const scope = wish.mode === 'MediaServer' ? 'media' : before;
      const iceServers = [{ urls: ['turn:relay.test'], username: `1:T_0:${scope}`, credential: 'c', relay: { pod: 'turn-0' } }];
      const answer = { iceServers, iceTransportPolicy: 'relay', expiresAt: Date.now() / 1000 + 600 };
      return { ok: true, json: async () => answer };
    };
    return asked;
  }

  /** `before`: scope of credentials as long as nobody has said how the room runs. `there`: somebody who was in it as a peer. */
  async function run(source, { before, there, inFlight }) {
    const real = window.fetch;
    try {
      const { IceServers } = await load(source);
      const asked = gateway(before);
      const ice = new IceServers({ base: new URL('https://gateway.test/v1/rooms/demo/standup/'), token: 't' });
      const early = [ice.get()];
      if (there) {
        ice.toPeers('PA_1');
        early.push(ice.get());
      }
      if (!inFlight) await Promise.all(early);
      ice.toServer();
      const used = (await ice.get()).iceServers[0].username;
      await Promise.all(early);
      const held = (await ice.get()).iceServers[0].username;
      return { used, held, asked: asked.length, last: asked.at(-1) };
    } finally {
      window.fetch = real;
    }
  }

  return { run };
})();
