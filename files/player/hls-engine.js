// Plays with hls.js where the browser has Media Source Extensions.
import { reasonOf, REFUSALS } from "./probe.js";
import { OPTIONS } from "./tuning.js";

/**
 * @typedef {import("./probe.js").Reason} Reason
 * @typedef {{ended: true} | {refused: Reason} | {broken: string}} Outcome
 * How a playback ended: the stream is over; the host refused; it has to begin anew, and why.
 *
 * @typedef {object} Quality
 * @property {number} id
 * @property {number} height lines, 0 when not known
 * @property {number} bitrate bits/s, 0 when not known
 *
 * @typedef {object} Reach
 * @property {number} start of what can be played, in the element's own time, s
 * @property {number} edge its live end
 * @property {number} sync where a player that follows live stands
 *
 * @typedef {object} Engine
 * @property {string} name
 * @property {Promise<Outcome>} outcome
 * @property {() => void} resume goes on loading after a trouble
 * @property {() => void} destroy
 * @property {() => Quality[]} qualities
 * @property {() => number} playing id of the quality on the screen, -1 when not known
 * @property {(id: number) => void} choose a quality, -1 for the best that fits
 * @property {() => number} chosen
 * @property {() => Reach | null} reach
 * @property {() => number | null} pictureTime when the picture on the screen was made, Unix time in ms
 * @property {() => [string, string][]} facts for the statistics
 */

/** So often in a row is a decoder's trouble mended where it stands; then all begins anew. */
const MENDS = 2;
/** After so long without a new trouble, s, the row is over. */
const MEND_SECONDS = 30;
/** After so long without the picture standing still, s, it has not stood still. */
const STEADY_SECONDS = 30;
/** A picture that stands for so long, s, and no further than so from the end, s, of a stream that has ended is its last. */
const LAST_STANDS_SECONDS = 1.5;
const LAST_SECONDS = 3;

/**
 * @param {typeof import("hls.js").default} Hls
 * @param {HTMLVideoElement} video
 * @param {{url: string, token: string, trouble: (reason: Reason) => void}} told
 * `trouble` is called when the host does not answer as it should: `resume` goes on.
 * @returns {Engine}
 */
export function hlsEngine(Hls, video, { url, token, trouble }) {
  // Apple's newer Media Source Extensions want it so.
  video.disableRemotePlayback = true;
  const hls = new Hls(OPTIONS);
  /** @type {string[]} the last ones */
  let errors = [];
  let errorCount = 0;
  /** @type {number[]} */
  let mends = [];
  let shown = false;
  /** @type {(outcome: Outcome) => void} */
  let end;
  /** @type {Promise<Outcome>} */
  const outcome = new Promise((resolve) => {
    end = resolve;
  });

  const mend = () => {
    const now = performance.now() / 1000;
    mends = [...mends.filter((at) => now - at < MEND_SECONDS), now];
    return mends.length <= MENDS;
  };

  // For each time that the picture stood still hls.js stays further behind, for good: an encoder that was away a dozen
  // times would cost its viewers two seconds from then on.
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let steady;
  const forgive = () => {
    const now = details();
    // What hls.js wants by itself; to set it is what makes it forget.
    if (now?.live) hls.targetLatency = now.partHoldBack || now.holdBack;
  };
  hls.on(Hls.Events.ERROR, (_event, data) => {
    if (data.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) {
      clearTimeout(steady);
      steady = setTimeout(forgive, STEADY_SECONDS * 1000);
    }
    errors = [...errors.slice(-2), data.details];
    errorCount += 1;
    const status = data.response?.code ?? 0;
    const reason = reasonOf(status, token);
    // Segments are ciphertext for everybody: what is refused is a playlist or a key.
    if (REFUSALS.has(reason)) end({ refused: reason });
    else if (!data.fatal) return;
    else if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
      if (reason === "offline" || !shown) end({ broken: data.details });
      else trouble(status === 0 ? "network" : reason);
    } else if (data.type === Hls.ErrorTypes.MEDIA_ERROR && mend()) hls.recoverMediaError();
    else end({ broken: data.details });
  });
  hls.on(Hls.Events.LEVEL_UPDATED, (_event, { details }) => {
    if (details.live) return;
    // Who comes when all is over would only see the last seconds of it.
    if (!shown) end({ ended: true });
    else ending ??= setInterval(lookForEnd, LAST_STANDS_SECONDS * 1000);
  });
  /** @type {number | undefined} */
  let ending;
  let stood = -1;
  // The element does not always say that it has ended: sound and picture may end at different times.
  const lookForEnd = () => {
    const { currentTime, paused, seeking } = video;
    const left = (hls.latestLevelDetails?.edge ?? Infinity) - currentTime;
    if (currentTime === stood && !paused && !seeking && left < LAST_SECONDS) end({ ended: true });
    stood = currentTime;
  };
  const over = () => end({ ended: true });
  const first = () => {
    shown = true;
  };
  video.addEventListener("ended", over);
  video.addEventListener("playing", first);
  hls.loadSource(url);
  hls.attachMedia(video);

  const details = () => hls.latestLevelDetails ?? null;
  return {
    name: `hls.js ${Hls.version}`,
    outcome,
    resume: () => hls.startLoad(),
    destroy() {
      clearInterval(ending);
      clearTimeout(steady);
      video.removeEventListener("ended", over);
      video.removeEventListener("playing", first);
      hls.destroy();
      end({ ended: true });
    },
    qualities: () => hls.levels.map(({ height, bitrate }, id) => ({ id, height: height || 0, bitrate })),
    playing: () => hls.currentLevel,
    choose(id) {
      // Not `currentLevel`, which would throw away what is loaded and let the picture stand.
      hls.nextLevel = id;
    },
    chosen: () => (hls.autoLevelEnabled ? -1 : hls.manualLevel),
    reach() {
      const now = details();
      if (!now?.live) return null;
      return { start: now.fragmentStart, edge: now.edge, sync: hls.liveSyncPosition ?? now.edge };
    },
    pictureTime: () => hls.playingDate?.getTime() ?? null,
    facts() {
      const level = hls.levels[hls.currentLevel];
      const now = details();
      return [
        ["Rate of the variant", level ? `${Math.round(level.bitrate / 1000)} kbit/s` : "-"],
        ["Measured bandwidth", `${Math.round(hls.bandwidthEstimate / 1000)} kbit/s`],
        ["Behind the live edge", `${hls.latency.toFixed(2)} s, wanted ${hls.targetLatency?.toFixed(2) ?? "-"} s`],
        ["Newest segment and part", now ? `${now.endSN} ${now.lastPartIndex}` : "-"],
        ["Errors", errorCount ? `${errorCount}, last ${errors.join(", ")}` : "none"],
      ];
    },
  };
}
