// Reads media playlists with hls.js itself: a JSON list of {url, text} on standard input, a JSON list of what it
// found on output.
//
//   node parse-hls.js CHROMIUM
//
// hls.js does not export its parser. Its way to a playlist is the loader of its configuration, which is handed
// the texts here: what LEVEL_LOADED tells is what a player would go by.
import { withPage } from "./page.js";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const states = JSON.parse(Buffer.concat(chunks));

await withPage(process.argv[2], async (page) => {
  const found = await page.evaluate(async (states) => {
    const span = () => ({ start: 0, first: 0, end: 0 });
    const read = ({ url, text }) =>
      new Promise((resolve) => {
        class Loader {
          context = null;
          stats = {
            aborted: false, loaded: text.length, retry: 0, total: text.length, chunkCount: 0, bwEstimate: 0,
            loading: span(), parsing: span(), buffering: span(),
          };
          load(context, _config, callbacks) {
            this.context = context;
            queueMicrotask(() => callbacks.onSuccess({ url, data: text, code: 200 }, this.stats, context, null));
          }
          abort() {}
          destroy() {}
          getCacheAge() { return null; }
        }
        const hls = new Hls({ loader: Loader, enableWorker: false });
        const done = (value) => {
          resolve(value);
          hls.destroy();
        };
        hls.on(Hls.Events.ERROR, (_event, data) => done({ error: `${data.details}: ${data.error?.message}` }));
        hls.on(Hls.Events.LEVEL_LOADED, (_event, { details }) => {
          const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
          done({
            target: details.targetduration,
            part_target: details.partTarget,
            version: details.version,
            live: details.live,
            hold_back: details.partHoldBack,
            problem: details.playlistParsingError?.message ?? null,
            hint: details.preloadHint ? new URL(details.preloadHint.URI, url).href : null,
            reports: details.renditionReports?.length ?? 0,
            segments: details.fragments.map((fragment) => ({
              number: fragment.sn,
              url: fragment.url,
              duration: fragment.duration,
              gap: Boolean(fragment.gap),
              // The gap's own is nobody's business.
              key: fragment.gap ? null : (fragment.decryptdata?.uri ?? null),
              iv: fragment.gap || !fragment.decryptdata?.iv ? null : hex(fragment.decryptdata.iv),
              map: fragment.gap ? null : (fragment.initSegment?.url ?? null),
              time: fragment.programDateTime,
              breaks: fragment.cc - details.startCC,
            })),
            parts: (details.partList ?? []).map((part) => part.url),
          });
        });
        hls.loadSource(url);
      });
    const all = [];
    for (const state of states) all.push(await read(state));
    return all;
  }, states);
  console.log(JSON.stringify(found));
});
