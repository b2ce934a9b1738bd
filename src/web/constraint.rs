//! Constraints on answers: an object in JavaScript, of the module of grammars, behind the engine's trait.

use super::{Llava, Result};
use crate::engine::Constraint;
use crate::error::{self, Error, Kind};
use crate::{ensure, fail};
use js_sys::{Function, Reflect, Uint32Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Llava {
    /// Returns the bytes of each token and the tokens that end an answer, for the module of grammars.
    pub fn vocabulary(&self) -> Result<Vec<u8>> {
        self.state.edit_engine("vocabulary", |engine| Ok(engine.vocabulary()))
    }

    /// Constrains the next answer by an object with `mask()` and `accept(token)`; `null` takes a constraint back.
    pub fn constrain(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Constraint | null")] constraint: JsValue,
    ) -> Result<()> {
        self.state.edit_engine("constrain", |engine| {
            let constraint = (!constraint.is_null()).then(|| JsConstraint::new(constraint)).transpose()?;
            engine.constrain(constraint.map(|constraint| Box::new(constraint) as Box<dyn Constraint>));
            Ok(())
        })
    }
}

/// A [`Constraint`] in JavaScript.
struct JsConstraint {
    object: JsValue,
    mask: Function,
    accept: Function,
}

impl JsConstraint {
    fn new(object: JsValue) -> error::Result<Self> {
        let method = |name: &str| match Reflect::get(&object, &name.into()).map(JsCast::dyn_into) {
            Ok(Ok(method)) => Ok(method),
            _ => Err(Error::new(Kind::Argument, "constrain", format!("the object has no method `{name}`"))),
        };
        let (mask, accept) = (method("mask")?, method("accept")?);
        Ok(Self { object, mask, accept })
    }
}

impl Constraint for JsConstraint {
    fn mask(&mut self, words: &mut [u32]) -> error::Result<()> {
        let mask = self.mask.call0(&self.object).map_err(failed)?;
        let Ok(mask) = mask.dyn_into::<Uint32Array>() else { fail!(Argument, "mask", "is no Uint32Array") };
        let (length, wanted) = (mask.length() as usize, words.len());
        ensure!(length == wanted, Argument, "mask", "has {length} words; {wanted} are expected");
        mask.copy_to(words);
        Ok(())
    }

    fn accept(&mut self, token: u32) -> error::Result<bool> {
        let ended = self.accept.call1(&self.object, &token.into()).map_err(failed)?;
        Ok(ended.is_truthy())
    }
}

/// Converts an exception of the object.
fn failed(thrown: JsValue) -> Error {
    let message = Reflect::get(&thrown, &"message".into()).ok().and_then(|message| message.as_string());
    Error::new(Kind::Argument, "response_format", message.unwrap_or_else(|| format!("{thrown:?}")))
}
