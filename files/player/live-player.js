// One stream in one video element: waits for it, plays it, and comes back when it broke off.
//
//   const player = new LivePlayer(video, { stream: "demo" });
//   player.addEventListener("state", () => console.log(player.state.name, player.state.reason));
//   player.start();
import { isToken, playlistOf } from "./address.js";
import { Backoff, BROKEN, pause, WAITING } from "./backoff.js";
import { hlsEngine } from "./hls-engine.js";
import { nativeEngine, playsItself } from "./native-engine.js";
import { firstVariant, probe, REFUSALS } from "./probe.js";

/**
 * @typedef {object} State
 * @property {"asking" | "waiting" | "starting" | "ready" | "playing" | "broken" | "over" | "refused" | "unsupported"} name
 * waiting: there is no stream yet; ready: the browser wants somebody to press play; broken: there was one, and it is
 * asked for again; over: its end was announced.
 * @property {import("./probe.js").Reason | null} reason
 *
 * @typedef {object} Options
 * @property {string} stream
 * @property {string} [token] of the viewer
 * @property {string} [origin] of the host, such as https://live.example.org:8443; the page's own when left out
 */

/** So often is a playback resumed where it stands, before it begins anew. */
const RESUMES = 4;
/** A picture that stands for so long, s, is worth a word. */
const STILL_SECONDS = 2;
/** A clock of the viewer's device that is off by less, ms, is taken for right: the host's is known to half a second. */
const CLOCK_TRUSTED = 2000;

export class LivePlayer extends EventTarget {
  /**
   * @param {HTMLVideoElement} video
   * @param {Options} options
   */
  constructor(video, options) {
    super();
    this.video = video;
    this.options = options;
    /** @type {State} */
    this.state = { name: "asking", reason: null };
    /** @type {import("./hls-engine.js").Engine | null} */
    this.engine = null;
    this.url = playlistOf(options.origin ?? "", { stream: options.stream, token: options.token ?? "" });
    this.backoff = new Backoff();
    this.hostClock = 0;
    this.stalls = 0;
    /** The timer that runs while the picture stands. */
    this.standing = 0;
    this.troubled = false;
    /** Whether a picture of this stream was ever shown. */
    this.shown = false;
    /** The first variant of what has ended: while it is listed, there is nothing new. */
    this.over = "";
    this.stopping = new AbortController();
    this.heard = this.listeners();
    for (const [event, listener] of Object.entries(this.heard)) video.addEventListener(event, listener);
  }

  /** Begins, or begins again after a refusal. */
  start() {
    this.stopping.abort();
    this.stopping = new AbortController();
    this.say("asking");
    this.run(this.stopping.signal).catch((error) => {
      if (error?.name !== "AbortError") throw error;
    });
  }

  /** Ends for good, and leaves the element as it was. */
  destroy() {
    this.stopping.abort();
    clearTimeout(this.standing);
    for (const [event, listener] of Object.entries(this.heard)) this.video.removeEventListener(event, listener);
  }

  /** Seconds from the making of the picture on the screen until now; null when it cannot be known. */
  get latency() {
    const made = this.engine?.pictureTime() ?? null;
    return made === null ? null : Math.max(0, (Date.now() + this.hostClock - made) / 1000);
  }

  /** Seconds between the live edge that a viewer can have and the picture on the screen; 0 when that is it. */
  get behind() {
    const reach = this.engine?.reach();
    return reach ? Math.max(0, reach.sync - this.video.currentTime) : 0;
  }

  /** Leaves what was seen and goes to the newest picture. */
  goLive() {
    const reach = this.engine?.reach();
    if (reach) this.video.currentTime = reach.sync;
    return this.play();
  }

  /** Plays; without sound where the browser allows no other. Gives whether it does. */
  async play() {
    try {
      await this.video.play();
      return true;
    } catch (error) {
      // AbortError: something else was loaded meanwhile, which will begin by itself.
      return error instanceof DOMException && error.name === "AbortError";
    }
  }

  listeners() {
    const stop = () => clearTimeout(this.standing);
    const playing = () => {
      stop();
      if (!this.engine) return;
      this.shown = true;
      this.backoff.reset();
      this.say("playing");
    };
    return {
      playing,
      waiting: () => {
        if (this.state.name !== "playing") return;
        this.stalls += 1;
        stop();
        this.standing = setTimeout(() => {
          if (this.state.name === "playing") this.say("broken", "stalled");
        }, STILL_SECONDS * 1000);
      },
      // Where battery is saved, browsers begin not even without sound.
      canplay: async () => {
        const begins = () => this.state.name === "starting" && this.video.paused;
        if (begins() && !(await this.play()) && begins()) this.say("ready");
      },
      // A trouble may pass before the picture ever stood.
      timeupdate: () => {
        if (this.state.name === "broken" && !this.troubled && !this.video.seeking) playing();
      },
      pause: stop,
      emptied: stop,
    };
  }

