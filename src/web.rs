//! The sentence the page speaks, as a JavaScript class. Types are converted here and nothing else happens:
//! fetching, timing and words for people are the worker's and the page's.
//!
//! Every method takes `&self`. A call that comes while another runs is refused with [`Kind::State`], so that
//! JavaScript never sees a borrow panic; only [`Llava::cancel`] and [`Llava::report`] are always welcome.
// budget: a method per word of the sentence, a few lines each.

mod host;
mod threads;

use crate::device::{BackendChoice, Device};
use crate::engine::{Engine, Loader, Options, Restored};
use crate::error::{self, Error, Kind};
use crate::measure::{Line, Options as Measured};
use crate::prompt::Template;
use host::{Host, JsSource, from_js, now, thrown, to_js};
use js_sys::{Function, Reflect};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsValue>;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
import type { Answer, BackendChoice, BenchOptions, Compiled, Encoded, Event, GenerateOptions, Plan, PlanOptions, Probe, Report, Restored, Source } from
    "../shared/protocol.js";
"#;

/// What the page chooses before anything is loaded.
#[derive(Deserialize)]
struct CreateOptions {
    backend: String,
}

/// What the page may choose of a plan.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PlanOptions {
    /// Rows that the cache may grow to.
    context: Option<u32>,
    /// How to ask, where the model itself does not say or says wrong.
    prompt_template: Option<Template>,
    /// What `report` said of this GPU before, as JSON.
    tuning: Option<String>,
    /// One of the plan's choices, `exact` for that of no quantising; absent: what was chosen before.
    quant: Option<String>,
}

/// What is known of the machine before there is an engine.
#[derive(Serialize)]
struct Machine {
    backend: &'static str,
    adapter: String,
}

impl Machine {
    fn of(device: &Device) -> Self {
        Self { backend: device.backend(), adapter: device.adapter() }
    }
}

