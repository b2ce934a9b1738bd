//! Answers: each call brings the messages of its whole conversation.

use super::interop::{JsObserver, from_js, to_js};
use super::{Llava, Result};
use crate::engine::{Engine, GenerateOptions};
use crate::prompt::Message;
use js_sys::Function;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Llava {
    /// Encodes an image (the bytes of its file) and keeps it on the device. Images whose ids are in `needed` stay there.
    #[wasm_bindgen(unchecked_return_type = "Encoded")]
    pub async fn encode(
        &self,
        image: Vec<u8>,
        needed: Vec<String>,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> Result<JsValue> {
        let encode =
            async |engine: &mut Engine, observer: &mut JsObserver| engine.encode(&image, &needed, observer).await;
        Ok(to_js(&self.state.with_engine("encode", on_event, encode).await?))
    }

    /// Returns the ids of the images of `messages` that must be encoded before they can be answered.
    pub fn missing_pictures(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Message[]")] messages: JsValue,
    ) -> Result<Vec<String>> {
        let messages: Vec<Message> = from_js(messages, "missing_pictures: messages")?;
        self.state.edit_engine("missing_pictures", |engine| engine.missing_pictures(&messages))
    }

    /// Prefills messages. Returns the number of cached rows.
    pub async fn prefill(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Message[]")] messages: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> Result<u32> {
        let messages: Vec<Message> = from_js(messages, "prefill: messages")?;
        let prefill = async |engine: &mut Engine, observer: &mut JsObserver| engine.prefill(&messages, observer).await;
        self.state.with_engine("prefill", on_event, prefill).await
    }

    /// Answers messages; tokens arrive through `on_event`. A last message of the assistant is continued.
    #[wasm_bindgen(unchecked_return_type = "Answer")]
    pub async fn generate(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Message[]")] messages: JsValue,
        #[wasm_bindgen(unchecked_param_type = "GenerateOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => void")] on_event: Function,
    ) -> Result<JsValue> {
        let messages: Vec<Message> = from_js(messages, "generate: messages")?;
        let options: GenerateOptions = from_js(options, "generate: options")?;
        let generate =
            async |engine: &mut Engine, observer: &mut JsObserver| engine.generate(&messages, &options, observer).await;
        Ok(to_js(&self.state.with_engine("generate", on_event, generate).await?))
    }

    /// Returns the rows of the last answered messages with their keys and values.
    pub async fn save_state(&self) -> Result<Vec<u8>> {
        let save = async |engine: &mut Engine, _: &mut JsObserver| engine.save_state().await;
        self.state.with_engine("save_state", no_events(), save).await
    }

    /// Restores what `save_state` returned. Returns the number of rows.
    pub async fn restore_state(&self, bytes: Vec<u8>) -> Result<u32> {
        let restore = async |engine: &mut Engine, _: &mut JsObserver| engine.restore_state(&bytes).await;
        self.state.with_engine("restore_state", no_events(), restore).await
    }
}

/// Returns a function that ignores its arguments. (`Function::default()` evaluates a string, which a page's policy
/// forbids.)
fn no_events() -> Function {
    Closure::<dyn Fn()>::new(|| ()).into_js_value().unchecked_into()
}
