//! What the engine sees of JavaScript during a call, and how values cross.

use crate::engine::{Event, Observer};
use crate::error::{Error, Kind};
use js_sys::{Function, Promise};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, WorkerGlobalScope};

/// Longest stretch of work between two turns of the worker's message queue, milliseconds: half a frame.
const TURN_MS: f64 = 8.0;

/// An [`Observer`] that calls a JavaScript function and lets the worker read its messages.
pub struct Host {
    on_event: Function,
    cancelled: Rc<Cell<bool>>,
    turn_began: f64,
}

impl Host {
    /// Events go to `on_event`; `cancelled` may be set by another call while this one runs.
    pub fn new(on_event: Function, cancelled: Rc<Cell<bool>>) -> Self {
        Self { on_event, cancelled, turn_began: now() }
    }
}

impl Observer for Host {
    fn event(&mut self, event: Event) {
        // A listener that throws must not corrupt an answer.
        let _ = self.on_event.call1(&JsValue::NULL, &to_js(&event));
    }

    async fn pause(&mut self) -> bool {
        if now() - self.turn_began >= TURN_MS {
            next_turn().await;
            self.turn_began = now();
        }
        self.cancelled.get()
    }
}

/// Lets the worker read its messages (`cancel`, above all): a resolved promise would not, as microtasks run
/// before them; a message of our own queues behind them.
async fn next_turn() {
    let Ok(channel) = MessageChannel::new() else { return };
    let turn = Promise::new(&mut |resolve, _| {
        channel.port1().set_onmessage(Some(&resolve));
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(turn).await;
    channel.port1().close();
}

/// Milliseconds on the worker's monotonic clock.
fn now() -> f64 {
    js_sys::global().unchecked_into::<WorkerGlobalScope>().performance().map_or(0.0, |clock| clock.now())
}

/// A plain object with the fields of `value`.
pub fn to_js(value: &impl Serialize) -> JsValue {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL)
}

/// The fields of a plain object; `place` is for the error.
pub fn from_js<T: for<'a> Deserialize<'a>>(value: JsValue, place: &str) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|error| thrown(Error::new(Kind::Argument, place, error.to_string())))
}

/// An error as JavaScript gets it: every field of it.
pub fn thrown(error: Error) -> JsValue {
    to_js(&error)
}
