// Watches an HLS stream from before it begins and reads the number in each picture that is shown.
//
//   node watch.js CHROMIUM URL SECONDS OPTIONS
//
// OPTIONS is JSON for the constructor of hls.js. Prints `{"loaded": true}` once the page is there, then, after
// SECONDS, one JSON object: `shown` is a list of [number of the picture, unix time in seconds it was shown at],
// with the errors, stalls, discontinuities, keys and level switches that hls.js told of on the way.
import { withPage } from "./page.js";

const [, , browserPath, url, seconds, options] = process.argv;

await withPage(browserPath, async (page) => {
  page.on("console", (message) => console.error(message.text()));
  console.log(JSON.stringify({ loaded: true }));
  const seen = await page.evaluate(
    async ({ url, seconds, options }) => {
      // As tests/support/pictures.py draws it: two rows of 16 columns, the lower the complement of the upper.
      const BITS = 12;
      const COLUMNS = 16;
      const video = document.getElementById("video");
      const canvas = document.createElement("canvas");
      const height = 12;
      canvas.width = COLUMNS * 2;
      canvas.height = height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      const seen = { shown: [], unreadable: 0, fatal: [], errors: [], stalls: 0, keys: [], levels: [], retries: 0 };
      const level = (x, y, data) => data[4 * (y * canvas.width + x)];
      const number = () => {
        context.drawImage(video, 0, 0, canvas.width, height);
        const { data } = context.getImageData(0, 0, canvas.width, 2);
        let value = 0;
        for (let bit = 0; bit < BITS; bit += 1) {
          const plain = (level(2 * bit, 0, data) + level(2 * bit + 1, 0, data)) / 2;
          const complement = (level(2 * bit, 1, data) + level(2 * bit + 1, 1, data)) / 2;
          if (plain > 150 && complement < 105) value += 2 ** bit;
          else if (!(plain < 105 && complement > 150)) return null;
        }
        return value;
      };
      const shown = (_now, frame) => {
        const value = number();
        if (value === null) seen.unreadable += 1;
        else seen.shown.push([value, (performance.timeOrigin + frame.expectedDisplayTime) / 1000]);
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
      const begin = () => {
        const hls = new Hls(options);
        hls.on(Hls.Events.ERROR, (_event, data) => {
          // A page that is open before the stream begins asks again until there is one.
          if (data.details === "manifestLoadError" && !seen.shown.length) {
            seen.retries += 1;
            hls.destroy();
            setTimeout(begin, 250);
            return;
          }
          (data.fatal ? seen.fatal : seen.errors).push(`${data.type} ${data.details} ${data.response?.code ?? ""} ${data.frag?.sn ?? ""} ${data.reason ?? ""}`);
          if (data.details === "bufferStalledError") seen.stalls += 1;
        });
        hls.on(Hls.Events.KEY_LOADED, (_event, data) => seen.keys.push(data.frag?.decryptdata?.uri ?? ""));
        hls.on(Hls.Events.LEVEL_SWITCHED, (_event, data) => seen.levels.push(data.level));
        hls.loadSource(url);
        hls.attachMedia(video);
      };
      begin();
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      return seen;
    },
    { url, seconds: Number(seconds), options: JSON.parse(options || "{}") },
  );
  console.log(JSON.stringify(seen));
});
