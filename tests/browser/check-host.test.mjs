// ./build.sh check-host: our own server passes, and what a careless host does wrong is named.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { FaultyHost } from "./faulty-host.mjs";
import { here, serve, writeSite, www } from "./harness.mjs";

/** @param {string} address */
async function check(address) {
  const child = spawn(process.execPath, [path.join(here, "check-host.mjs"), address], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
  const [code] = await once(child, "close");
  return { code, said };
}

describe("check-host", () => {
  /** @type {string} */ let folder;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "llava-host-"));
    writeSite(www, path.join(folder, "site"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("has nothing to say of our own server", async () => {
    const server = await serve(path.join(folder, "site"));
    try {
      const { code, said } = await check(server.url);
      assert.equal(code, 0, said);
      assert.match(said, /its addresses carry the version \([0-9a-f]{16}\)/);
      assert.match(said, /its bytes are what the manifest promises/);
      assert.doesNotMatch(said, /to set|could be better/);
    } finally {
      await server.stop();
    }
  });

  test("names what a careless host of the page does wrong", async () => {
    const host = createServer(async (request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://localhost/");
      const name = pathname === "/" ? "index.html" : pathname.slice(1);
      const content = await readFile(path.join(folder, "site", name)).catch(() => readFile(path.join(folder, "site/index.html")));
      // What is not there is answered with the page; all but the page is plain text; all is remembered for a day.
      response.setHeader("content-type", name === "index.html" ? "text/html" : "text/plain").setHeader("cache-control", "max-age=86400").end(content);
    });
    await new Promise((resolve) => host.listen(0, "127.0.0.1", () => resolve(null)));
    try {
      const { code, said } = await check(`http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (host.address()).port}/`);
      assert.equal(code, 1, said);
      for (const line of [
        /to set +the document is asked for anew/,
        /to set +start\.js: Content-Type: text\/plain/,
        /to set +a file that is not there: status 200/,
        /could be better +worker\/worker-threads\.js: isolated/,
        /could be better +pkg\/llava_web_bg\.wasm: Content-Type: text\/plain/,
      ]) assert.match(said, line);
    } finally {
      host.closeAllConnections();
      host.close();
    }
  });

  test("names what a model's host does wrong", async () => {
    const host = await new FaultyHost().listen();
    const name = "x.gguf";
    host.files.set(name, Buffer.alloc(100_000, 7));
    try {
      const fine = await check(`${host.origin}/${name}`);
      assert.equal(fine.code, 0, fine.said);
      host.habit = "nohead";
      assert.match((await check(`${host.origin}/${name}`)).said, /could be better +other sites see content-range/);
      [host.habit, host.ranges, host.cors] = ["", false, false];
      const { code, said } = await check(`${host.origin}/${name}`);
      assert.equal(code, 1, said);
      assert.match(said, /to set +parts of it can be asked for/);
      assert.match(said, /to set +Access-Control-Allow-Origin/);
      assert.match((await check(`${host.origin}/none.gguf`)).said, /to set +status 404/);
    } finally {
      await host.close();
    }
  });

  test("says what it takes, and when no host answers", async () => {
    assert.match((await check("")).said, /check-host URL: the address/);
    const { code, said } = await check("http://127.0.0.1:9/");
    assert.equal(code, 1);
    assert.match(said, /check-host: fetch failed: .+/);
  });
});