/// How far the conversation with JavaScript has come.
// One of these exists per page; moving it costs nothing beside what it holds.
#[allow(clippy::large_enum_variant)]
enum Stage {
    Opened(Device),
    Loading(Loader),
    Ready(Engine),
    /// A call runs and holds the value, or one failed and lost it; the text says which.
    Away(&'static str),
}

const BUSY: Stage = Stage::Away("busy: another call is running");

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
    ) -> Result<Llava> {
        std::panic::set_hook(Box::new(|info| {
            // The worker reads this when the trap that follows reaches its error handler.
            let _ = Reflect::set(&js_sys::global(), &"llavaPanic".into(), &info.to_string().into());
        }));
        let options: CreateOptions = from_js(options, "create")?;
        let choice = match options.backend.as_str() {
            "auto" => BackendChoice::Auto,
            "webgpu" => BackendChoice::Gpu,
            "cpu" => BackendChoice::Cpu,
            other => {
                let message = format!("`{other}` is not auto, webgpu or cpu");
                return Err(thrown(Error::new(Kind::Argument, "create: backend", message)));
            }
        };
        let device = Device::open(choice).await.map_err(thrown)?;
        let report = RefCell::new(to_js(&Machine::of(&device)));
        Ok(Llava { stage: RefCell::new(Stage::Opened(device)), report, cancelled: Rc::default() })
    }

    /// Makes the job queue through which further threads work for the CPU backend. Returns its address, for
    /// [`run_worker`](threads::run_worker), or 0 where the GPU computes.
    pub fn job_queue(&self) -> Result<usize> {
        let stage = self.stage.replace(BUSY);
        let Stage::Opened(mut device) = stage else { return Err(self.refuse(stage, "job_queue")) };
        let mut address = 0;
        if !device.is_gpu() {
            let (queue, shared) = threads::create_queue();
            device.set_thread_pool(Box::new(queue));
            address = shared;
        }
        self.stage.replace(Stage::Opened(device));
        Ok(address)
    }

    /// Reads the headers of what `entry` names, through `source`; says which parts to push and what they need. May be
    /// called again, before the first push, for another context or another type of weights.
    #[wasm_bindgen(unchecked_return_type = "Plan")]
    pub async fn plan(
        &self,
        entry: Vec<String>,
        #[wasm_bindgen(unchecked_param_type = "Source")] source: JsValue,
        #[wasm_bindgen(unchecked_param_type = "PlanOptions")] options: JsValue,
    ) -> Result<JsValue> {
        let options: PlanOptions = from_js(options, "plan: options")?;
        let mut loader = match self.stage.replace(Stage::Away("the model was refused; create a new one")) {
            Stage::Loading(loader) => loader,
            Stage::Opened(device) => {
                let source = JsSource::new(source);
                let opened = Loader::open(device, &source, &entry).await;
                // What JavaScript threw goes back as it was.
                opened.map_err(|error| source.thrown().unwrap_or_else(|| thrown(error)))?
            }
            stage => return Err(self.refuse(stage, "plan")),
        };
        if let Some(template) = options.prompt_template {
            loader.ask_as(template);
        }
        if let Some(tuning) = options.tuning {
            loader.remember(&tuning);
        }
        let held = match options.quant.as_deref() {
            None => Ok(()),
            Some("exact") => loader.hold_as(None),
            Some(quant) => quant.parse().and_then(|quant| loader.hold_as(Some(quant))),
        };
        let plan = match held {
            Ok(()) => loader.plan(options.context).await,
            Err(error) => Err(error),
        };
        self.stage.replace(Stage::Loading(loader));
        plan.map(|plan| to_js(&plan)).map_err(thrown)
    }

    /// Tries out how fast the planned model would be, and whether it fits; a second or two.
    #[wasm_bindgen(unchecked_return_type = "Probe")]
    pub async fn probe(&self) -> Result<JsValue> {
        let stage = self.stage.replace(BUSY);
        let Stage::Loading(mut loader) = stage else { return Err(self.refuse(stage, "probe")) };
        let probe = loader.probe(&now).await;
        self.stage.replace(Stage::Loading(loader));
        probe.map(|probe| to_js(&probe)).map_err(thrown)
    }

    /// Makes the next of the pipelines that the planned model needs; to be called until all are there, between pushes.
    #[wasm_bindgen(unchecked_return_type = "Compiled")]
    pub async fn compile(&self) -> Result<JsValue> {
        let stage = self.stage.replace(BUSY);
        let Stage::Loading(mut loader) = stage else { return Err(self.refuse(stage, "compile")) };
        let compiled = loader.compile(&now).await;
        self.stage.replace(Stage::Loading(loader));
        compiled.map(|compiled| to_js(&compiled)).map_err(thrown)
    }

    /// Verifies one part and uploads it. A part that is refused may be pushed again.
    pub async fn push(&self, index: usize, bytes: Vec<u8>) -> Result<()> {
        let stage = self.stage.replace(BUSY);
        let Stage::Loading(mut loader) = stage else { return Err(self.refuse(stage, "push")) };
        // Once, while the next parts are on their way.
        let pushed = match loader.tune(&now).await {
            Ok(()) => loader.push(index, &bytes).await,
            Err(error) => Err(error),
        };
        self.stage.replace(Stage::Loading(loader));
        pushed.map_err(thrown)
    }

    /// Ends loading: from here on pictures and questions are welcome. The cache may grow to `context` rows.
    pub async fn finish(&self, context: Option<u32>) -> Result<()> {
        let stage = self.stage.replace(Stage::Away("the model could not be finished; create a new one"));
        let Stage::Loading(loader) = stage else { return Err(self.refuse(stage, "finish")) };
        let engine = loader.finish(context).await.map_err(thrown)?;
        self.put_back(engine);
        Ok(())
    }

    /// Adds an image (the bytes of its file) to the next question.
    #[wasm_bindgen(unchecked_return_type = "Encoded")]
    pub async fn encode(
        &self,
        image: Vec<u8>,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> Result<JsValue> {
        let (mut engine, mut host) = self.take("encode", on_event)?;
        let encoded = engine.encode(&image, &mut host).await;
        self.put_back(engine);
        encoded.map(|encoded| to_js(&encoded)).map_err(thrown)
    }

    /// Reads ahead a question that is still being written; returns the rows that are read.
    pub async fn prefill(
        &self,
        question: String,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> Result<u32> {
        let (mut engine, mut host) = self.take("prefill", on_event)?;
        let read = engine.prefill(&question, &mut host).await;
        self.put_back(engine);
        read.map_err(thrown)
    }

    /// Measures the model on this device (`measure::Options`), line by line; pictures and conversation are forgotten.
    pub async fn bench(
        &self,
        #[wasm_bindgen(unchecked_param_type = "BenchOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(line: string) => void")] on_line: Function,
    ) -> Result<()> {
        let options: Measured = from_js(options, "bench: options")?;
        let (mut engine, _) = self.take("bench", on_line.clone())?;
        // A listener that throws is no reason to stop.
        let tell = |line: String| drop(on_line.call1(&JsValue::NULL, &line.into()));
        tell(Line::HEADER.into());
        let done = engine.bench(&options, &now, &mut |line| tell(line.to_string())).await;
        self.put_back(engine);
        done.map_err(thrown)
    }

    /// Answers a question; tokens arrive through `on_event`.
    #[wasm_bindgen(unchecked_return_type = "Answer")]
    pub async fn generate(
        &self,
        question: String,
        #[wasm_bindgen(unchecked_param_type = "GenerateOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> Result<JsValue> {
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
    pub fn truncate(&self, turns: usize) -> Result<()> {
        self.change("truncate", |engine| engine.truncate(turns))
    }

    /// After `encode` of its pictures on a new device: the conversation as it was.
    pub fn restore(&self, #[wasm_bindgen(unchecked_param_type = "Restored[]")] turns: JsValue) -> Result<()> {
        let turns: Vec<Restored> = from_js(turns, "restore: turns")?;
        self.change("restore", |engine| engine.restore(&turns))
    }

    /// Begins a new conversation.
    pub fn reset(&self) -> Result<()> {
        self.change("reset", |engine| {
            engine.reset();
            Ok(())
        })
    }

    /// What runs on what, as of the last call that ended.
    #[wasm_bindgen(unchecked_return_type = "Report")]
    pub fn report(&self) -> JsValue {
        // Threads may have joined since.
        if let Stage::Loading(loader) = &mut *self.stage.borrow_mut() {
            self.report.replace(to_js(&Machine::of(loader.device())));
        }
        self.report.borrow().clone()
    }
}

impl Llava {
    /// Takes the engine for one call; whoever calls puts it back.
    fn take(&self, call: &'static str, on_event: Function) -> Result<(Engine, Host)> {
        let stage = self.stage.replace(BUSY);
        let Stage::Ready(engine) = stage else { return Err(self.refuse(stage, call)) };
        self.cancelled.set(false);
        Ok((engine, Host::new(on_event, self.cancelled.clone())))
    }

    fn put_back(&self, engine: Engine) {
        self.report.replace(to_js(&engine.report()));
        self.stage.replace(Stage::Ready(engine));
    }

    fn change(&self, call: &str, f: impl FnOnce(&mut Engine) -> error::Result<()>) -> Result<()> {
        let stage = self.stage.replace(BUSY);
        let Stage::Ready(mut engine) = stage else { return Err(self.refuse(stage, call)) };
        let result = f(&mut engine);
        self.put_back(engine);
        result.map_err(thrown)
    }

    /// Puts back a stage that a call was not made for, and says what is in the way.
    fn refuse(&self, stage: Stage, call: &str) -> JsValue {
        let message = match &stage {
            Stage::Opened(_) => "no model has been planned yet",
            Stage::Loading(_) => "the model is still being loaded",
            Stage::Ready(_) => "the model is already loaded",
            Stage::Away(why) => why,
        };
        self.stage.replace(stage);
        thrown(Error::new(Kind::State, call, message))
    }
}
