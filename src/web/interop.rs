//! JavaScript for the engine: an observer, a source, a clock, and the conversion of values.

use crate::engine::{Event, Observer};
use crate::error::{self, Error, Kind};
use crate::format::source::Source;
use js_sys::{Function, Promise, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, WorkerGlobalScope};

/// Longest work between two turns of the worker's message queue, milliseconds: half a frame.
const TURN_MS: f64 = 8.0;

/// An [`Observer`] that calls a JavaScript function and lets the worker handle its messages.
pub struct JsObserver {
    on_event: Function,
    cancelled: Rc<Cell<bool>>,
    turn_began: f64,
}

impl JsObserver {
    /// Sends events to `on_event`; another call may set `cancelled` while this one runs.
    pub fn new(on_event: Function, cancelled: Rc<Cell<bool>>) -> Self {
        Self { on_event, cancelled, turn_began: now() }
    }

    /// Calls the function with `value`. An exception that it throws is ignored, since it must not corrupt an answer.
    pub fn send(&self, value: &JsValue) {
        let _ = self.on_event.call1(&JsValue::NULL, value);
    }
}

impl Observer for JsObserver {
    fn event(&mut self, event: Event) {
        // Attention comes as bytes: an array of numbers would be several times as large.
        let serializer = serde_wasm_bindgen::Serializer::json_compatible().serialize_bytes_as_arrays(false);
        self.send(&event.serialize(&serializer).unwrap_or(JsValue::NULL));
    }

    async fn pause(&mut self) -> bool {
        if now() - self.turn_began >= TURN_MS {
            next_turn().await;
            self.turn_began = now();
        }
        self.cancelled.get()
    }
}

/// A [`Source`] in JavaScript: an object with `size(file)`, `read(file, offset, bytes)` and `expect(file, bytes)`.
pub struct JsSource {
    source: JsValue,
    /// The exception that it threw last, to be thrown again unchanged.
    thrown: RefCell<Option<JsValue>>,
}

impl JsSource {
    /// Wraps the object.
    pub fn new(source: JsValue) -> Self {
        Self { source, thrown: RefCell::default() }
    }

    /// Takes the exception that JavaScript threw, if it did.
    pub fn thrown(&self) -> Option<JsValue> {
        self.thrown.take()
    }

    /// Calls a method.
    fn begin(&self, method: &str, file: &str, arguments: &[u64]) -> Result<JsValue, JsValue> {
        let function: Function = Reflect::get(&self.source, &method.into())?.dyn_into()?;
        let list = js_sys::Array::of1(&file.into());
        for n in arguments {
            list.push(&(*n as f64).into());
        }
        function.apply(&self.source, &list)
    }

    /// Calls a method and awaits its result.
    async fn call(&self, method: &str, file: &str, arguments: &[u64]) -> error::Result<JsValue> {
        let result = match self.begin(method, file, arguments) {
            Ok(promise) => JsFuture::from(Promise::resolve(&promise)).await,
            Err(thrown) => Err(thrown),
        };
        result.map_err(|thrown| {
            self.thrown.replace(Some(thrown));
            Error::new(Kind::Io, file, format!("{method} failed"))
        })
    }
}

impl Source for JsSource {
    async fn size(&self, name: &str) -> error::Result<Option<u64>> {
        let size = self.call("size", name, &[]).await?;
        // 2^53: sizes come from servers.
        Ok(size.as_f64().filter(|n| (0.0..=9e15).contains(n)).map(|n| n as u64))
    }

    async fn read(&self, name: &str, offset: u64, bytes: u64) -> error::Result<Vec<u8>> {
        let read = self.call("read", name, &[offset, bytes]).await?;
        match read.dyn_into::<Uint8Array>() {
            Ok(array) if u64::from(array.length()) <= bytes => Ok(array.to_vec()),
            _ => crate::fail!(Io, name, "read gave something else than at most {bytes} bytes"),
        }
    }

    fn expect(&self, name: &str, bytes: u64) {
        // What goes wrong is reported when the file is read.
        let _ = self.begin("expect", name, &[bytes]);
    }
}

/// Lets the worker handle its messages, above all `cancel`. A message of our own queues behind them; a resolved promise
/// would not do, since microtasks run before messages.
async fn next_turn() {
    let Ok(channel) = MessageChannel::new() else { return };
    let turn = Promise::new(&mut |resolve, _| {
        channel.port1().set_onmessage(Some(&resolve));
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(turn).await;
    channel.port1().close();
}

/// Returns the milliseconds of the worker's monotonic clock.
pub fn now() -> f64 {
    js_sys::global().unchecked_into::<WorkerGlobalScope>().performance().map_or(0.0, |clock| clock.now())
}

/// Converts a value to a plain object.
pub fn to_js(value: &impl Serialize) -> JsValue {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL)
}

/// Converts a plain object to a value; `place` names it in the error.
pub fn from_js<T: for<'a> Deserialize<'a>>(value: JsValue, place: &str) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|error| thrown(Error::new(Kind::Argument, place, error.to_string())))
}

/// Converts an error, with all its fields, to the object that JavaScript catches.
pub fn thrown(error: Error) -> JsValue {
    to_js(&error)
}
