//! The decoding loop: tokens stay on the device, and the host reads them back some steps later.

use super::attention::{Chosen, PictureRows};
use super::cache::Row;
use super::constraint::Constrained;
use super::logprobs::{TokenProbability, probability};
use super::stop_strings::AnswerText;
use super::{Answer, Engine, Event, GenerateOptions, Observer, Stop};
use crate::device::Readback;
use crate::error::{Kind, Result};
use crate::pass::Call;
use crate::tokenizer::StreamDecoder;
use std::collections::VecDeque;

/// Steps in flight on a GPU: it computes the next tokens while the host waits for one.
const STEPS_IN_FLIGHT: usize = 3;

/// The steps of an answer: a step runs the token before it through the decoder, and samples its own. Steps are numbered
/// from the answer's first token, also in an answer that is continued.
struct Steps {
    call: Call,
    /// Row of the answer's first token.
    start: u32,
    /// First step of this call: the number of tokens that the answer begins with.
    first: u32,
    /// Largest number of tokens of the answer.
    limit: u32,
    /// Tokens of the answer whose sampling is launched.
    launched: u32,
    /// Tokens of the answer whose rows are in the cache.
    cached: u32,
    /// Whether the host reads the logits of each step, too.
    reads_logits: bool,
    /// What restricts the tokens.
    constraint: Option<Constrained>,
    /// Steps whose token the host has not read yet.
    in_flight: VecDeque<InFlight>,
}

/// A step whose token is on its way to the host.
struct InFlight {
    token: Readback,
    /// With `top_logprobs`: the logits that the token was sampled from.
    logits: Option<Readback>,
    /// With `attention`: the weights by which the token was chosen.
    attention: Option<Readback>,
}

impl Steps {
    /// Records a sampled token for the constraint. Returns whether the answer must end.
    fn accept(&mut self, id: u32) -> Result<bool> {
        self.constraint.as_mut().map_or(Ok(()), |constraint| constraint.accept(id))?;
        Ok(self.ended())
    }

    /// Whether nothing may follow the tokens so far.
    fn ended(&self) -> bool {
        self.constraint.as_ref().is_some_and(|constraint| constraint.ended)
    }
}

impl Engine {
    /// Decodes after the last cached row, whose logits are on the device. A step's input is the token that the step
    /// before sampled; tokens computed past the end are discarded.
    pub(super) async fn decode<O: Observer>(
        &mut self,
        options: &GenerateOptions,
        mut pictures: PictureRows,
        observer: &mut O,
        answer: &mut Answer,
    ) -> Result<()> {
        // Steps overwrite the logits of the prompt.
        self.cache.forget_logits();
        let mut steps = self.begin_steps(options, answer)?;
        let mut stream = StreamDecoder::default();
        let prefix = options.answer_prefix.iter().map(|id| stream.push(&self.format.tokenizer, *id)).collect();
        let mut text = AnswerText::new(&options.stop, prefix);
        answer.ids.extend(&options.answer_prefix);
        answer.stop = match steps.ended() {
            true => Stop::Eos,
            false if steps.limit < options.max_new_tokens => Stop::Context,
            false => Stop::Length,
        };
        while (answer.ids.len() as u32) < steps.limit {
            let launched = match options.keep_logits || steps.constraint.is_some() {
                true => self.launch_in_parts(&mut steps, options.keep_logits, answer).await?,
                false => self.launch_ahead(&mut steps).await?,
            };
            if !launched {
                (steps.limit, answer.stop) = (steps.launched, Stop::Context);
            }
            let Some(pending) = steps.in_flight.pop_front() else { break };
            let id = self.model.device.finish_read_back(pending.token).await?[0];
            let ends = !options.ignore_eos && self.format.end_ids.contains(&id);
            let piece = if ends { String::new() } else { stream.push(&self.format.tokenizer, id) };
            self.send_attention(Chosen::new(answer, id, &piece), pending.attention, &mut pictures, observer).await?;
            answer.ids.push(id);
            let logprob = self.probability(id, pending.logits, options).await?;
            answer.logprobs.extend(logprob.clone());
            if ends {
                answer.stop = Stop::Eos;
                break;
            }
            let new = text.push(&piece);
            observer.event(Event::Token { text: new, count: answer.ids.len() as u32, id: Some(id), logprob });
            if text.stopped() {
                break;
            }
            if steps.accept(id)? {
                answer.stop = Stop::Eos;
                break;
            }
            if observer.pause().await {
                answer.stop = Stop::Cancelled;
                break;
            }
        }
        let certain = text.push(&stream.finish(&self.format.tokenizer));
        if text.stopped() {
            answer.stop = Stop::Stop;
        }
        let (rest, whole) = text.finish();
        answer.text = whole;
        if !(certain.is_empty() && rest.is_empty()) {
            let (text, count) = (certain + &rest, answer.ids.len() as u32);
            observer.event(Event::Token { text, count, id: None, logprob: None });
        }
        if options.keep_logits && self.step_after_last(&steps, answer).await? {
            steps.cached += 1;
        }
        let valid = answer.ids.len().min(steps.cached as usize);
        self.cache.extend(answer.ids[steps.first as usize..valid].iter().map(|id| Row::Token(*id)), false);
        Ok(())
    }

