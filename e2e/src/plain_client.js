// A WHIP publisher and WHEP viewer that knows nothing of the room socket. Made by the tests, run in a blank page.
window.plain = (() => {
  const peers = new Map();
  let next = 0;

  const gathered = pc => new Promise(done => {
    const check = () => pc.iceGatheringState === 'complete' && done();
    pc.addEventListener('icegatheringstatechange', check);
    check();
  });

  async function exchange(url, token, pc, init = {}) {
    await pc.setLocalDescription();
    await gathered(pc);
    const answer = await fetch(url, {
      method: 'POST', body: pc.localDescription.sdp,
      headers: {'content-type': 'application/sdp', authorization: `Bearer ${token}`, ...init.headers},
    });
    const body = await answer.text();
    if (answer.status !== 201) throw new Error(`POST ${url.split('?')[0]}: ${answer.status} ${body}`);
    await pc.setRemoteDescription({type: 'answer', sdp: body});
    const id = `peer-${next++}`;
    peers.set(id, {
      pc, token, url: new URL(answer.headers.get('location'), url).href,
      etag: answer.headers.get('etag'), link: answer.headers.get('link'), started: performance.now(),
    });
    return id;
  }

  async function publish(url, token) {
    const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 240, frameRate: 20}});
    const pc = new RTCPeerConnection();
    for (const track of media.getTracks()) pc.addTransceiver(track, {direction: 'sendonly', streams: [media]});
    return exchange(url, token, pc);
  }

  async function watch(url, token) {
    const pc = new RTCPeerConnection();
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
    const video = document.body.appendChild(document.createElement('video'));
    video.autoplay = video.muted = true;
    const stream = video.srcObject = new MediaStream();
    pc.ontrack = event => stream.addTrack(event.track);
    return exchange(url, token, pc);
  }

  async function stats(id) {
    const {pc} = peers.get(id), out = {framesDecoded: 0, framesSent: 0, audioReceived: 0, audioSent: 0, connection: pc.connectionState};
    for (const s of (await pc.getStats()).values()) {
      if (s.type === 'inbound-rtp' && s.kind === 'video') out.framesDecoded += s.framesDecoded || 0;
      if (s.type === 'inbound-rtp' && s.kind === 'audio') out.audioReceived += s.totalSamplesReceived || 0;
      if (s.type === 'outbound-rtp' && s.kind === 'video') out.framesSent += s.framesSent || 0;
      if (s.type === 'outbound-rtp' && s.kind === 'audio') out.audioSent += s.packetsSent || 0;
    }
    return out;
  }

  async function request(id, method, headers = {}, body = undefined) {
    const peer = peers.get(id);
    const answer = await fetch(peer.url, {method, body, headers: {authorization: `Bearer ${peer.token}`, ...headers}});
    return {status: answer.status, etag: answer.headers.get('etag'), body: await answer.text()};
  }

  // ICE restart as RFC 9725 section 4.3.3 says: new credentials as a fragment, If-Match: *.
  async function restart(id) {
    const peer = peers.get(id), {pc} = peer;
    pc.restartIce();
    await pc.setLocalDescription();
    await gathered(pc);
    const keep = line => /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates|mid|group)|^m=/.test(line);
    const fragment = pc.localDescription.sdp.split('\r\n').filter(keep).join('\r\n') + '\r\n';
    const answer = await request(id, 'PATCH', {'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*'}, fragment);
    if (answer.status === 200) {
      const line = name => answer.body.match(new RegExp(`a=${name}:(\\S+)`))[1];
      const sdp = pc.currentRemoteDescription.sdp
        .replace(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${line('ice-ufrag')}`).replace(/a=ice-pwd:\S+/g, `a=ice-pwd:${line('ice-pwd')}`);
      await pc.setRemoteDescription({type: 'answer', sdp});
      peer.etag = answer.etag;
    }
    return answer;
  }

  const details = id => { const {url, etag, link} = peers.get(id); return {url, etag, link}; };
  return {publish, watch, stats, request, restart, details};
})();
