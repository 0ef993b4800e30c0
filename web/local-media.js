// Camera and microphone: asked for once, both or one of them, with a plain word when there is none.

const WISHES = [
  { audio: true, video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30, max: 30 } } },
  { audio: true },
  { video: true },
];

/**
 * Asks for camera and microphone.
 * @returns {Promise<{stream: ?MediaStream, note: string}>} `note` says in plain words what is missing
 */
export async function openLocalMedia() {
  if (!navigator.mediaDevices?.getUserMedia) {
    const why = window.isSecureContext ? 'this browser offers none' : 'browsers allow it on HTTPS and localhost only';
    return { stream: null, note: `You only watch and listen: no camera and microphone, since ${why}.` };
  }
  let reason = null;
  for (const wish of WISHES) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia(wish);
      return { stream, note: missing(stream) };
    } catch (error) {
      reason = error;
      if (error.name === 'NotAllowedError') break;
    }
  }
  const why = reason?.name === 'NotAllowedError' ? 'access was denied' : 'none was found, or it is in use';
  return { stream: null, note: `You only watch and listen: no camera and microphone, since ${why}.` };
}

function missing(stream) {
  if (stream.getVideoTracks().length === 0) return 'No camera was found: the others only hear you.';
  if (stream.getAudioTracks().length === 0) return 'No microphone was found: the others only see you.';
  return '';
}

/** Puts VP8 first, which every participant of a room can decode. */
export function preferVp8(transceiver) {
  const codecs = RTCRtpSender.getCapabilities?.('video')?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const isVp8 = (codec) => codec.mimeType.toLowerCase() === 'video/vp8';
  transceiver.setCodecPreferences([...codecs.filter(isVp8), ...codecs.filter((codec) => !isVp8(codec))]);
}
