// Loading, against a host that fails on purpose: whatever is interrupted, the model ends up loaded and
// verified or the page says clearly why not, and no byte that was safely stored is fetched again.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { FaultyHost, fakeModel, random } from "./faulty-host.mjs";
import { STALL_SECONDS, fakeRoot, impatiently, launch, open, serve } from "./harness.mjs";

/** @typedef {import("./harness.mjs").Visit} Visit */
/** @typedef {import("playwright-core").BrowserContext} BrowserContext */

const NAME = "model.gguf";
const MODEL = fakeModel();
/** The same in files of their own: what is asked for whole. */
const SHARDS = shards();
/** Without a service worker, whose requests are not the page's. */
const PLAIN = { serviceWorkers: /** @type {const} */ ("block") };

/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */ let server;
/** @type {Awaited<ReturnType<typeof fakeRoot>>} */ let served;
/** @type {FaultyHost} */ let host;

before(async () => {
  host = await new FaultyHost().listen();
  served = await fakeRoot();
  server = await serve(served.root, ["--model-host", host.origin]);
  browser = await launch({ gpu: false });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await served?.remove();
  await host?.close();
});

function shards() {
  const parts = MODEL.plan.parts.map(({ index, offset, bytes, sum }) => ({ index, file: `${index}.bin`, offset: 0, bytes, sum, sha256: null, from: offset }));
  const files = parts.map(({ file, from, bytes }) => /** @type {const} */ ([file, MODEL.file.subarray(from, from + bytes)]));
  return { files, manifest: Buffer.from(JSON.stringify({ ...MODEL.plan, parts })) };
}

/** A host in good health with this model, and the page's address for it. */
/** @param {{ file: Buffer }} [model] */
function healthy({ file } = MODEL) {
  Object.assign(host, { ranges: true, cors: true, pace: 0, etag: '"one"', habit: "", fault: () => null, sent: 0 });
  host.asked.length = 0;
  host.files = new Map([[NAME, file]]);
  return `${server.url}?model=${host.origin}/${NAME}`;
}

/** A page of the same origin that only looks into the storage. @param {BrowserContext} context */
async function inspector(context) {
  const page = await context.newPage();
  await page.goto(`${server.url}worker/retry.js`);
  /** Names in the folders of all models, without the temporary ones. */
  const names = () =>
    page.evaluate(async () => {
      const names = [];
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("llava-web-models").catch(() => null);
      for await (const folder of root?.values() ?? []) {
        try {
          for await (const name of /** @type {FileSystemDirectoryHandle} */ (folder).keys()) names.push(name);
        } catch (error) {
          // The folder of a trial goes while it is looked at.
          if (/** @type {DOMException} */ (error).name !== "NotFoundError") throw error;
        }
      }
      return names;
    });
  return {
    page,
    names,
    /** Ranges that are whole in the store, hashes and all. */
    stored: () =>
      page.evaluate(async () => {
        /** What goes while it is looked at, a folder of a trial or a file that receives its name, is not stored. @param {any} error */
        const gone = (error) => (error.name === "NotFoundError" ? null : Promise.reject(error));
        /** @param {string} name @param {FileSystemFileHandle} handle */
        const whole = async (name, handle) => {
          const [, offset, bytes, hash] = name.split("-");
          if (!hash || name.startsWith("tmp-")) return [];
          const content = await handle.getFile().then((file) => file.arrayBuffer());
          const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
          const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
          const first = Number(offset);
          return hex === hash && content.byteLength === Number(bytes) ? [{ first, end: first + Number(bytes) }] : [];
        };
        /** @param {FileSystemDirectoryHandle} folder */
        const inside = async (folder) => {
          const ranges = [];
          for await (const [name, handle] of folder.entries()) {
            ranges.push(...((await whole(name, /** @type {FileSystemFileHandle} */ (handle)).catch(gone)) ?? []));
          }
          return ranges;
        };
        const ranges = [];
        const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("llava-web-models", { create: true });
        for await (const folder of root.values()) {
          ranges.push(...((await inside(/** @type {FileSystemDirectoryHandle} */ (folder)).catch(gone)) ?? []));
        }
        return ranges;
      }),
    /** Changes a byte of, or removes, the kept parts that begin at these offsets.
     * @param {number[]} offsets @param {"flip" | "remove"} how */
    damage: (offsets, how) =>
      page.evaluate(
        async ({ offsets, how }) => {
          const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("llava-web-models", { create: true });
          for await (const folder of root.values()) {
            const directory = /** @type {FileSystemDirectoryHandle} */ (folder);
            for await (const [name, handle] of directory.entries()) {
              if (!offsets.includes(Number(name.split("-")[1]))) continue;
              if (how === "remove") await directory.removeEntry(name);
              else {
                const file = /** @type {FileSystemFileHandle} */ (handle);
                const old = new Uint8Array(await (await file.getFile()).arrayBuffer());
                old[old.length >> 1] = (old[old.length >> 1] ?? 0) ^ 1;
                const stream = await file.createWritable();
                await stream.write(old);
                await stream.close();
              }
            }
          }
        },
        { offsets, how },
      ),
  };
}

