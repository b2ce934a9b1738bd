// Runs before the page's modules, in browsers of any age, and says what is wrong where they cannot run. It is a classic
// script in the syntax of 2015. index.html has the message for the case that this script cannot be loaded either.

(function () {
  "use strict";
  /** `(func (result v128) (i8x16.splat (i32.const 0)) (i8x16.popcnt))`: SIMD, which the engine needs. */
  var SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
  var ENOUGH = "It needs Chrome or Edge 96, Firefox 114, Safari 16.4 or newer; these are of 2023 or older.";

  /** Returns whether workers may be modules: a browser that supports them reads the option `type`. */
  function moduleWorkers() {
    var asked = false;
    // Browsers with Trusted Types support module workers.
    if (/** @type {any} */ (window).trustedTypes) return true;
    try {
      var options = Object.defineProperty({}, "type", { get: function () { asked = true; return "module"; } });
      new Worker("data:text/javascript,", options).terminate();
    } catch (thrown) {
      // The security policy refuses the address after the option was read.
    }
    return asked;
  }

  /** Returns the feature that this browser lacks; empty where it has all. */
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
    var box = document.getElementById("start-error");
    if (!box) return;
    box.className += " now";
    /** @type {HTMLElement} */ (document.getElementById("start-title")).textContent = title;
    /** @type {HTMLElement} */ (document.getElementById("start-message")).textContent = message;
    /** @type {HTMLElement} */ (document.getElementById("status-text")).textContent = "Not started.";
    /** @type {HTMLElement} */ (document.getElementById("status")).setAttribute("data-state", "error");
  }

  /** Deletes the cached versions of the page, but no models, and reloads it under an address that no cache holds. */
  function reload() {
    var query = location.search.replace(/([?&])again(=\d*)?(&|$)/, "$1").replace(/[?&]$/, "");
    var address = location.pathname + query + (query ? "&" : "?") + "again=" + Date.now();
    function go() { location.replace(address); }
    setTimeout(go, 3000);
    var deletions = [];
    try {
      deletions.push(navigator.serviceWorker.getRegistration().then(function (found) { return found && found.unregister(); }));
      deletions.push(caches.keys().then(function (names) {
        return Promise.all(names.filter(function (name) { return /^llava-web( |$)/.test(name); }).map(function (name) { return caches.delete(name); }));
      }));
    } catch (thrown) {
      // Without storage nothing is cached.
    }
    Promise.all(deletions).then(go, go);
  }

  /** Reports a script that could not be loaded or run. @param {Event} event */
  function failed(event) {
    var target = /** @type {any} */ (event.target);
    var script = target && target.tagName === "SCRIPT";
    if (!script && !/** @type {any} */ (event).message) return;
    if (old) return say("This browser is too old for this page.", "It lacks " + old + ". " + ENOUGH);
    var why = script ? "One of its scripts could not be loaded" : "One of its scripts could not be run (" + /** @type {any} */ (event).message + ")";
    say("The page could not start.", why + ": the connection may be broken, or its host may have a newer version.");
  }

  var old = missing();
  if (old) document.documentElement.setAttribute("data-old", old);
  window.addEventListener("error", failed, true);
  document.addEventListener("DOMContentLoaded", function () {
    var again = document.getElementById("start-again");
    // The page has started and removed the message.
    if (!again) return;
    again.addEventListener("click", function (event) {
      event.preventDefault();
      reload();
    });
    if (old) say("This browser is too old for this page.", "It lacks " + old + ". " + ENOUGH);
  });
})();
