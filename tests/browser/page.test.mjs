// The real page with the real engine and the shipped model, in a real Chromium: on WebGPU (SwiftShader),
// and without WebGPU, which is what a headless Chromium has by default.

import assert from "node:assert/strict";
import { readFile, readdir, rm, cp, writeFile, mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { FaultyHost } from "./faulty-host.mjs";
import { PATIENCE, launch, open, repository, rootWith, serve, www } from "./harness.mjs";

/** @param {string} name */
const example = (name) => path.join(www, "examples", name);
const SHIPPED = path.join(www, "models/scenes");

for (const backend of /** @type {const} */ (["webgpu", "cpu"])) {
  describe(`the shipped model on ${backend}`, () => {
    /** @type {import("playwright-core").Browser} */ let browser;
    /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
    /** Where there is no GPU the CPU is taken unasked. */
    let url = "";
    before(async () => {
      server = await serve();
      url = backend === "webgpu" ? `${server.url}?backend=webgpu` : server.url;
      browser = await launch({ gpu: backend === "webgpu" });
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
    });

    test("load, show, ask: the right answer appears; then a second question and the same again", async () => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      assert.equal(await visit.at("backend").getAttribute("data-backend"), backend, "the page says which backend runs");
      await visit.show(example("shapes.png"));
      await visit.reaches("ready", "encoding");
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
      assert.match(await visit.ask("Is there a heart in the image?"), /\bno\b/i);
      const before = await visit.at("answer").last().innerText();
      await visit.at("regenerate").click();
      assert.equal(await visit.answered(), before.trim(), "greedy answers repeat");
      assert.deepEqual(visit.complaints, []);
      const foreign = visit.requests.filter((request) => !request.startsWith(server.url) && !request.startsWith("blob:"));
      assert.deepEqual(foreign, [], "only its own files are asked for");
      await visit.close();
    });

    test("stop ends an answer, and the conversation goes on", async () => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.show(example("shapes.png"));
      await visit.reaches("ready", "encoding");
      await visit.at("question").fill("Describe the image.");
      // In the page: the whole answer takes less time on the CPU than the driver takes from one click to the next.
      await visit.page.evaluate(async () => {
        const [send, stop] = ["send", "stop"].map((id) => /** @type {HTMLButtonElement} */ (document.querySelector(`[data-testid=${id}]`)));
        send?.click();
        while (stop?.disabled && !document.querySelector("[data-testid=answer][data-state=done]")) await new Promise((resolve) => setTimeout(resolve));
        stop?.click();
      });
      await visit.page.locator("[data-testid=answer]:is([data-state=stopped],[data-state=done])").waitFor();
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
      await visit.close();
    });

    test("?bench times it, on a GPU also by the GPU's own clock", async () => {
      const visit = await open(browser, `${server.url}?backend=${backend}&bench`);
      await visit.page.locator("[data-testid=bench][data-state=done]").waitFor({ timeout: PATIENCE });
      const [head = [], ...lines] = (await visit.at("bench").innerText()).split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.split(","));
      const stages = lines.map((line) => Object.fromEntries(head.map((name, i) => [name, line[i] ?? ""]))).filter(({ part }) => part === "stage");
      assert.deepEqual(stages.map(({ what }) => what), ["encode", "prefill", "decode", "decode with attention"]);
      for (const { what, ms, gpu_ms } of stages) {
        // Chromium rounds that clock to 0.1 ms.
        const possible = backend === "webgpu" ? Number(gpu_ms) > 0 && Number(gpu_ms) <= Number(ms) + 0.1 : gpu_ms === "";
        assert(possible, `${what}: ${gpu_ms} of ${ms} ms`);
      }
      await visit.close();
    });

    test("in a new conversation a picture is looked at anew", async () => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.show(example("shapes.png"));
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
      await visit.showAlone(example("outlines.png"));
      assert.match(await visit.ask("What color is the triangle?"), /\borange\b/i);
      await visit.close();
    });
  });
}

