// Figures and times as people read them, in the browser's own language.

const WHOLE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const EXACT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

export const NONE = "–";

/** @typedef {number | null | undefined} Figure */

/** @param {Figure} value */
export const count = (value) => (value == null ? NONE : WHOLE.format(value));

/** @param {Figure} kbps 1000 bits a second */
export function bitrate(kbps) {
  if (kbps == null) return NONE;
  if (kbps < 1000) return `${WHOLE.format(kbps)} kbit/s`;
  return kbps < 1e6 ? `${TENTHS.format(kbps / 1000)} Mbit/s` : `${TENTHS.format(kbps / 1e6)} Gbit/s`;
}

/** @param {Figure} seconds */
export const seconds = (seconds) => (seconds == null ? NONE : `${seconds < 10 ? seconds.toFixed(2) : WHOLE.format(seconds)} s`);

/** @param {Figure} share from 0 to 1 */
export const percent = (share) => (share == null ? NONE : `${WHOLE.format(100 * share)} %`);

/** @param {Figure} rate pictures a second */
export const pictures = (rate) => (rate == null ? NONE : `${Math.round(10 * rate) / 10} fps`);

/** @param {Figure} bytes */
export function size(bytes) {
  if (bytes == null) return NONE;
  return bytes < 1e10 ? `${WHOLE.format(bytes / 1e6)} MB` : `${WHOLE.format(bytes / 1e9)} GB`;
}

/** @param {number} length in seconds */
export function span(length) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["d", 86400], ["h", 3600], ["min", 60]]))
    if (length >= 2 * size) return `${WHOLE.format(length / size)} ${unit}`;
  return `${WHOLE.format(Math.max(0, length))} s`;
}

/** @param {number} at unix seconds */
export const clock = (at) => CLOCK.format(at * 1000);

/** @param {number} at unix seconds */
export const exact = (at) => EXACT.format(at * 1000);

/** @param {string | number | null | undefined} at ISO 8601, or unix seconds */
export function since(at) {
  if (at == null) return NONE;
  const time = typeof at === "number" ? at * 1000 : Date.parse(at);
  if (Number.isNaN(time)) return NONE;
  return `since ${Date.now() - time < 43_200_000 ? CLOCK.format(time) : DAY.format(time)}`;
}
