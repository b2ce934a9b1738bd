// The page: makes the components and joins them. Read session.js for what happens.

import { deepLink, fileAddress, fromFiles } from "../shared/address.js";
import { Camera } from "./camera.js";
import { Composer } from "./composer.js";
import { byId } from "./dom.js";
import { DrawingPad } from "./drawing-pad.js";
import { acceptDrops } from "./drops.js";
import { ErrorBox } from "./error-box.js";
import { Examples } from "./examples.js";
import { Machine } from "./machine.js";
import { ModelCard } from "./model-card.js";
import { ModelDialog } from "./model-dialog.js";
import { keepForOffline } from "./offline.js";
import { PictureBox } from "./picture-box.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { StatusBar } from "./status-bar.js";
import { Transcript } from "./transcript.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

/** The model that is shipped with the page. */
const SHIPPED = "models/scenes/manifest.json";

const query = new URLSearchParams(location.search);
const settings = new Settings(query, () => session.open());
const shipped = { addresses: [new URL(SHIPPED, document.baseURI).href] };
const session = new Session(shipped, () => settings.current);

new StatusBar(session);
new Machine(session);
new Transcript(session);
new ErrorBox(session, () => settings.useBackend("cpu"));
const composer = new Composer(session);

const pad = new DrawingPad(take);
/** @param {boolean} drawing */
function draw(drawing) {
  byId("mode-draw", HTMLElement).setAttribute("aria-pressed", String(drawing));
  byId("mode-picture", HTMLElement).setAttribute("aria-pressed", String(!drawing));
  byId("frame", HTMLElement).hidden = drawing;
  pad.show(drawing);
}
byId("mode-draw", HTMLElement).addEventListener("click", () => draw(true));
byId("mode-picture", HTMLElement).addEventListener("click", () => draw(false));

/** A picture, from wherever: shown, and read while the person types.
 * @param {Blob} blob @param {string} name @param {string[]} [questions] */
function take(blob, name, questions = Examples.general) {
  draw(false);
  composer.suggest(questions);
  session.show(blob, name);
  // On a touch screen this would raise the keyboard over the picture.
  if (matchMedia("(pointer: fine)").matches) byId("question", HTMLElement).focus({ preventScroll: true });
}
new PictureBox(session, take);
acceptDrops(take, (files) => attempt(() => choose(fromFiles(files))));
new Camera(take);
new Examples(take, (thrown, retry) => session.miss(thrown, "example", retry));

/** Another model, and its address in the place of this page's, for sharing. @param {ModelRef} model @param {boolean} [asked] */
async function choose(model, asked = true) {
  const own = model === shipped || !("addresses" in model);
  try {
    history.replaceState(null, "", deepLink(own ? [] : model.addresses, location.href));
  } catch (thrown) {
    // A frame without an origin of its own may not; Safari limits how often.
    console.info("The address stays as it was:", thrown);
  }
  // What the shipped model cannot do is said only of the shipped model.
  byId("intro-limits", HTMLElement).hidden = model !== shipped;
  await session.choose(model, asked);
}

/** @param {() => Promise<void> | void} work */
async function attempt(work) {
  try {
    await work();
  } catch (thrown) {
    session.fail(thrown, "model", () => session.dismiss());
  }
}
new ModelCard(session, () => choose(shipped));
new ModelDialog(choose, () => choose(shipped));

const whenLoaded = async () => {
  if (!session.loaded) return;
  session.removeEventListener("change", whenLoaded);
  keepForOffline(session);
  if (query.has("bench")) (await import("./measurements.js")).showMeasurements(session);
};
session.addEventListener("change", whenLoaded);

// It runs: what index.html says otherwise is over, unless start.js has found the browser too old for the engine.
if (!document.documentElement.dataset.old) byId("start-trouble", HTMLElement).remove();

const named = [query.get("model"), query.get("mmproj")].filter((text) => text !== null);
await attempt(() => {
  const addresses = named.map((text) => fileAddress(text, document.baseURI));
  return addresses[0] && addresses[0] !== shipped.addresses[0] ? choose({ addresses }, false) : choose(shipped);
});
