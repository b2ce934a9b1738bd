// The chat surface against a stand-in engine: what is read of a request, what is refused by name, the form of answers,
// the order of calls, aborts, and the function in the form of fetch.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32, inflateSync } from "node:zlib";
import { createChat } from "../../www/llava/chat/create-chat.js";
import { encodePng } from "../../www/llava/chat/png.js";
import { readRequest } from "../../www/llava/chat/request.js";
import { FakeLink } from "./fake/chat-link.mjs";

/** A data: address of some bytes. @param {string} text */
const picture = (text) => `data:image/png;base64,${Buffer.from(text).toString("base64")}`;
/** @param {string} content */
const user = (content) => /** @type {const} */ ({ role: "user", content });
/** @param {string} text @param {string[]} images */
const seen = (text, ...images) => /** @type {any} */ ({ role: "user", content: [...images.map((image) => ({ type: "image_url", image_url: { url: picture(image) } })), { type: "text", text }] });

/** @param {object} [how] */
function setUp(how) {
  const link = new FakeLink(how);
  return { link, model: createChat(link, { name: "stand-in" }) };
}

/** @template T @param {AsyncIterable<T>} stream */
async function all(stream) {
  /** @type {T[]} */
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** Asserts that it is refused. @param {unknown} thrown @param {object} fields */
function isError(thrown, fields) {
  const { name, kind, where } = /** @type {any} */ (thrown);
  assert.deepEqual({ name, kind, where }, { name: "LlavaError", kind: "argument", ...fields });
  return true;
}

/** @type {[string, object, string, RegExp][]} field, request without messages, place, message */
const REFUSED = [
  ["tools", { tools: [{ type: "function" }] }, "request.tools", /not supported/],
  ["functions", { functions: [{}] }, "request.functions", /not supported/],
  ["tool_choice", { tool_choice: "required" }, "request.tool_choice", /not supported/],
  ["audio", { audio: {} }, "request.audio", /not supported/],
  ["modalities", { modalities: ["text", "audio"] }, "request.modalities", /not supported/],
  ["web search", { web_search_options: {} }, "request.web_search_options", /not supported/],
  ["reasoning", { reasoning_effort: "high" }, "request.reasoning_effort", /not supported/],
  ["n", { n: 2 }, "request.n", /only 1/],
  ["an unknown field", { temprature: 1 }, "request.temprature", /not known/],
  ["a prototype's name", { constructor: 1 }, "request.constructor", /not known/],
  ["temperature", { temperature: 2.5 }, "request.temperature", /not between 0 and 2/],
  ["temperature's type", { temperature: "1" }, "request.temperature", /string, not a number/],
  ["NaN", { top_p: NaN }, "request.top_p", /not between/],
  ["a half token", { max_tokens: 1.5 }, "request.max_tokens", /whole/],
  ["no token", { max_completion_tokens: 0 }, "request.max_completion_tokens", /not between/],
  ["two limits", { max_completion_tokens: 1, max_tokens: 2 }, "request.max_tokens", /max_completion_tokens is 1/],
  ["top_logprobs alone", { top_logprobs: 2 }, "request.top_logprobs", /without logprobs/],
  ["too many logprobs", { logprobs: true, top_logprobs: 21 }, "request.top_logprobs", /not between/],
  ["stream_options alone", { stream_options: { include_usage: true } }, "request.stream_options", /without stream/],
  ["an empty stop", { stop: ["a", ""] }, "request.stop[1]", /empty/],
  ["a stop that is none", { stop: 5 }, "request.stop", /number, not a string/],
  ["too many stops", { stop: Array(17).fill("a") }, "request.stop", /17 texts/],
  ["a bias of no token", { logit_bias: { the: 1 } }, 'request.logit_bias["the"]', /no token/],
  ["a large bias", { logit_bias: { 5: 101 } }, 'request.logit_bias["5"]', /not between/],
  ["a format", { response_format: { type: "xml" } }, "request.response_format.type", /not one of/],
  ["a format's name of a prototype", { response_format: { type: "toString" } }, "request.response_format.type", /not one of/],
  ["a schema without schema", { response_format: { type: "json_schema", json_schema: { name: "a" } } }, "request.response_format.json_schema.schema", /missing/],
  ["an empty regex", { response_format: { type: "regex", regex: "" } }, "request.response_format.regex", /empty/],
  ["a signal", { signal: {} }, "request.signal", /not an AbortSignal/],
];

/** @type {[string, unknown, string, RegExp][]} messages */
const REFUSED_MESSAGES = [
  ["none", undefined, "request.messages", /missing/],
  ["a text", "hello", "request.messages", /string, not an array/],
  ["an empty list", [], "request.messages", /empty/],
  ["a role", [{ role: "tool", content: "a" }], "request.messages[0].role", /"tool" is not supported/],
  ["a role of a prototype", [{ role: "toString", content: "a" }], "request.messages[0].role", /not supported/],
  ["tool calls", [user("a"), { role: "assistant", content: "b", tool_calls: [{}] }], "request.messages[1].tool_calls", /not supported/],
  ["a name", [{ ...user("a"), name: "Ann" }], "request.messages[0].name", /not supported/],
  ["a part", [{ role: "user", content: [{ type: "input_audio" }] }], "request.messages[0].content[0].type", /"input_audio" is not supported/],
  ["a picture of the assistant", [user("a"), { ...seen("b", "c"), role: "assistant" }], "request.messages[1].content[0].image_url.url", /picture in a message of the assistant/],
  ["an image without address", [{ role: "user", content: [{ type: "image_url" }] }], "request.messages[0].content[0].image_url.url", /missing/],
  ["an image that is none", [{ role: "user", content: [{ type: "image", image: {} }] }], "request.messages[0].content[0].image", /object/],
  ["an address of another kind", [{ role: "user", content: [{ type: "image_url", image_url: { url: "ftp:a" } }] }], "request.messages[0].content[0].image_url.url", /no address of a picture/],
  ["wrong base64", [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,@@" } }] }], "request.messages[0].content[0].image_url.url", /base64/],
];

describe("requests", () => {
  for (const [name, fields, where, message] of REFUSED) {
    test(`refused: ${name}`, () => assert.throws(() => readRequest({ messages: [user("a")], ...fields }), (thrown) => isError(thrown, { where }) && message.test(/** @type {Error} */ (thrown).message)));
  }
  for (const [name, messages, where, message] of REFUSED_MESSAGES) {
    test(`refused: messages that are ${name}`, () =>
      assert.rejects(setUp().model.chat.completions.create(/** @type {any} */ ({ messages })), (thrown) => isError(thrown, { where }) && message.test(/** @type {Error} */ (thrown).message)));
  }

  test("every option reaches the engine under its name", () => {
    const given = { temperature: 0.5, top_p: 0.25, top_k: 5, min_p: 0.125, seed: 7, frequency_penalty: 1, presence_penalty: -1, repetition_penalty: 1.5, logit_bias: { 5: -100 } };
    const { options } = readRequest({ messages: [user("a")], ...given, stop: "\n", max_tokens: 9, logprobs: true, top_logprobs: 3, response_format: { type: "json_object" } });
    assert.deepEqual(options, { ...given, stop: ["\n"], max_new_tokens: 9, top_logprobs: 3, response_format: { type: "json_object" } });
  });

  test("null is absence, and what changes nothing is ignored", () => {
    const nothing = Object.fromEntries(REFUSED.flatMap(([, fields]) => Object.keys(fields)).filter((name) => name in { temperature: 1, tools: 1, n: 1, stop: 1 }).map((name) => [name, null]));
    const ignored = { model: "gpt-4o", user: "u", metadata: {}, store: true, service_tier: "auto", tools: [], tool_choice: "none", modalities: ["text"], parallel_tool_calls: true };
    const { options } = readRequest({ messages: [user("a")], ...nothing, ...ignored });
    assert.deepEqual({ ...options, seed: 0 }, { temperature: 0, top_p: 1, max_new_tokens: 2 ** 32 - 1, seed: 0 });
  });

  test("a seed of any size is one of 32 bits, and without one answers differ", () => {
    const seed = (/** @type {object} */ fields) => readRequest({ messages: [user("a")], ...fields }).options.seed;
    assert.equal(seed({ seed: 2 ** 32 + 5 }), 5);
    assert.equal(seed({ seed: -1 }), 2 ** 32 - 1);
    assert(new Set([seed({}), seed({}), seed({})]).size > 1);
  });

  test("a schema goes to the engine as JSON, without its name", () => {
    const schema = { type: "object", properties: { a: { type: "string" } } };
    const { options } = readRequest({ messages: [user("a")], response_format: { type: "json_schema", json_schema: { name: "n", strict: true, schema } } });
    assert.deepEqual(options.response_format, { type: "json_schema", json_schema: { schema } });
  });
});

describe("answers", () => {
  test("have OpenAI's form", async () => {
    const { model } = setUp();
    const answer = await model.chat.completions.create({ messages: [{ role: "developer", content: "Be brief." }, user("one two")] });
    assert.match(answer.id, /^chatcmpl-[0-9a-f]{32}$/);
    assert(Math.abs(answer.created - Date.now() / 1000) < 60);
    const { id: _id, created: _created, timings, ...rest } = answer;
    assert.deepEqual(rest, {
      object: "chat.completion",
      model: "stand-in",
      choices: [{ index: 0, message: { role: "assistant", content: "You said: one two", refusal: null }, finish_reason: "stop", logprobs: null }],
      usage: { prompt_tokens: 6, completion_tokens: 5, total_tokens: 11, prompt_tokens_details: { cached_tokens: 0 } },
      stop_reason: "eos",
    });
    assert.equal(timings.tokens_per_second, 3);
  });

  test("an answer that was cut says so, and sent back is accepted", async () => {
    const { link, model } = setUp();
    const { choices, usage } = await model.chat.completions.create({ messages: [user("one two")], max_completion_tokens: 3 });
    assert.equal(choices[0]?.finish_reason, "length");
    assert.equal(usage.completion_tokens, 3);
    const message = /** @type {any} */ (choices[0]?.message);
    const second = await model.chat.completions.create({ messages: [user("one two"), message, user("three")] });
    assert.deepEqual(link.messages[1]?.[1], { role: "assistant", parts: [{ text: "You said: one" }] });
    assert.equal(second.usage.prompt_tokens_details.cached_tokens, 3);
  });

  test("chunks have one id, a role first, the reason last, and the usage where it is wanted", async () => {
    const { model } = setUp();
    const chunks = await all(await model.chat.completions.create({ messages: [user("one two")], stream: true, stream_options: { include_usage: true } }));
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    assert(chunks.every(({ object, model }) => object === "chat.completion.chunk" && model === "stand-in"));
    assert.deepEqual(chunks[0]?.choices[0]?.delta, { role: "assistant", content: "", refusal: null });
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), "You said: one two");
    assert.deepEqual(chunks.map(({ choices }) => choices[0]?.finish_reason), [...Array(chunks.length - 2).fill(null), "stop", undefined]);
    assert.deepEqual(chunks.map(({ usage }) => usage), [...Array(chunks.length - 1).fill(null), { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8, prompt_tokens_details: { cached_tokens: 0 } }]);
    const plain = await all(await model.chat.completions.create({ messages: [user("a")], stream: true }));
    assert(plain.every((chunk) => !("usage" in chunk) && chunk.choices.length === 1));
  });

  test("an answer says where it looked: whole, streamed, over fetch, after a lost GPU, and one that exists", async () => {
    const { link, model } = setUp();
    const request = { messages: [user("one")], attention: true };
    const { attention } = await model.chat.completions.create(request);
    assert.equal(link.options[0].attention, true);
    assert.deepEqual([attention?.layers, attention?.pictures[0]?.regions.length, attention?.tokens.length], [1, 2, 4]);
    assert.deepEqual(attention?.tokens[1], { id: 1, text: " said:", weights: Float32Array.of(0.1, 0.1), rest: [0.8] });
    const chunks = await all(await model.chat.completions.create({ ...request, stream: true }));
    assert.deepEqual(chunks.filter((chunk) => chunk.attention).map((chunk) => chunk.attention), [attention]);
    assert.equal(chunks.at(-1)?.attention?.tokens.length, 4);
    const response = await model.fetch("https://llava.invalid/v1/chat/completions", { method: "POST", body: JSON.stringify(request) });
    const weights = (await response.json()).attention.tokens[1].weights;
    assert.deepEqual(weights, [...Float32Array.of(0.1, 0.1)], "arrays of numbers");
    const plain = await model.chat.completions.create({ messages: [user("one")], attention: false });
    assert(!("attention" in plain) && !("attention" in link.options.at(-1)));
    const read = await model.attention([user("one"), { role: "assistant", content: "You said" }]);
    assert.deepEqual([read.tokens.map(({ text }) => text).join(""), link.options.at(-1).max_new_tokens], ["You said", 0]);
    await assert.rejects(model.attention([user("one")]), (thrown) => isError(thrown, { where: "messages" }));
    const lost = createChat(new FakeLink(), { name: "stand-in", recovered: async () => true });
    const again = await lost.chat.completions.create({ messages: [user("lose it")], attention: true });
    assert.deepEqual(again.attention?.tokens.map(({ id }) => id), [0, 1, 2, 3, 4], "each token once");
  });

  test("log probabilities, whole and streamed", async () => {
    const { model } = setUp();
    const request = { messages: [user("one")], logprobs: true, top_logprobs: 2 };
    const whole = (await model.chat.completions.create(request)).choices[0]?.logprobs?.content ?? [];
    assert.deepEqual(whole[0], { token: " You", bytes: [32, 89, 111, 117], logprob: -0.5, top_logprobs: [{ token: "a", bytes: [97], logprob: -1 }, { token: "b", bytes: [98], logprob: -2 }] });
    assert.equal(whole.length, 4);
    const chunks = await all(await model.chat.completions.create({ ...request, stream: true }));
    assert.deepEqual(chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []), whole);
  });

  test("pictures are encoded in order, and named by their content", async () => {
    const { link, model } = setUp();
    const file = new Blob(["a picture as a file"]);
    await model.encode(file);
    await model.chat.completions.create({ messages: [seen("what?", "the first one", "the second"), user("and"), { role: "user", content: [{ type: "image", image: file }] }] });
    const [first, , last] = link.messages[0] ?? [];
    assert.deepEqual(link.calls, ["encode", "missing_pictures", "encode", "encode", "generate"]);
    assert.deepEqual(link.files, ["a picture as a file", "the first one", "the second"]);
    assert.deepEqual(link.needed.map(({ length }) => length), [0, 3, 3]);
    assert.equal(first?.parts.length, 3);
    assert.match(/** @type {any} */ (last?.parts[0]).image, /^[0-9a-f]{64}$/);
  });

  test("data: addresses of text are decoded", async () => {
    const { link, model } = setUp();
    await model.encode("data:image/svg+xml;charset=utf-8,%3Csvg%20a='100%25'%3Eé%C3%A9%3C/svg%3E");
    assert.equal(link.files[0], "<svg a='100%'>éé</svg>");
  });

  test("a saved state is restored", async () => {
    const { model } = setUp();
    await model.chat.completions.create({ messages: [user("one two three")] });
    const saved = await model.save();
    const other = setUp().model;
    assert.equal(await other.restore(new Blob([saved])), 4);
    const { usage } = await other.chat.completions.create({ messages: [user("one two three")] });
    assert.equal(usage.prompt_tokens_details.cached_tokens, 4);
    await assert.rejects(other.restore(/** @type {any} */ ("text")), (thrown) => isError(thrown, { where: "saved" }));
  });
});

