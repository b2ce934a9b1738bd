// Finds models among the files of a repository: pairs of .gguf files by the type of their weights, a checkpoint, or
// shards of ours. Makes no request.

import { SPLIT_GGUF } from "./address.js";

/** A file of a repository. @typedef {{ path: string, bytes: number }} HubFile */
/** A language model and its mmproj. `paths` are the files to name (the first piece of a split file), `quant` is the type
 * of the language model's weights in capitals, empty where its name does not say.
 * @typedef {{ quant: string, paths: string[], bytes: number }} Pair */
/** @typedef {{ pairs: Pair[], languages: string[], projectors: string[], unread: string[], config: string, manifest: string }} Models */

/** Types in the order of preference: the widest whose download suits, 8 bits being as good as more. */
const PREFERRED = ["Q8_0", "Q6_K", "Q5_K_M", "Q5_K", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K", "INT4", "Q4_K_S", "Q4_1", "Q4_0", "F16", "BF16", "F32"];
/** The same for models whose 8 bits are a long download: 4 bits, the best first. */
const PREFERRED_LARGE = ["Q4_K_M", "Q4_K", "INT4", "Q4_K_S", "Q4_0", "Q4_1"];
/** Preference among mmproj files: they are small, and the tower loses more by few bits than the decoder. */
const PREFERRED_PROJECTOR = ["Q8_0", "F16", "BF16", "", "F32"];
/** Download above which 4 bits are preferred, bytes. */
export const LONG_DOWNLOAD = 2.5e9;
/** Types that the engine does not read (src/docs/sources.md). */
const UNREAD = /^(Q2|Q3|IQ|TQ|MXFP|Q4_0_)/;
/** End of a name that gives the type of the weights. */
const QUANT = /(?:^|[-._/])((?:I?Q|TQ)\d(?:_[A-Z0-9]+)*|MXFP4|BF16|F(?:P)?16|F(?:P)?32|INT4)$/i;
const PROJECTOR = /mmproj|[-_.]vision|projector/i;

/** Returns the type in a file's name, in capitals. @param {string} path */
export function quantOf(path) {
  const stem = path.replace(/\.gguf$/i, "").replace(/-\d{5}-of-\d{5}$/, "");
  return (QUANT.exec(stem)?.[1] ?? "").toUpperCase().replace("FP", "F");
}

/** @param {string} path */
const folderOf = (path) => path.slice(0, path.lastIndexOf("/") + 1);

/** Merges the pieces of split files, named by their first; incomplete ones are left out. @param {HubFile[]} files */
function withoutPieces(files) {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return files.flatMap((file) => {
    const [, stem = "", number = "", count = ""] = SPLIT_GGUF.exec(file.path) ?? [];
    if (!stem) return [file];
    if (Number(number) !== 1) return [];
    const names = Array.from({ length: Math.min(Number(count), files.length + 1) }, (_, i) => `${stem}-${String(i + 1).padStart(5, "0")}-of-${count}.gguf`);
    const pieces = names.flatMap((name) => byPath.get(name) ?? []);
    return pieces.length === names.length ? [{ path: file.path, bytes: pieces.reduce((sum, { bytes }) => sum + bytes, 0) }] : [];
  });
}

/** Returns the words of a name that tell models apart. @param {string} path */
const words = (path) => new Set(path.replace(/\.gguf$/i, "").toLowerCase().split(/[-._/]/).filter((word) => word && !PROJECTOR.test(`-${word}`)));

/** Returns the mmproj for a language model: of the same folder, of the most similar name, of the preferred type.
 * @param {HubFile} language @param {HubFile[]} projectors */
function projectorFor(language, projectors) {
  const own = words(language.path);
  /** @param {HubFile} projector */
  const rank = ({ path }) => {
    const common = [...words(path)].filter((word) => own.has(word) && !QUANT.test(word)).length;
    const place = PREFERRED_PROJECTOR.indexOf(quantOf(path));
    return [folderOf(path) === folderOf(language.path) ? 0 : 1, -common, place < 0 ? PREFERRED_PROJECTOR.length : place];
  };
  return [...projectors].sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const differs = x.findIndex((value, i) => value !== y[i]);
    return differs < 0 ? a.path.localeCompare(b.path) : (x[differs] ?? 0) - (y[differs] ?? 0);
  })[0];
}

/** Returns the file of this name that lies least deep. @param {HubFile[]} files @param {string} name */
const shallowest = (files, name) =>
  files.map(({ path }) => path).filter((path) => path === name || path.endsWith(`/${name}`)).sort((a, b) => a.split("/").length - b.split("/").length || a.localeCompare(b))[0] ?? "";

/** Finds the models of a repository. @param {HubFile[]} files @returns {Models} */
export function findModels(files) {
  const ggufs = withoutPieces(files.filter(({ path }) => /\.gguf$/i.test(path)));
  const projectors = ggufs.filter(({ path }) => PROJECTOR.test(path.slice(folderOf(path).length)));
  const languages = ggufs.filter((file) => !projectors.includes(file));
  const readable = languages.filter(({ path }) => !UNREAD.test(quantOf(path)));
  const pairs = readable.flatMap((language) => {
    const projector = projectorFor(language, projectors.filter(({ path }) => !UNREAD.test(quantOf(path))));
    return projector ? [{ quant: quantOf(language.path), paths: [language.path, projector.path], bytes: language.bytes + projector.bytes }] : [];
  });
  pairs.sort((a, b) => a.bytes - b.bytes || (a.paths[0] ?? "").localeCompare(b.paths[0] ?? ""));
  const config = shallowest(files, "config.json");
  const weights = files.some(({ path }) => path.startsWith(folderOf(config)) && /\.(safetensors|bin)$/.test(path));
  const manifest = shallowest(files, "manifest.json");
  const shards = files.some(({ path }) => folderOf(path) === folderOf(manifest) && /[0-9a-f]{16}\.bin$/.test(path));
  const names = (/** @type {HubFile[]} */ list) => list.map(({ path }) => path);
  const unread = languages.filter((file) => !readable.includes(file));
  return { pairs, languages: names(languages), projectors: names(projectors), unread: names(unread), config: weights ? config : "", manifest: shards ? manifest : "" };
}

/** Returns the pairs that a wanted type means: `Q4_K` also means Q4_K_M and Q4_K_S, where there is no Q4_K.
 * @param {Pair[]} pairs @param {string} wanted */
export function pairsOfType(pairs, wanted) {
  const type = wanted.toUpperCase().replace("FP", "F");
  const exact = pairs.filter(({ quant }) => quant === type);
  return exact.length ? exact : pairs.filter(({ quant }) => quant.startsWith(`${type}_`));
}

/**
 * Returns the pair to propose: of those that fit and are no long download the widest up to 8 bits; where all are long, 4
 * bits; where nothing fits, the smallest.
 * @param {Pair[]} pairs the smallest first @param {number} memory bytes that a model may take
 */
export function proposePair(pairs, memory) {
  /** @param {string[]} order @param {number} most */
  const first = (order, most) => order.flatMap((type) => pairs.filter(({ quant, bytes }) => quant === type && bytes <= most))[0];
  return first(PREFERRED, Math.min(memory, LONG_DOWNLOAD)) ?? first(PREFERRED_LARGE, memory) ?? pairs[0];
}