  /**
   * @param {State["name"]} name
   * @param {State["reason"]} [reason]
   */
  say(name, reason = null) {
    // Who was stopped has nothing to say any more.
    if (this.stopping.signal.aborted || (this.state.name === name && this.state.reason === reason)) return;
    this.state = { name, reason };
    this.dispatchEvent(new Event("state"));
  }

  /** @param {AbortSignal} signal */
  async run(signal) {
    const { token = "" } = this.options;
    if (token && !isToken(token)) {
      this.say("refused", "token");
      return;
    }
    const Hls = playsItself(this.video) ? null : await this.library(signal);
    if (Hls && !Hls.isSupported()) {
      this.say("unsupported");
      return;
    }
    while (!signal.aborted) {
      const answer = await this.ask(signal);
      if (REFUSALS.has(answer.reason)) {
        this.say("refused", answer.reason);
        return;
      }
      if (answer.reason === "live" && firstVariant(answer.text) !== this.over) {
        const outcome = await this.playOnce(Hls, answer.text, signal);
        if ("refused" in outcome) {
          this.say("refused", outcome.refused);
          return;
        }
        this.over = "ended" in outcome ? firstVariant(answer.text) : "";
        this.say("ended" in outcome ? "over" : "broken", "ended" in outcome ? null : "offline");
      } else {
        this.sayWaiting(answer.reason);
      }
      await pause(this.backoff.next(this.shown && !this.over ? BROKEN : WAITING, answer.retryAfter), signal);
    }
  }

  /**
   * hls.js: most of all there is to load, and Apple's devices do without. It is asked for until it comes.
   * @param {AbortSignal} signal
   */
  async library(signal) {
    for (;;) {
      try {
        return (await import("./hls.js")).default;
      } catch {
        this.say("waiting", "network");
        await pause(this.backoff.next(WAITING), signal);
      }
    }
  }

  /** @param {import("./probe.js").Reason} reason */
  sayWaiting(reason) {
    if (this.over && (reason === "live" || reason === "offline")) this.say("over");
    else this.say(this.shown ? "broken" : "waiting", reason);
  }

  /** @param {AbortSignal} signal */
  async ask(signal) {
    const answer = await probe(this.url, this.options.token ?? "", signal);
    if (answer.clock !== null) this.hostClock = Math.abs(answer.clock) > CLOCK_TRUSTED ? answer.clock : 0;
    return answer;
  }

  /**
   * @param {typeof import("hls.js").default | null} Hls
   * @param {string} text
   * @param {AbortSignal} signal
   * @returns {Promise<import("./hls-engine.js").Outcome>}
   */
  async playOnce(Hls, text, signal) {
    signal.throwIfAborted();
    this.say("starting");
    // Of this playback: what still waits when it is over has nothing to do with the next one.
    const ending = new AbortController();
    const stop = () => ending.abort(signal.reason);
    signal.addEventListener("abort", stop);
    const { token = "" } = this.options;
    let resumes = 0;
    const told = {
      url: this.url,
      token,
      /** @param {import("./probe.js").Reason} reason */
      trouble: async (reason) => {
        // hls.js may have several at once, and one answer mends them all.
        if (this.troubled) return;
        this.troubled = true;
        this.say("broken", reason);
        resumes = this.backoff.tries === 0 ? 0 : resumes + 1;
        try {
          await pause(this.backoff.next(BROKEN), ending.signal);
          const answer = await this.ask(ending.signal);
          const same = answer.reason === "live" && firstVariant(answer.text) === firstVariant(text);
          if (same && resumes < RESUMES) engine.resume();
          else give({ broken: answer.reason });
        } catch {
          // Stopped or over meanwhile.
        } finally {
          this.troubled = false;
        }
      },
    };
    /** @type {(outcome: import("./hls-engine.js").Outcome) => void} */
    let give = () => {};
    const given = new Promise((resolve) => {
      give = resolve;
    });
    const engine = Hls ? hlsEngine(Hls, this.video, told) : nativeEngine(this.video, told);
    const stopped = new Promise((_resolve, reject) => {
      ending.signal.addEventListener("abort", () => reject(ending.signal.reason), { once: true });
    });
    this.engine = engine;
    try {
      this.dispatchEvent(new Event("engine"));
      return await Promise.race([engine.outcome, given, stopped]);
    } finally {
      signal.removeEventListener("abort", stop);
      ending.abort();
      this.engine = null;
      engine.destroy();
      this.dispatchEvent(new Event("engine"));
    }
  }
}
