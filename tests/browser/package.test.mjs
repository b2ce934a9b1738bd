// The npm package as others use it: without a bundler, in three bundlers, from another origin, under a strict policy, on pages
// that are not isolated; and its types. Each app is tests/package/app with the packed package in node_modules.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch, open, repository, www } from "./harness.mjs";
import { ISOLATED, staticHost } from "./static-host.mjs";

const bundlers = path.join(repository, "tests/package");
const require = createRequire(path.join(bundlers, "package.json"));
/** Imports a bundler, which lies in another folder than the test tools. @param {string} name */
const bundler = async (name) => (await import(pathToFileURL(require.resolve(name)).href)).default ?? (await import(pathToFileURL(require.resolve(name)).href));
/** What the shipped model says of examples/shapes.png. */
const SAID = /green circle/;
const MODELS = { "/models/": path.join(www, "models"), "/examples/": path.join(www, "examples") };
const ONE_THREAD = /\(threads: 1: the host of this page does not isolate it from other sites\); saved: scenes; known: [1-9]\d/;
const THREADS = /\(threads: [2-8]\); saved: scenes; known: [1-9]\d/;

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
  await rm(folder, { recursive: true, force: true });
});

/** Opens a page, and returns what the model says there; its complaints and missing files fail the test.
 * @param {string} url @param {{ missing: string[] }[]} hosts */
async function said(url, ...hosts) {
  const visit = await open(browser, url);
  try {
    const answer = visit.page.waitForFunction(() => /** @type {any} */ (window).said).then((handle) => handle.jsonValue());
    const failed = new Promise((_, reject) => visit.page.on("pageerror", reject));
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
    const host = await staticHost({ ...MODELS, "/": dist }, headers);
    try {
      const text = await said(host.url, host);
      assert.match(text, SAID);
      assert.match(text, threads);
    } finally {
      await host.stop();
    }
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