describe("damage and distance", () => {
  test("a corrupt shard is named, and Retry recovers once it is whole", async () => {
    const manifest = JSON.parse(await readFile(path.join(SHIPPED, "manifest.json"), "utf8"));
    const shard = manifest.shards[0].file;
    const { root, remove } = await rootWith(async (root) => {
      await rm(path.join(root, "models"));
      await mkdir(path.join(root, "models"));
      await cp(SHIPPED, path.join(root, "models/scenes"), { recursive: true });
    });
    const whole = await readFile(path.join(SHIPPED, shard));
    const corrupt = Buffer.from(whole);
    corrupt[corrupt.length >> 1] = (corrupt[corrupt.length >> 1] ?? 0) ^ 1;
    const bad = path.join(root, "models/scenes", shard);
    await writeFile(bad, corrupt);
    const server = await serve(root);
    const browser = await launch({ gpu: false });
    try {
      const visit = await open(browser, server.url);
      await visit.at("error").waitFor();
      assert.equal(await visit.at("status").getAttribute("data-state"), "error");
      assert.match(await visit.errorText(), new RegExp(shard), "the error names the file");
      await writeFile(bad, whole);
      await visit.page.getByRole("button", { name: "Retry" }).click();
      await visit.page.locator("[data-testid=status][data-state=ready]").waitFor();
      await visit.show(example("shapes.png"));
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
    } finally {
      await browser.close();
      await server.stop();
      await remove();
    }
  });

  test("after one visit the page needs no network, and no server", async () => {
    const server = await serve();
    const browser = await launch({ gpu: false });
    try {
      const visit = await open(browser, server.url);
      await visit.reaches("ready");
      await visit.savedForOffline();
      await server.stop();
      await visit.page.reload();
      await visit.reaches("ready");
      await visit.show(example("shapes.png"));
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
      assert.deepEqual(visit.complaints, []);
    } finally {
      await browser.close();
      await server.stop();
    }
  });

  test("the policy of the page and the header of our server agree", async () => {
    const server = await serve();
    try {
      const response = await fetch(server.url);
      const header = response.headers.get("content-security-policy")?.replace(" frame-ancestors 'none';", "");
      const meta = /Content-Security-Policy" content="([^"]+)"/.exec(await response.text())?.[1];
      assert.equal(meta, header);
      assert.equal(response.headers.get("cache-control"), "no-cache");
      const wasm = await fetch(`${server.url}pkg/llava_web_bg.wasm`, { headers: { range: "bytes=0-3" } });
      assert.equal(wasm.status, 206);
      assert.equal(wasm.headers.get("content-type"), "application/wasm");
      assert.equal((await wasm.arrayBuffer()).byteLength, 4);
    } finally {
      await server.stop();
    }
  });
});

describe("our server", () => {
  test("serves weights to any page: ranges, versions, permissions; and only what is named by its hash for ever", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "llava-own-"));
    await writeFile(path.join(folder, "model.gguf"), "GGUF and more");
    const server = await serve(www, ["--models", folder]);
    try {
      /** @param {string} path @param {RequestInit} [how] */
      const ask = async (path, how) => {
        const response = await fetch(server.url + path, how);
        return { status: response.status, text: await response.text(), header: (/** @type {string} */ name) => response.headers.get(name) };
      };
      const range = await ask("models-local/model.gguf", { headers: { range: "bytes=2-5" } });
      assert.deepEqual([range.status, range.text, range.header("content-range")], [206, "UF a", "bytes 2-5/13"]);
      assert.equal(range.header("access-control-allow-origin"), "*");
      assert.match(range.header("access-control-expose-headers") ?? "", /Content-Range, ETag/);
      assert.equal(range.header("cross-origin-resource-policy"), "cross-origin");
      assert(range.header("last-modified"), "a version to compare with");
      assert.equal(range.header("cache-control"), "no-cache");
      const first = await ask("models-local/model.gguf", { method: "OPTIONS" });
      assert.deepEqual([first.status, first.header("access-control-allow-headers")], [204, "Range"]);
      const beyond = await ask("models-local/model.gguf", { headers: { range: "bytes=99-100" } });
      assert.deepEqual([beyond.status, beyond.header("cache-control")], [416, "no-cache"]);
      const [shard] = (await readdir(SHIPPED)).filter((name) => name.endsWith(".bin"));
      assert.match((await ask(`models/scenes/${shard}`)).header("cache-control") ?? "", /immutable/);
      assert.equal((await ask("models/scenes/0123456789abcdef.bin")).header("cache-control"), "no-cache", "what is missing is not remembered");
      const page = await ask("");
      assert.equal(page.header("access-control-allow-origin"), null);
      assert.equal(page.header("cross-origin-resource-policy"), "same-origin");
    } finally {
      await server.stop();
      await rm(folder, { recursive: true });
    }
  });
});

