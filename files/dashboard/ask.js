// Asking the control service. The header is what no other site's page can send (see guard.py).

/** What went wrong: `status` of the answer, 0 for none. */
export class AskError extends Error {
  /** @param {number} status @param {string} text */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/**
 * @param {string} method
 * @param {string} path below /dashboard/
 * @param {unknown} [body]
 * @returns {Promise<any>} the answer's JSON, null where there is none; it throws AskError.
 */
export async function ask(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = method === "GET" ? {} : { "X-Dashboard": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/dashboard/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new AskError(0, "");
  }
  const content = answer.headers.get("Content-Type")?.includes("json") ? await answer.json().catch(() => null) : null;
  if (!answer.ok) throw new AskError(answer.status, content?.detail ?? `The answer was ${answer.status}.`);
  return content;
}
