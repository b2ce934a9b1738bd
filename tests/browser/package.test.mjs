// The npm package as others use it: without a bundler, in three bundlers, from another origin, under a strict policy, on pages
// that are not isolated; and its types. Each app is tests/package/app with the packed package in node_modules.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ENGINES } from "./engines.mjs";
import { launch, open, repository, www } from "./harness.mjs";
import { ISOLATED, staticHost } from "./static-host.mjs";

const bundlers = path.join(repository, "tests/package");
const require = createRequire(path.join(bundlers, "package.json"));
/** Imports a bundler, which lies in another folder than the test tools. @param {string} name */
const bundler = async (name) => (await import(pathToFileURL(require.resolve(name)).href)).default ?? (await import(pathToFileURL(require.resolve(name)).href));
/** What the shipped model says of examples/shapes.png. */
const SAID = /green circle/;
const MODELS = { "/models/": path.join(www, "models"), "/examples/": path.join(www, "examples") };
const ONE_THREAD = /\(threads: 1: the host of this page does not isolate it from other sites\); <(yes|no)>; saved: scenes; known: [1-9]\d/;
const THREADS = /\(threads: [2-8]\); <(yes|no)>; saved: scenes; known: [1-9]\d/;

/** @type {Awaited<ReturnType<typeof staticHost>>[]} */
const hosts = [];
/** A host that ends with the tests. @param {Parameters<typeof staticHost>} what */
async function host(...what) {
  const made = await staticHost(...what);
  hosts.push(made);
  return made;
}

/** @type {string} */ let folder;
/** @type {string} */ let unpacked;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "llava-package-"));
  execFileSync(path.join(repository, "build.sh"), ["pack", path.join(folder, "pack")], { stdio: "pipe" });
  const packed = (await readdir(path.join(folder, "pack"))).find((name) => name.endsWith(".tgz")) ?? "";
  unpacked = path.join(folder, "app/node_modules/llava-web");
  await mkdir(unpacked, { recursive: true });
  execFileSync("tar", ["-xzf", path.join(folder, "pack", packed), "--strip-components=1", "-C", unpacked]);
  for (const name of await readdir(path.join(bundlers, "app"))) await cp(path.join(bundlers, "app", name), path.join(folder, "app", name));
  browser = await launch({ gpu: false });
});
after(async () => {
  await browser?.close();
  await Promise.all(hosts.map((host) => host.stop()));
  await rm(folder, { recursive: true, force: true });
});

/** Opens a page, and returns what the model says there; its complaints and missing files fail the test.
 * @param {string} url @param {{ missing: string[] }[]} hosts */
async function said(url, ...hosts) {
  const visit = await open(browser, url);
  try {
    const answer = visit.page.waitForFunction(() => /** @type {any} */ (window).said).then((handle) => handle.jsonValue());
    const failed = new Promise((_, reject) => visit.page.on("pageerror", reject));
    for (const promise of [answer, failed]) promise.catch(() => {});
    // It may have failed while it was opened.
    assert.deepEqual(visit.complaints.filter((text) => text.startsWith("uncaught")), []);
    const text = String(await Promise.race([answer, failed, visit.page.waitForTimeout(60_000).then(() => "nothing in a minute")]));
    assert.deepEqual(visit.complaints, []);
    assert.deepEqual(hosts.flatMap(({ missing }) => missing), []);
    return text;
  } catch (thrown) {
    throw new Error(`${thrown}; ${visit.complaints.join("; ")}; missing: ${hosts.flatMap(({ missing }) => missing)}`);
  } finally {
    await visit.close();
  }
}

/** Serves what a bundler has made, and asks the model there, on an isolated page and on another. @param {string} dist */
async function asked(dist) {
  for (const [headers, threads] of /** @type {const} */ ([[ISOLATED, THREADS], [{}, ONE_THREAD]])) {
    const page = await host({ ...MODELS, "/": dist }, headers);
    const text = await said(page.url, page);
    assert.match(text, SAID);
    assert.match(text, threads);
  }
}

