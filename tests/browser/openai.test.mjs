// The chat surface in Chromium, with the shipped model: answers about pictures in OpenAI's form, what is reused, aborts, every
// kind of picture, and OpenAI's own client.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { here, launch, open, repository, rootWith, serve, www } from "./harness.mjs";

/** @typedef {import("../../www/llava/model.js").Model} Model */
/** @typedef {import("playwright-core").Page} Page */

const client = path.join(repository, "tests/package/node_modules/openai");
/** What the shipped model says of examples/shapes.png. */
const SAID = /green circle/;
const WHAT = "What do you see?";

/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */ let server;
/** @type {{ root: string, remove: () => Promise<void> }} */ let site;
/** @type {import("node:http").Server} */ let other;
/** @type {string} */ let elsewhere;
/** @type {import("./harness.mjs").Visit} */ let visit;
/** @type {Page} */ let page;

/** A host of pictures: one that lets other pages read them, one that does not, one that is missing, one that never ends. */
async function pictureHost() {
  const file = await readFile(path.join(www, "examples/shapes.png"));
  const host = createServer((request, response) => {
    const cors = request.url === "/private.png" ? {} : { "access-control-allow-origin": "*" };
    if (request.url === "/large.png") response.writeHead(200, { ...cors, "content-length": 65e6 }).write("a");
    else if (request.url === "/endless.png") {
      response.writeHead(200, cors);
      const timer = setInterval(() => response.write(Buffer.alloc(4e6)), 1);
      response.on("close", () => clearInterval(timer));
    }
    else if (request.url === "/slow.png") response.writeHead(200, cors).write("a");
    else if (request.url === "/missing.png") response.writeHead(404, cors).end();
    else response.writeHead(200, cors).end(file);
  });
  await new Promise((resolve) => host.listen(0, "127.0.0.1", () => resolve(null)));
  return { host, origin: `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (host.address()).port}` };
}

/** In the page of the test: the model, a message of the user, and the fields of a failure.
 * @typedef {Window & { model: Model, user: (text: string, ...urls: string[]) => any, failure: (work: () => unknown) => Promise<any>,
 *   backend: "cpu" | "webgpu" }} Tab */

/** Runs in the page. @template T, A @param {(tab: Tab, argument: A) => Promise<T>} work @param {A} [argument] @returns {Promise<T>} */
function inPage(work, argument) {
  return /** @type {Promise<T>} */ (page.evaluate(`(${work})(window, ${JSON.stringify(argument)})`));
}

