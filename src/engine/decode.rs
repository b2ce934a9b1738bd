//! The decoding loop: tokens stay on the device, and the host reads them back some steps later.

use super::cache::Row;
use super::{Answer, Engine, Event, GenerateOptions, Observer, Stop};
use crate::device::Readback;
use crate::error::{Kind, Result};
use crate::pass::Call;
use crate::tokenizer::StreamDecoder;
use std::collections::VecDeque;

/// Steps in flight on a GPU: it computes the next tokens while the host waits for one.
const STEPS_IN_FLIGHT: usize = 3;

impl Engine {
    /// Decodes after the last cached row, whose logits are on the device. A step's input is the token that the step
    /// before sampled; tokens computed past the end are discarded.
    pub(super) async fn decode<O: Observer>(
        &mut self,
        options: &GenerateOptions,
        observer: &mut O,
        answer: &mut Answer,
    ) -> Result<()> {
        // Steps overwrite the logits of the prompt.
        self.cache.forget_logits();
        // Steps are numbered from the answer's first token, also in an answer that is continued.
        let first_step = options.answer_prefix.len() as u32;
        let start = self.cache.len() as u32 - first_step;
        let room = self.model.context - start;
        let mut limit = options.max_new_tokens.min(room).min(self.model.history_limit());
        let pipelined = !options.keep_logits && self.model.device.is_gpu();
        let depth = if pipelined { STEPS_IN_FLIGHT } else { 1 };
        let mut call = sampling_call(options, start);
        let mut stream = StreamDecoder::default();
        let mut in_flight: VecDeque<Readback> = VecDeque::new();
        // Tokens of the answer whose sampling is launched, and those whose rows are in the cache.
        let (mut launched, mut cached) = (first_step, first_step);
        answer.ids.extend(&options.answer_prefix);
        answer.text = options.answer_prefix.iter().map(|id| stream.push(&self.format.tokenizer, *id)).collect();
        answer.stop = if limit < options.max_new_tokens { Stop::Context } else { Stop::Length };
        while (answer.ids.len() as u32) < limit {
            // The first token is read back alone: a person waits for it.
            let depth = if launched == first_step { 1 } else { depth };
            while in_flight.len() < depth && launched < limit {
                call.step = launched;
                if launched == first_step {
                    self.model.sample(&call)?;
                } else {
                    call.pos = start + launched - 1;
                    if !self.try_reserve_rows(start + launched).await? {
                        (limit, answer.stop) = (launched, Stop::Context);
                        break;
                    }
                    self.model.step(&call)?;
                    cached = launched;
                }
                in_flight.push_back(self.model.start_token_read_back(launched));
                launched += 1;
            }
            if options.keep_logits && launched > first_step + 1 {
                answer.logits.push(self.model.logits().await?);
            }
            let Some(pending) = in_flight.pop_front() else { break };
            let id = self.model.device.finish_read_back(pending).await?[0];
            answer.ids.push(id);
            if !options.ignore_eos && self.format.end_ids.contains(&id) {
                answer.stop = Stop::Eos;
                break;
            }
            let text = stream.push(&self.format.tokenizer, id);
            answer.text.push_str(&text);
            observer.event(Event::Token { text, count: answer.ids.len() as u32, id });
            if observer.pause().await {
                answer.stop = Stop::Cancelled;
                break;
            }
        }
        answer.text.push_str(&stream.finish(&self.format.tokenizer));
        if options.keep_logits && self.step_after_last(call, start, cached, answer).await? {
            cached += 1;
        }
        let valid = answer.ids.len().min(cached as usize);
        self.cache.extend(answer.ids[first_step as usize..valid].iter().map(|id| Row::Token(*id)), false);
        Ok(())
    }

    /// Runs one more step, for the logits of the answer's last token alone. Returns `false` when its row is cached already
    /// or has no room.
    async fn step_after_last(&mut self, mut call: Call, start: u32, cached: u32, answer: &mut Answer) -> Result<bool> {
        let uncached = cached < answer.ids.len() as u32 && start + cached < self.model.context;
        if !uncached || !self.try_reserve_rows(start + cached + 1).await? {
            return Ok(false);
        }
        (call.pos, call.step) = (start + cached, self.model.history_limit() - 1);
        self.model.step(&call)?;
        answer.logits.push(self.model.logits().await?);
        Ok(true)
    }

    /// Grows the cache to `rows` rows; returns `false` when the device has no memory for them. The answer then ends,
    /// and the steps in flight stay valid.
    async fn try_reserve_rows(&mut self, rows: u32) -> Result<bool> {
        match self.reserve_rows(rows).await {
            Err(e) if e.kind == Kind::OutOfMemory => Ok(false),
            result => result.map(|()| true),
        }
    }
}

/// Returns the call of a step at position `pos` with the sampling options.
fn sampling_call(options: &GenerateOptions, pos: u32) -> Call {
    let GenerateOptions { seed, temperature, top_k, top_p, .. } = *options;
    Call { seed, temperature, top_k, top_p, ..Call::new(1, pos) }
}