describe("bundlers", () => {
  test("Vite, a build", async () => {
    const vite = await bundler("vite");
    const dist = path.join(folder, "vite");
    await vite.build({ root: path.join(folder, "app"), logLevel: "silent", build: { outDir: dist, emptyOutDir: true } });
    await asked(dist);
  });

  test("Vite, its server", async () => {
    const vite = await bundler("vite");
    const root = path.join(folder, "app");
    for (const name of ["models", "examples"]) await cp(path.join(www, name), path.join(root, "public", name), { recursive: true });
    const server = await vite.createServer({ root, logLevel: "silent", server: { port: 0, host: "127.0.0.1" } });
    try {
      await server.listen();
      assert.match(await said(`${server.resolvedUrls.local[0]}`), SAID);
    } finally {
      await server.close();
      await rm(path.join(root, "public"), { recursive: true });
    }
  });

  test("webpack", async () => {
    const webpack = await bundler("webpack");
    const dist = path.join(folder, "webpack");
    const stats = await new Promise((resolve, reject) =>
      webpack({ mode: "production", context: path.join(folder, "app"), entry: "./main.js", output: { path: dist } }, (/** @type {unknown} */ error, /** @type {any} */ stats) => (error ? reject(error) : resolve(stats))),
    );
    assert(!stats.hasErrors(), stats.toString());
    await writeFile(path.join(dist, "index.html"), '<!doctype html><title>llava-web</title><script src="main.js"></script>');
    await asked(dist);
  });

  test("esbuild, with the package's folder beside", async () => {
    const esbuild = await bundler("esbuild");
    const dist = path.join(folder, "esbuild");
    const main = await readFile(path.join(folder, "app/main.js"), "utf8");
    await writeFile(path.join(folder, "app/with-base.js"), main.replace("\n\n", '\n\nLLaVA.configure({ base: "/llava-web/" });\n'));
    await esbuild.build({ entryPoints: [path.join(folder, "app/with-base.js")], bundle: true, format: "esm", outfile: path.join(dist, "main.js"), logLevel: "silent" });
    await cp(unpacked, path.join(dist, "llava-web"), { recursive: true });
    await cp(path.join(folder, "app/index.html"), path.join(dist, "index.html"));
    await asked(dist);
  });
});

/** The app as a module of its own, importing the package from an address. @param {string} address */
async function unbundled(address) {
  const main = await readFile(path.join(folder, "app/main.js"), "utf8");
  return main.replace('"llava-web"', JSON.stringify(address));
}
/** A page with nothing but a script. */
const OWN = "./llava-web/llava/index.js";
/** Headers of a CDN that any page may import from. */
const CDN = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
const PAGE = '<!doctype html><title>llava-web</title><link rel="icon" href="data:,"><script type="module" src="main.js"></script>';

