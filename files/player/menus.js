// The menus of the qualities and of the captions: plain selects, which every device and screen reader knows.
import { element } from "./element.js";

/**
 * @typedef {import("./live-player.js").LivePlayer} LivePlayer
 * @typedef {import("./texts.js").Texts} Texts
 * @typedef {{node: HTMLElement, refresh: () => void}} Part
 */

/** @param {import("./hls-engine.js").Quality} quality */
const nameOf = ({ height, bitrate }) => (height ? `${height}p` : `${Math.round(bitrate / 1000)} kbit/s`);

/**
 * @param {string} label
 * @param {(value: number) => void} choose
 */
function menu(label, choose) {
  const node = element("select", { className: "menu", hidden: true, title: label, "aria-label": label });
  node.addEventListener("change", () => choose(Number(node.value)));
  return {
    node,
    /** @param {[number, string][]} entries @param {number} chosen */
    set(entries, chosen) {
      // Somebody may have it open: nothing is touched that is as it should be.
      const { options } = node;
      while (options.length > entries.length) options[options.length - 1].remove();
      entries.forEach(([value, text], index) => {
        const option = options[index] ?? node.appendChild(element("option"));
        if (option.value !== String(value)) option.value = String(value);
        if (option.text !== text) option.text = text;
      });
      node.hidden = entries.length < 2;
      if (node.value !== String(chosen)) node.value = String(chosen);
    },
  };
}

/**
 * @param {LivePlayer} player
 * @param {Texts} texts
 * @returns {Part}
 */
export function qualityMenu(player, texts) {
  const { node, set } = menu(texts.quality, (id) => player.engine?.choose(id));
  return {
    node,
    refresh() {
      const { engine } = player;
      const all = engine?.qualities() ?? [];
      const playing = all.find(({ id }) => id === engine?.playing());
      const chosen = engine?.chosen() ?? -1;
      const best = [...all].sort((one, other) => other.height - one.height || other.bitrate - one.bitrate);
      const auto = texts.auto(chosen === -1 && playing ? nameOf(playing) : "");
      // One quality is no choice.
      set(all.length < 2 ? [] : [[-1, auto], ...best.map((each) => /** @type {[number, string]} */ ([each.id, nameOf(each)]))], chosen);
    },
  };
}

/**
 * Of the stream's own subtitles and of those within its pictures (CEA-608), which hls.js and Safari both make text tracks.
 * @param {HTMLVideoElement} video
 * @param {Texts} texts
 * @returns {Part & {toggle: () => void}}
 */
export function captionsMenu(video, texts) {
  const tracks = () => [...video.textTracks].filter(({ kind }) => kind === "captions" || kind === "subtitles");
  /** @param {number} chosen */
  const choose = (chosen) => tracks().forEach((track, index) => {
    track.mode = index === chosen ? "showing" : "hidden";
  });
  const { node, set } = menu(texts.captions, choose);
  const showing = () => tracks().findIndex(({ mode }) => mode === "showing");
  return {
    node,
    refresh() {
      const all = tracks();
      const names = all.map(({ label, language }, index) => /** @type {[number, string]} */ ([index, label || language || texts.captionsTrack(index + 1)]));
      set(all.length ? [[-1, texts.captionsOff], ...names] : [], showing());
    },
    toggle: () => choose(showing() === -1 ? 0 : -1),
  };
}
