// What the control service sends as it happens. While nobody sees the page, nothing is sent.

const FIRST_MS = 1000;
const LONGEST_MS = 15_000;
const SILENT_MS = 15_000; // something comes every three seconds

/**
 * @param {{overview: (content: any) => void, happenings: (content: any[]) => void, trouble: (text: string) => void,
 *   signedOut: () => void, connected: (is: boolean) => void, refused: () => Promise<boolean>}} on
 * `refused`: the connection was turned down; whether to try again
 * @returns {{begin: () => void, end: () => void}}
 */
export function live(on) {
  /** @type {EventSource | null} */
  let source = null;
  let wanted = false;
  let wait = FIRST_MS;
  let timer = 0;
  let heard = 0;

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function again() {
    close();
    on.connected(false);
    timer = setTimeout(open, wait * (0.75 + Math.random() / 2));
    wait = Math.min(2 * wait, LONGEST_MS);
  }

  function open() {
    close();
    if (!wanted || document.hidden) return;
    const opened = new EventSource("/dashboard/live");
    source = opened;
    /** @param {string} name @param {(data: string) => void} take */
    const hear = (name, take) => opened.addEventListener(name, (event) => {
      heard = Date.now();
      wait = FIRST_MS;
      take(event.data);
    });
    hear("overview", (data) => {
      on.connected(true);
      on.overview(JSON.parse(data));
    });
    hear("happenings", (data) => on.happenings(JSON.parse(data)));
    hear("trouble", on.trouble);
    hear("signed-out", () => {
      end();
      on.signedOut();
    });
    opened.addEventListener("error", async () => {
      // A browser tries a lost connection again by itself, one that was turned down it does not.
      if (opened.readyState !== EventSource.CLOSED) return on.connected(false);
      if (source === opened && (await on.refused()) && wanted) again();
    });
  }

  function end() {
    wanted = false;
    close();
  }

  document.addEventListener("visibilitychange", open);
  addEventListener("online", open);
  setInterval(() => {
    if (source?.readyState === EventSource.OPEN && Date.now() - heard > SILENT_MS) again();
  }, SILENT_MS / 3);

  return {
    begin() {
      wanted = true;
      heard = Date.now();
      open();
    },
    end,
  };
}
