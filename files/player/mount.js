// The whole player, with its controls, in an element of any page.
//
//   import { mount } from "…/mount.js";
//   const { destroy } = mount(document.querySelector("#here"), { stream: "demo" });
import { captionsMenu, qualityMenu } from "./menus.js";
import { element } from "./element.js";
import { icon, iconButton, relabel } from "./elements.js";
import { keyboard } from "./keyboard.js";
import { LivePlayer } from "./live-player.js";
import { statistics } from "./statistics.js";
import { ENGLISH, noticeOf } from "./texts.js";
import { timeline } from "./timeline.js";

const REFRESH_MILLISECONDS = 250;
/** The controls go after so long without a movement, s. */
const IDLE_SECONDS = 3;

/**
 * @typedef {import("./live-player.js").Options & {texts?: import("./texts.js").Texts}} MountOptions
 */

/**
 * @param {HTMLElement} place whose content becomes the player
 * @param {MountOptions} options
 * @returns {{player: LivePlayer, root: HTMLElement, destroy: () => void}}
 */
export function mount(place, options) {
  const texts = options.texts ?? ENGLISH;
  // Muted, as browsers let no page begin with sound; a button offers it.
  const video = element("video", { autoplay: true, muted: true, playsInline: true });
  const player = new LivePlayer(video, options);
  const setMuted = (/** @type {boolean} */ muted) => {
    video.muted = muted;
    if (!muted && video.volume === 0) video.volume = 1;
  };
  const toggleMuted = () => setMuted(!video.muted);
  const togglePlay = () => {
    if (video.paused) void player.play();
    else video.pause();
  };

  const title = element("p", { className: "title" });
  const text = element("p");
  const retry = element("button", { type: "button", hidden: true, onclick: () => player.start() }, texts.retry);
  const notice = element("div", { className: "notice", role: "status" }, title, text, retry);
  const soundOn = element("button", { type: "button", className: "sound-on", hidden: true, onclick: toggleMuted }, icon("mute"), texts.unmute);
  const playButton = iconButton("play", texts.play, togglePlay);
  const muteButton = iconButton("mute", texts.unmute, toggleMuted);
  const volume = element("input", { type: "range", className: "volume", min: "0", max: "1", step: "0.05", "aria-label": texts.volume });
  volume.addEventListener("input", () => {
    video.volume = Number(volume.value);
    video.muted = video.volume === 0;
  });
  for (const each of [playButton, muteButton, volume]) each.classList.add("playback");
  const line = timeline(player, texts);
  const quality = qualityMenu(player, texts);
  const captions = captionsMenu(video, texts);
  const numbers = statistics(player, texts);
  const numbersButton = iconButton("statistics", texts.statistics, () => numbers.toggle());
  numbersButton.setAttribute("aria-expanded", "false");
  numbers.node.addEventListener("toggled", () => numbersButton.setAttribute("aria-expanded", String(!numbers.node.hidden)));
  const smallButton = iconButton("small", texts.pictureInPicture, () => {
    if (document.pictureInPictureElement) void document.exitPictureInPicture();
    else video.requestPictureInPicture().catch(() => {});
  });
  smallButton.classList.add("wide", "playback");
  smallButton.hidden = !document.pictureInPictureEnabled;
  const fullButton = iconButton("fullscreen", texts.fullscreen, () => toggleFullscreen(root, video));
  const row = element("div", { className: "row" }, playButton, muteButton, volume, line.live,
    element("span", { className: "space" }), captions.node, quality.node, numbersButton, smallButton, fullButton);
  const bar = element("div", { className: "bar", role: "group", "aria-label": texts.controls }, line.slider, row);
  const root = element("section", { className: "player", tabIndex: -1, "aria-label": texts.player(options.stream) },
    video, notice, soundOn, bar, numbers.node);

  const showState = () => {
    const said = noticeOf(texts, player.state);
    root.dataset.state = player.state.name;
    title.textContent = said.title;
    text.textContent = said.text;
    retry.hidden = !said.retry;
  };
  const refresh = () => {
    relabel(playButton, video.paused ? "play" : "pause", video.paused ? texts.play : texts.pause);
    relabel(muteButton, video.muted ? "mute" : "sound", video.muted ? texts.unmute : texts.mute);
    const full = Boolean(document.fullscreenElement);
    relabel(fullButton, "fullscreen", full ? texts.leaveFullscreen : texts.fullscreen);
    soundOn.hidden = !(video.muted && player.state.name === "playing");
    if (document.activeElement !== volume) volume.value = String(video.muted ? 0 : video.volume);
    for (const part of [line, quality, captions, numbers]) part.refresh();
  };
  player.addEventListener("state", showState);
  player.addEventListener("state", refresh);
  player.addEventListener("engine", refresh);
  for (const event of ["play", "pause", "volumechange", "seeked"]) video.addEventListener(event, refresh);
  video.addEventListener("click", togglePlay);
  keyboard(root, {
    " ": togglePlay,
    k: togglePlay,
    m: toggleMuted,
    f: () => fullButton.click(),
    c: captions.toggle,
    l: () => void player.goLive(),
    s: () => void numbers.toggle(),
    Escape: () => numbers.node.hidden || numbers.toggle(),
    ArrowLeft: () => line.seek(-5),
    ArrowRight: () => line.seek(5),
    ArrowUp: () => setVolume(video, 0.1),
    ArrowDown: () => setVolume(video, -0.1),
  });
  const stopIdling = idling(root, video);
  const timer = setInterval(refresh, REFRESH_MILLISECONDS);
  place.replaceChildren(root);
  showState();
  refresh();
  player.start();
  return {
    player,
    root,
    destroy() {
      clearInterval(timer);
      stopIdling();
      player.destroy();
      root.remove();
    },
  };
}

/**
 * @param {HTMLVideoElement} video
 * @param {number} by
 */
function setVolume(video, by) {
  video.volume = Math.min(1, Math.max(0, (video.muted ? 0 : video.volume) + by));
  video.muted = video.volume === 0;
}

/**
 * @param {HTMLElement} root
 * @param {HTMLVideoElement} video
 */
function toggleFullscreen(root, video) {
  if (document.fullscreenElement) void document.exitFullscreen();
  else if (root.requestFullscreen) root.requestFullscreen().catch(() => {});
  // iPhones show nothing but a video so.
  else /** @type {{webkitEnterFullscreen?: () => void}} */ (/** @type {unknown} */ (video)).webkitEnterFullscreen?.();
}

/**
 * Marks the player as idle while nobody moves, so that the controls are not in the way of the picture.
 * @param {HTMLElement} root
 * @param {HTMLVideoElement} video
 * @returns {() => void} ends it
 */
function idling(root, video) {
  let timer = 0;
  const moved = () => {
    root.classList.remove("idle");
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!video.paused && root.querySelector(".bar :focus-visible") === null) root.classList.add("idle");
    }, IDLE_SECONDS * 1000);
  };
  for (const event of ["pointermove", "pointerdown", "keydown", "focusin"]) root.addEventListener(event, moved);
  video.addEventListener("pause", moved);
  moved();
  return () => clearTimeout(timer);
}
