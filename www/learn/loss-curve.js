// The loss curve, and the share of right captions, over the seconds of a stage: an SVG drawing with axes.

/** @typedef {import("./run.js").LearnRun} LearnRun */

const WIDTH = 640;
const HEIGHT = 300;
/** Space for the labels, by side. */
const MARGIN = { left: 46, right: 46, top: 14, bottom: 36 };
/** Share of the newest loss in the smoothed curve. */
const SMOOTHING = 0.15;

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function draw(tag, attributes, text) {
  const element = document.createElementNS(document.querySelector("svg")?.namespaceURI ?? null, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Returns round steps of an axis up to `top`. @param {number} top @param {number} most */
function ticks(top, most) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((step) => top / step <= most) ?? top;
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
}

export class LossCurve {
  /** @param {SVGSVGElement} svg @param {LearnRun} run */
  constructor(svg, run) {
    this.svg = svg;
    this.run = run;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    run.addEventListener("change", () => this.#show());
    this.#show();
  }

  #show() {
    const { points, exams, budget } = this.run;
    const longest = Math.max(budget.steps ? 10 : budget.seconds, points.at(-1)?.seconds ?? 0);
    const highest = Math.ceil(Math.max(1, ...points.map(({ loss }) => loss)));
    const x = (/** @type {number} */ seconds) => MARGIN.left + (seconds / longest) * (WIDTH - MARGIN.left - MARGIN.right);
    const y = (/** @type {number} */ share) => HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const line = (/** @type {[number, number][]} */ places) => places.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    let mean = points[0]?.loss ?? 0;
    const smooth = points.map(({ seconds, loss }) => /** @type {[number, number]} */ ([x(seconds), y((mean += (loss - mean) * SMOOTHING) / highest)]));
    const shares = exams.map(({ seconds, right, all }) => /** @type {[number, number]} */ ([x(seconds), y(right / Math.max(1, all))]));
    this.svg.replaceChildren(
      ...ticks(longest, 8).flatMap((at) => [draw("line", { x1: x(at), x2: x(at), y1: y(0), y2: y(1), class: "grid" }), draw("text", { x: x(at), y: HEIGHT - 20, class: "middle" }, String(at))]),
      ...ticks(highest, 5).flatMap((at) => [draw("line", { x1: x(0), x2: x(longest), y1: y(at / highest), y2: y(at / highest), class: "grid" }), draw("text", { x: MARGIN.left - 6, y: y(at / highest) + 4, class: "end" }, String(at))]),
      ...[0, 50, 100].map((at) => draw("text", { x: WIDTH - MARGIN.right + 6, y: y(at / 100) + 4, class: "share" }, `${at} %`)),
      draw("text", { x: x(longest / 2), y: HEIGHT - 4, class: "middle" }, "seconds of training"),
      draw("text", { x: 12, y: HEIGHT / 2, class: "middle", transform: `rotate(-90 12 ${HEIGHT / 2})` }, "loss"),
      draw("text", { x: WIDTH - 6, y: HEIGHT / 2, class: "middle share", transform: `rotate(90 ${WIDTH - 6} ${HEIGHT / 2})` }, "captions right"),
      draw("path", { d: line(smooth), class: "loss" }),
      draw("path", { d: line(shares), class: "share" }),
      ...shares.map(([cx, cy]) => draw("circle", { cx, cy, r: 3, class: "share" })),
    );
  }
}
