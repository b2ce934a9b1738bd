// What browsers other than the newest Chromium lack, refuse or do in another way, imitated in Chromium; and hosts that
// change under a page that is kept.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createSilence } from "node:net";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileAddress } from "../../www/shared/address.js";
import { formatRate } from "../../www/page/format.js";
import { FaultyHost, fakeModel } from "./faulty-host.mjs";
import { STALL_SECONDS, fakeRoot, impatiently, launch, open, serve, writeSite, www } from "./harness.mjs";

const EXAMPLE = path.join(www, "examples/shapes.png");
const PLAIN = { serviceWorkers: /** @type {const} */ ("block") };

/** @type {import("playwright-core").Browser} */ let browser;
before(async () => {
  browser = await launch({ gpu: false });
});
after(() => browser?.close());

/** A stand-in page whose workers first run `prelude`, and the page, too.
 * @param {() => void} prelude @param {(it: { url: string, root: string }) => Promise<void>} body
 * @param {string[]} [more] for the server */
async function withFake(prelude, body, more = []) {
  const { root, remove } = await fakeRoot();
  const engine = path.join(root, "pkg/llava_web.js");
  await writeFile(engine, `(${prelude})();\n${await readFile(engine, "utf8")}`);
  const server = await serve(root, more);
  try {
    await body({ url: server.url, root });
  } finally {
    await server.stop();
    await remove();
  }
}

/** @param {string} url @param {() => void} prelude
 * @param {import("playwright-core").BrowserContextOptions} [options] */
async function openWith(url, prelude, options = PLAIN) {
  const visit = await open(browser, "about:blank", options);
  await visit.context.addInitScript(prelude);
  await visit.page.goto(url);
  return visit;
}