describe("calls", () => {
  test("run one after the other, each whole", async () => {
    const { link, model } = setUp({ slow: 2 });
    const ask = (/** @type {string} */ text) => model.chat.completions.create({ messages: [seen(text, `picture of ${text}`)] });
    const answers = await Promise.all([ask("a"), ask("b"), model.encode(new Blob(["another picture"])), ask("c")]);
    assert.deepEqual([answers[0], answers[1], answers[3]].map(({ choices }) => choices[0]?.message.content), ["You said: a", "You said: b", "You said: c"]);
    assert.deepEqual(link.calls.toSorted(), [...Array(4).fill("encode"), ...Array(3).fill("generate"), ...Array(3).fill("missing_pictures")]);
  });

  test("one that fails does not stop the next, and keeps the engine's words", async () => {
    const { model } = setUp({ fail: { full: { kind: "context-full", place: "prompt", message: "600 rows do not fit in 512", hint: "Begin again." } } });
    const failed = model.chat.completions.create({ messages: [user("full")] });
    const next = model.chat.completions.create({ messages: [user("next")] });
    await assert.rejects(failed, (thrown) => isError(thrown, { kind: "context-full", where: "prompt" }) && /** @type {any} */ (thrown).hint === "Begin again.");
    assert.equal((await next).choices[0]?.message.content, "You said: next");
  });

  for (const stage of ["at once", "queued", "encoding", "prefilling", "decoding"]) {
    for (const stream of [false, true]) {
      test(`abort while ${stage}${stream ? ", streaming" : ""}`, async () => {
        const { link, model } = setUp({ slow: 5 });
        const own = new AbortController();
        if (stage === "at once") own.abort("enough");
        const before = stage === "queued" ? model.chat.completions.create({ messages: [user("a b c d e f g h")] }) : null;
        const onProgress = (/** @type {any} */ { type, count }) => {
          if ({ encoding: "encode", prefilling: "prefill", decoding: "token" }[stage] === type && (count ?? 2) === 2) own.abort("enough");
        };
        const asked = (async () => {
          const answer = await model.chat.completions.create(/** @type {any} */ ({ messages: [seen("one two three four five six", "a picture")], stream }), { signal: own.signal, onProgress });
          return stream ? all(/** @type {any} */ (answer)) : answer;
        })();
        if (stage === "queued") own.abort("enough");
        await assert.rejects(asked, (thrown) => isError(thrown, { kind: "cancelled", where: /** @type {any} */ (thrown).where }) && /** @type {any} */ (thrown).cause === "enough");
        assert.equal((await before)?.choices[0]?.message.content, before ? "You said: a b c d e f g h" : undefined);
        const expected = { "at once": [], queued: ["generate"], encoding: ["missing_pictures", "encode", "cancel"] }[stage] ?? ["missing_pictures", "encode", "generate", "cancel"];
        assert.deepEqual([...new Set(link.calls)], expected);
        // The next call is answered as ever.
        assert.equal((await model.chat.completions.create({ messages: [user("next")] })).choices[0]?.message.content, "You said: next");
      });
    }
  }

  test("an abort rejects at once, and the next call waits until the engine has stopped", async () => {
    const { link, model } = setUp({ slow: 150 });
    const own = new AbortController();
    const first = model.chat.completions.create({ messages: [user("a b c d")] }, { signal: own.signal, onProgress: ({ type }) => type === "prefill" && own.abort() });
    const next = model.prefill([user("next")]);
    const start = performance.now();
    await assert.rejects(first, (thrown) => isError(thrown, { kind: "cancelled", where: "chat" }));
    assert(performance.now() - start < 100);
    assert.deepEqual(link.calls, ["generate", "cancel"]);
    assert.equal(await next, 2);
    assert(performance.now() - start > 100);
  });

  test("a stream that is left, or whose controller aborts, ends the answer without an error", async () => {
    const { link, model } = setUp({ slow: 5 });
    const request = /** @type {const} */ ({ messages: [user("a b c d e f g h i j k")], stream: true });
    let count = 0;
    for await (const _ of await model.chat.completions.create(request)) if (++count === 3) break;
    const second = await model.chat.completions.create(request);
    for await (const _ of second) if (++count === 6) second.controller.abort();
    assert.equal(count, 6);
    assert.equal(link.calls.filter((method) => method === "cancel").length, 2);
    await assert.rejects(all(second), (thrown) => isError(thrown, { where: "stream" }));
  });

  test("a stream gives the whole answer when it has ended, also one that was stopped", async () => {
    const { model } = setUp({ slow: 5, fail: { bad: { kind: "gpu", place: "device", message: "no" } } });
    const request = /** @type {const} */ ({ messages: [user("a b c d")], stream: true, seed: 1 });
    const stream = await model.chat.completions.create({ ...request, logprobs: true });
    const text = (await all(stream)).map(({ choices }) => choices[0]?.delta.content ?? "").join("");
    const { choices: [choice], usage, timings, stop_reason } = await stream.finalChatCompletion();
    assert.deepEqual([choice?.message.content, choice?.logprobs?.content.length, usage.completion_tokens], [text, 7, 7]);
    assert.deepEqual([timings.total_ms, stop_reason, choice?.finish_reason], [2, "eos", "stop"]);
    const stopped = await model.chat.completions.create(request);
    let shown = "";
    for await (const { choices } of stopped) if ((shown += choices[0]?.delta.content ?? "").endsWith(" b")) stopped.controller.abort();
    const final = await stopped.finalChatCompletion();
    assert.equal(shown, "You said: a b");
    assert.match(final.choices[0]?.message.content ?? "", /^You said: a b/);
    assert.deepEqual([final.stop_reason, final.choices[0]?.finish_reason], ["cancelled", "stop"]);
    assert(final.usage.completion_tokens < 7);
    // What was answered is found again.
    const next = await model.chat.completions.create({ messages: [user("a b c d"), ...final.choices.map(({ message }) => message), user("go on")] });
    assert(next.usage.prompt_tokens_details.cached_tokens > 0);
    await assert.rejects(model.chat.completions.create({ messages: [user("bad")], stream: true }), (thrown) => isError(thrown, { kind: "gpu", where: "device" }));
  });

  test("a picture that was encoded is given back", async () => {
    const { model } = setUp();
    const image = new Blob(["a picture"]);
    assert.equal((await model.encode(image)).image, image);
  });

  test("an answer goes on after a lost GPU, once with a second engine", async () => {
    const link = new FakeLink();
    /** @type {any[]} */
    const lost = [];
    const model = createChat(link, { name: "stand-in", recovered: async (thrown) => lost.push(thrown) < 2 });
    const chunks = await all(await model.chat.completions.create({ messages: [seen("lose it here now", "a picture")], stream: true }));
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), "You said: lose it here now");
    assert.equal(lost[0].kind, "gpu-lost");
    assert.deepEqual(link.calls, ["missing_pictures", "encode", "generate", "missing_pictures", "generate"]);
    assert.deepEqual(link.options[1].begin, [0, 1, 2]);
    await assert.rejects(model.chat.completions.create({ messages: [user("lose a b c d")] }), (thrown) => isError(thrown, { kind: "gpu-lost", where: "device" }));
  });

  test("a failure in a message names its part as the request does", async () => {
    const { model } = setUp({ fail: { bad: { kind: "prompt", place: "messages[0].parts[1]", message: "no", hint: "" } } });
    const messages = [seen("bad", "a picture")];
    await assert.rejects(model.chat.completions.create({ messages }), (thrown) => isError(thrown, { kind: "prompt", where: "request.messages[0].content[1]" }));
    await assert.rejects(model.prefill(messages), (thrown) => isError(thrown, { kind: "prompt", where: "messages[0].content[1]" }));
  });

  test("a stream rejects before its first token, or fails where it is read", async () => {
    const { model } = setUp({ fail: { bad: { kind: "prompt", place: "prompt", message: "no" } } });
    await assert.rejects(model.chat.completions.create({ messages: [user("bad")], stream: true }), (thrown) => isError(thrown, { kind: "prompt", where: "prompt" }));
    await assert.rejects(model.chat.completions.create({ messages: [seen("a", "short")], stream: true }), (thrown) => isError(thrown, { kind: "image", where: "request.messages[0].content[0].image_url.url" }));
  });
});

