// When to ask again: later and later, and each viewer at another moment.

/**
 * @typedef {object} Pace
 * @property {number} first seconds until the first repetition
 * @property {number} growth by which each is longer than the one before
 * @property {number} most seconds at most
 */

/** Before a stream begins: nobody knows when that will be. @type {Pace} */
export const WAITING = { first: 1, growth: 1.4, most: 10 };

/** After it broke off, or while the host does not answer. @type {Pace} */
export const BROKEN = { first: 1, growth: 1.7, most: 20 };

export class Backoff {
  /** @param {() => number} random from 0 up to 1 */
  constructor(random = Math.random) {
    this.random = random;
    this.tries = 0;
  }

  /** All is well again: the next trouble begins with short waits. */
  reset() {
    this.tries = 0;
  }

  /**
   * @param {Pace} pace
   * @param {number} [atLeast] seconds the host asked for (Retry-After)
   * @returns {number} seconds to wait now: half of it certain, half by chance, so that a crowd does not come at once
   */
  next({ first, growth, most }, atLeast = 0) {
    const wait = Math.min(most, first * growth ** this.tries);
    this.tries += 1;
    return Math.max(wait / 2, atLeast) + (this.random() * wait) / 2;
  }
}

/** So many times longer does a page wait that nobody looks at. */
const HIDDEN = 4;

/**
 * Waits; longer while nobody looks at the page, and no longer than until somebody does again.
 * @param {number} seconds
 * @param {AbortSignal} signal ends the wait, with an error
 * @returns {Promise<void>}
 */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    let due = false;
    let timer = setTimeout(() => {
      due = true;
      timer = setTimeout(done, (HIDDEN - 1) * seconds * 1000);
      looked();
    }, seconds * 1000);
    const looked = () => {
      if (due && !document.hidden) done();
    };
    const clear = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", looked);
      signal.removeEventListener("abort", stopped);
    };
    const done = () => {
      clear();
      resolve();
    };
    const stopped = () => {
      clear();
      reject(signal.reason);
    };
    document.addEventListener("visibilitychange", looked);
    signal.addEventListener("abort", stopped);
    if (signal.aborted) stopped();
  });
}