describe("mirrors", () => {
  test("what one host lacks or damages comes from the next, verified", async () => {
    const [shard = ""] = (await readdir(SHIPPED)).filter((name) => name.endsWith(".bin"));
    const bytes = await readFile(path.join(SHIPPED, shard));
    /** @type {FaultyHost[]} */
    const hosts = [await new FaultyHost().listen(), await new FaultyHost().listen()];
    const [bad, good] = /** @type {[FaultyHost, FaultyHost]} */ (hosts);
    bad.files = new Map([[shard, Buffer.from(bytes.map((byte, at) => (at === 1000 ? byte ^ 1 : byte)))]]);
    good.files = new Map([[shard, bytes]]);
    const served = await rootWith(async (root) => {
      await rm(path.join(root, "models"));
      await cp(SHIPPED, path.join(root, "models/scenes"), { recursive: true });
      await rm(path.join(root, "models/scenes", shard));
      const file = path.join(root, "models/scenes/manifest.json");
      const manifest = JSON.parse((await readFile(file)).toString());
      await writeFile(file, JSON.stringify({ ...manifest, mirrors: hosts.map((host) => `${host.origin}/`) }));
    });
    const server = await serve(served.root, hosts.flatMap((host) => ["--model-host", host.origin]));
    const browser = await launch({ gpu: false });
    try {
      const visit = await open(browser, server.url);
      await visit.reaches("ready");
      assert(bad.sent > 0 && good.sent > 0, `${bad.sent} and ${good.sent} bytes`);
      await visit.close();
    } finally {
      await browser.close();
      await server.stop();
      await served.remove();
      for (const host of hosts) await host.close();
    }
  });
});

describe("the README", () => {
  test("its picture is taken", async () => {
    const server = await serve();
    const browser = await launch({ gpu: true });
    try {
      const visit = await open(browser, server.url, { viewport: { width: 1200, height: 820 }, colorScheme: "light" });
      await visit.reaches("ready");
      await visit.page.locator("[data-example='shapes.png']").click();
      for (const question of ["What color is the star?", "Which shape is at the top?", "Is there a heart in the image?"]) await visit.ask(question);
      // A run that only checks must not change the tree.
      if (process.env.LLAVA_SCREENSHOT) await visit.page.screenshot({ path: path.join(repository, "src/docs/screenshot.png") });
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});

describe("a GPU that is lost", () => {
  test("the model is loaded again, the conversation read again, and the answer goes on", async () => {
    const server = await serve();
    const browser = await launch({ gpu: true });
    try {
      const visit = await open(browser, `${server.url}?backend=webgpu`);
      await visit.reaches("ready");
      await visit.show(example("shapes.png"));
      await visit.reaches("ready", "encoding");
      const whole = await visit.ask("Describe the image.");
      assert(whole.split(" ").length > 8, whole);
      const devtools = await browser.newBrowserCDPSession();
      /** The process that holds every GPU device of this browser. */
      const gpu = async () => {
        const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
        return processInfo.find((process) => process.type === "GPU")?.id ?? 0;
      };
      const first = await gpu();
      assert(first > 0);
      // Every change is looked at: a whole answer takes less time than a frame on a busy machine.
      await visit.page.evaluate(() => new Promise((resolve) => {
        const look = () => {
          const answer = document.querySelector("[data-testid=answer][data-state=streaming]");
          if ((answer?.textContent ?? "").trim().length > 3) resolve(null);
        };
        new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
        /** @type {HTMLElement} */ (document.querySelector("[data-testid=regenerate]")).click();
      }));
      process.kill(first, "SIGKILL");
      assert.equal(await visit.answered(), whole, "greedy: the same answer, however often it was interrupted");
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
      assert.notEqual(await gpu(), first, "it was really another one");
      assert.equal(await visit.at("backend").getAttribute("data-backend"), "webgpu");
      await visit.close();
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});
