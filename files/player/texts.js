// Everything that viewers read or hear. Another language is another object of the same form.

/**
 * @typedef {{title: string, text: string, retry?: boolean}} Notice `retry`: with a button to try again
 * @typedef {typeof ENGLISH} Texts
 */

export const ENGLISH = {
  player: (/** @type {string} */ stream) => `Live stream ${stream}`,
  controls: "Controls of the player",
  play: "Play",
  pause: "Pause",
  mute: "Turn sound off",
  unmute: "Turn sound on",
  volume: "Volume",
  live: "Live",
  goLive: "Go live",
  seconds: (/** @type {number} */ seconds) => `${seconds.toFixed(1)} s`,
  behind: "behind",
  position: "Position in the stream",
  ago: (/** @type {number} */ seconds) => (seconds < 1 ? "live" : `${Math.round(seconds)} seconds before live`),
  quality: "Quality",
  auto: (/** @type {string} */ playing) => (playing ? `Auto (${playing})` : "Auto"),
  captions: "Captions",
  captionsOff: "No captions",
  captionsTrack: (/** @type {number} */ number) => `Captions ${number}`,
  fullscreen: "Full screen",
  leaveFullscreen: "Leave full screen",
  pictureInPicture: "Small picture over other windows",
  statistics: "Statistics",
  close: "Close",
  copy: "Copy",
  copied: "Copied",
  retry: "Try again",

  /** @type {Record<string, Notice>} By the player's state and, where there are several, its reason. */
  notices: {
    asking: { title: "", text: "" },
    starting: { title: "", text: "" },
    ready: { title: "Press play to watch", text: "" },
    playing: { title: "", text: "" },
    waiting: { title: "The stream has not begun", text: "It starts here by itself as soon as it does." },
    "waiting network": {
      title: "No connection",
      text: "The server does not answer. Is this device online? It is tried again by itself.",
    },
    "waiting busy": { title: "Very many viewers", text: "You will be let in in a moment; you need not do anything." },
    "waiting unavailable": { title: "Not available right now", text: "The server has a problem. It is tried again by itself." },
    broken: { title: "The stream was interrupted", text: "It goes on by itself as soon as it is back." },
    "broken stalled": { title: "The picture has stopped", text: "It goes on by itself as soon as more of it arrives." },
    "broken network": { title: "Connection lost", text: "Is this device online? The stream goes on by itself when it is." },
    over: { title: "The stream is over", text: "Thank you for watching. A next one starts here by itself." },
    "refused token": {
      title: "This stream needs a valid link",
      text: "Please open it by the complete link that you were given, or ask for a new one.",
      retry: true,
    },
    "refused expired": {
      title: "Your link has expired",
      text: "Links are good for a limited time. Please ask for a new one where you got it.",
      retry: true,
    },
    "refused unpaid": {
      title: "This stream has to be paid for",
      text: "There is no valid payment for it, or its time is over. Once it is paid for, try again.",
      retry: true,
    },
    "refused forbidden": {
      title: "You cannot watch this stream here",
      text: "Your link is for another stream or place, or it is used on too many devices at once. Close it elsewhere and try again.",
      retry: true,
    },
    unsupported: { title: "This browser cannot play the stream", text: "Please use a current version of Firefox, Chrome, Edge or Safari." },
  },
};

/**
 * @param {Texts} texts
 * @param {import("./live-player.js").State} state
 * @returns {Notice}
 */
export const noticeOf = ({ notices }, { name, reason }) =>
  notices[`${name} ${reason}`] ?? notices[name] ?? { title: name, text: "" };
