// Writes src/docs/api.md from the code: what www/llava/index.js exports, with the comments and types there.
//
//     node tests/package/api.mjs

import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
/** @type {typeof import("../browser/node_modules/typescript/lib/typescript.js")} */
const ts = (await import(pathToFileURL(path.join(repository, "tests/browser/node_modules/typescript/lib/typescript.js")).href)).default;
const www = path.join(repository, "www");
export const page = path.join(repository, "src/docs/api.md");

/** Longest line, as of every page. */
const LINE = 118;
/** Types of the package that are explained below what uses them; those of the browser are not. */
const OURS = [path.join(www, "llava"), path.join(www, "shared")];

/** @param {string} text */
function wrapped(text) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1) ?? "";
    if (line && line.length + word.length >= LINE) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines.join("\n");
}

/** Returns the page. */
export function generate() {
  const { config } = ts.readConfigFile(path.join(repository, "tests/browser/tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, path.join(repository, "tests/browser"));
  const program = ts.createProgram([path.join(www, "llava/index.js")], options);
  const checker = program.getTypeChecker();
  const flags = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope | ts.TypeFormatFlags.OmitParameterModifiers;
  /** Types to explain. @type {Map<string, import("typescript").Symbol>} */
  const types = new Map();
  /** @param {string} name @param {import("typescript").Symbol | undefined} symbol */
  const mention = (name, symbol) => {
    const file = symbol?.declarations?.[0]?.getSourceFile().fileName ?? "";
    if (symbol && !(symbol.flags & ts.SymbolFlags.TypeParameter) && !types.has(name) && !classes.has(name) && OURS.some((folder) => file.startsWith(folder))) types.set(name, symbol);
  };
  /** @type {Set<string>} */
  const classes = new Set();

  /** Notes every type of ours in a type's text. @param {import("typescript").Node | undefined} node */
  const note = (node) => {
    if (!node) return;
    if (ts.isTypeReferenceNode(node) || ts.isImportTypeNode(node)) {
      const name = ts.isTypeReferenceNode(node) ? node.typeName.getText() : (node.qualifier?.getText() ?? "");
      const type = checker.getTypeFromTypeNode(node);
      mention(name, type.aliasSymbol ?? type.getSymbol() ?? checker.getSymbolAtLocation(ts.isTypeReferenceNode(node) ? node.typeName : node));
    }
    ts.forEachChild(node, note);
  };
  /** Text of a type, in one line, without the files that it is in. @param {string} text */
  const short = (text) => text.replace(/import\("[^"]*"\)\./g, "").replace(/\s+\*?\s*/g, " ").replaceAll("{ ", "{ ").replaceAll("; }", " }").replace(/\bFailure\b/g, "LlavaError").trim();
  /** @param {import("typescript").Symbol} symbol */
  const comment = (symbol) => wrapped(ts.displayPartsToString(symbol.getDocumentationComment(checker)));

  /** Name of a member; that of a symbol as it is written. @param {import("typescript").Symbol} symbol */
  const nameOf = ({ name }) => name.replace(/^__@(\w+)@\d+$/, "[Symbol.$1]");

  /** @param {import("typescript").Symbol} symbol */
  function member(symbol) {
    const declaration = symbol.valueDeclaration ?? symbol.declarations?.[0];
    if (!declaration) return [];
    ts.getJSDocTags(declaration).forEach(note);
    const type = checker.getTypeOfSymbolAtLocation(symbol, declaration);
    const [signature] = type.getCallSignatures();
    if (!signature) {
      note(ts.getJSDocType(declaration));
      return [`### ${nameOf(symbol)}`, "", "```ts", `${nameOf(symbol)}: ${short(checker.typeToString(type, declaration, flags))}`, "```", "", comment(symbol), ""];
    }
    const written = short(checker.signatureToString(signature, declaration, flags)).replace(/\{ [^}]*? \}\??: /, "options?: ");
    const notes = signature.getJsDocTags().filter(({ name }) => ["param", "returns"].includes(name));
    const texts = notes.map(({ name, text }) => {
      const what = ts.displayPartsToString(text).replace(/^\{.*\}\s*/, "").trim();
      const [parameter = "", ...rest] = what.split(/\s+/);
      if (name === "returns") return what && `- the promise: ${what}`;
      return rest.length ? `- \`${parameter}\`: ${rest.join(" ").replace(/^- /, "")}` : "";
    });
    const listed = texts.filter(Boolean).map((text) => wrapped(text).replaceAll("\n", "\n  "));
    return [`### ${nameOf(symbol)}`, "", "```ts", `${nameOf(symbol)}${written}`, "```", "", comment(symbol), "", ...(listed.length ? [...listed, ""] : [])];
  }

  const source = program.getSourceFile(path.join(www, "llava/index.js"));
  const module = source && checker.getSymbolAtLocation(source);
  const exported = module ? checker.getExportsOfModule(module) : [];
  for (const each of exported) classes.add(each.name).add(each.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(each).name : each.name);
  const sections = exported.flatMap((alias) => {
    const symbol = alias.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(alias) : alias;
    const declaration = symbol.valueDeclaration ?? symbol.declarations?.[0];
    if (!declaration) return [];
    const type = symbol.flags & ts.SymbolFlags.Class ? checker.getDeclaredTypeOfSymbol(symbol) : checker.getTypeOfSymbolAtLocation(symbol, declaration);
    if (type.getCallSignatures().length) return [`# ${alias.name}`, "", ...member(symbol).slice(2)];
    const members = type.getProperties().filter((property) => property.declarations?.some((each) => OURS.some((folder) => each.getSourceFile().fileName.startsWith(folder))));
    const open = members.filter((property) => !property.getJsDocTags(checker).some(({ name }) => name === "internal")).filter(({ name, declarations: [each] = [] }) => !name.startsWith("__#") && !name.startsWith("#") && !(each && ts.isPropertyDeclaration(each) && ts.isPrivateIdentifier(each.name)));
    return [`# ${alias.name}`, "", comment(symbol), "", ...open.flatMap(member)];
  });

  const explained = [];
  const done = new Set();
  for (let more = true; more; ) {
    more = false;
    for (const [name, symbol] of types) {
      if (done.has(name)) continue;
      done.add(name);
      more = true;
      const declaration = symbol.declarations?.[0];
      if (!declaration) continue;
      const host = ts.isJSDocTypedefTag(declaration) ? declaration : undefined;
      if (host) ts.forEachChild(host, note);
      const type = checker.getDeclaredTypeOfSymbol(symbol);
      const written = short(checker.typeToString(type, declaration, flags | ts.TypeFormatFlags.InTypeAlias));
      const about = comment(symbol);
      const own = type.getFlags() & ts.TypeFlags.Object ? type.getProperties() : [];
      const properties = own.flatMap((property) => {
        const what = ts.displayPartsToString(property.getDocumentationComment(checker)).replace(/\s+/g, " ");
        return what ? [wrapped(`- \`${property.name}\`: ${what}`).replaceAll("\n", "\n  ")] : [];
      });
      explained.push([name, ["### " + name, "", "```ts", `type ${name} = ${written}`, "```", "", ...(about ? [about, ""] : []), ...(properties.length ? [...properties, ""] : [])]]);
    }
  }
  const sorted = explained.sort(([a], [b]) => String(a).localeCompare(String(b))).flatMap(([, lines]) => lines);
  const head = ["# API of the package", "", "What `llava-web` exports. `node tests/package/api.mjs` writes this page from the code.", ""];
  return `${[...head, ...sections, "# Types", "", ...sorted].join("\n").replace(/\n{3,}/g, "\n\n").trim()}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(page, generate());
