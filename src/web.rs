//! The exported surface of the engine, as a JavaScript class. Types are converted here; fetching, timing and words for
//! people are the worker's and the page's.
//!
//! Every method takes `&self`. A call during another one is refused with [`Kind::State`](crate::error::Kind::State), so
//! that JavaScript never sees a borrow panic; only [`Llava::cancel`] and [`Llava::report`] are always possible.

mod check;
mod constraint;
mod interop;
mod messages;
mod options;
mod state;
mod threads;

use crate::device::Device;
use crate::engine::Engine;
use crate::measure::{BenchOptions, Line};
use interop::{JsObserver, JsSource, from_js, now, thrown, to_js};
use js_sys::{Function, Reflect};
use options::{CreateOptions, PlanOptions, open_loader};
use state::StateCell;
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsValue>;

/// One model on one device.
#[wasm_bindgen]
pub struct Llava {
    state: StateCell,
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
        let device = Device::open(options.backend().map_err(thrown)?).await.map_err(thrown)?;
        Ok(Llava { state: StateCell::new(device) })
    }

    /// Makes the job queue through which further threads work for the CPU backend. Returns its address, for
    /// [`run_worker`](threads::run_worker), or 0 where the GPU computes.
    pub fn job_queue(&self) -> Result<usize> {
        self.state.with_device("job_queue", |device| {
            if device.is_gpu() {
                return 0;
            }
            let (queue, address) = threads::create_queue();
            device.set_thread_pool(Box::new(queue));
            address
        })
    }

    /// Reads the headers of the files that `entry` names, through `source`. Returns the parts to push and the memory
    /// that they need. May be called again, before the first push, for another context or weight type.
    #[wasm_bindgen(unchecked_return_type = "Plan")]
    pub async fn plan(
        &self,
        entry: Vec<String>,
        #[wasm_bindgen(unchecked_param_type = "Source")] source: JsValue,
        #[wasm_bindgen(unchecked_param_type = "PlanOptions")] options: JsValue,
    ) -> Result<JsValue> {
        let options: PlanOptions = from_js(options, "plan: options")?;
        let source = JsSource::new(source);
        let open = async |device| {
            let opened = open_loader(device, &source, &entry).await;
            // An exception of the source is thrown again unchanged.
            opened.map_err(|error| source.thrown().unwrap_or_else(|| thrown(error)))
        };
        self.state.open_loader("plan", open).await?;
        let plan = self.state.with_loader("plan", async |loader| {
            options.apply(loader)?;
            loader.plan(options.context).await
        });
        Ok(to_js(&plan.await?))
    }

    /// Estimates the speed of the planned model, and whether it fits, in a second or two.
    #[wasm_bindgen(unchecked_return_type = "Probe")]
    pub async fn probe(&self) -> Result<JsValue> {
        let estimate = self.state.with_loader("probe", async |loader| loader.estimate_speed().await);
        Ok(to_js(&estimate.await?))
    }

    /// Compiles the next pipeline of the planned model. To be called between pushes until all are compiled.
    #[wasm_bindgen(unchecked_return_type = "Compiled")]
    pub async fn compile(&self) -> Result<JsValue> {
        let compiled = self.state.with_loader("compile", async |loader| loader.compile().await);
        Ok(to_js(&compiled.await?))
    }

    /// Verifies one part and uploads it. A part that is refused may be pushed again.
    pub async fn push(&self, index: usize, bytes: Vec<u8>) -> Result<()> {
        self.state.with_loader("push", async |loader| loader.push(index, &bytes).await).await
    }

    /// Ends loading; pictures and questions follow. The cache may grow to `context` rows.
    pub async fn finish(&self, context: Option<u32>) -> Result<()> {
        self.state.finish_loader("finish", async |loader| loader.finish(context).await).await
    }

    /// Measures the model on this device (`measure::BenchOptions`), line by line. Removes pictures and cached rows.
    pub async fn bench(
        &self,
        #[wasm_bindgen(unchecked_param_type = "BenchOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(line: string) => void")] on_line: Function,
    ) -> Result<()> {
        let options: BenchOptions = from_js(options, "bench: options")?;
        let bench = async |engine: &mut Engine, observer: &mut JsObserver| {
            observer.send(&Line::HEADER.into());
            engine.bench(&options, &now, &mut |line| observer.send(&line.to_string().into())).await
        };
        self.state.with_engine("bench", on_line, bench).await
    }

    /// Asks the running call to stop at its next pause.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// Changes the longest edge of pictures of a model that cuts them into tiles. Removes pictures.
    pub fn set_longest_edge(&self, longest_edge: u32) -> Result<()> {
        self.state.edit_engine("set_longest_edge", |engine| engine.set_longest_edge(longest_edge))
    }

    /// Returns model, device and memory as of the last call that ended.
    #[wasm_bindgen(unchecked_return_type = "Report")]
    pub fn report(&self) -> JsValue {
        self.state.report()
    }
}
