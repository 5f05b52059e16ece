// What runs in the page of watch.js: `watch` begins, `look` gives what was seen since it was last called.
//
// As tests/support/pictures.py draws them: two rows of 16 columns, the lower the complement of the upper, and
// at the bottom the flash.
const BITS = 12;
const COLUMNS = 16;
const ROWS = 12;
const CLOCK_MILLISECONDS = 50;

const now = () => (performance.timeOrigin + performance.now()) / 1000;

const nothing = () => ({
  shown: [],
  unreadable: 0,
  fatal: [],
  errors: [],
  stalls: 0,
  waits: [],
  keys: [],
  levels: [],
  retries: 0,
  beeps: [],
  clock: [],
});
let seen = nothing();
let position = 0;
let waitingSince = null;
let describe = () => ({});

globalThis.look = () => {
  const waiting = waitingSince === null ? 0 : now() - waitingSince;
  const told = { ...seen, at: now(), position, waiting, state: JSON.stringify(describe()) };
  seen = nothing();
  return told;
};

/** Watches `url` with hls.js, made with `options`; hears beeps too where `sound` is set. */
globalThis.watch = async (url, options, sound) => {
  const video = document.getElementById("video");
  video.muted = !sound;
  watchPictures(video);
  watchWaits(video);
  if (sound) await hear(video);
  setInterval(() => {
    position = video.currentTime;
  }, CLOCK_MILLISECONDS);
  let playing = false;
  video.addEventListener("playing", () => { playing = true; }, { once: true });
  const begin = () => {
    const hls = new Hls({ ...options, debug: { log: tell, info: tell, warn: tell, error: tell, debug: () => {} } });
    hls.on(Hls.Events.ERROR, (_event, data) => {
      // A page that is open before the stream begins asks again until there is one.
      if (data.details === "manifestLoadError" && !playing) {
        seen.retries += 1;
        hls.destroy();
        setTimeout(begin, 100);
        return;
      }
      const said = [data.type, data.details, data.response?.code, data.frag?.sn, data.reason];
      (data.fatal ? seen.fatal : seen.errors).push(said.filter((word) => word !== undefined).join(" "));
      if (data.details === "bufferStalledError") seen.stalls += 1;
    });
    hls.on(Hls.Events.KEY_LOADED, (_event, data) => seen.keys.push(data.frag?.decryptdata?.uri ?? ""));
    hls.on(Hls.Events.LEVEL_SWITCHED, (_event, data) => {
      seen.levels.push([now(), hls.levels[data.level]?.height ?? 0]);
    });
    const buffers = {};
    hls.on(Hls.Events.BUFFER_CREATED, (_event, { tracks }) => Object.assign(buffers, tracks));
    describe = () => ({
      position: video.currentTime,
      readyState: video.readyState,
      paused: video.paused,
      latency: hls.latency,
      newest: hls.levels?.[hls.loadLevel]?.details?.edge,
      ...Object.fromEntries(Object.entries(buffers).map(([kind, { buffer }]) => [kind, ranges(buffer.buffered)])),
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  };
  begin();
};

// What hls.js says of how media becomes what is in the buffers: of a fault that comes once in many runs, nothing else
// tells the cause. Goes to the page's console, which watch.js keeps.
const TOLD = /initPTS|transmux session|range growth|timestamps|timestampOffset|discontinuity|as a gap|buffer (sink|codec)/i;

function tell(...words) {
  const said = words.join(" ");
  if (TOLD.test(said)) console.log(`${now().toFixed(3)} ${said.replace(/\s+/g, " ")}`);
}

const ranges = (buffered) =>
  Array.from({ length: buffered.length }, (_, index) => [buffered.start(index), buffered.end(index)]);

/** Reads every picture that is shown: its number, when that was, its media time, whether it flashes. */
function watchPictures(video) {
  const canvas = document.createElement("canvas");
  canvas.width = COLUMNS * 2;
  canvas.height = ROWS;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const shown = (_now, frame) => {
    context.drawImage(video, 0, 0, canvas.width, ROWS);
    const { data } = context.getImageData(0, 0, canvas.width, ROWS);
    const level = (column, row) => {
      const at = 4 * (row * canvas.width + 2 * column);
      return (data[at] + data[at + 4]) / 2;
    };
    const number = readNumber(level);
    if (number === null) seen.unreadable += 1;
    else {
      const at = (performance.timeOrigin + frame.expectedDisplayTime) / 1000;
      seen.shown.push([number, at, frame.mediaTime, level(COLUMNS / 2, ROWS - 1) > 128]);
    }
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}

function readNumber(level) {
  let value = 0;
  for (let bit = 0; bit < BITS; bit += 1) {
    const plain = level(bit, 0);
    const complement = level(bit, 1);
    if (plain > 150 && complement < 105) value += 2 ** bit;
    else if (!(plain < 105 && complement > 150)) return null;
  }
  return value;
}

/** Notes how long the player had nothing to show, each time after its first picture. */
function watchWaits(video) {
  let began = false;
  video.addEventListener("waiting", () => {
    if (began) waitingSince ??= now();
  });
  video.addEventListener("playing", () => {
    began = true;
    if (waitingSince !== null) seen.waits.push([waitingSince, now() - waitingSince]);
    waitingSince = null;
  });
}

/** Takes the sound off the element: when each beep begins by the context's clock, and what that clock shows
 * beside the element's position. */
async function hear(video) {
  const context = new AudioContext({ sampleRate: 48000 });
  await context.audioWorklet.addModule("/onset.js");
  const onset = new AudioWorkletNode(context, "onset");
  onset.port.onmessage = ({ data }) => seen.beeps.push(data);
  const source = context.createMediaElementSource(video);
  source.connect(onset);
  source.connect(context.destination);
  onset.connect(context.destination);
  setInterval(() => {
    if (!video.paused && !video.seeking) seen.clock.push([context.currentTime, video.currentTime]);
  }, CLOCK_MILLISECONDS);
}
