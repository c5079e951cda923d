/** The request that the fields describe, as the body of POST /rerank, and back. */

const OWN = ["query", "instruction", "documents", "mode", "max_reasoning_tokens", "relevant_spans"];

/** `extra` holds fields that only the JSON editor knows, such as top_n; they are sent as they are. */
export const emptyRequest = () => ({
  query: "",
  instruction: "",
  documents: [],
  mode: null,
  max_reasoning_tokens: null,
  relevant_spans: null,
  extra: {},
});

/** What is scored of a document: a string, an object's text, or what `fields`, the request's rank_fields, name of it. */
export function textOf(document, fields = null) {
  if (typeof document === "string") return document;
  const named = Array.isArray(fields) ? fields.filter((field) => document?.[field] != null) : [];
  if (named.length) return named.map((field) => (fields.length > 1 ? `${field}: ${document[field]}` : String(document[field]))).join("\n");
  if (document && typeof document.text === "string") return document.text;
  return JSON.stringify(document);
}

/** The documents that are not blank. */
export const filled = (request) => request.documents.filter((document) => textOf(document, request.extra.rank_fields).trim());

/** The body as a caller would write it: documents that are blank are left out, and so is what is not set. */
export function bodyOf(request, mode = request.mode) {
  const body = { query: request.query };
  if (request.instruction.trim()) body.instruction = request.instruction;
  if (mode) body.mode = mode;
  if (mode && mode !== "direct") {
    if (request.max_reasoning_tokens) body.max_reasoning_tokens = request.max_reasoning_tokens;
    body.return_reasoning = true;
  }
  if (request.relevant_spans) body.relevant_spans = request.relevant_spans;
  Object.assign(body, request.extra);
  body.documents = filled(request);
  return body;
}

/** The body with a least score, under one of its names. */
export function withLeast(body, least) {
  const { min_score, score_threshold, threshold, ...rest } = body;
  return { ...rest, min_score: Math.max(least, min_score ?? score_threshold ?? threshold ?? 0) };
}

/** Read what the JSON editor holds. Throws an Error whose message is a sentence. */
export function readBody(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new Error(`Not JSON yet: ${error.message}.`);
  }
  if (Array.isArray(body)) body = { documents: body };
  if (body === null || typeof body !== "object") throw new Error("The body is an object: {\"query\": ..., \"documents\": [...]}.");
  const { query = "", instruction = "", documents = [] } = body;
  if (typeof query !== "string") throw new Error("query is a text.");
  if (typeof (instruction ?? "") !== "string") throw new Error("instruction is a text.");
  if (!Array.isArray(documents)) throw new Error("documents is a list of texts or objects.");
  const wrong = documents.findIndex((document) => document === null || !["string", "object"].includes(typeof document));
  if (wrong >= 0) throw new Error(`documents[${wrong}] is neither a text nor an object.`);
  const extra = Object.fromEntries(
    Object.entries(body).filter(([name]) => !OWN.includes(name) && name !== "return_reasoning"),
  );
  return {
    query,
    instruction: instruction ?? "",
    documents,
    mode: body.mode ?? null,
    max_reasoning_tokens: body.max_reasoning_tokens ?? null,
    relevant_spans: body.relevant_spans ?? null,
    extra,
  };
}

/** Split pasted text into documents: a JSON array, JSON lines, paragraphs, or else lines. */
export function splitPasted(text) {
  const whole = parsed(text);
  if (Array.isArray(whole)) return whole.filter(isDocument);
  if (whole && Array.isArray(whole.documents)) return whole.documents.filter(isDocument);
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  const objects = lines.map(parsed);
  if (lines.length && objects.every(isDocument)) return objects;
  const paragraphs = text.split(/\r?\n\s*\r?\n/).map((part) => part.trim()).filter(Boolean);
  return paragraphs.length > 1 ? paragraphs : lines;
}

const isDocument = (value) => typeof value === "string" || (value !== null && typeof value === "object" && !Array.isArray(value));

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
