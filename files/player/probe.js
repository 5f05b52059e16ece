// Asks for a stream's first playlist, and says in one word what the answer means for a viewer.
import { isExpired } from "./address.js";

/**
 * @typedef {"live" | "offline" | "token" | "expired" | "unpaid" | "forbidden" | "busy" | "unavailable" | "network" | "stalled"} Reason
 * What the texts of texts.js are chosen by; "stalled" is what no answer says.
 */

/** What waiting does not mend: somebody has to do something. @type {ReadonlySet<Reason>} */
export const REFUSALS = new Set(["token", "expired", "unpaid", "forbidden"]);

const SECONDS = 10;

/**
 * @param {number} status of HTTP, 0 when nobody answered
 * @param {string} token the viewer's, "" for none
 * @param {number} [now] Unix time by the host's clock, s
 * @returns {Reason}
 */
export function reasonOf(status, token, now = Date.now() / 1000) {
  switch (status) {
    case 200:
      return "live";
    case 401:
      return token && isExpired(token, now) ? "expired" : "token";
    case 402:
      return "unpaid";
    case 403:
      return "forbidden";
    case 404:
    case 410:
      return "offline";
    case 429:
      return "busy";
    case 0:
      return "network";
    default:
      return "unavailable";
  }
}

/**
 * @typedef {object} Answer
 * @property {Reason} reason
 * @property {string} text of the playlist, "" when there is none
 * @property {number} retryAfter seconds the host asks for, 0 when it does not
 * @property {number | null} clock milliseconds by which the host's clock is ahead of this device's; null: unknown
 */

/**
 * @param {string} url of the multivariant playlist
 * @param {string} token
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>} never an error but that of the signal
 */
export async function probe(url, token, signal) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), SECONDS * 1000);
  const stop = () => limit.abort();
  signal.addEventListener("abort", stop);
  try {
    signal.throwIfAborted();
    const began = Date.now();
    const response = await fetch(url, {
      cache: "no-store",
      credentials: "same-origin",
      referrerPolicy: "no-referrer",
      signal: limit.signal,
    });
    const told = Date.parse(response.headers.get("date") ?? "");
    // The header has whole seconds: half a second more is as likely as any.
    const clock = Number.isNaN(told) ? null : told + 500 - (began + Date.now()) / 2;
    const text = response.ok ? await response.text() : "";
    // What nobody reads would hold the connection.
    if (!response.ok) await response.body?.cancel();
    const reason = reasonOf(response.status, token, (Date.now() + (clock ?? 0)) / 1000);
    return { reason, text, retryAfter: Number(response.headers.get("retry-after")) || 0, clock };
  } catch (error) {
    if (signal.aborted) throw error;
    return { reason: "network", text: "", retryAfter: 0, clock: null };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** @param {string} text of a multivariant playlist @returns {string} its first variant, which is another after each start. */
export const firstVariant = (text) => text.split("\n").find((line) => line && !line.startsWith("#")) ?? "";