describe("fetch", () => {
  const url = "https://local/v1/chat/completions";
  const post = (/** @type {unknown} */ body) => ({ method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });

  test("answers as JSON, and lists the model", async () => {
    const { fetch } = setUp().model;
    const answer = await fetch(url, post({ model: "any", messages: [user("one")] }));
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).choices[0].message.content, "You said: one");
    const again = await fetch(new Request(url, post({ messages: [user("two")] })));
    assert.equal((await again.json()).choices[0].message.content, "You said: two");
    const { data } = await (await fetch("https://local/v1/models")).json();
    assert.deepEqual(data.map((/** @type {any} */ { id, object }) => [id, object]), [["stand-in", "model"]]);
    assert.equal((await (await fetch("https://local/v1/models/stand-in")).json()).id, "stand-in");
  });

  test("streams server-sent events", async () => {
    const { fetch } = setUp().model;
    const answer = await fetch(url, post({ messages: [user("one two")], stream: true }));
    assert.match(answer.headers.get("content-type") ?? "", /^text\/event-stream/);
    const events = (await answer.text()).split("\n\n").filter(Boolean);
    assert.equal(events.at(-1), "data: [DONE]");
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)));
    assert.equal(chunks.map(({ choices }) => choices[0].delta.content ?? "").join(""), "You said: one two");
  });

  test("errors are OpenAI's, with a status", async () => {
    const { fetch } = setUp({ fail: { full: { kind: "context-full", place: "prompt", message: "too long", hint: "" }, broken: { kind: "gpu", place: "device", message: "no", hint: "" } } }).model;
    const error = async (/** @type {unknown} */ body, stream = false) => {
      const answer = await fetch(url, post(typeof body === "object" ? { ...body, stream } : body));
      assert.equal(answer.headers.get("x-should-retry"), "false");
      return { status: answer.status, ...(await answer.json()).error };
    };
    assert.deepEqual(await error({ messages: [user("a")], tools: [{}] }), { status: 400, message: "request.tools: is not supported (Describe the wanted answer with response_format, and call the function yourself.)", type: "invalid_request_error", param: "tools", code: "argument" });
    for (const stream of [false, true]) {
      assert.deepEqual(await error({ messages: [user("full")] }, stream), { status: 400, message: "prompt: too long", type: "invalid_request_error", param: null, code: "context_length_exceeded" });
      assert.equal((await error({ messages: [user("broken")] }, stream)).status, 500);
    }
    assert.match((await error("{")).message, /is no JSON/);
    assert.equal((await fetch("https://local/v1/embeddings", post({}))).status, 404);
  });

  test("aborts as fetch does", async () => {
    const { link, model } = setUp({ slow: 5 });
    const own = new AbortController();
    const answer = await model.fetch(url, { ...post({ messages: [user("a b c d e f")], stream: true }), signal: own.signal });
    own.abort();
    await assert.rejects(answer.text(), { name: "AbortError" });
    await assert.rejects(model.fetch(url, { ...post({ messages: [user("a")] }), signal: own.signal }), { name: "AbortError" });
    const third = await model.fetch(url, post({ messages: [user("a b c d e f")], stream: true }));
    await third.body?.cancel();
    assert.equal((await model.chat.completions.create({ messages: [user("next")] })).choices[0]?.message.content, "You said: next");
    assert.equal(link.calls.filter((method) => method === "cancel").length >= 2, true);
  });
});

