//! The sentence the page speaks, as a JavaScript class. Types are converted here and nothing else happens:
//! fetching, timing and words for people are the worker's and the page's.
//!
//! Every method takes `&self`. A call that comes while another runs is refused with [`Kind::State`], so that
//! JavaScript never sees a borrow panic; only [`Llava::cancel`] and [`Llava::report`] are always welcome.

use crate::engine::{BackendChoice, Device, Engine, Event, Loader, Observer, Options};
use crate::error::{Error, Kind, Result};
use js_sys::{Function, Promise, Reflect};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, WorkerGlobalScope};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
import type { Answer, BackendChoice, Encoded, Event, GenerateOptions, Plan, Report } from "../shared/protocol.js";
"#;

/// Longest stretch of work between two turns of the worker's message queue, milliseconds: half a frame.
const TURN_MS: f64 = 8.0;

/// What the page chooses before anything is loaded.
#[derive(Deserialize)]
struct CreateOptions {
    backend: String,
}

/// What is known of the machine before there is an engine.
#[derive(Serialize)]
struct Machine {
    backend: &'static str,
    adapter: String,
}

/// How far the conversation with JavaScript has come.
enum Stage {
    Opened(Device),
    Loading(Loader),
    Ready(Engine),
    /// A call runs and holds the value, or one failed and lost it; the text says which.
    Away(&'static str),
}

/// One model on one device.
#[wasm_bindgen]
pub struct Llava {
    stage: RefCell<Stage>,
    report: RefCell<JsValue>,
    cancelled: Rc<Cell<bool>>,
}

#[wasm_bindgen]
impl Llava {
    /// Opens a device: `{ backend: "auto" | "webgpu" | "cpu" }`.
    pub async fn create(
        #[wasm_bindgen(unchecked_param_type = "{ backend: BackendChoice }")] options: JsValue,
    ) -> std::result::Result<Llava, JsValue> {
        std::panic::set_hook(Box::new(|info| {
            // The worker reads this when the trap that follows reaches its error handler.
            let _ = Reflect::set(&js_sys::global(), &"llavaPanic".into(), &info.to_string().into());
        }));
        let options: CreateOptions = from_js(options, "create")?;
        let choice = match options.backend.as_str() {
            "auto" => BackendChoice::Auto,
            "webgpu" => BackendChoice::Gpu,
            "cpu" => BackendChoice::Cpu,
            other => return Err(argument("create: backend", format!("`{other}` is not auto, webgpu or cpu"))),
        };
        let device = Device::open(choice).await.map_err(thrown)?;
        let report = RefCell::new(to_js(&Machine { backend: device.backend(), adapter: device.adapter() }));
        Ok(Llava { stage: RefCell::new(Stage::Opened(device)), report, cancelled: Rc::default() })
    }

    /// Reads the manifest; says which parts to push.
    #[wasm_bindgen(unchecked_return_type = "Plan")]
    pub fn plan(&self, manifest: &[u8]) -> std::result::Result<JsValue, JsValue> {
        let stage = self.stage.replace(Stage::Away("the manifest was refused; create a new one"));
        let Stage::Opened(device) = stage else { return Err(self.refuse(stage, "plan")) };
        let loader = Loader::new(device, manifest).map_err(thrown)?;
        let plan = to_js(&loader.plan());
        self.stage.replace(Stage::Loading(loader));
        Ok(plan)
    }

    /// Verifies one part and uploads it. A part that is refused may be pushed again.
    pub fn push(&self, index: usize, bytes: &[u8]) -> std::result::Result<(), JsValue> {
        match &mut *self.stage.borrow_mut() {
            Stage::Loading(loader) => loader.push(index, bytes).map_err(thrown),
            stage => Err(wrong_time(stage, "push")),
        }
    }

    /// Ends loading: from here on pictures and questions are welcome.
    pub async fn finish(&self) -> std::result::Result<(), JsValue> {
        let stage = self.stage.replace(Stage::Away("the model could not be finished; create a new one"));
        let Stage::Loading(loader) = stage else { return Err(self.refuse(stage, "finish")) };
        let engine = loader.finish().await.map_err(thrown)?;
        self.put_back(engine);
        Ok(())
    }

