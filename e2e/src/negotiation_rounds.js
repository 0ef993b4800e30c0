// Two peer connections of one page negotiate by the page's own module. A seeded scheduler decides who acts, which of the two
// directions is heard next, and when signaling breaks. Each direction keeps its order, as a socket does.
window.negotiationRounds = (() => {
  const PATIENCE_MILLIS = 20000;

  // mulberry32
  const randomOf = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  const turn = () => new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });

  function makeSide(module, name, polite, log) {
    const pc = new RTCPeerConnection();
    const side = { name, pc, polite, out: [], heard: null };
    side.negotiation = new module.Negotiation(pc, {
      polite,
      send: (signal) => side.out.push(JSON.parse(JSON.stringify(signal))),
      failed: (error) => log.failures.push(`${name}: ${error}`),
    });
    const channel = pc.createDataChannel('probe', { negotiated: true, id: 0 });
    channel.onmessage = ({ data }) => {
      side.heard = data;
    };
    side.channel = channel;
    side.transceiver = null;
    return side;
  }

  /** Lets both do what they can do without hearing anything. */
  async function quiet(sides) {
    for (let idle = 0, before = -1; idle < 3; ) {
      for (const side of sides) await side.negotiation.done;
      await turn();
      const now = sides[0].out.length + sides[1].out.length;
      idle = now === before ? idle + 1 : 0;
      before = now;
    }
  }

  function act(side, what) {
    if (what === 'restart') side.pc.restartIce();
    const sender = side.pc.getTransceivers()[0];
    if (what === 'turn' && sender) sender.direction = sender.direction === 'sendrecv' ? 'recvonly' : 'sendrecv';
  }

  function deliver(from, to, log) {
    const signal = from.out.shift();
    if (signal.kind === 'description' && signal.sdpType === 'offer' && to.pc.signalingState === 'have-local-offer') log.glares += 1;
    to.negotiation.receive(signal);
  }

  const ufrags = (module, { pc }) => [pc.currentLocalDescription, pc.currentRemoteDescription].map(module.ufragOf);

  function settled(module, [a, b]) {
    const calm = ({ pc, out }) =>
      pc.signalingState === 'stable' && pc.connectionState === 'connected' && pc.iceGatheringState === 'complete' && out.length === 0;
    const [[aLocal, aRemote], [bLocal, bRemote]] = [ufrags(module, a), ufrags(module, b)];
    return calm(a) && calm(b) && aLocal === bRemote && bLocal === aRemote;
  }

  const shown = ({ name, pc, out }) =>
    `${name}: ${pc.signalingState}, ${pc.connectionState}, ${pc.iceGatheringState}, ${out.length} signals unheard`;

  async function settle(module, sides, random, breakAfter, log) {
    const until = performance.now() + PATIENCE_MILLIS;
    let heard = 0;
    for (;;) {
      if (heard === breakAfter) {
        breakAfter = null;
        log.breaks += 1;
        log.lost += sides[0].out.length + sides[1].out.length;
        for (const side of sides) side.out.length = 0;
        for (const side of sides) side.negotiation.resume();
        await quiet(sides);
      }
      const talking = sides.filter(({ out }) => out.length > 0);
      if (talking.length > 0) {
        const from = talking[Math.floor(random() * talking.length)];
        deliver(from, sides.find((side) => side !== from), log);
        heard += 1;
        if (random() < 0.5) await quiet(sides);
      } else {
        await quiet(sides);
        if (settled(module, sides) && (breakAfter === null || heard < breakAfter)) return;
        await turn();
      }
      if (performance.now() > until) throw new Error(`not settled: ${sides.map(shown).join('; ')}`);
    }
  }

  /** What one says the other hears: over the path that was just agreed on. */
  async function echo(sides, word) {
    const until = performance.now() + PATIENCE_MILLIS;
    while (sides.some(({ channel }) => channel.readyState !== 'open')) {
      if (performance.now() > until) throw new Error(`no channel: ${sides.map(shown).join('; ')}`);
      await turn();
    }
    for (const side of sides) side.channel.send(`${word} by ${side.name}`);
    while (sides.some(({ heard }, index) => heard !== `${word} by ${sides[1 - index].name}`)) {
      if (performance.now() > until) throw new Error(`${word} is not heard: ${sides.map(shown).join('; ')}`);
      await turn();
    }
  }

  /** One pair, so many rounds. */
  async function run(source, seed, rounds) {
    const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
    const random = randomOf(seed);
    const log = { rounds: 0, glares: 0, restarts: 0, breaks: 0, lost: 0, failures: [] };
    const sides = ['a', 'b'].map((name, index) => makeSide(module, name, (seed + index) % 2 === 0, log));
    const media = await navigator.mediaDevices.getUserMedia({ audio: true });
    for (const { pc } of sides) pc.addTrack(media.getAudioTracks()[0].clone(), media);
    for (let round = 0; round < rounds; round += 1) {
      const before = ufrags(module, sides[0])[0];
      const who = [[0], [1], [0, 1], [0, 1]][Math.floor(random() * 4)];
      const what = who.map(() => (random() < 0.6 ? 'restart' : 'turn'));
      // The first round begins by itself, from both sides at once.
      if (round > 0) who.forEach((index, order) => act(sides[index], what[order]));
      await quiet(sides);
      await settle(module, sides, random, random() < 0.4 ? 1 + Math.floor(random() * 6) : null, log);
      if (round > 0 && what.includes('restart')) {
        log.restarts += 1;
        if (ufrags(module, sides[0])[0] === before) throw new Error(`round ${round} restarted nothing`);
      }
      await echo(sides, `round ${round}`);
      if (log.failures.length > 0) throw new Error(log.failures.join('; '));
      log.rounds += 1;
    }
    for (const { pc } of sides) pc.close();
    for (const track of media.getTracks()) track.stop();
    return log;
  }

  return { run };
})();