test("pixels survive as PNG, transparent ones too", async () => {
  const [width, height] = [7, 5];
  const data = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => (i * 89 + (i >> 3) * 31) % 256);
  const file = Buffer.from(await (await encodePng(/** @type {ImageData} */ ({ width, height, data }))).arrayBuffer());
  assert.equal(file.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
  /** @type {Record<string, Buffer>} */
  const chunks = {};
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    const body = file.subarray(at + 4, at + 8 + length);
    assert.equal(file.readUInt32BE(at + 8 + length), crc32(body));
    chunks[body.toString("latin1", 0, 4)] = body.subarray(4);
    at += 12 + length;
  }
  assert.deepEqual(Object.keys(chunks), ["IHDR", "IDAT", "IEND"]);
  assert.deepEqual([...(chunks.IHDR ?? [])], [0, 0, 0, width, 0, 0, 0, height, 8, 6, 0, 0, 0]);
  const rows = inflateSync(chunks.IDAT ?? "");
  const above = new Uint8Array(width * 4);
  for (let y = 0; y < height; y++) {
    const row = rows.subarray(y * (width * 4 + 1), (y + 1) * (width * 4 + 1));
    assert.equal(row[0], 2, "the filter: difference to the row above");
    for (let x = 0; x < width * 4; x++) above[x] = (above[x] ?? 0) + (row[x + 1] ?? 0);
    assert.deepEqual([...above], [...data.subarray(y * width * 4, (y + 1) * width * 4)]);
  }
});
