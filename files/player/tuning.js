// How hls.js is set: close to the live edge, and no more questions than needed.

/** As `make bench` measures it: it catches up, and a stall makes it stay behind by 0.2 s more, not by a whole second. */
export const LOW_LATENCY = { maxLiveSyncPlaybackRate: 1.5, liveSyncOnStallIncrease: 0.2 };

/** Of a window that is longer, so much stays in memory behind the picture, s. */
const BACK_BUFFER_SECONDS = 60;

/** For the constructor of hls.js. */
export const OPTIONS = {
  ...LOW_LATENCY,
  backBufferLength: BACK_BUFFER_SECONDS,
  // What there is to do is decryption, and that is little; a worker is 41 kB more, or a script that the page's policy
  // does not let in.
  enableWorker: false,
  // We have asked for this playlist a moment ago (probe.js), and ask again in our own time.
  manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 20_000, timeoutRetry: null, errorRetry: null } },
};
