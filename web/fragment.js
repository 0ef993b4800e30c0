// ICE restarts in SDP: the fragment of an offer (RFC 8840, RFC 9725 section 4.3.3), and an answer with the node's fragment.

const value = (lines, name) => lines.find((line) => line.startsWith(`a=${name}:`))?.slice(name.length + 3);

/** The fragment that tells the node of an offer's ICE credentials. Candidates are not needed: the node is ICE-lite. */
export function fragmentOf(offer) {
  const lines = offer.split(/\r?\n/);
  const media = lines.find((line) => line.startsWith('m='));
  return [media, `a=mid:${value(lines, 'mid')}`, `a=ice-ufrag:${value(lines, 'ice-ufrag')}`, `a=ice-pwd:${value(lines, 'ice-pwd')}`, ''].join('\r\n');
}

/** The answer that was in place before, with credentials and candidates of the node's fragment. */
export function answerWith(answer, fragment) {
  const news = fragment.split(/\r?\n/);
  const candidates = news.filter((line) => line.startsWith('a=candidate:'));
  const [ufrag, pwd] = [value(news, 'ice-ufrag'), value(news, 'ice-pwd')];
  if (!ufrag || !pwd) throw new Error('the answer to the ICE restart has no credentials');
  const lines = answer.split(/\r?\n/).flatMap((line) => {
    if (line.startsWith('a=ice-ufrag:')) return [`a=ice-ufrag:${ufrag}`];
    if (line.startsWith('a=ice-pwd:')) return [`a=ice-pwd:${pwd}`, ...candidates];
    if (line.startsWith('a=candidate:') && candidates.length > 0) return [];
    if (line.startsWith('a=end-of-candidates')) return [];
    return [line.replace(/^(o=\S+ \S+ )(\d+)/, (_, start, version) => `${start}${BigInt(version) + 1n}`)];
  });
  return lines.join('\r\n');
}
