/** Talks to the service beside this page. The key lives in this module's memory and nowhere else. */

let key = "";

export const useKey = (secret) => {
  key = secret.trim().replace(/^bearer\s+/i, "");
};
export const hasKey = () => key !== "";

const headers = (more) => (key ? { ...more, Authorization: `Bearer ${key}` } : more);

/** An answer other than a ranking. `status` 0: there was no answer. */
export class Refusal extends Error {
  constructor(status, message, { field = null, id = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, field, id, retryAfter });
  }
}

export async function info() {
  const response = await reach("info", { headers: headers({}) });
  if (!response.ok) throw await refusalOf(response);
  return response.json();
}

/**
 * Rank, and report each piece as it comes: `on.document(result)`, `on.reasoning(index, text, offset)`, `on.warning(text)`.
 * Returns {answer, timing}: the whole answer, and the server's own milliseconds or null. Throws a Refusal.
 */
export async function rank(body, signal, on) {
  const response = await reach("rerank", {
    method: "POST",
    body: JSON.stringify(body),
    headers: headers({ "Content-Type": "application/json", Accept: "application/x-ndjson" }),
    signal,
  });
  if (!response.ok) throw await refusalOf(response);
  const timing = serverTime(response.headers.get("server-timing"));
  const streamed = (response.headers.get("content-type") ?? "").includes("ndjson");
  try {
    return { answer: streamed ? await lastOf(response, on) : await response.json(), timing };
  } catch (error) {
    if (error instanceof Refusal || error.name === "AbortError") throw error;
    throw new Refusal(0, "The connection broke before the answer was complete.");
  }
}

async function lastOf(response, on) {
  let answer = null;
  for await (const line of linesOf(response.body)) {
    const value = JSON.parse(line);
    if (value.event === "document") on.document(value);
    else if (value.event === "reasoning") on.reasoning(value.index, value.text ?? "", value.offset ?? null);
    else if (value.event === "warning") on.warning(value.message);
    else if (value.event === "error") throw refusalIn(value.status, value, null);
    else if (!value.event) answer = value;
  }
  if (!answer) throw new Refusal(0, "The connection ended before the answer was complete.");
  return answer;
}

async function* linesOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield* lines.filter((line) => line.trim());
  }
  if (rest.trim()) yield rest;
}

async function reach(path, options) {
  try {
    return await fetch(path, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server cannot be reached.");
  }
}

async function refusalOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy in between may answer with a page of its own.
  }
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  return refusalIn(response.status, body, Number.isNaN(seconds) ? null : seconds, response.headers.get("x-request-id"));
}

function refusalIn(status, body, retryAfter, requestId = null) {
  const detail = body.error && typeof body.error === "object" ? body.error : {};
  const message = detail.message ?? body.message ?? (typeof body.error === "string" ? body.error : null);
  return new Refusal(status, message ?? `The server answered with status ${status}.`, {
    field: detail.param ?? null,
    id: body.id ?? requestId,
    retryAfter: retryAfter ?? body.retry_after ?? null,
  });
}

function serverTime(header) {
  const total = /total;dur=([\d.]+)/.exec(header ?? "");
  return total ? Number(total[1]) : null;
}
