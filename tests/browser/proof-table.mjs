// `./build.sh proof-table FILES…`: the table of many reports of proof.html, a line for each, as Markdown.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseReport, verdictOf, worst } from "../../www/proof/report.js";

/** @typedef {import("../../www/proof/report.js").Report} Report */

/** Shortens a browser's name to its product and version. @param {string} agent */
export function browserOf(agent) {
  const products = [/Edg\/[\d]+/, /Firefox\/[\d]+/, /(?:Headless)?Chrome\/[\d]+/, /Version\/[\d.]+(?= (?:Mobile\/\w+ )?Safari)/];
  const found = products.map((product) => product.exec(agent)?.[0]).find(Boolean);
  return (found ?? agent.slice(0, 40)).replace("Version/", "Safari ").replace("Edg/", "Edge ").replace("/", " ");
}

/** Returns the cells of a report. @param {Report} report */
export function line(report) {
  const { wrong, right } = verdictOf(report);
  const sum = (/** @type {"steps" | "agreed" | "ties"} */ field) => report.runs.reduce((total, run) => total + run[field], 0);
  const most = report.runs.flatMap((run) => worst(run) ?? []).sort((a, b) => b.error / b.bound - a.error / a.bound)[0];
  return [
    report.adapter || `none (${report.why})`,
    browserOf(report.browser),
    report.page || "not built",
    report.date.slice(0, 10),
    right.join(", ") || "none",
    wrong.join(", ") || "none",
    most ? `${(most.error / most.bound).toPrecision(2)} (${most.operation.split(" ")[0]})` : "",
    `${sum("agreed")} of ${sum("steps")}, ${sum("ties")} near ties`,
  ];
}

const COLUMNS = ["adapter", "browser", "page", "date", "right", "wrong", "largest share of a bound", "tokens"];

/** @param {Report[]} reports */
export function table(reports) {
  const row = (/** @type {string[]} */ texts) => `| ${texts.map((text) => text.replace(/[|\\]/g, "\\$&").replace(/\s+/g, " ")).join(" | ")} |`;
  return [row(COLUMNS), row(COLUMNS.map(() => "---")), ...reports.map((report) => row(line(report)))].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = process.argv.slice(2);
  try {
    if (!files.length) throw new Error("name the files: ./build.sh proof-table FILES…");
    const reports = await Promise.all(files.map(async (file) => parseReport(JSON.parse(await readFile(file, "utf8")), file)));
    console.log(table(reports));
  } catch (thrown) {
    console.error(`proof-table: ${thrown instanceof Error ? thrown.message : thrown}`);
    process.exit(1);
  }
}
