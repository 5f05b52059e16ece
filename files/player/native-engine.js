// Plays with the browser's own HLS: Safari and everything on iPhone and iPad, whose player knows low latency itself.

/**
 * Whether to leave it to the browser. Chromium says "maybe" to HLS too, and then stands still: only Apple's is asked.
 * @param {HTMLVideoElement} video
 * @param {string} [vendor]
 * @returns {boolean}
 */
export const playsItself = (video, vendor = navigator.vendor) =>
  vendor.startsWith("Apple") && video.canPlayType("application/vnd.apple.mpegurl") !== "";

/** A live stream that stands still for so long, s, is asked about. */
const STILL_SECONDS = 8;

/**
 * @param {HTMLVideoElement} video
 * @param {{url: string, trouble: (reason: import("./probe.js").Reason) => void}} told
 * @returns {import("./hls-engine.js").Engine}
 */
export function nativeEngine(video, { url, trouble }) {
  /** @type {(outcome: import("./hls-engine.js").Outcome) => void} */
  let end;
  /** @type {Promise<import("./hls-engine.js").Outcome>} */
  const outcome = new Promise((resolve) => {
    end = resolve;
  });
  let timer = 0;
  // `stalled` says that nothing comes in, while the picture may go on from what is there.
  let stood = 0;
  const stands = () => video.currentTime === stood && !video.paused;
  const wait = () => {
    clearTimeout(timer);
    stood = video.currentTime;
    timer = setTimeout(() => {
      if (stands()) trouble("unavailable");
    }, STILL_SECONDS * 1000);
  };
  const heard = {
    ended: () => end({ ended: true }),
    error: () => end({ broken: video.error?.message || `error ${video.error?.code}` }),
    waiting: wait,
    stalled: wait,
    playing: () => clearTimeout(timer),
    pause: () => clearTimeout(timer),
  };
  for (const [event, listener] of Object.entries(heard)) video.addEventListener(event, listener);
  video.src = url;

  const range = () => {
    const { seekable } = video;
    return seekable.length ? { start: seekable.start(0), edge: seekable.end(seekable.length - 1) } : null;
  };
  return {
    name: "the browser's own",
    outcome,
    resume() {
      // Meanwhile it may have gone on by itself.
      if (stands()) end({ broken: "stood still" });
    },
    destroy() {
      clearTimeout(timer);
      for (const [event, listener] of Object.entries(heard)) video.removeEventListener(event, listener);
      video.removeAttribute("src");
      video.load();
      end({ ended: true });
    },
    // The browser chooses by itself and tells nobody.
    qualities: () => [],
    playing: () => -1,
    choose() {},
    chosen: () => -1,
    reach() {
      const found = range();
      return found && video.duration === Infinity ? { ...found, sync: found.edge } : null;
    },
    pictureTime() {
      // Of Safari alone: the time of the stream's first picture, from EXT-X-PROGRAM-DATE-TIME.
      const began = /** @type {{getStartDate?: () => Date}} */ (/** @type {unknown} */ (video)).getStartDate?.();
      const at = began ? began.getTime() : NaN;
      return Number.isNaN(at) ? null : at + video.currentTime * 1000;
    },
    facts: () => [],
  };
}