for (const backend of /** @type {const} */ (["cpu", "webgpu"])) {
  describe(`the chat surface, ${backend}`, () => {
    before(async () => {
      const hosted = await pictureHost();
      [other, elsewhere] = [hosted.host, hosted.origin];
      site = await rootWith(async (root) => {
        await writeFile(path.join(root, "blank.html"), "<!doctype html><title>A page of a test</title>");
        await symlink(client, path.join(root, "openai"));
      });
      server = await serve(site.root, ["--model-host", elsewhere]);
      browser = await launch({ gpu: backend === "webgpu" });
      visit = await open(browser, `${server.url}blank.html`);
      page = visit.page;
      await page.evaluate(async (backend) => {
        const { LLaVA } = await import(/** @type {string} */ ("/llava/index.js"));
        const model = /** @type {Model} */ (await LLaVA.load("models/scenes/manifest.json", { backend, keep: false }));
        /** @param {string} text @param {string[]} urls */
        const user = (text, ...urls) => ({ role: "user", content: [...urls.map((url) => ({ type: "image_url", image_url: { url } })), { type: "text", text }] });
        /** @param {() => unknown} work */
        const failure = (work) =>
          Promise.resolve()
            .then(work)
            .then(
              () => null,
              ({ name, kind, where, message, hint, cause }) => ({ name, kind, where, message, hint, cause: String(cause) }),
            );
        Object.assign(window, { model, user, failure, backend });
      }, backend);
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
      await site?.remove();
      other?.closeAllConnections();
      other?.close();
    });

    describe("answers in OpenAI's form", () => {
      test("a streamed answer about a picture is the whole one in pieces", async () => {
        const { whole, chunks } = await inPage(async ({ model, user }, what) => {
          const messages = [user(what, "examples/shapes.png")];
          /** @type {import("../../www/llava/chat/types.js").ChatCompletionChunk[]} */
          const chunks = [];
          for await (const chunk of await model.chat.completions.create({ messages, stream: true, max_tokens: 48, stream_options: { include_usage: true } })) chunks.push(chunk);
          return { chunks, whole: await model.chat.completions.create({ messages, max_tokens: 48 }) };
        }, WHAT);
        const [choice] = whole.choices;
        assert.match(choice?.message.content ?? "", SAID);
        assert.equal(chunks.map((/** @type {any} */ { choices }) => choices[0]?.delta.content ?? "").join(""), choice?.message.content);
        assert(chunks.length > 5, `${chunks.length} chunks`);
        assert.equal(choice?.finish_reason, "stop");
        assert.equal(chunks.at(-2)?.choices[0]?.finish_reason, "stop");
        const usage = chunks.at(-1)?.usage;
        assert.equal(usage?.prompt_tokens, whole.usage.prompt_tokens);
        assert.equal(usage?.completion_tokens, whole.usage.completion_tokens);
        assert.equal(usage?.prompt_tokens_details.cached_tokens, 0);
        // The second call has only the last row to compute, whose logits are wanted.
        assert(whole.usage.prompt_tokens_details.cached_tokens >= whole.usage.prompt_tokens - 1);
        assert(whole.usage.prompt_tokens > 60, "the picture's rows count");
        assert(whole.timings.tokens_per_second > 0);
      });

      test("a conversation costs only what is new, and reads its own words again", async () => {
        const usages = await inPage(async ({ model, user }) => {
          const messages = [user("What color is the star?", "examples/shapes.png")];
          const usages = [];
          for (const next of ["How many triangles are there?", "Which shape is at the top?", ""]) {
            const { choices, usage } = await model.chat.completions.create({ messages, max_tokens: 24 });
            usages.push(usage);
            messages.push(choices[0]?.message, user(next));
          }
          return usages;
        });
        for (const [i, usage] of usages.entries()) {
          const before = usages[i - 1];
          if (before) assert(usage.prompt_tokens_details.cached_tokens >= before.total_tokens - 1, JSON.stringify(usages));
        }
      });

      test("two conversations, turn by turn, are each answered as alone", async () => {
        const { together, alone, usages } = await inPage(async ({ model, user }) => {
          /** @type {string[]} */
          const pictures = ["examples/shapes.png", "examples/by-hand.png"];
          const questions = ["How many shapes are there?", "What is at the top?", "What color is the largest shape?"];
          /** @type {any[]} */
          const usages = [];
          const ask = async (/** @type {any[]} */ messages, /** @type {string} */ text, /** @type {string[]} */ ...urls) => {
            messages.push(user(text, ...urls));
            const { choices, usage } = await model.chat.completions.create({ messages, max_tokens: 24 });
            messages.push(choices[0]?.message);
            usages.push({ text, ...usage });
          };
          const together = /** @type {any[][]} */ ([[], []]);
          for (const [i, text] of questions.entries()) for (const [j, messages] of together.entries()) await ask(messages, text, ...(i ? [] : [pictures[j] ?? ""]));
          const alone = /** @type {any[][]} */ ([[], []]);
          for (const [j, messages] of alone.entries()) for (const [i, text] of questions.entries()) await ask(messages, text, ...(i ? [] : [pictures[j] ?? ""]));
          return { together, alone, usages };
        });
        assert.deepEqual(together, alone);
        const texts = together.map((/** @type {any[]} */ messages) => messages.filter(({ role }) => role === "assistant").map(({ content }) => content));
        assert.notDeepEqual(texts[0], texts[1]);
        for (const [i, usage] of usages.slice(2, 6).entries()) assert(usage.prompt_tokens_details.cached_tokens >= usages[i].prompt_tokens, JSON.stringify(usages));
      });

      test("an answer that was cut can be continued", async () => {
        const { whole, parts } = await inPage(async ({ model, user }, what) => {
          const question = user(what, "examples/shapes.png");
          const whole = (await model.chat.completions.create({ messages: [question], max_tokens: 32 })).choices[0]?.message.content ?? "";
          const first = (await model.chat.completions.create({ messages: [question], max_tokens: 4 })).choices[0];
          let second = "";
          const again = /** @type {any[]} */ ([question, first?.message]);
          for await (const { choices } of await model.chat.completions.create({ messages: again, max_tokens: 28, stream: true })) second += choices[0]?.delta.content ?? "";
          const unstreamed = (await model.chat.completions.create({ messages: again, max_tokens: 28 })).choices[0]?.message.content;
          return { whole, parts: { first, second, unstreamed } };
        }, WHAT);
        assert.equal(parts.first?.finish_reason, "length");
        assert.equal((parts.first?.message.content ?? "") + parts.second, whole);
        assert.equal(parts.unstreamed, parts.second);
      });

      test("sampling follows the seed, stops stop, log probabilities come", async () => {
        const { texts, stopped, logprobs, streamed } = await inPage(async ({ model, user }, what) => {
          const messages = [user(what, "examples/shapes.png")];
          const ask = async (/** @type {object} */ more) => (await model.chat.completions.create({ max_tokens: 24, ...more, messages, stream: false })).choices[0];
          const texts = [];
          for (const seed of [1, 1, 2, 3]) texts.push((await ask({ temperature: 1.5, seed }))?.message.content);
          let streamed = "";
          for await (const { choices } of await model.chat.completions.create({ messages, stop: ["circle"], stream: true })) streamed += choices[0]?.delta.content ?? "";
          return { texts, streamed, stopped: await ask({ stop: ["circle"] }), logprobs: (await ask({ logprobs: true, top_logprobs: 2, max_tokens: 5 }))?.logprobs?.content ?? [] };
        }, WHAT);
        assert.equal(texts[0], texts[1]);
        assert(new Set(texts).size > 1, `${texts}`);
        assert.equal(stopped?.finish_reason, "stop");
        assert.match(stopped?.message.content ?? "", /green$/);
        assert.equal(streamed, stopped?.message.content);
        assert.equal(logprobs.length, 5);
        for (const { token, logprob, top_logprobs } of logprobs) {
          assert(logprob <= 0 && top_logprobs.length === 2);
          assert.equal(top_logprobs[0]?.token, token, "greedy");
        }
      });
    });

    describe("a format of the answer", () => {
      test("is kept, whole and streamed, and a wrong one is refused by its place", async () => {
        const found = await inPage(async ({ model, user, failure }) => {
          const schema = { type: "object", properties: { shape: { enum: ["star", "circle", "square"] }, count: { type: "integer", minimum: 1, maximum: 9 } }, required: ["shape", "count"], additionalProperties: false };
          const messages = [user("What do you see?", "examples/shapes.png")];
          const request = { messages, max_tokens: 64, response_format: /** @type {any} */ ({ type: "json_schema", json_schema: { name: "seen", schema } }) };
          const whole = (await model.chat.completions.create(request)).choices[0];
          let streamed = "";
          for await (const { choices } of await model.chat.completions.create({ ...request, stream: true })) streamed += choices[0]?.delta.content ?? "";
          const hot = (await model.chat.completions.create({ ...request, temperature: 1.5, seed: 5 })).choices[0]?.message.content;
          const regex = (await model.chat.completions.create({ messages, response_format: { type: "regex", regex: "(red|green) [a-c]{3}" } })).choices[0]?.message.content;
          const free = (await model.chat.completions.create({ messages, max_tokens: 48 })).choices[0]?.message.content;
          const wrong = await failure(() => model.chat.completions.create({ messages, response_format: { type: "regex", regex: "(" } }));
          return { whole, streamed, hot, regex, free, wrong };
        });
        for (const text of [found.whole?.message.content, found.hot]) {
          const { shape, count, ...more } = JSON.parse(text ?? "");
          assert(["star", "circle", "square"].includes(shape) && count >= 1 && count <= 9, text);
          assert.deepEqual(more, {});
        }
        assert.equal(found.whole?.finish_reason, "stop");
        assert.equal(found.streamed, found.whole?.message.content);
        assert.match(found.regex ?? "", /^(red|green) [a-c]{3}$/);
        assert.match(found.free ?? "", SAID);
        assert.deepEqual([found.wrong?.name, found.wrong?.kind, found.wrong?.where], ["LlavaError", "argument", "request.response_format"]);
      });
    });

    describe("a saved conversation", () => {
      test("is restored in another engine, without encoding or prefilling", async () => {
        const found = await inPage(async ({ model, user, failure, backend }) => {
          const { LLaVA } = await import(/** @type {string} */ ("/llava/index.js"));
          const messages = [user("What color is the star?", "examples/shapes.png")];
          const first = await model.chat.completions.create({ messages, max_tokens: 24 });
          const saved = await model.save();
          messages.push(first.choices[0]?.message, user("How many triangles are there?"));
          const next = await model.chat.completions.create({ messages, max_tokens: 24 });
          const ref = "models/scenes/manifest.json";
          const other = /** @type {Model} */ (await LLaVA.restore(new Blob([saved]), ref, { backend, keep: false }));
          /** @type {string[]} */
          const events = [];
          const again = await other.chat.completions.create({ messages, max_tokens: 24 }, { onProgress: ({ type }) => events.push(type) });
          const damaged = Uint8Array.from(saved);
          damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1;
          const failures = [await failure(() => other.restore(damaged)), await failure(() => other.restore(saved.subarray(0, 100)))];
          const after = await other.chat.completions.create({ messages, max_tokens: 24 });
          other.close();
          const closed = await failure(() => other.chat.completions.create({ messages }));
          return { first, next, again, after, events, failures, closed, bytes: saved.length };
        });
        assert.equal(found.again.choices[0]?.message.content, found.next.choices[0]?.message.content);
        assert.equal(found.after.choices[0]?.message.content, found.next.choices[0]?.message.content);
        assert(!found.events.includes("encode"), `${found.events}`);
        assert(found.again.usage.prompt_tokens_details.cached_tokens >= found.first.usage.total_tokens - 1, JSON.stringify([found.first.usage, found.again.usage]));
        for (const failure of found.failures) assert.equal(failure?.name, "LlavaError");
        assert.equal(found.closed?.kind, "closed");
      });
    });

    describe("aborts", () => {
      for (const stage of ["encode", "prefill", "token"]) {
        test(`while the engine works: ${stage}`, async () => {
          const { failed, next } = await inPage(
            async ({ model, user, failure }, stage) => {
              const own = new AbortController();
              const url = document.createElement("canvas").toDataURL().length ? "examples/outlines.png" : "";
              // A picture and a question that the engine has not seen.
              const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
              const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
              context.fillStyle = `rgb(${stage.length * 20} ${Math.floor(performance.now()) % 256} 90)`;
              context.fillRect(0, 0, 64, 64);
              const messages = [{ role: "user", content: [{ type: "image", image: canvas }, { type: "text", text: `Tell me of ${stage}.` }] }];
              const onProgress = (/** @type {any} */ { type }) => type === stage && own.abort(new Error("enough"));
              const failed = await failure(() => model.chat.completions.create(/** @type {any} */ ({ messages, max_tokens: 64 }), { signal: own.signal, onProgress }));
              const next = await model.chat.completions.create({ messages: [user("What do you see?", url)], max_tokens: 24 });
              return { failed, next: next.choices[0]?.message.content };
            },
            stage,
          );
          assert.deepEqual([failed?.name, failed?.kind, failed?.cause], ["LlavaError", "cancelled", "Error: enough"]);
          assert.match(next ?? "", /square/);
        });
      }

      test("while it waits for another call, and while a picture is fetched", async () => {
        const found = await inPage(
          async ({ model, user, failure }, slow) => {
            const own = new AbortController();
            /** @type {any} */
            let first;
            await new Promise((resolve) => {
              first = model.chat.completions.create({ messages: [user("What do you see?", "examples/shapes.png")] }, { onProgress: resolve });
            });
            const queued = failure(() => model.chat.completions.create({ messages: [user("And?")] }, { signal: own.signal }));
            const fetching = failure(() => model.chat.completions.create({ messages: [user("And?", slow)] }, { signal: own.signal }));
            setTimeout(() => own.abort(), 1);
            return { kinds: [(await queued)?.kind, (await fetching)?.kind], first: (await first).choices[0]?.message.content };
          },
          `${elsewhere}/slow.png`,
        );
        assert.deepEqual(found.kinds, ["cancelled", "cancelled"]);
        assert.match(found.first ?? "", SAID);
      });

      test("leaving a stream ends the answer", async () => {
        const { count, ms } = await inPage(async ({ model, user }) => {
          let count = 0;
          for await (const _ of await model.chat.completions.create({ messages: [user("What do you see?", "examples/shapes.png")], stream: true })) if (++count === 3) break;
          const start = performance.now();
          await model.prefill([user("So?")]);
          return { count, ms: performance.now() - start };
        });
        assert.equal(count, 3);
        assert(ms < 5000, `${ms} ms`);
      });
    });

    describe("pictures", () => {
      test("of every kind give the same file or the same pixels", async () => {
        const { byFile, byPixels, said } = await inPage(async ({ model, user }) => {
          const file = await (await fetch("examples/shapes.png")).blob();
          const data = await new Promise((resolve) => Object.assign(new FileReader(), { onload: (/** @type {any} */ { target }) => resolve(target.result) }).readAsDataURL(file));
          const img = Object.assign(new Image(), { src: URL.createObjectURL(file) });
          await img.decode();
          const bitmap = await createImageBitmap(file);
          const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
          const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
          context.drawImage(bitmap, 0, 0);
          const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
          const offscreen = new OffscreenCanvas(canvas.width, canvas.height);
          offscreen.getContext("2d")?.drawImage(bitmap, 0, 0);
          const frame = new VideoFrame(canvas, { timestamp: 0 });
          const ids = async (/** @type {any[]} */ list) => {
            const found = [];
            for (const image of list) found.push((await model.encode(image)).id);
            return found;
          };
          const byFile = await ids([file, new File([file], "a.png"), data, "examples/shapes.png", new URL("examples/shapes.png", location.href).href]);
          const byPixels = await ids([bitmap, canvas, pixels, offscreen, frame, img, URL.createObjectURL(file)]);
          const answer = await model.chat.completions.create({ messages: [{ role: "user", content: [{ type: "image", image: pixels }, { type: "text", text: user("What do you see?").content[0].text }] }], max_tokens: 24 });
          return { byFile, byPixels, said: answer.choices[0]?.message.content };
        });
        assert.equal(new Set(byFile).size, 1, `${byFile}`);
        assert.equal(new Set(byPixels).size, 1, `${byPixels}`);
        assert.match(said ?? "", SAID);
      });

      test("of a video are its frame, once it has one", async () => {
        const { early, size } = await inPage(async ({ model, failure }) => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 96, height: 64 });
          const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
          const draw = setInterval(() => ((context.fillStyle = "red"), context.fillRect(0, 0, 96, 64)), 20);
          const video = Object.assign(document.createElement("video"), { muted: true });
          const early = await failure(() => model.encode(video));
          video.srcObject = canvas.captureStream();
          await video.play();
          const { width, height } = await model.encode(video);
          clearInterval(draw);
          return { early, size: [width, height] };
        });
        assert.deepEqual([early?.kind, early?.where, early?.message], ["image", "image", "has no size yet"]);
        assert.deepEqual(size, [96, 64]);
      });

      test("that only the browser reads are drawn, once each", async () => {
        const { first, again, refused } = await inPage(async ({ model, failure }) => {
          const svg = new Blob(['<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><rect width="60" height="40" fill="green"/></svg>'], { type: "image/svg+xml" });
          const first = await model.encode(svg);
          return { first, again: await model.encode(svg), refused: await failure(() => model.encode(new Blob(["no picture at all"]))) };
        });
        assert(Math.abs(first.width / first.height - 1.5) < 0.01);
        assert.equal(again.id, first.id);
        assert(again.reused && !first.reused);
        assert.deepEqual([refused?.kind, refused?.where], ["image", "image"]);
        assert.match(refused?.hint ?? "", /this browser cannot show it either/);
      });

      test("of other hosts are fetched where these allow it", async () => {
        const found = await inPage(async ({ model, user, failure }, origin) => {
          const ask = (/** @type {string} */ name) => failure(() => model.chat.completions.create({ messages: [user("What?", `${origin}/${name}.png`)], max_tokens: 2 }));
          return { open: await ask("shapes"), hidden: await ask("private"), missing: await ask("missing"), large: await ask("large"), endless: await ask("endless") };
        }, elsewhere);
        assert.equal(found.open, null);
        const where = "request.messages[0].content[0].image_url.url";
        assert.deepEqual([found.hidden?.kind, found.hidden?.where], ["network", where]);
        assert.match(`${found.hidden?.message} ${found.hidden?.hint}`, /private\.png could not be fetched .*Access-Control-Allow-Origin/);
        assert.match(found.missing?.message ?? "", /missing\.png was answered with status 404/);
        for (const name of /** @type {const} */ (["large", "endless"])) {
          assert.deepEqual([found[name]?.kind, found[name]?.where], ["image", where], name);
          assert.match(found[name]?.message ?? "", /at most 64000000 are read/);
        }
      });
    });

    describe("OpenAI's own client", () => {
      test("runs against model.fetch, unchanged", async () => {
        const found = await inPage(async ({ model, user, failure }, what) => {
          const { OpenAI } = await import(/** @type {string} */ ("/openai/index.mjs"));
          const client = /** @type {import("../package/node_modules/openai/index.mjs").OpenAI} */ (new OpenAI({ apiKey: "-", baseURL: "http://local/v1", fetch: model.fetch, dangerouslyAllowBrowser: true }));
          const [card] = (await client.models.list()).data;
          const request = { model: card?.id ?? "", messages: [user(what, new URL("examples/shapes.png", location.href).href)], max_completion_tokens: 32 };
          const whole = await client.chat.completions.create(request);
          let streamed = "";
          for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) streamed += chunk.choices[0]?.delta?.content ?? "";
          const helper = await client.chat.completions.stream(request).finalContent();
          const refused = await client.chat.completions.create({ ...request, tools: [{ type: "function", function: { name: "f" } }] }).catch((/** @type {any} */ { status, param, code, constructor }) => ({ status, param, code, name: constructor.name }));
          const own = new AbortController();
          const aborted = client.chat.completions.create({ ...request, messages: [user("Another question?")] }, { signal: own.signal });
          own.abort();
          return { card, whole, streamed, helper, refused, aborted: await failure(() => aborted), own: model.name };
        }, WHAT);
        assert.equal(found.card?.id, found.own);
        assert.match(found.whole.choices[0]?.message.content ?? "", SAID);
        assert.equal(found.streamed, found.whole.choices[0]?.message.content);
        assert.equal(found.helper, found.streamed);
        assert.deepEqual(found.refused, { status: 400, param: "tools", code: "argument", name: "BadRequestError" });
        assert.match(found.aborted?.message ?? "", /aborted/);
      });
    });

    test("no policy was violated, but by fetching blob: addresses, which then are drawn", () => assert.deepEqual(visit.complaints.filter((text) => !text.includes("blob:")), []));
  });
}

test("has types that our answers and requests fit", () => {
  const tsc = path.join(here, "node_modules/typescript/bin/tsc");
  const compile = (/** @type {string} */ project) => execFileSync(process.execPath, [tsc, "--project", project], { encoding: "utf8", stdio: "pipe" });
  assert.equal(compile(path.join(repository, "tests/package/tsconfig.openai.json")), "");
});
