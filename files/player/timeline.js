// Where in the stream the picture is: the button that says how far behind it is and goes live, and the slider of the window.
import { element } from "./element.js";

/** A shorter window, s, is no recording to go back in. */
const WINDOW_SECONDS = 15;
/** As long as a player that follows live may be behind by the way, s. */
const LIVE_SECONDS = 2.5;

/**
 * @param {import("./live-player.js").LivePlayer} player
 * @param {import("./texts.js").Texts} texts
 * @returns {{live: HTMLButtonElement, slider: HTMLInputElement, seek: (seconds: number) => void, refresh: () => void}}
 */
export function timeline(player, texts) {
  const { video } = player;
  const word = element("span", { className: "word" });
  const latency = element("span");
  const live = element("button", { type: "button", className: "live", hidden: true, onclick: () => void player.goLive() }, word,
    element("span", { className: "latency" }, latency, element("span", { className: "wide" }, ` ${texts.behind}`)));
  const slider = element("input", { type: "range", className: "timeline", hidden: true, step: "0.1", "aria-label": texts.position });

  /** @param {number} to in the element's own time, s */
  const go = (to) => {
    const reach = player.engine?.reach();
    if (reach) video.currentTime = Math.min(Math.max(to, reach.start), reach.sync);
  };
  slider.addEventListener("input", () => go(Number(slider.value)));
  // Steps of a second are for a mouse; by keys it goes as with the player's own.
  slider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    go(video.currentTime + step);
  });

  return {
    live,
    slider,
    seek: (seconds) => go(video.currentTime + seconds),
    refresh() {
      const reach = player.engine?.reach() ?? null;
      live.hidden = !reach || !player.shown;
      slider.hidden = !reach || reach.sync - reach.start < WINDOW_SECONDS;
      if (!reach) return;
      const behind = player.behind;
      const atEdge = behind < LIVE_SECONDS && !video.paused && player.state.name === "playing";
      word.textContent = atEdge ? texts.live : texts.goLive;
      live.classList.toggle("now", atEdge);
      const seconds = player.latency ?? behind;
      latency.textContent = texts.seconds(seconds);
      if (slider.hidden) return;
      slider.min = String(reach.start);
      slider.max = String(reach.sync);
      slider.value = String(atEdge ? reach.sync : video.currentTime);
      slider.setAttribute("aria-valuetext", texts.ago(behind));
    },
  };
}
