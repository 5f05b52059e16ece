// Plays an HLS stream for some seconds and prints what it saw as JSON.
//
//   node play.js CHROMIUM URL SECONDS
import { withPage } from "./page.js";

const [, , browserPath, url, seconds] = process.argv;

await withPage(browserPath, async (page) => {
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
});
