// What support asks a viewer for, over the picture and to copy. No token stands in it.
import { withoutTokens } from "./address.js";
import { element } from "./element.js";

/**
 * @param {import("./live-player.js").LivePlayer} player
 * @returns {[string, string][]}
 */
export function facts(player) {
  const { video, engine, state, stalls } = player;
  const { totalVideoFrames = 0, droppedVideoFrames = 0 } = video.getVideoPlaybackQuality?.() ?? {};
  const { buffered, currentTime } = video;
  const last = buffered.length ? buffered.end(buffered.length - 1) : currentTime;
  const latency = player.latency;
  return /** @type {[string, string][]} */ ([
    ["Stream", player.options.stream],
    ["Time", new Date().toISOString()],
    ["State", [state.name, state.reason ?? ""].join(" ").trim()],
    ["Player", engine?.name ?? "-"],
    ["Picture", `${video.videoWidth} × ${video.videoHeight}`],
    ["From encoder to screen", latency === null ? "-" : `${latency.toFixed(2)} s`],
    ["Loaded ahead", `${Math.max(0, last - currentTime).toFixed(2)} s`],
    ["Speed", `${video.playbackRate.toFixed(2)} ×`],
    ["Pictures", `${totalVideoFrames}, ${droppedVideoFrames} left out`],
    ["Times it stood still", String(stalls)],
    ...(engine?.facts() ?? []),
    ["Browser", navigator.userAgent],
  ]).map(([name, value]) => [name, withoutTokens(value)]);
}

/**
 * @param {import("./live-player.js").LivePlayer} player
 * @param {import("./texts.js").Texts} texts
 * @returns {{node: HTMLElement, refresh: () => void, toggle: () => boolean}}
 */
export function statistics(player, texts) {
  const list = element("dl");
  const told = element("span", { role: "status" });
  const copy = element("button", { type: "button" }, texts.copy);
  // Browsers let only pages that came over HTTPS write there; elsewhere the text can be marked by hand.
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(facts(player).map((line) => line.join(": ")).join("\n"));
      told.textContent = texts.copied;
    } catch {
      // In another site's frame it may be forbidden; then the text can be marked by hand as well.
      copy.hidden = true;
    }
  });
  const close = element("button", { type: "button", onclick: () => toggle() }, texts.close);
  const node = element("section", { className: "statistics", hidden: true, "aria-label": texts.statistics },
    list, element("p", {}, copy, close, told));
  const toggle = () => {
    node.hidden = !node.hidden;
    told.textContent = "";
    refresh();
    node.dispatchEvent(new Event("toggled"));
    return !node.hidden;
  };
  const refresh = () => {
    if (node.hidden) return;
    list.replaceChildren(...facts(player).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  };
  return { node, refresh, toggle };
}
