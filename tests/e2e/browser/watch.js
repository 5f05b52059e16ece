// Watches an HLS stream, from before it begins where that is wanted, and does what it is told.
//
//   node watch.js CHROMIUM URL OPTIONS
//
// OPTIONS is JSON: `hls` for the constructor of hls.js, `sound` to hear beeps, `folder` of the files that the
// page finds at /media/. Each line of standard input is one command in JSON, and answered with one line of JSON:
//
//   {"look": true}       what was seen since the last time (viewer.js)
//   {"throttle": RATE}   let no more than RATE bytes a second come in; -1: as many as do
//
// `{"loaded": true}` comes first, once the page is there. The end of standard input is the end.
import { createInterface } from "node:readline";
import { withPage } from "./page.js";

const [, , browserPath, url, options] = process.argv;
const { hls, sound, folder } = JSON.parse(options || "{}");
const answer = (value) => console.log(JSON.stringify(value));

await withPage(
  browserPath,
  async (page) => {
    page.on("console", (message) => console.error(message.text()));
    page.on("pageerror", (error) => console.error(error.message));
    await page.addScriptTag({ path: new URL("viewer.js", import.meta.url).pathname });
    const network = await page.context().newCDPSession(page);
    await network.send("Network.enable");
    answer({ loaded: true });
    await page.evaluate(([url, hls, sound]) => watch(url, hls, sound), [url, hls ?? {}, Boolean(sound)]);
    for await (const line of createInterface({ input: process.stdin })) {
      const { look, throttle } = JSON.parse(line);
      if (throttle !== undefined) {
        const conditions = { offline: false, latency: 0, uploadThroughput: -1, downloadThroughput: throttle };
        await network.send("Network.emulateNetworkConditions", conditions);
      }
      answer(look ? await page.evaluate(() => globalThis.look()) : {});
    }
  },
  folder,
);
