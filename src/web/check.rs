//! The check of a device, for the page `proof.html`.

use super::interop::{JsObserver, to_js};
use super::{Llava, Result};
use crate::engine::Engine;
use js_sys::Function;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Llava {
    /// Compares every kind of operation with its twin on the CPU, and sends each result (`CheckedOperation`) to
    /// `on_checked`. Removes pictures and cached rows.
    pub async fn check_operations(
        &self,
        #[wasm_bindgen(unchecked_param_type = "(checked: CheckedOperation) => void")] on_checked: Function,
    ) -> Result<()> {
        let check = async |engine: &mut Engine, observer: &mut JsObserver| {
            let mut report = |checked| {
                observer.send(&to_js(&checked));
                Ok(())
            };
            engine.check_operations(&mut report).await
        };
        self.state.with_engine("check_operations", on_checked, check).await
    }

    /// Returns the tunings (`Tier`) that together run every kernel of this GPU; none on the CPU.
    #[wasm_bindgen(unchecked_return_type = "Tier[]")]
    pub fn tiers(&self) -> Result<JsValue> {
        self.state.edit_engine("tiers", |engine| Ok(to_js(&engine.tiers())))
    }
}
