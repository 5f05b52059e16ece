// Plays an HLS stream with hls.js in a headless Chromium and prints what it saw as JSON.
//
//   node play.js CHROMIUM URL SECONDS
//
// The page is served from a small server of its own: a page from a file has no origin that CORS could allow.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [, , browserPath, url, seconds] = process.argv;
const library = await readFile(createRequire(import.meta.url).resolve("hls.js/dist/hls.min.js"));
const page_html = `<!doctype html><meta charset="utf-8"><video id="video" muted autoplay></video>
<script src="/hls.js"></script>`;

const server = createServer((request, response) => {
  const script = request.url === "/hls.js";
  response.setHeader("content-type", script ? "text/javascript" : "text/html");
  response.end(script ? library : page_html);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-gpu"],
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const seen = await page.evaluate(
    async ({ url, seconds }) => {
      const video = document.getElementById("video");
      const hls = new Hls();
      const fatal = [];
      const errors = [];
      let stalls = 0;
      hls.on(Hls.Events.ERROR, (_event, data) => {
        (data.fatal ? fatal : errors).push(`${data.type} ${data.details}`);
        if (data.details === "bufferStalledError") stalls += 1;
      });
      const playing = new Promise((resolve, reject) => {
        video.addEventListener("playing", resolve, { once: true });
        setTimeout(() => reject(new Error(`not playing after 20 s: ${fatal} ${errors}`)), 20000);
      });
      const began = performance.now();
      hls.loadSource(url);
      hls.attachMedia(video);
      await playing;
      const startup = (performance.now() - began) / 1000;
      const from = video.currentTime;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      return {
        fatal,
        errors,
        stalls,
        startup_seconds: Number(startup.toFixed(2)),
        played_seconds: Number((video.currentTime - from).toFixed(2)),
        latency_seconds: Number(hls.latency.toFixed(2)),
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
        audio_bytes: video.webkitAudioDecodedByteCount,
        width: video.videoWidth,
        height: video.videoHeight,
      };
    },
    { url, seconds: Number(seconds) },
  );
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  server.close();
}
