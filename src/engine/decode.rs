//! The decoding loop: tokens stay on the device, the host follows some steps behind.

use super::cache::Row;
use super::{Answer, Engine, Event, Observer, Options, Stop};
use crate::device::Readback;
use crate::error::{Kind, Result};
use crate::pass::Call;
use crate::tokenizer::StreamDecoder;
use std::collections::VecDeque;

/// Steps in flight on a GPU: while the host waits for one token, the next are being computed.
const STEPS_IN_FLIGHT: usize = 3;

impl Engine {
    /// Decodes after the last row read. Tokens stay on the device: a step reads what the one before chose, and
    /// the host reads them back some steps late; what was computed past the end is thrown away.
    pub(super) async fn decode<O: Observer>(
        &mut self,
        options: &Options,
        observer: &mut O,
        answer: &mut Answer,
    ) -> Result<()> {
        // Steps are counted from the answer's first token, also of one that is continued.
        let begun = options.begin.len() as u32;
        let start = self.cache.len() as u32 - begun;
        let room = self.model.context - start;
        let mut limit = options.max_new_tokens.min(room).min(self.model.history_limit());
        let ahead = if options.keep_logits || !self.model.device.is_gpu() { 1 } else { STEPS_IN_FLIGHT };
        let mut call = Call::new(1, start);
        (call.seed, call.temperature, call.top_k, call.top_p) =
            (options.seed, options.temperature, options.top_k, options.top_p);
        let mut stream = StreamDecoder::default();
        let mut in_flight: VecDeque<Readback> = VecDeque::new();
        let (mut launched, mut read) = (begun, begun); // `read`: tokens that are in the cache
        answer.ids.extend(&options.begin);
        answer.text = options.begin.iter().map(|id| stream.push(&self.tokenizer, *id)).collect();
        answer.stop = if limit < options.max_new_tokens { Stop::Context } else { Stop::Length };
        while (answer.ids.len() as u32) < limit {
            let ahead = if launched == begun { 1 } else { ahead }; // a person waits for the first token
            while in_flight.len() < ahead && launched < limit {
                call.step = launched;
                if launched == begun {
                    self.model.sample(&call)?;
                } else {
                    call.pos = start + launched - 1;
                    if !self.has_room(start + launched).await? {
                        (limit, answer.stop) = (launched, Stop::Context);
                        break;
                    }
                    self.model.step(&call)?;
                    read = launched;
                }
                in_flight.push_back(self.model.start_reading_token(launched));
                launched += 1;
            }
            if options.keep_logits && launched > begun + 1 {
                answer.logits.push(self.model.logits().await?);
            }
            let Some(pending) = in_flight.pop_front() else { break };
            let id = self.model.device.finish_read_back(pending).await?[0];
            answer.ids.push(id);
            if !options.ignore_eos && self.ends.contains(&id) {
                answer.stop = Stop::Eos;
                break;
            }
            let text = stream.push(&self.tokenizer, id);
            answer.text.push_str(&text);
            observer.event(Event::Token { text, count: answer.ids.len() as u32, id });
            if observer.pause().await {
                answer.stop = Stop::Cancelled;
                break;
            }
        }
        answer.text.push_str(&stream.finish(&self.tokenizer));
        let unread = read < answer.ids.len() as u32 && start + read < self.model.context;
        if options.keep_logits && unread && self.has_room(start + read + 1).await? {
            // The position of the last token, too: it is read only for its logits.
            (call.pos, call.step) = (start + read, self.model.history_limit() - 1);
            self.model.step(&call)?;
            read += 1;
            answer.logits.push(self.model.logits().await?);
        }
        let valid = answer.ids.len().min(read as usize);
        self.cache.extend(answer.ids[begun as usize..valid].iter().map(|id| Row::Token(*id)), false);
        Ok(())
    }

    /// Whether the cache can take so many rows; where the device's memory ends, an answer ends, and what is in
    /// flight is still good.
    async fn has_room(&mut self, rows: u32) -> Result<bool> {
        match self.model.make_room(rows).await {
            Err(e) if e.kind == Kind::OutOfMemory => Ok(false),
            result => result.map(|()| true),
        }
    }
}