describe("a browser of another make", () => {
  test("no request of a first visit goes through the service worker, and a picture that cannot be fetched is no crash", () =>
    withFake(
      () => {},
      async ({ url }) => {
        const visit = await open(browser, url);
        await visit.reaches("ready");
        await visit.savedForOffline();
        assert.equal(await visit.page.evaluate(() => navigator.serviceWorker.controller), null, "it would make requests wait while it becomes active");
        let asked = 0;
        // The first is never answered.
        await visit.context.route("**/examples/shapes.png", (route) => (asked++ ? route.abort() : undefined));
        await visit.page.locator("[data-example='shapes.png']").click();
        await visit.at("error").waitFor();
        assert.equal(asked, 2, "asked for once more");
        assert.match(await visit.errorText(), /This picture could not be downloaded.*shapes\.png/s);
        assert.doesNotMatch(await visit.errorText(), /program that runs the model stopped/);
        await visit.context.unroute("**/examples/shapes.png");
        await visit.page.locator("#error-retry").click();
        await visit.page.locator("#frame[data-state=read]").waitFor();
        assert.match(await visit.ask("well"), /well/);
        await visit.close();
      },
    ));

  /** @type {[string, () => void, string][]} */
  const stores = [
    [
      "move() needs two arguments",
      () => {
        const prototype = /** @type {any} */ (globalThis).FileSystemFileHandle?.prototype;
        const move = prototype?.move;
        if (move) prototype.move = function (/** @type {unknown[]} */ ...to) {
          if (to.length < 2) throw new TypeError("Not enough arguments");
          return move.apply(this, to);
        };
      },
      "opfs",
    ],
    ["move() is missing", () => delete /** @type {any} */ (globalThis).FileSystemFileHandle?.prototype.move, "opfs"],
    ["files cannot be written synchronously", () => delete /** @type {any} */ (globalThis).FileSystemFileHandle?.prototype.createSyncAccessHandle, "opfs"],
    [
      "no file can be opened for writing",
      () => {
        const prototype = /** @type {any} */ (globalThis).FileSystemFileHandle?.prototype;
        if (prototype) prototype.createSyncAccessHandle = prototype.createWritable = async () => Promise.reject(new DOMException("not here", "InvalidStateError"));
      },
      "cache",
    ],
    ["there is no private file system", () => delete /** @type {any} */ (globalThis).StorageManager?.prototype.getDirectory, "cache"],
  ];
  for (const [what, prelude, kind] of stores) {
    test(`models are kept where ${what}`, () =>
      withFake(prelude, async ({ url }) => {
        const visit = await openWith(url, prelude);
        await visit.reaches("ready");
        assert.match((await visit.page.locator("#machine").textContent()) ?? "", /Saved in this browserall of it/);
        const there = await visit.page.evaluate(async () => (await caches.keys()).some((name) => name.startsWith("llava-web-models ")));
        assert.equal(there, kind === "cache");
        visit.requests.length = 0;
        await visit.page.reload();
        await visit.reaches("ready");
        assert.deepEqual(visit.requests.filter((request) => request.endsWith(".bin")), [], "nothing is fetched twice");
        await visit.close();
      }));
  }

  test("Enter that confirms a word of an input method sends nothing, also after the composition", () =>
    withFake(
      () => {},
      async ({ url }) => {
        const visit = await open(browser, url, PLAIN);
        await visit.show(EXAMPLE);
        await visit.page.locator("#frame[data-state=read]").waitFor();
        await visit.at("question").fill("これは何");
        await visit.at("question").evaluate((field) => field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true })));
        assert.equal(await visit.at("question").inputValue(), "これは何");
        await visit.at("question").press("Enter");
        assert.match(await visit.answered(), /これは何/);
        await visit.close();
      },
    ));

  test("of a paste with text and picture a text field takes the text", () =>
    withFake(
      () => {},
      async ({ url }) => {
        const visit = await open(browser, url, PLAIN);
        await visit.reaches("ready");
        /** @param {string} selector @param {boolean} text
         * @returns {Promise<boolean>} whether the page took it from the browser */
        const paste = (selector, text) =>
          visit.page.evaluate(
            async ({ selector, text }) => {
              const picture = await (await fetch(new URL("examples/shapes.png", document.baseURI))).blob();
              const clipboardData = new DataTransfer();
              if (text) clipboardData.setData("text/plain", "a cell");
              clipboardData.items.add(new File([picture], "image.png", { type: "image/png" }));
              const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
              return !document.querySelector(selector)?.dispatchEvent(event);
            },
            { selector, text },
          );
        assert.equal(await paste("#question", true), false);
        assert(await visit.page.locator("#picture").isHidden(), "no picture was taken");
        assert.equal(await paste("#question", false), true, "a picture alone is a picture");
        await visit.page.locator("#picture[alt='image.png']").waitFor({ state: "attached" });
        assert.equal(await paste("body", true), true, "outside of text fields it is one, too");
        await visit.close();
      },
    ));

  const blocked = () => {
    const refuse = async () => Promise.reject(new DOMException("site data is blocked", "SecurityError"));
    /** @param {any} type @param {string[]} names */
    const all = (type, ...names) => names.forEach((name) => type && (type.prototype[name] = refuse));
    const scope = /** @type {any} */ (globalThis);
    all(scope.LockManager, "request", "query");
    all(scope.StorageManager, "getDirectory", "estimate", "persist");
    all(scope.CacheStorage, "open", "keys", "match", "has");
    all(scope.ServiceWorkerContainer, "register");
    if (scope.document) {
      Object.defineProperty(scope, "localStorage", { get: () => { throw new DOMException("site data is blocked", "SecurityError"); } });
      History.prototype.replaceState = () => { throw new DOMException("not in this frame", "SecurityError"); };
    }
  };
  test("blocked site data: everything works, and it is said that nothing is kept", () =>
    withFake(blocked, async ({ url }) => {
      const visit = await openWith(url, blocked, {});
      await visit.show(EXAMPLE);
      await visit.reaches("ready");
      assert.match(await visit.ask("well"), /well/);
      assert.match((await visit.page.locator("#machine").textContent()) ?? "", /Saved in this browsernothing: this browser gives the page no storage/);
      await visit.page.locator("#open-models").click();
      await visit.page.locator("#stored-note", { hasText: /Nothing is saved|no storage/ }).waitFor();
      await visit.close();
    }));

  const old = () => {
    const scope = /** @type {any} */ (globalThis);
    delete scope.Promise.withResolvers;
    delete scope.Promise.try;
    delete scope.Map.groupBy;
    delete scope.Object.groupBy;
    delete scope.Array.fromAsync;
    delete scope.AbortSignal.any;
    delete scope.ReadableStream.prototype[Symbol.asyncIterator];
    delete scope.ReadableStream.prototype.values;
    for (const name of ["union", "intersection", "difference", "isSubsetOf"]) delete scope.Set.prototype[name];
    for (const name of ["toSorted", "toReversed", "with", "toSpliced"]) delete scope.Array.prototype[name];
    delete scope.Iterator;
  };
  test("a browser of 2023: a host that says no length, an answer, a second visit", async () => {
    const host = await new FaultyHost().listen();
    const model = fakeModel();
    host.files.set("model.gguf", model.file);
    host.habit = "chunked";
    try {
      await withFake(
        old,
        async ({ url }) => {
          const visit = await openWith(`${url}?model=${host.origin}/model.gguf`, old);
          await visit.show(EXAMPLE);
          await visit.reaches("ready");
          assert.match(await visit.ask("well"), /well/);
          await visit.page.reload();
          await visit.reaches("ready");
          await visit.close();
        },
        ["--model-host", host.origin],
      );
    } finally {
      await host.close();
    }
  });

  test("a browser that is too old is told so, and which is enough", () =>
    withFake(
      () => {},
      async ({ url }) => {
        const visit = await openWith(url, () => (WebAssembly.validate = () => false));
        await visit.page.locator("#start-error", { hasText: /too old.*lacks WebAssembly SIMD.*Firefox \d+, Safari/s }).waitFor();
        await visit.close();
      },
    ));

  test("files of a model can be chosen on a phone, which knows no type for them", async () => {
    const html = await readFile(path.join(www, "index.html"), "utf8");
    assert.doesNotMatch(/<input[^>]*id="model-files"[^>]*>/.exec(html)?.[0] ?? "accept", /accept/);
  });

  test("the engine starts where its host calls it a stream of octets", async () => {
    const server = await serve();
    try {
      const visit = await open(browser, "about:blank", PLAIN);
      await visit.context.route("**/*.wasm", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, headers: { ...response.headers(), "content-type": "application/octet-stream" } });
      });
      await visit.page.goto(`${server.url}?backend=cpu&threads=2`);
      await visit.reaches("ready");
      await visit.close();
    } finally {
      await server.stop();
    }
  });

  test("the engine's code that never comes is given up, with a way out", () =>
    withFake(
      () => {},
      async ({ url }) => {
        const visit = await open(browser, "about:blank", PLAIN);
        // Never answered.
        await visit.context.route("**/*.wasm", () => {});
        await impatiently(visit.context);
        await visit.page.goto(url);
        await visit.at("error").waitFor();
        assert.match(await visit.errorText(), new RegExp(`llava_web_bg\\.wasm.*no answer within ${STALL_SECONDS} s.*Check the connection, then retry`, "s"));
        await visit.context.unroute("**/*.wasm");
        await visit.page.locator("#error-retry").click();
        await visit.reaches("ready");
        await visit.close();
      },
    ));

  test("rates are numbers that people read, and addresses of the hub lose what its pages add", () => {
    assert.deepEqual([3490, 104.6, 31.25, 7.25, 0.042, 1e-5].map(formatRate), ["3,490", "105", "31.3", "7.3", "0.042", "less than 0.01"]);
    const file = "https://huggingface.co/org/name/resolve/main/model.gguf";
    for (const text of [`${file}?download=true`, "huggingface.co/org/name/blob/main/model.gguf?not-for-all-audiences=true"]) assert.equal(fileAddress(text, "http://localhost/"), file);
    assert.equal(fileAddress("https://example.org/model.gguf?key=1", "http://localhost/"), "https://example.org/model.gguf?key=1");
  });

  test("a host that may be asked is not advised to be allowed", () =>
    withFake(
      () => {},
      async ({ url }) => {
        const visit = await open(browser, "about:blank", PLAIN);
        await visit.context.route("https://huggingface.co/**", (route) => route.abort());
        await visit.page.goto(`${url}?model=https://huggingface.co/org/name/resolve/main/model.gguf`);
        await visit.at("error").waitFor();
        assert.match(await visit.errorText(), /could not be downloaded.*CORS/s);
        assert.doesNotMatch(await visit.errorText(), /--model-host/);
        await visit.close();
      },
    ));
});