    /// Adds an image (the bytes of its file) to the next question.
    #[wasm_bindgen(unchecked_return_type = "Encoded")]
    pub async fn encode(
        &self,
        image: Vec<u8>,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> std::result::Result<JsValue, JsValue> {
        let (mut engine, mut host) = self.take("encode", on_event)?;
        let encoded = engine.encode(&image, &mut host).await;
        self.put_back(engine);
        encoded.map(|encoded| to_js(&encoded)).map_err(thrown)
    }

    /// Answers a question; tokens arrive through `on_event`.
    #[wasm_bindgen(unchecked_return_type = "Answer")]
    pub async fn generate(
        &self,
        question: String,
        #[wasm_bindgen(unchecked_param_type = "GenerateOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> std::result::Result<JsValue, JsValue> {
        let options: Options = from_js(options, "generate: options")?;
        let (mut engine, mut host) = self.take("generate", on_event)?;
        let answer = engine.generate(&question, &options, &mut host).await;
        self.put_back(engine);
        answer.map(|answer| to_js(&answer)).map_err(thrown)
    }

    /// Asks the running call to stop at its next pause.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Keeps the first `turns` turns of the conversation.
    pub fn truncate(&self, turns: usize) -> std::result::Result<(), JsValue> {
        self.change("truncate", |engine| engine.truncate(turns))
    }

    /// Begins a new conversation.
    pub fn reset(&self) -> std::result::Result<(), JsValue> {
        self.change("reset", |engine| {
            engine.reset();
            Ok(())
        })
    }

    /// What runs on what, as of the last call that ended.
    #[wasm_bindgen(unchecked_return_type = "Report")]
    pub fn report(&self) -> JsValue {
        self.report.borrow().clone()
    }
}

impl Llava {
    /// Takes the engine for one call; whoever calls puts it back.
    fn take(&self, call: &'static str, on_event: Function) -> std::result::Result<(Engine, Host), JsValue> {
        let stage = self.stage.replace(Stage::Away("busy: another call is running"));
        let Stage::Ready(engine) = stage else { return Err(self.refuse(stage, call)) };
        self.cancelled.set(false);
        Ok((engine, Host { on_event, cancelled: self.cancelled.clone(), turn_began: now() }))
    }

    fn put_back(&self, engine: Engine) {
        self.report.replace(to_js(&engine.report()));
        self.stage.replace(Stage::Ready(engine));
    }

    fn change(&self, call: &str, f: impl FnOnce(&mut Engine) -> Result<()>) -> std::result::Result<(), JsValue> {
        match &mut *self.stage.borrow_mut() {
            Stage::Ready(engine) => {
                let result = f(engine).map_err(thrown);
                self.report.replace(to_js(&engine.report()));
                result
            }
            stage => Err(wrong_time(stage, call)),
        }
    }

    /// Restores a stage that a call was not made for.
    fn refuse(&self, stage: Stage, call: &str) -> JsValue {
        let error = wrong_time(&stage, call);
        self.stage.replace(stage);
        error
    }
}

/// What the engine sees of JavaScript during a call.
struct Host {
    on_event: Function,
    cancelled: Rc<Cell<bool>>,
    turn_began: f64,
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

fn to_js(value: &impl Serialize) -> JsValue {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::NULL)
}

fn from_js<T: for<'a> Deserialize<'a>>(value: JsValue, place: &str) -> std::result::Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|error| argument(place, error.to_string()))
}

fn thrown(error: Error) -> JsValue {
    to_js(&error)
}

fn argument(place: &str, message: String) -> JsValue {
    thrown(Error::new(Kind::Argument, place, message))
}

fn wrong_time(stage: &Stage, call: &str) -> JsValue {
    let message = match stage {
        Stage::Opened(_) => "no manifest has been read yet",
        Stage::Loading(_) => "the model is still being loaded",
        Stage::Ready(_) => "the model is already loaded",
        Stage::Away(why) => why,
    };
    thrown(Error::new(Kind::State, call, message))
}