/** @param {{ first: number, end: number }[]} kept @param {{ first: number, end: number }[]} asked */
function overlaps(kept, asked) {
  // A single byte asks for the size of the file.
  return asked.filter((a) => a.end - a.first > 1 && kept.some((k) => a.first < k.end && k.first < a.end));
}

/** A fresh visit in a context that may hold things from before. @param {BrowserContext} context @param {string} url */
async function visit(context, url) {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** @param {import("playwright-core").Page} page @returns {Promise<string>} state */
async function ends(page) {
  await page.locator("[data-testid=status]:is([data-state=ready],[data-state=error])").waitFor();
  return (await page.getByTestId("status").getAttribute("data-state")) ?? "";
}

/** @param {import("playwright-core").Page} page */
const words = (page) => page.getByTestId("error").innerText();

describe("loading from a host", () => {
  test("parts come by ranges, are kept, and the second visit needs no network", async () => {
    const url = healthy();
    const context = await browser.newContext();
    const page = await visit(context, url);
    assert.equal(await ends(page), "ready", await words(page));
    assert.equal(host.asked.filter((asked) => asked.whole).length, 0, "only ranges were asked for");
    assert(host.sent < MODEL.file.length * 1.1, `${host.sent} bytes were sent for ${MODEL.file.length}`);
    await page.locator("#machine", { hasText: "everything is saved" }).waitFor({ state: "attached" });
    await context.setOffline(true);
    await page.reload();
    assert.equal(await ends(page), "ready", await words(page));
    await context.close();
  });

  test("a tab that dies leaves what it has stored, and nothing else", async () => {
    const url = healthy();
    host.pace = 10;
    const context = await browser.newContext(PLAIN);
    const look = await inspector(context);
    const first = await visit(context, url);
    await host.afterSending(MODEL.file.length / 2);
    const session = await context.newCDPSession(first);
    session.send("Page.crash").catch(() => {});
    await first.waitForEvent("crash");
    host.pace = 0;
    const kept = await look.stored();
    assert(kept.length > 2 && kept.length < 26, `${kept.length} parts were stored`);
    host.asked.length = 0;
    const second = await visit(context, url);
    assert.equal(await ends(second), "ready", await words(second));
    assert.deepEqual(overlaps(kept, host.asked), []);
    assert(!(await look.names()).some((name) => name.startsWith("tmp-")), "temporary files are swept");
    await context.close();
  });

  test("a damaged part in the store is fetched again, alone", async () => {
    const url = healthy();
    const context = await browser.newContext(PLAIN);
    const look = await inspector(context);
    assert.equal(await ends(await visit(context, url)), "ready");
    const { offset, bytes } = /** @type {typeof MODEL.plan.parts[0]} */ (MODEL.plan.parts[7]);
    await look.damage([offset], "flip");
    host.asked.length = 0;
    assert.equal(await ends(await visit(context, url)), "ready");
    assert.deepEqual(host.asked.filter(({ first, end }) => end - first > 1), [{ file: NAME, first: offset, end: offset + bytes, whole: false }]);
    await context.close();
  });

  test("cuts, short bodies, 500 and 429 are overcome; what a cut brought is not asked for again", async () => {
    const url = healthy();
    const next = random(5);
    /** @type {Set<number>} */
    const tried = new Set();
    host.fault = ({ first }) => {
      if (tried.has(first) || first === 0) return null;
      tried.add(first);
      const kind = Math.floor(next() * 5);
      const at = 1 + Math.floor(next() * 60_000);
      return [{ cut: at }, { short: at }, { status: 500 }, { status: 429, retryAfter: 0 }, null][kind] ?? null;
    };
    const page = (await open(browser, url, PLAIN)).page;
    assert.equal(await ends(page), "ready", await words(page));
    assert(host.sent < MODEL.file.length * 1.15, `${host.sent} bytes for ${MODEL.file.length}`);
    await page.context().close();
  });

  test("a host without ranges is streamed once, and cut into parts", async () => {
    const url = healthy();
    host.ranges = false;
    const context = await browser.newContext(PLAIN);
    const look = await inspector(context);
    const page = await visit(context, url);
    assert.equal(await ends(page), "ready", await words(page));
    const whole = host.asked.length;
    assert(whole <= 7, `${whole} requests: one that gives a length, one that counts it (it may be of a compressed body), those for the header, one for the weights`);
    assert.equal((await look.stored()).filter(({ first }) => first > 0).length, MODEL.plan.parts.length);
    await context.close();
  });

  for (const [habit, what] of /** @type {const} */ ([
    ["weak", "compresses what is asked for whole, with another ETag then"],
    ["etags", "has another ETag every time, and no date"],
    ["gzip", "knows no ranges, and says the length of what it compressed"],
    ["nohead", "hides Content-Range, and refuses HEAD"],
    ["cap", "gives less than it was asked for"],
    ["nohead cap", "hides Content-Range, refuses HEAD and gives less than it was asked for"],
  ])) {
    test(`a host that ${what} gives both layouts, and the second visit takes what is kept`, async () => {
      for (const [name, file] of /** @type {const} */ ([[NAME, MODEL.file], ["manifest.json", SHARDS.manifest]])) {
        const url = healthy({ file }).replace(NAME, name);
        host.files = new Map([[name, file], ...SHARDS.files]);
        host.habit = habit;
        const context = await browser.newContext(PLAIN);
        const page = await visit(context, url);
        assert.equal(await ends(page), "ready", `${name}: ${await words(page)}`);
        host.asked.length = 0;
        await page.reload();
        assert.equal(await ends(page), "ready", `${name}, again: ${await words(page)}`);
        const parts = host.asked.filter(({ file, first, end }) => (first > 0 || (file.endsWith(".bin") && !habit.includes("nohead"))) && end - first > 1 && end < MODEL.file.length);
        if (habit !== "gzip") assert.deepEqual(parts, [], `${name}: asked for on the second visit`);
        await context.close();
      }
    });
  }

  test("a connection that falls silent is said, and given up; one that is slow is not", async () => {
    const url = healthy();
    const [first, second] = [MODEL.plan.parts[5], MODEL.plan.parts[9]];
    let asked = 0;
    host.fault = (range) => (range.first === first?.offset && asked++ === 0 ? { stall: 20_000 } : null);
    const context = await browser.newContext(PLAIN);
    await impatiently(context);
    // What the page says until it tries again may be gone when a busy machine looks.
    await context.addInitScript(() => {
      const said = /** @type {string[]} */ (Object.assign(window, { said: [] }).said);
      new MutationObserver(() => said.push(document.querySelector("#status-text")?.textContent ?? "")).observe(document, { childList: true, characterData: true, subtree: true });
    });
    const page = await visit(context, url);
    /** @param {number} seconds */
    const broke = (seconds) => /** @type {any} */ (window).said.some((/** @type {string} */ text) => new RegExp(`the connection broke after \\d+ of \\d+ bytes \\(.*no data for ${seconds} s`).test(text));
    await page.waitForFunction(broke, STALL_SECONDS, { timeout: 90_000 });
    assert.equal(await ends(page), "ready", await words(page));
    const again = host.asked.filter(({ first: at, end }) => first && at > first.offset && end === first.offset + first.bytes);
    assert.equal(again.length, 1, "it went on where it was");
    assert.equal(host.asked.filter(({ first: at }) => at === second?.offset).length, 1, "the others were asked for once");
    await context.close();
  });

  test("of a host that sends more than was asked for, or falls silent, no more is read than that, and not for ever", async () => {
    const endless = createServer((request, response) => {
      response.writeHead(206, { "access-control-allow-origin": "*", "access-control-expose-headers": "content-range", "content-range": "bytes 0-99/1000000000" });
      const silent = request.url === "/silent";
      const send = () => void (response.destroyed || (response.write(Buffer.alloc(silent ? 10 : 65_536)), silent || setTimeout(send)));
      send();
    });
    await new Promise((resolve) => endless.listen(0, "127.0.0.1", () => resolve(null)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (endless.address());
    const context = await browser.newContext({ ...PLAIN, bypassCSP: true });
    await impatiently(context);
    const page = await context.newPage();
    await page.goto(`${server.url}worker/retry.js`);
    const heads = await page.evaluate(async (port) => {
      /** @type {typeof import("../../www/worker/file-info.js")} */
      const { fetchFileInfo } = await import(String("/worker/file-info.js"));
      const lengths = [];
      for (const name of ["endless", "silent"]) {
        const onHead = (/** @type {Uint8Array} */ head) => void lengths.push(head.length);
        const given = new AbortController();
        const asked = fetchFileInfo(new URL(`http://127.0.0.1:${port}/${name}`), given.signal, { bytes: 100_000, onHead });
        const info = await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, 20_000, null))]);
        given.abort();
        lengths.push(info && info !== "page" ? info.size : info);
      }
      return lengths;
    }, port);
    assert.deepEqual(heads, [100_000, 1e9, 10, 1e9]);
    await context.close();
    endless.closeAllConnections();
    endless.close();
  });

  test("a file that changes on the way is begun again, and old parts are thrown away", async () => {
    const other = fakeModel({ seed: 2 });
    const url = healthy();
    host.pace = 10;
    const context = await browser.newContext(PLAIN);
    const look = await inspector(context);
    const page = await visit(context, url);
    await host.afterSending(MODEL.file.length / 2);
    Object.assign(host, { etag: '"two"', pace: 0, files: new Map([[NAME, other.file]]) });
    assert.equal(await ends(page), "ready", await words(page));
    assert.match(await page.locator("#machine").textContent() ?? "", /Model 2/);
    assert.equal((await look.stored()).filter(({ first }) => first > 0).length, other.plan.parts.length);
    await context.close();
  });

  test("what cannot work is reported immediately: missing, a web page, no permission", async () => {
    const url = healthy();
    const { page } = await open(browser, url.replace(NAME, "nothing.gguf"), PLAIN);
    assert.equal(await ends(page), "error");
    assert.match(await words(page), /nothing\.gguf: the server answered 404.*not there/s);
    host.fault = () => ({ type: "text/html" });
    await page.goto(url);
    assert.equal(await ends(page), "error");
    assert.match(await words(page), /web page, not a file of a model/);
    host.fault = ({ first }) => (first > 0 ? { status: 403 } : null);
    await page.goto(url);
    assert.equal(await ends(page), "error");
    assert.match(await words(page), /403.*from your disk/s);
    host.cors = false;
    host.files.set("other.gguf", MODEL.file);
    await page.goto(url.replace(NAME, "other.gguf"));
    assert.equal(await ends(page), "error");
    assert.match(await words(page), /could not be downloaded.*\(CORS\)/s);
    await page.context().close();
  });

  test("a quota that runs out is said once, and the model loads all the same", async () => {
    const url = healthy();
    const context = await browser.newContext(PLAIN);
    const look = await inspector(context);
    const session = await context.newCDPSession(look.page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.url).origin, quotaSize: 700_000 });
    const page = await visit(context, url);
    assert.equal(await ends(page), "ready", await words(page));
    assert.match(await page.locator(".note").innerText(), /not saved for the next visit: the browser gives this page no more space/);
    assert.equal(await page.locator(".note").count(), 1);
    const kept = await look.stored();
    assert(kept.length > 0 && kept.length < MODEL.plan.parts.length);
    await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.url).origin });
    host.asked.length = 0;
    await page.reload();
    assert.equal(await ends(page), "ready", await words(page));
    assert.deepEqual(overlaps(kept, host.asked), []);
    await context.close();
  });

  test("two tabs share what either fetches", async () => {
    const url = healthy();
    host.pace = 4;
    const context = await browser.newContext(PLAIN);
    const pages = await Promise.all([visit(context, url), visit(context, url)]);
    for (const page of pages) assert.equal(await ends(page), "ready", await words(page));
    const weights = host.asked.filter(({ first, end }) => first > 0 && end - first > 1);
    assert.equal(weights.length, MODEL.plan.parts.length, "each part was asked for once");
    await context.close();
  });

  test("cancel is immediate, and going on fetches only the rest", async () => {
    const url = healthy();
    host.pace = 60;
    const context = await browser.newContext(PLAIN);
    const look = await inspector(context);
    const page = await visit(context, url);
    while (!(await look.stored()).some(({ first }) => first > 0)) await page.waitForTimeout(20);
    await page.getByRole("button", { name: "Cancel" }).click();
    const clicked = Date.now();
    await page.locator("[data-testid=status][data-state=waiting]").waitFor();
    assert(Date.now() - clicked < 500, `${Date.now() - clicked} ms`);
    const kept = await look.stored();
    Object.assign(host, { pace: 0 });
    host.asked.length = 0;
    await page.getByRole("button", { name: "Download the rest and load" }).click();
    assert.equal(await ends(page), "ready", await words(page));
    assert.deepEqual(overlaps(kept, host.asked), []);
    await context.close();
  });

  test("twenty interruptions: always loaded and verified, or a clear message; nothing stored is fetched twice", async (t) => {
    const url = healthy();
    const next = random(20);
    const context = await browser.newContext(PLAIN);
    context.setDefaultTimeout(60_000);
    const look = await inspector(context);
    const origin = new URL(server.url).origin;
    const quota = await context.newCDPSession(look.page);
    /** @param {number} n */
    const below = (n) => Math.floor(next() * n);
    /** @type {Record<string, number>} */
    const ended = {};
    for (let round = 0; round < 20; round++) {
      // What is complete is made incomplete: an eviction, and bytes that turn.
      const offsets = (await look.stored()).map(({ first }) => first).filter((first) => first > 0);
      if (offsets.length === MODEL.plan.parts.length) await look.damage(offsets.filter(() => next() < 0.7), "remove");
      const whole = await look.stored();
      // A page that is closed early does not notice all that is turned; `stored` does.
      const turned = below(3) === 0 ? whole.filter(({ first }) => first > 0 && next() < 0.3).map(({ first }) => first) : [];
      await look.damage(turned, "flip");
      const safe = whole.filter(({ first }) => !turned.includes(first));
      host.asked.length = 0;
      host.pace = 3;
      const kind = ["close", "crash", "cut", "drops", "quota", "refusals"][below(6)] ?? "";
      if (kind === "drops") host.fault = () => (below(3) === 0 ? { cut: below(65_000) } : below(6) === 0 ? { short: below(65_000) } : null);
      if (kind === "refusals") host.fault = () => (below(3) === 0 ? { status: [500, 503, 429][below(3)], retryAfter: 0 } : null);
      if (kind === "quota") await quota.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 300_000 + below(1_000_000) });
      const page = await visit(context, url);
      if (["close", "crash", "cut"].includes(kind)) await host.afterSending(below(900_000));
      let state = kind;
      if (kind === "crash") {
        const session = await context.newCDPSession(page);
        const gone = page.waitForEvent("crash");
        session.send("Page.crash").catch(() => {});
        await gone;
      } else if (kind !== "close") {
        if (kind === "cut") host.cutAll();
        state = await ends(page);
        if (state === "error") assert.match(await words(page), /model\.gguf: .{20}/, "the message names the file and says what happened");
      }
      await page.close();
      ended[`${kind}: ${state}`] = (ended[`${kind}: ${state}`] ?? 0) + 1;
      assert.deepEqual(overlaps(safe, host.asked), [], `round ${round} (${kind}) fetched what was stored`);
      host.fault = () => null;
      await quota.send("Storage.overrideQuotaForOrigin", { origin });
    }
    t.diagnostic(JSON.stringify(ended));
    const safe = await look.stored();
    host.asked.length = 0;
    const page = await visit(context, url);
    assert.equal(await ends(page), "ready", await words(page));
    assert.deepEqual(overlaps(safe, host.asked), []);
    await context.close();
  });
});
