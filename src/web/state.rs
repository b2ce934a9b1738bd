//! The state behind the exported methods: a device, a loader or an engine, taken by one call at a time and put back.

use super::interop::{JsObserver, thrown, to_js};
use super::options::Machine;
use crate::device::Device;
use crate::engine::{Engine, Loader};
use crate::error::{self, Error, Kind};
use js_sys::Function;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsValue>;

// One of these exists per page: its size does not matter.
#[allow(clippy::large_enum_variant)]
enum EngineState {
    Opened(Device),
    Loading(Loader),
    Ready(Engine),
    /// A call holds the value, or has failed and lost it; the text names the case.
    Unavailable(&'static str),
}

const BUSY: &str = "busy: another call is running";

/// State, last report, and the cancel flag of the running call.
pub struct StateCell {
    state: RefCell<EngineState>,
    report: RefCell<JsValue>,
    cancelled: Rc<Cell<bool>>,
}

impl StateCell {
    /// Begins with a device.
    pub fn new(device: Device) -> Self {
        let report = RefCell::new(to_js(&Machine::of(&device)));
        Self { state: RefCell::new(EngineState::Opened(device)), report, cancelled: Rc::default() }
    }

    /// Lends the device to `f`, before a model is planned.
    pub fn with_device<T>(&self, call: &str, f: impl FnOnce(&mut Device) -> T) -> Result<T> {
        let mut device = match self.take(BUSY) {
            EngineState::Opened(device) => device,
            state => return Err(self.refuse(state, call)),
        };
        let result = f(&mut device);
        self.put(EngineState::Opened(device));
        Ok(result)
    }

    /// Turns the device into a loader, unless there is one. The device is lost when `open` fails.
    pub async fn open_loader(&self, call: &str, open: impl AsyncFnOnce(Device) -> Result<Loader>) -> Result<()> {
        let loader = match self.take("the model was refused; create a new one") {
            EngineState::Loading(loader) => loader,
            EngineState::Opened(device) => open(device).await?,
            state => return Err(self.refuse(state, call)),
        };
        self.put(EngineState::Loading(loader));
        Ok(())
    }

    /// Lends the loader to `f`.
    pub async fn with_loader<T>(&self, call: &str, f: impl AsyncFnOnce(&mut Loader) -> error::Result<T>) -> Result<T> {
        let mut loader = self.take_loader(call, BUSY)?;
        let result = f(&mut loader).await;
        self.put(EngineState::Loading(loader));
        result.map_err(thrown)
    }

    /// Turns the loader into an engine. The loader is lost when `finish` fails.
    pub async fn finish_loader(
        &self,
        call: &str,
        finish: impl AsyncFnOnce(Loader) -> error::Result<Engine>,
    ) -> Result<()> {
        let loader = self.take_loader(call, "the model could not be finished; create a new one")?;
        self.put_engine(finish(loader).await.map_err(thrown)?);
        Ok(())
    }

    /// Lends the engine to `f`, with an observer that sends events to `on_event`.
    pub async fn with_engine<T>(
        &self,
        call: &str,
        on_event: Function,
        f: impl AsyncFnOnce(&mut Engine, &mut JsObserver) -> error::Result<T>,
    ) -> Result<T> {
        let mut engine = self.take_engine(call)?;
        self.cancelled.set(false);
        let result = f(&mut engine, &mut JsObserver::new(on_event, self.cancelled.clone())).await;
        self.put_engine(engine);
        result.map_err(thrown)
    }

    /// Lends the engine to `f`, which returns immediately.
    pub fn edit_engine<T>(&self, call: &str, f: impl FnOnce(&mut Engine) -> error::Result<T>) -> Result<T> {
        let mut engine = self.take_engine(call)?;
        let result = f(&mut engine);
        self.put_engine(engine);
        result.map_err(thrown)
    }

    /// Asks the running call to stop at its next pause.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Returns the report of the last call that ended.
    pub fn report(&self) -> JsValue {
        // Threads may have joined since.
        if let EngineState::Loading(loader) = &mut *self.state.borrow_mut() {
            self.report.replace(to_js(&Machine::of(loader.device())));
        }
        self.report.borrow().clone()
    }

    fn take(&self, unavailable: &'static str) -> EngineState {
        self.state.replace(EngineState::Unavailable(unavailable))
    }

    fn put(&self, state: EngineState) {
        self.state.replace(state);
    }

    fn take_loader(&self, call: &str, unavailable: &'static str) -> Result<Loader> {
        match self.take(unavailable) {
            EngineState::Loading(loader) => Ok(loader),
            state => Err(self.refuse(state, call)),
        }
    }

    fn take_engine(&self, call: &str) -> Result<Engine> {
        match self.take(BUSY) {
            EngineState::Ready(engine) => Ok(engine),
            state => Err(self.refuse(state, call)),
        }
    }

    fn put_engine(&self, engine: Engine) {
        self.report.replace(to_js(&engine.report()));
        self.put(EngineState::Ready(engine));
    }

    /// Puts back a state that `call` does not apply to, and returns the error.
    fn refuse(&self, state: EngineState, call: &str) -> JsValue {
        let message = match &state {
            EngineState::Opened(_) => "no model has been planned yet",
            EngineState::Loading(_) => "the model is still being loaded",
            EngineState::Ready(_) => "the model is already loaded",
            EngineState::Unavailable(why) => why,
        };
        self.put(state);
        thrown(Error::new(Kind::State, call, message))
    }
}