    /// Sets the counts and biases that the sampler reads, and returns the steps, of which none is launched.
    fn begin_steps(&mut self, options: &GenerateOptions, answer: &Answer) -> Result<Steps> {
        let first = options.answer_prefix.len() as u32;
        let start = self.cache.len() as u32 - first;
        let constraint = self.begin_constraint(options)?;
        let call = Call { masked: constraint.is_some().into(), ..options.call(start) };
        if call.processes_logits() {
            self.model.set_counts(&answer.prompt_ids, &options.answer_prefix);
        }
        if call.biased == 1 {
            self.model.set_bias(options.biases());
        }
        let mut limit = options.max_new_tokens.min(self.model.context - start).min(self.model.history_limit());
        if constraint.as_ref().is_some_and(|constraint| constraint.ended) {
            limit = first;
        }
        let reads_logits = options.top_logprobs.is_some();
        let (launched, cached, in_flight) = (first, first, VecDeque::new());
        Ok(Steps { call, start, first, limit, launched, cached, reads_logits, constraint, in_flight })
    }

    /// Launches steps until enough are in flight, each as one submission. Returns `false` when the device has no memory
    /// for the next row.
    async fn launch_ahead(&mut self, steps: &mut Steps) -> Result<bool> {
        // The first token is read back alone: a person waits for it.
        let pipelined = self.model.device.is_gpu() && steps.launched > steps.first;
        let depth = if pipelined { STEPS_IN_FLIGHT } else { 1 };
        while steps.in_flight.len() < depth && steps.launched < steps.limit {
            if !self.place_row(steps).await? {
                return Ok(false);
            }
            match steps.launched == steps.first {
                true => self.model.sample(&steps.call)?,
                false => self.model.step(&steps.call)?,
            }
            self.record_launch(steps);
        }
        Ok(true)
    }

    /// Launches one step in two parts, row and choice. Between them the logits are read with `keep_logits`, and the mask
    /// of a constraint is set. Returns `false` as [`launch_ahead`](Self::launch_ahead) does.
    async fn launch_in_parts(&mut self, steps: &mut Steps, keep_logits: bool, answer: &mut Answer) -> Result<bool> {
        if !self.launch_row(steps).await? {
            return Ok(false);
        }
        if keep_logits && steps.launched > steps.first {
            answer.logits.push(self.model.logits().await?);
        }
        if let Some(constraint) = &mut steps.constraint {
            self.model.set_mask(constraint.mask()?);
        }
        self.model.sample(&steps.call)?;
        self.record_launch(steps);
        // The next row needs no mask: a GPU computes it while the host waits for the token and computes the mask.
        if self.model.device.is_gpu() && !keep_logits && steps.launched < steps.limit {
            self.launch_row(steps).await?;
        }
        Ok(true)
    }

    /// Runs the token of the step before through the decoder, unless that is launched. Returns `false` as
    /// [`launch_ahead`](Self::launch_ahead) does.
    async fn launch_row(&mut self, steps: &mut Steps) -> Result<bool> {
        if !self.place_row(steps).await? {
            return Ok(false);
        }
        if steps.cached < steps.launched {
            self.model.step_logits(&steps.call)?;
            steps.cached = steps.launched;
        }
        Ok(true)
    }

    /// Sets the position of the next step's row, and grows the cache to hold it. Returns `false` when the device has no
    /// memory for it.
    async fn place_row(&mut self, steps: &mut Steps) -> Result<bool> {
        steps.call.step = steps.launched;
        if steps.launched == steps.first {
            return Ok(true);
        }
        steps.call.pos = steps.start + steps.launched - 1;
        self.try_reserve_rows(steps.start + steps.launched).await
    }

    /// Records that the next step is launched, and starts to read its token back.
    fn record_launch(&mut self, steps: &mut Steps) {
        steps.cached = steps.launched;
        let logits = steps.reads_logits.then(|| self.model.start_logits_read_back());
        // The first token was chosen by a row of the prefill, which has sent its attention.
        let rows = steps.start + steps.launched;
        let by_step = steps.launched > steps.first;
        let attention = by_step.then(|| self.model.start_attention_read_back(rows)).flatten();
        let token = self.model.start_token_read_back(steps.launched);
        steps.in_flight.push_back(InFlight { token, logits, attention });
        steps.launched += 1;
    }

    /// Waits for the logits that `id` was sampled from, and returns its probability. `None` where none was asked for.
    async fn probability(
        &mut self,
        id: u32,
        logits: Option<Readback>,
        options: &GenerateOptions,
    ) -> Result<Option<TokenProbability>> {
        let (Some(logits), Some(count)) = (logits, options.top_logprobs) else { return Ok(None) };
        let logits: Vec<f32> = bytemuck::cast_vec(self.model.device.finish_read_back(logits).await?);
        Ok(Some(probability(&logits, id, count as usize, &self.format.tokenizer)))
    }

    /// Returns the tokens that stand for an answer in later prompts: its own, or where a stop string cut it, those of its
    /// text.
    pub(super) fn turn_ids(&self, answer: &Answer) -> Result<Vec<u32>> {
        match answer.stop {
            Stop::Stop => self.format.tokenizer.encode_text(&answer.text),
            _ => Ok(answer.ids.clone()),
        }
    }

    /// Runs one more step, for the logits of the answer's last token alone. Returns `false` when its row is cached already
    /// or has no room.
    async fn step_after_last(&mut self, steps: &Steps, answer: &mut Answer) -> Result<bool> {
        let Steps { mut call, start, cached, .. } = *steps;
        let uncached = cached < answer.ids.len() as u32 && start + cached < self.model.context;
        if !uncached || !self.try_reserve_rows(start + cached + 1).await? {
            return Ok(false);
        }
        call.pos = start + cached;
        self.model.step_logits(&call)?;
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
