// Whether the models of the catalogue are where it says: ./build.sh check-catalogue [--host URL]. Every repository is asked
// for its listing, and every file for its length. Each line is "ok", "differs" or "not there"; the exit status is 1 where
// one is not "ok". Rounded lengths may differ by 5 %.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PATIENCE = 30_000;
/** Most that a rounded length may differ. */
const ROUNDING = 0.05;

const args = process.argv.slice(2);
/** @param {string} name @param {string} fallback */
const option = (name, fallback) => (args.includes(name) ? (args[args.lastIndexOf(name) + 1] ?? "") : fallback);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
let wrong = 0;
/** @param {"ok" | "differs" | "not there"} mark @param {string} where @param {string} what */
function say(mark, where, what) {
  if (mark !== "ok") wrong++;
  console.log(`${mark.padEnd(10)} ${where}: ${what}`);
}

/** @param {URL} url @param {Record<string, string>} [headers] @param {string} [method] */
const ask = (url, headers = {}, method = "GET") => fetch(url, { method, headers: { "accept-encoding": "identity", ...headers }, redirect: "follow", signal: AbortSignal.timeout(PATIENCE) });
/** @param {unknown} thrown */
const reason = (thrown) => (thrown instanceof Error ? [thrown.message, thrown.cause instanceof Error && thrown.cause.message].filter(Boolean).join(": ") : String(thrown));

/** Returns a file's length: what the hub says of it, or the length after the slash of a range. @param {URL} url */
async function lengthOf(url) {
  const head = await fetch(url, { method: "HEAD", headers: { "accept-encoding": "identity" }, redirect: "manual", signal: AbortSignal.timeout(PATIENCE) });
  const linked = Number(head.headers.get("x-linked-size") ?? NaN);
  // A length that the hub states is not yet a file that can be read.
  const range = await ask(url, { range: "bytes=0-0" });
  await range.body?.cancel();
  if (!range.ok) throw new Error(`status ${range.status}`);
  const size = Number(/\/(\d+)$/.exec(range.headers.get("content-range") ?? "")?.[1] ?? NaN);
  if (Number.isFinite(linked)) return linked;
  if (Number.isFinite(size)) return size;
  throw new Error("its host does not say how long it is");
}

/** Lists a repository. @param {URL} host @param {string} id @returns {Promise<Map<string, number>>} */
async function list(host, id) {
  const found = new Map();
  for (let url = new URL(`/api/models/${id}/tree/main?recursive=true`, host), page = 0; page < 20; page++) {
    const response = await ask(url);
    if (!response.ok) throw new Error(`status ${response.status} ${response.headers.get("x-error-code") ?? ""}`.trim());
    for (const { type, path, size, lfs } of await response.json()) if (type === "file") found.set(path, lfs?.size ?? size);
    const next = /<([^>]+)>\s*;\s*rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
    if (!next) break;
    const { pathname, search } = new URL(next, url);
    url = new URL(pathname + search, host);
  }
  return found;
}

/** @param {{ bytes: number, exact: boolean }} file @param {number} found */
const fits = ({ bytes, exact }, found) => (exact ? found === bytes : Math.abs(found - bytes) <= bytes * ROUNDING);
/** @param {{ bytes: number, exact: boolean }} file */
const stated = ({ bytes, exact }) => `${exact ? "" : "about "}${bytes.toLocaleString("en")} bytes`;

try {
  const host = new URL(option("--host", "https://huggingface.co"));
  const { models } = JSON.parse(await readFile(option("--catalogue", path.join(root, "www/models/catalogue.json")), "utf8"));
  /** @type {Map<string, Map<string, number>>} */
  const lists = new Map();
  for (const { variants, page } of models) {
    for (const id of new Set([page, ...variants.map((/** @type {any} */ variant) => variant.repository)].filter(Boolean))) {
      if (lists.has(id)) continue;
      try {
        lists.set(id, await list(host, id));
        say("ok", id, `${lists.get(id)?.size} files`);
      } catch (thrown) {
        lists.set(id, new Map());
        say("not there", id, reason(thrown));
      }
    }
    for (const { repository, files } of variants) {
      const known = lists.get(repository);
      for (const file of files.filter((/** @type {any} */ file) => repository && file.path)) {
        const where = `${repository}/${file.path}`;
        try {
          if (known?.size && !known.has(file.path)) throw new Error("the listing does not have it");
          const found = await lengthOf(new URL(`/${repository}/resolve/main/${file.path.split("/").map(encodeURIComponent).join("/")}`, host));
          if (fits(file, found)) say("ok", where, file.exact ? stated(file) : `${stated(file)} (exactly ${found.toLocaleString("en")})`);
          else say("differs", where, `the catalogue says ${stated(file)}, its host ${found.toLocaleString("en")}`);
        } catch (thrown) {
          say("not there", where, reason(thrown));
        }
      }
    }
  }
  console.log(wrong ? `\n${wrong} to correct in www/models/catalogue.json.` : "\nThe catalogue is right.");
} catch (thrown) {
  console.error(`check-catalogue: ${reason(thrown)}`);
  wrong++;
}
process.exitCode = wrong ? 1 : 0;