describe("a page with versions in its addresses", () => {
  /** What a host serves of a stand-in page. @param {string} mark tells one version from another */
  async function version(mark) {
    const { root, remove } = await fakeRoot();
    const to = await mkdtemp(path.join(tmpdir(), "llava-site-"));
    const mine = path.join(to, "source");
    await cp(root, mine, { recursive: true, dereference: true });
    await remove();
    for (const file of ["shared/failure.js", "page/dom.js"]) await writeFile(path.join(mine, file), `${await readFile(path.join(mine, file), "utf8")}\nglobalThis.llavaMark = [...(globalThis.llavaMark ?? []), "${mark}"];\n`);
    writeSite(mine, path.join(to, "site"));
    return { site: path.join(to, "site"), remove: () => rm(to, { recursive: true, force: true }) };
  }
  /** @param {string} from @param {string} to */
  async function deploy(from, to) {
    for (const name of await readdir(to)) await rm(path.join(to, name), { recursive: true, force: true });
    await cp(from, to, { recursive: true });
  }
  /** @param {(it: { one: string, two: string, root: string }) => Promise<void>} body */
  async function withVersions(body) {
    const [one, two] = [await version("one"), await version("two")];
    const root = await mkdtemp(path.join(tmpdir(), "llava-root-"));
    await deploy(one.site, root);
    try {
      await body({ one: one.site, two: two.site, root });
    } finally {
      for (const { remove } of [one, two]) await remove();
      await rm(root, { recursive: true, force: true });
    }
  }
  const marks = () => /** @type {any} */ (globalThis).llavaMark;

  test("never mixes two: after a deploy, offline, and where only a part of the new one can be had", () =>
    withVersions(async ({ two, root }) => {
      const server = await serve(root);
      const visit = await open(browser, server.url);
      await visit.reaches("ready");
      await visit.savedForOffline();
      const own = visit.requests.filter((request) => request.startsWith(server.url) && !/\/models\/|service-worker\.js$/.test(request) && new URL(request).pathname !== "/");
      assert.deepEqual(own.filter((request) => !/\/v\/[0-9a-f]{16}\//.test(request)), [], "all addresses carry the version");
      assert(["worker/worker", "start.js", "style.css", ".wasm", "examples/"].every((part) => own.some((request) => request.includes(part))), own.join("\n"));
      await deploy(two, root);
      // Of the new version one file cannot be had: it does not run, says so, and what was kept stays whole.
      const lacking = /\/v\/[0-9a-f]{16}\/page\/transcript\.js$/;
      await rm(path.join(root, "v", (await readdir(path.join(root, "v")))[0] ?? "", "page/transcript.js"));
      assert((await readdir(path.join(root, "v"))).length === 1);
      await visit.page.goto("about:blank");
      await visit.page.goto(server.url);
      await visit.page.locator("#start-error", { hasText: "could not start" }).waitFor();
      assert.deepEqual(await visit.page.evaluate(marks), undefined, "no module of either has run");
      assert(visit.requests.some((request) => lacking.test(request)));
      await server.stop();
      await visit.page.goto(server.url);
      await visit.reaches("ready");
      assert.deepEqual([...new Set(await visit.page.evaluate(marks))], ["one"]);
      await visit.close();
    }));

  test("takes the next version when all of it is there, and its error has a way out", () =>
    withVersions(async ({ one, two, root }) => {
      const server = await serve(root);
      const visit = await open(browser, server.url);
      await visit.reaches("ready");
      await visit.savedForOffline();
      // A stale document: what it names is no longer on its host.
      const stale = await readFile(path.join(one, "index.html"), "utf8");
      await deploy(two, root);
      const other = await open(browser, "about:blank", PLAIN);
      await other.context.route(server.url, (route) => route.fulfill({ body: stale, contentType: "text/html" }));
      await other.page.goto(server.url);
      // Neither start.js nor the style is there: the document's own words, and a link.
      await other.page.locator("#start-error", { hasText: "The page has not started yet" }).waitFor();
      await other.page.locator("#start-again").click();
      await other.reaches("ready");
      assert.deepEqual([...new Set(await other.page.evaluate(marks))], ["two"]);
      assert.equal(await other.page.locator("#start-error").count(), 0);
      await other.close();
      await visit.page.reload();
      await visit.reaches("ready");
      await visit.savedForOffline();
      assert.deepEqual([...new Set(await visit.page.evaluate(marks))], ["two"]);
      await server.stop();
      await visit.page.reload();
      await visit.reaches("ready");
      assert.deepEqual([...new Set(await visit.page.evaluate(marks))], ["two"]);
      await visit.close();
    }));

  test("comes from what is kept where the network is silent, or answers everything with a page of its own", () =>
    withVersions(async ({ root }) => {
      const server = await serve(root);
      const visit = await open(browser, server.url);
      await visit.reaches("ready");
      await visit.savedForOffline();
      await server.stop();
      const port = Number(new URL(server.url).port);
      /** @type {Set<import("node:net").Socket>} */
      const sockets = new Set();
      const silence = createSilence((socket) => void sockets.add(socket.on("error", () => {})));
      const portal = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>Sign in</title><p>Welcome to this network."));
      for (const network of [silence, portal]) {
        await new Promise((resolve) => network.listen(port, "127.0.0.1", () => resolve(null)));
        try {
          await visit.page.goto(server.url);
          await visit.reaches("ready");
          assert.deepEqual([...new Set(await visit.page.evaluate(marks))], ["one"]);
          await visit.show(EXAMPLE);
          assert.match(await visit.ask("well"), /well/);
        } finally {
          for (const socket of sockets) socket.destroy();
          portal.closeAllConnections();
          await new Promise((resolve) => network.close(() => resolve(null)));
        }
      }
      await visit.close();
    }));
});
