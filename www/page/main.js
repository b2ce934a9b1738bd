// Entry point of the page: creates the components and connects them. session.js holds the state.

import { LLaVA } from "../llava/index.js";
import { Camera } from "./camera.js";
import { Composer } from "./composer.js";
import { deepLink } from "./deep-link.js";
import { DetailsPanel } from "./details-panel.js";
import { byId } from "./dom.js";
import { DrawingPad } from "./drawing-pad.js";
import { acceptDrops } from "./drops.js";
import { ErrorBox } from "./error-box.js";
import { Examples } from "./examples.js";
import { ExportDialog } from "./export-dialog.js";
import { HeatView } from "./heat-view.js";
import { LastChoice, lastChoice } from "./last-choice.js";
import { ModelCard } from "./model-card.js";
import { ModelDialog } from "./model-dialog.js";
import { Offers, acceptIfClear } from "./offers.js";
import { cacheForOffline } from "./offline-cache.js";
import { PhotoHint } from "./photo-hint.js";
import { PictureBox } from "./picture-box.js";
import { PictureSizeChoice } from "./picture-size-choice.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { StatusBar } from "./status-bar.js";
import { Transcript } from "./transcript.js";

/** @typedef {import("../shared/protocol.js").ModelRef} ModelRef */

/** Manifest of the model that is shipped with the page. */
const SHIPPED = "models/scenes/manifest.json";

const query = new URLSearchParams(location.search);
const settings = new Settings(query, () => session.loading.open());
const shipped = { addresses: [new URL(SHIPPED, document.baseURI).href] };
const session = new Session(shipped, () => settings.current);

new PictureSizeChoice("settings-picture", session, () => session.activity.loaded);
new StatusBar(session);
new DetailsPanel(session);
new ErrorBox(session, () => settings.useBackend("cpu"));
const composer = new Composer(session);
new HeatView(session, new Transcript(session, (turn, from) => composer.edit(turn, from)));
new ExportDialog(session);
byId("forget-conversation", HTMLElement).addEventListener("click", () => session.newConversation());

const pad = new DrawingPad((drawing, name) => showPicture(drawing, name, Examples.general, "drawing"));
/** @param {boolean} drawing */
function draw(drawing) {
  byId("mode-draw", HTMLElement).setAttribute("aria-pressed", String(drawing));
  byId("mode-picture", HTMLElement).setAttribute("aria-pressed", String(!drawing));
  byId("frame", HTMLElement).hidden = drawing;
  pad.show(drawing);
}
byId("mode-draw", HTMLElement).addEventListener("click", () => draw(true));
byId("mode-picture", HTMLElement).addEventListener("click", () => draw(false));

/** Attaches a picture to the next question; it is encoded while the person types.
 * @param {Blob} blob @param {string} name @param {string[]} [questions]
 * @param {import("./types.js").Picture["source"]} [source] */
function showPicture(blob, name, questions = Examples.general, source = "") {
  draw(false);
  composer.suggest(questions);
  session.attach(blob, name, source);
  // On a touch screen the focus would open the keyboard over the picture.
  if (matchMedia("(pointer: fine)").matches) byId("question", HTMLElement).focus({ preventScroll: true });
}
new PictureBox(session, (file, name) => showPicture(file, name));
acceptDrops((file, name) => showPicture(file, name), (files) => showingErrors(() => LLaVA.resolve(files).then((model) => choose(model))));
new Camera((photo, name) => showPicture(photo, name));
new Examples((picture, name, questions) => showPicture(picture, name, questions, "example"), (thrown, retry) => session.activity.showError(thrown, "example", retry));

const remembered = new LastChoice(session);
const isShipped = () => session.loading.model === shipped;
/** Returns the model that names or addresses mean. @param {string[]} texts */
const resolve = (texts) => LLaVA.resolve(texts, { backend: settings.current.backend });

/** Opens another model, and writes its address into the page's, for sharing.
 * @param {ModelRef} named @param {boolean} [askAgain] @param {boolean} [again] whether it is that of the last visit */
async function choose(named, askAgain = true, again = false) {
  const model = await LLaVA.resolve(named);
  const unnamed = model === shipped || !("addresses" in model);
  try {
    history.replaceState(null, "", deepLink(unnamed ? [] : model.addresses, location.href));
  } catch (thrown) {
    // A frame with an opaque origin may not change the address; Safari limits how often a page may.
    console.info("The page's address was not changed:", thrown);
  }
  // The limits in the introduction are those of the shipped model.
  byId("intro-limits", HTMLElement).hidden = model !== shipped;
  byId("remembered", HTMLElement).hidden = !again;
  if (model === shipped) remembered.forget();
  else if (askAgain) remembered.choose(model);
  await session.loading.choose(model, askAgain);
}

/** @param {() => Promise<void> | void} work */
async function showingErrors(work) {
  try {
    await work();
  } catch (thrown) {
    session.activity.fail(thrown, "model", () => session.activity.dismissError());
  }
}
const backToShipped = () => choose(shipped);
new ModelCard(session, backToShipped, choose);
new ModelDialog(choose, backToShipped, resolve);
byId("remembered-shipped", HTMLElement).addEventListener("click", backToShipped);
const offers = new Offers(session, isShipped, (offer) => showingErrors(async () => {
  await choose({ addresses: offer.addresses });
  await acceptIfClear(session, offer);
}));
new PhotoHint(session, isShipped, offers);

session.resume();

const whenLoaded = async () => {
  if (!session.activity.loaded) return;
  session.activity.removeEventListener("change", whenLoaded);
  performance.mark("ready");
  cacheForOffline(session);
  if (query.has("bench")) (await import("./measurements.js")).showMeasurements(session);
};
session.activity.addEventListener("change", whenLoaded);

performance.mark("interactive");
// The page runs: the warning of index.html is removed, unless start.js has found the browser too old for the engine.
if (!document.documentElement.dataset.old) byId("start-error", HTMLElement).remove();

const named = [query.get("model"), query.get("mmproj")].filter((text) => text !== null);
const last = named.length ? null : lastChoice();
/** Opens the model of the address, that of the last visit, or the shipped one. */
async function openFirst() {
  const model = named.length ? await resolve(named) : last;
  if (!model || ("addresses" in model && model.addresses[0] === shipped.addresses[0])) return choose(shipped);
  return choose(model, false, model === last);
}
await showingErrors(openFirst);
