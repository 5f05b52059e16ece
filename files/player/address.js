// What the page's own address says: which stream, and the viewer's token.

/** A view token as delivery takes it in an address (roles/delivery/vars/main.yml): three parts, RFC 7515 section 3.1. */
const TOKEN = /^[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/;
const LONGEST_TOKEN = 2048;

/**
 * @typedef {object} Address
 * @property {string} stream name of the stream, "" when the address has none
 * @property {string} token as it was given, "" for none
 */

/**
 * Reads `/watch/STREAM#TOKEN` and `/watch/t/TOKEN/STREAM`.
 * @param {{pathname: string, hash: string}} location
 * @returns {Address}
 */
export function readAddress({ pathname, hash }) {
  const [, inPath = "", stream = ""] = /^\/watch\/(?:t\/([^/]+)\/)?([^/]+)$/.exec(pathname) ?? [];
  const inFragment = hash.replace(/^#(?:token=)?/, "");
  return { stream, token: inFragment || inPath };
}

/**
 * The address of the page with the token where browsers send it to nobody: behind the `#`.
 * @param {Address} address
 * @returns {string}
 */
export const quietAddress = ({ stream, token }) => `/watch/${stream}${token ? `#${token}` : ""}`;

/** @param {string} token @returns {boolean} whether it can be a token at all; what cannot is not sent. */
export const isToken = (token) => token.length <= LONGEST_TOKEN && TOKEN.test(token);

/**
 * Whether a token says of itself that it is over. Nothing of it is verified: it only chooses the words for a refusal.
 * @param {string} token
 * @param {number} now Unix time, s
 * @returns {boolean}
 */
export function isExpired(token, now) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return typeof claims.exp === "number" && claims.exp <= now;
  } catch {
    return false;
  }
}

/**
 * Where a stream's first playlist is. All other addresses are relative to it, and so keep the token.
 * @param {string} origin of the host, "" for the page's own
 * @param {Address} address
 * @returns {string}
 */
export const playlistOf = (origin, { stream, token }) => `${origin}/hls/${token ? `t/${token}/` : ""}${stream}.m3u8`;

/** @param {string} text @returns {string} the text without anything that looks like a token, for people to pass on. */
export const withoutTokens = (text) =>
  text.replace(/eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*/g, "-").replace(/\/hls\/t\/[^/]+\//g, "/hls/t/-/");
