// Everything that operators read or hear and that does not stand in the page already.

/** How a stream or a host does: a sign beside the words, so that no colour is needed. */
export const SIGNS = { critical: "✖", warning: "▲", good: "●", waiting: "◌", over: "○" };

export const TEXTS = {
  connecting: "Connecting …",
  connected: "Live",
  away: (/** @type {string} */ time) => `Not connected: as it was at ${time}`,
  signIn: "Sign in",
  signingIn: "Signing in …",
  signedOut: "You are signed out. Sign in to go on.",
  silent: "The control service does not answer. Is this device online? It is tried again by itself.",
  signedIn: (/** @type {string} */ name) => `Signed in as ${name}`,
  totals: { streams: "Live streams", viewers: "Viewers", sent_kbps: "Sent", received_kbps: "Received" },
  plots: { viewers: "Viewers", sent_kbps: "Sent to viewers", received_kbps: "Received from publishers" },
  plot: (/** @type {string} */ what, /** @type {string} */ now, /** @type {string} */ most, /** @type {string} */ when) =>
    `${what} in the last six hours: ${now} at the end, at most ${most} at ${when}`,
  noPlot: (/** @type {string} */ what) => `${what}: nothing was measured yet`,
  spark: (/** @type {number} */ minutes, /** @type {string} */ least, /** @type {string} */ most) =>
    `in the last ${minutes < 60 ? `${minutes} minutes` : "hour"} from ${least} to ${most}`,
  picture: (/** @type {string} */ name) => `Newest picture of ${name}`,
  published: (/** @type {string} */ from, /** @type {string} */ host, /** @type {string} */ when) => `from ${from} to ${host}, ${when}`,
  unpublished: (/** @type {string} */ host) => `on ${host}, nobody publishes it`,
  ails: (/** @type {string} */ name, /** @type {string} */ words) => `${name}: ${words}`,
  toPlaylist: "until it is published",
  behind: (/** @type {string} */ seconds) => `${seconds} behind`,
  keySince: (/** @type {string} */ when) => `content key ${when}`,
  dropped: (/** @type {string} */ names) => `given up: ${names}`,
  copied: "copied",
  cancel: "Cancel",
  close: "Close",

  drop: {
    button: "Drop",
    label: (/** @type {string} */ name) => `Drop the publisher of ${name}`,
    title: (/** @type {string} */ name) => `Drop the publisher of ${name}?`,
    text: (/** @type {string} */ key) => `Its connection ends, and viewers see the stream stop. Most encoders come back at once; to keep this one out, ${
      key ? `revoke its key (${key}) instead: Stream keys.` : "see Stream keys: it publishes without one."}`,
    yes: "Drop it",
    done: (/** @type {string} */ name) => `The publisher of ${name} was dropped.`,
  },
  rotate: {
    button: "New content key",
    label: (/** @type {string} */ name) => `New content key for ${name}`,
    title: (/** @type {string} */ name) => `New content key for ${name}?`,
    text: () => "What comes from the next segment on is encrypted with another key. Viewers notice nothing.",
    yes: "Change it",
    done: (/** @type {string} */ name) => `${name} changes its content key with the next segment.`,
  },
  keys: {
    button: "Stream keys",
    label: (/** @type {string} */ name) => `Stream keys of ${name}`,
    title: (/** @type {string} */ name) => `Stream keys of ${name}`,
    none: "It has none.",
    keyless: (/** @type {string} */ name) => `${name} is published without a key: its name is in ALLOWED_STREAM_KEYS, and whoever knows it may. ` +
      `So that only who has a key publishes it, run on the host: appliance streams register ${name}, then appliance streams keys add ${name}.`,
    inUse: "publishes now",
    made: (/** @type {string} */ when) => `made ${when}`,
    revoke: "Revoke",
    revokeLabel: (/** @type {string} */ key) => `Revoke the key ${key}`,
  },
  revoke: {
    title: (/** @type {string} */ key, /** @type {string} */ name) => `Revoke the key ${key} of ${name}?`,
    text: "Nobody can publish with it any more, and who does now is dropped. It cannot be undone; a new key has to be made.",
    yes: "Revoke it",
    done: (/** @type {string} */ key, /** @type {string} */ name) => `The key ${key} of ${name} is revoked.`,
  },

  host: {
    here: "this one",
    good: "Good",
    silent: (/** @type {string} */ time) => `Has told nothing for ${time}`,
    since: (/** @type {string} */ when) => `up ${when}`,
  },
};
