// A function in the form of `fetch` that answers OpenAI's requests in this page: POST …/chat/completions and GET …/models.
// With it OpenAI's own client runs against the model, unchanged.

import { Failure } from "../../shared/failure.js";

/** @typedef {import("./chat-stream.js").ChatStream} ChatStream */
/** @typedef {import("./completions.js").Completions} Completions */

/** Status codes of errors, by their kind; 500 for the others. @type {Record<string, number>} */
const STATUS = { argument: 400, image: 400, picture: 400, network: 400, file: 400, prompt: 400, "context-full": 400, state: 409, "out-of-memory": 503, "gpu-lost": 503 };
/** OpenAI's codes, where they name the same. @type {Record<string, string>} */
const CODES = { "context-full": "context_length_exceeded" };

/** Returns such a function. It may be called with any `this`.
 * @param {Completions} completions @param {string} model @returns {typeof globalThis.fetch} */
export function createFetch(completions, model) {
  const card = { id: model, object: "model", created: Math.floor(Date.now() / 1000), owned_by: "llava-web" };
  return async (input, init) => {
    const request = input instanceof Request ? new Request(input, init) : null;
    const { pathname } = new URL(request?.url ?? String(input), globalThis.location?.href);
    const method = (request?.method ?? init?.method ?? "GET").toUpperCase();
    const signal = request?.signal ?? init?.signal ?? null;
    signal?.throwIfAborted();
    if (method === "GET" && /\/models\/?$/.test(pathname)) return json({ object: "list", data: [card] });
    if (method === "GET" && pathname.endsWith(`/models/${encodeURIComponent(model)}`)) return json(card);
    if (method === "POST" && /\/chat\/completions\/?$/.test(pathname)) {
      const text = request ? await request.text() : await new Response(init?.body).text();
      return answer(completions, text, signal);
    }
    return failure(404, { message: `${method} ${pathname} is not served`, type: "invalid_request_error", param: null, code: "unknown_url" });
  };
}

/** @param {Completions} completions @param {string} text @param {AbortSignal | null} signal */
async function answer(completions, text, signal) {
  try {
    const request = parse(text);
    const answered = await completions.create(request, { signal });
    return request.stream ? events(/** @type {ChatStream} */ (/** @type {unknown} */ (answered)), signal) : json(answered);
  } catch (thrown) {
    signal?.throwIfAborted();
    const error = Failure.from(thrown, "request");
    return failure(STATUS[error.kind] ?? 500, errorObject(error));
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw Failure.from({ kind: "argument", place: "request", message: `is no JSON: ${cause instanceof Error ? cause.message : cause}`, hint: "" }, "request");
  }
}

/** Sends the chunks as server-sent events. @param {ChatStream} stream @param {AbortSignal | null} signal */
function events(stream, signal) {
  const chunks = stream[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  const event = (/** @type {unknown} */ data) => encoder.encode(`data: ${typeof data === "string" ? data : JSON.stringify(data, asJson)}\n\n`);
  const body = new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await chunks.next();
        controller.enqueue(event(done ? "[DONE]" : value));
        if (done) controller.close();
      } catch (thrown) {
        if (signal?.aborted) return controller.error(signal.reason);
        controller.enqueue(event({ error: errorObject(Failure.from(thrown, "chat")) }));
        controller.close();
      }
    },
    async cancel() {
      stream.controller.abort();
      await chunks.return();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
}

/** OpenAI's form of an error. @param {Failure} error */
function errorObject({ kind, where, message, hint }) {
  const type = (STATUS[kind] ?? 500) < 500 ? "invalid_request_error" : "server_error";
  return { message: `${where}: ${message}${hint ? ` (${hint})` : ""}`, type, param: where.startsWith("request.") ? where.slice("request.".length) : null, code: CODES[kind] ?? kind };
}

/** Attention becomes arrays of numbers. @param {string} _ @param {unknown} value */
const asJson = (_, value) => (value instanceof Float32Array ? [...value] : value);

/** @param {unknown} value */
const json = (value) => new Response(JSON.stringify(value, asJson), { headers: { "content-type": "application/json" } });

/** Returns an error. Asking again would not help. @param {number} status @param {object} error */
const failure = (status, error) => new Response(JSON.stringify({ error }), { status, headers: { "content-type": "application/json", "x-should-retry": "false" } });