describe("without a bundler", () => {
  /** The app, on a host with these headers. @param {string} address of the package @param {Record<string, string>} headers */
  async function app(address, headers) {
    const dist = await mkdtemp(path.join(folder, "page-"));
    await writeFile(path.join(dist, "index.html"), PAGE);
    await writeFile(path.join(dist, "main.js"), await unbundled(address));
    return Object.assign(await host({ ...MODELS, "/llava-web/": unpacked, "/": dist }, headers), { folder: dist });
  }

  /** @param {string} address @param {{ missing: string[] }[]} others */
  async function works(address, ...others) {
    for (const [headers, threads] of /** @type {const} */ ([[ISOLATED, THREADS], [{}, ONE_THREAD]])) {
      const page = await app(address, headers);
      const text = await said(page.url, page, ...others);
      assert.match(text, SAID);
      assert.match(text, threads);
    }
  }

  test("one import from a static host, isolated or not", () => works(OWN));

  test("from another origin, isolated or not: workers come through a script of this one", async () => {
    const cdn = await host({ "/llava-web@0/": unpacked }, CDN);
    await works(`${cdn.url}llava-web@0/llava/index.js`, cdn);
  });

  for (const { name, start } of ENGINES.filter(({ name, backend }) => backend === "cpu" && !name.startsWith("Chromium"))) {
    test(`from another origin in ${name}`, async () => {
      const cdn = await host({ "/llava-web@0/": unpacked }, CDN);
      // WebKit gives a worker of another origin no origin on an isolated page.
      const isolated = name.startsWith("WebKit") ? {} : ISOLATED;
      const page = await app(`${cdn.url}llava-web@0/llava/index.js`, isolated);
      const tab = await start();
      try {
        await tab.goto(page.url);
        const text = await tab.evaluate(async () => {
          for (let tries = 0; tries < 600 && !("said" in window); tries++) await new Promise((resolve) => setTimeout(resolve, 100));
          return String(/** @type {any} */ (window).said);
        });
        assert.match(text, SAID);
        assert.match(text, /saved: (scenes)?; known: [1-9]/);
        assert.deepEqual([...page.missing, ...cdn.missing], []);
      } finally {
        await tab.close();
      }
    });
  }

  for (const { start } of ENGINES.filter(({ name }) => name === "WebKitGTK, CPU")) {
    test("from another origin in WebKitGTK on an isolated page: an error says so", async () => {
      const cdn = await host({ "/llava-web@0/": unpacked }, CDN);
      const page = await app(`${cdn.url}llava-web@0/llava/index.js`, ISOLATED);
      await writeFile(path.join(page.folder, "main.js"), `import { LLaVA } from "${cdn.url}llava-web@0/llava/index.js";
        LLaVA.load("/models/scenes/manifest.json", { backend: "cpu" }).catch((error) => (window.said = [error.name, error.kind].join()));`);
      const tab = await start();
      try {
        await tab.goto(page.url);
        const text = await tab.evaluate(async () => {
          for (let tries = 0; tries < 200 && !("said" in window); tries++) await new Promise((resolve) => setTimeout(resolve, 100));
          return String(/** @type {any} */ (window).said);
        });
        assert.match(text, /^LlavaError,engine$/);
      } finally {
        await tab.close();
      }
    });
  }

  test("under a strict policy, which src/docs/package.md gives, and no stricter one", async () => {
    const docs = await readFile(path.join(repository, "src/docs/package.md"), "utf8");
    const [own = "", other = ""] = [...docs.matchAll(/^Content-Security-Policy: (.*)$/gm)].map((found) => found[1] ?? "");
    const cdn = await host({ "/llava-web@0/": unpacked }, CDN);
    const far = other.replaceAll("https://cdn.example", cdn.url.slice(0, -1));
    for (const [address, policy] of /** @type {const} */ ([[OWN, own], [`${cdn.url}llava-web@0/llava/index.js`, far]])) {
      const page = await app(address, { ...ISOLATED, "content-security-policy": policy });
      assert.match(await said(page.url, page, cdn), THREADS);
      for (const [part, less] of /** @type {const} */ ([["'wasm-unsafe-eval'", ""], [/worker-src [^;]*/, "worker-src 'none'"], [/connect-src [^;]*/, ""], [" llava-web", ""]])) {
        const poor = await app(address, { ...ISOLATED, "content-security-policy": policy.replace(part, less) });
        await assert.rejects(said(poor.url, poor), /LlavaError|uncaught/, `without ${part} it works, too`);
      }
    }
  });
});

describe("types", () => {
  test("compile in strict mode, as modules of bundlers and of Node.js are found", async () => {
    const tsc = path.join(repository, "tests/browser/node_modules/.bin/tsc");
    await cp(path.join(bundlers, "types/example.ts"), path.join(folder, "app/example.ts"));
    for (const [module, resolution] of [["esnext", "bundler"], ["nodenext", "nodenext"]]) {
      const options = { module, moduleResolution: resolution, target: "es2022", lib: ["es2022", "dom", "dom.iterable"], strict: true, exactOptionalPropertyTypes: false, skipLibCheck: false, noEmit: true, types: [] };
      await writeFile(path.join(folder, "app/tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["example.ts"] }));
      await writeFile(path.join(folder, "app/package.json"), JSON.stringify({ type: "module" }));
      const run = spawnSync(tsc, ["--project", path.join(folder, "app")], { encoding: "utf8" });
      assert.equal(run.stdout, "");
    }
  });
});

test("the page of the API is current: node tests/package/api.mjs", async () => {
  const { generate, page } = await import(pathToFileURL(path.join(bundlers, "api.mjs")).href);
  assert.equal(await readFile(page, "utf8"), generate());
});
