// A drawing pad for pictures like the scenes that the shipped model was trained on. One draws with a pointer or with
// the keyboard: arrow keys move the pen, Space lowers and lifts it.

import { byId, make } from "./dom.js";
import { outline } from "./shapes.js";

/** Central values of src/scenes/scene.rs.
 * @type {[string, string][]} */
const COLOURS = [
  ["red", "#dc2626"], ["orange", "#f58c19"], ["yellow", "#f5dc28"], ["green", "#2da03c"],
  ["blue", "#285adc"], ["purple", "#8c37af"], ["black", "#16161a"], ["white", "#f8f8f8"],
];

/** @type {[string, string][]} */
const TOOLS = [["brush", "Brush"], ["circle", "Circle"], ["square", "Square"], ["triangle", "Triangle"], ["star", "Star"], ["heart", "Heart"], ["diamond", "Diamond"]];

/** Background of the pad: nearly white, like many of those scenes, so that white shows on it. */
const PAPER = "#f0f0ee";
/** Distance that an arrow key moves the pen, canvas pixels. */
const STEP = 12;
/** Number of strokes that can be undone; each is a copy of the canvas, 0.8 MB. */
const UNDO_DEPTH = 20;

export class DrawingPad {
  #pad = byId("pad", HTMLElement);
  #canvas = byId("canvas", HTMLCanvasElement);
  #brush = byId("brush", HTMLInputElement);
  #context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d", { willReadFrequently: true }));
  #colour = "#dc2626";
  #tool = "brush";
  /** @type {ImageData[]} */
  #history = [];
  #pen = { x: 224, y: 224, down: false };

  /** @param {(drawing: Blob, name: string) => void} onDrawing */
  constructor(onDrawing) {
    this.#choices("swatches", COLOURS, (name, value, button) => {
      button.style.setProperty("--swatch", value);
      button.setAttribute("aria-label", name);
      return () => (this.#colour = value);
    });
    this.#choices("shapes", TOOLS, (tool, label, button) => {
      button.textContent = label;
      return () => (this.#tool = tool);
    });
    this.#clear();
    this.#listen();
    byId("undo-drawing", HTMLButtonElement).addEventListener("click", () => {
      const previous = this.#history.pop();
      if (previous) this.#context.putImageData(previous, 0, 0);
    });
    byId("clear-drawing", HTMLButtonElement).addEventListener("click", () => {
      this.#saveForUndo();
      this.#clear();
    });
    byId("use-drawing", HTMLButtonElement).addEventListener("click", () => {
      this.#canvas.toBlob((blob) => blob && onDrawing(blob, "your drawing"), "image/png");
    });
  }

  /** @param {boolean} shown */
  show(shown) {
    this.#pad.hidden = !shown;
    if (shown) this.#canvas.focus({ preventScroll: true });
  }

  /**
   * Builds a group of buttons of which one is chosen; the arrow keys move between them.
   * @param {string} id
   * @param {[string, string][]} options
   * @param {(name: string, value: string, button: HTMLButtonElement) => () => void} build
   */
  #choices(id, options, build) {
    const group = byId(id, HTMLElement);
    /** @type {{ button: HTMLButtonElement, choose: () => void }[]} */
    const built = [];
    /** @param {number} chosen */
    const select = (chosen) => {
      built.forEach(({ button }, i) => {
        button.setAttribute("aria-checked", String(i === chosen));
        button.tabIndex = i === chosen ? 0 : -1;
      });
      built[chosen]?.choose();
    };
    options.forEach(([name, value], i) => {
      const button = make("button", { class: "choice", role: "radio", "data-choice": name });
      button.type = "button";
      built.push({ button, choose: build(name, value, button) });
      button.addEventListener("click", () => select(i));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = (i + step + options.length) % options.length;
        select(next);
        built[next]?.button.focus();
      });
    });
    group.replaceChildren(...built.map(({ button }) => button));
    select(0);
  }

  #listen() {
    const canvas = this.#canvas;
    /** @type {{ x: number, y: number, under: ImageData } | null} */
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      start = { ...this.#point(event), under: this.#saveForUndo() };
      this.#draw(start, start, start.under);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const to = this.#point(event);
      this.#draw(start, to, start.under);
      if (this.#tool === "brush") Object.assign(start, to);
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) canvas.addEventListener(end, () => (start = null));
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    const from = { x: this.#pen.x, y: this.#pen.y };
    if (move) {
      this.#pen.x = Math.min(448, Math.max(0, from.x + (move[0] ?? 0)));
      this.#pen.y = Math.min(448, Math.max(0, from.y + (move[1] ?? 0)));
      if (this.#pen.down) this.#draw(from, this.#pen, null);
    } else if (event.key === " ") {
      this.#pen.down = !this.#pen.down && this.#tool === "brush";
      const under = this.#saveForUndo();
      // A shape is drawn at the pen, with a radius of three brush widths.
      if (this.#tool !== "brush") this.#draw(from, { x: from.x + 3 * Number(this.#brush.value), y: from.y }, under);
      else if (this.#pen.down) this.#draw(from, from, null);
    } else return;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  /**
   * Draws a brush stroke from `from` to `to`, or a shape around `from` that reaches to `to`, over the canvas as it was
   * in `under`.
   * @param {{ x: number, y: number }} from @param {{ x: number, y: number }} to @param {ImageData | null} under
   */
  #draw(from, to, under) {
    const context = this.#context;
    context.fillStyle = context.strokeStyle = this.#colour;
    if (this.#tool === "brush") {
      Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: Number(this.#brush.value) });
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y + 0.01);
      context.stroke();
      return;
    }
    if (under) context.putImageData(under, 0, 0);
    const radius = Math.hypot(to.x - from.x, to.y - from.y);
    context.fill(outline(this.#tool, from.x, from.y, Math.max(radius, 4)));
  }

  #saveForUndo() {
    const previous = this.#context.getImageData(0, 0, this.#canvas.width, this.#canvas.height);
    this.#history.push(previous);
    if (this.#history.length > UNDO_DEPTH) this.#history.shift();
    return previous;
  }

  #clear() {
    this.#context.fillStyle = PAPER;
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
  }
}
