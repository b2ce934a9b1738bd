// Runs before the page's modules, in browsers of any age: says what is wrong where they cannot run. It is no module, and has no
// syntax younger than 2015. index.html has the words for when not even this can be loaded.

(function () {
  "use strict";
  /** `(func (result v128) (i8x16.splat (i32.const 0)) (i8x16.popcnt))`: SIMD, as the engine needs it. */
  var SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  var ENOUGH = "Chrome or Edge 96, Firefox 114 and Safari 16.4 are enough, and whatever is newer (all of them are of 2023 or older).";

  /** Whether workers may be modules: who knows of that asks for the type. */
  function moduleWorkers() {
    var asked = false;
    // Browsers with trusted types have had them for longer.
    if (/** @type {any} */ (window).trustedTypes) return true;
    try {
      var options = Object.defineProperty({}, "type", { get: function () { asked = true; return "module"; } });
      new Worker("data:text/javascript,", options).terminate();
    } catch (thrown) {
      // Refused, but asked.
    }
    return asked;
  }

  /** What this browser lacks; empty where it is new enough. */
  function missing() {
    if (typeof WebAssembly !== "object") return "WebAssembly";
    if (!WebAssembly.validate(new Uint8Array(SIMD))) return "WebAssembly SIMD";
    if (!("noModule" in document.createElement("script"))) return "JavaScript modules";
    if (!window.HTMLDialogElement || !Element.prototype.replaceChildren || !window.ReadableStream) return "parts of HTML and of streams";
    if (!(/** @type {any} */ (Array.prototype).at)) return "parts of JavaScript";
    return moduleWorkers() ? "" : "workers that are modules";
  }

  /** @param {string} title @param {string} message */
  function say(title, message) {
    var box = document.getElementById("start-trouble");
    if (!box) return;
    box.className += " now";
    /** @type {HTMLElement} */ (document.getElementById("start-title")).textContent = title;
    /** @type {HTMLElement} */ (document.getElementById("start-message")).textContent = message;
    /** @type {HTMLElement} */ (document.getElementById("status-text")).textContent = "Not started.";
    /** @type {HTMLElement} */ (document.getElementById("status")).setAttribute("data-state", "error");
  }

  /** What was kept of the page is thrown away, models excepted, and all of it asked for under an address that no cache knows. */
  function anew() {
    var query = location.search.replace(/([?&])again(=\d*)?(&|$)/, "$1").replace(/[?&]$/, "");
    var address = location.pathname + query + (query ? "&" : "?") + "again=" + Date.now();
    function go() { location.replace(address); }
    setTimeout(go, 3000);
    var forgotten = [];
    try {
      forgotten.push(navigator.serviceWorker.getRegistration().then(function (found) { return found && found.unregister(); }));
      forgotten.push(caches.keys().then(function (names) {
        return Promise.all(names.filter(function (name) { return /^llava-web( |$)/.test(name); }).map(function (name) { return caches.delete(name); }));
      }));
    } catch (thrown) {
      // Then nothing is kept.
    }
    Promise.all(forgotten).then(go, go);
  }

  /** A script that could not be loaded, or not be run. @param {Event} event */
  function failed(event) {
    var target = /** @type {any} */ (event.target);
    var script = target && target.tagName === "SCRIPT";
    if (!script && !/** @type {any} */ (event).message) return;
    if (old) return say("This browser is too old for this page.", "It lacks " + old + ". " + ENOUGH);
    var why = script ? "A script of it could not be loaded" : "A script of it could not be run (" + /** @type {any} */ (event).message + ")";
    say("The page could not start.", why + ": the connection may be broken, or its host may have another version of it by now.");
  }

  var old = missing();
  if (old) document.documentElement.setAttribute("data-old", old);
  window.addEventListener("error", failed, true);
  document.addEventListener("DOMContentLoaded", function () {
    var again = document.getElementById("start-again");
    // The page runs already.
    if (!again) return;
    again.addEventListener("click", function (event) {
      event.preventDefault();
      anew();
    });
    if (old) say("This browser is too old for this page.", "It lacks " + old + ". " + ENOUGH);
  });
})();
