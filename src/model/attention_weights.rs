//! The step that also computes attention weights: where the row of each layer looks, as a mean over the heads.
//!
//! It is recorded when it is first used, so that a model whose attention is never asked for spends no memory on it.

use super::Model;
use super::decoder::{Decoder, DecoderBuffers};
use crate::config::TextConfig;
use crate::device::{Device, PassId, Readback};
use crate::error::Result;
use crate::kernels::attention_weights::ScoreBuffers;
use crate::pass::Pass;

const PASS_NAME: &str = "step with attention weights";

/// A prepared step with its buffers.
pub(super) struct AttendingStep {
    buffers: ScoreBuffers,
    pass: PassId,
    /// Whether steps run it in place of the usual one.
    on: bool,
}

impl AttendingStep {
    /// Records and prepares it for a cache of `rows` rows.
    async fn new(
        device: &mut Device,
        decoder: &Decoder,
        config: &TextConfig,
        b: &DecoderBuffers,
        rows: u32,
    ) -> Result<Self> {
        let layers = config.num_hidden_layers;
        let names = ["attention scores", "attention weights"];
        let mut made = Vec::new();
        for (name, words) in names.into_iter().zip(ScoreBuffers::words(layers, config.num_attention_heads, rows)) {
            match device.buffer(name, words).await {
                Ok(buffer) => made.push(buffer),
                Err(error) => {
                    made.into_iter().for_each(|buffer| device.free(buffer));
                    return Err(error);
                }
            }
        }
        let buffers = ScoreBuffers { kept: made[0], weights: made[1], layers, positions: rows };
        let mut pass = device.pass(PASS_NAME);
        decoder.record_attending(&mut pass, config, b, buffers);
        match device.prepare(pass).await {
            Ok(pass) => Ok(Self { buffers, pass, on: true }),
            Err(error) => {
                made.into_iter().for_each(|buffer| device.free(buffer));
                Err(error)
            }
        }
    }

    fn free(self, device: &mut Device) {
        device.release(self.pass);
        let ScoreBuffers { kept, weights, .. } = self.buffers;
        [kept, weights].into_iter().for_each(|buffer| device.free(buffer));
    }
}

impl Model {
    /// Chooses whether steps also compute attention weights. The first time, this records the pass that does.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`](crate::error::Kind::OutOfMemory); [`Kind::Tensor`](crate::error::Kind::Tensor) when the
    /// scores of the cached rows exceed a binding; [`Kind::Gpu`](crate::error::Kind::Gpu). Steps then do not.
    pub async fn attend(&mut self, on: bool) -> Result<()> {
        let rows = self.decoder.cache.rows();
        match &mut self.attending {
            Some(step) if !on || step.buffers.positions >= rows => step.on = on,
            _ if !on => {}
            _ => {
                if let Some(small) = self.attending.take() {
                    small.free(&mut self.device);
                }
                let (device, config) = (&mut self.device, &self.config.text);
                self.attending = Some(AttendingStep::new(device, &self.weights, config, &self.decoder, rows).await?);
            }
        }
        Ok(())
    }

    /// Returns whether steps compute attention weights.
    pub fn attends(&self) -> bool {
        self.attending.as_ref().is_some_and(|step| step.on)
    }

    /// Returns the pass of one row.
    pub(super) fn step_pass(&self) -> PassId {
        self.attending.as_ref().filter(|step| step.on).map_or(self.passes.step, |step| step.pass)
    }

    /// Returns a copy of the recorded step with attention weights, where steps compute them.
    pub fn recorded_attending(&self) -> Option<Pass> {
        let step = self.attending.as_ref().filter(|step| step.on)?;
        Some(Pass { ops: self.device.ops(step.pass), ..self.device.pass(PASS_NAME) })
    }

    /// Starts reading back the attention weights `[rows, L]` of the last step, whose position was `rows - 1`. `None`
    /// where steps do not compute them.
    pub fn start_attention_read_back(&mut self, rows: u32) -> Option<Readback> {
        let ScoreBuffers { weights, layers, .. } = self.attending.as_ref().filter(|step| step.on)?.buffers;
        Some(self.device.start_read_back(weights, 0, (rows * layers) as usize))
    }
}
