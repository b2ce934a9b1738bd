//! Questions on one picture, each asked after the answers to those before it.

use super::ResponseFormat;
use crate::engine::{Answer, Engine, GenerateOptions, SilentObserver};
use crate::error::{Error, Kind, Result};
use crate::prompt::{Message, Role};

/// Answers `questions` in turn, in a conversation that begins with `picture` (the bytes of its file). Every answer is
/// held to `format`. Returns the last one.
///
/// # Errors
/// [`Kind::Argument`] without a question, and what [`Engine::encode`] and [`Engine::generate`] report.
pub async fn answer_in_turn<'a>(
    engine: &mut Engine,
    picture: Option<&[u8]>,
    questions: impl Iterator<Item = &'a str>,
    options: &GenerateOptions,
    format: Option<&ResponseFormat>,
) -> Result<Answer> {
    // The embeds of a picture stay on the device, and the rows before a question in the cache.
    let mut images = Vec::new();
    if let Some(bytes) = picture {
        images.push(engine.encode(bytes, &[], &mut SilentObserver).await?.id);
    }
    let (mut messages, mut last) = (Vec::new(), None);
    for question in questions {
        messages.push(Message::user(&std::mem::take(&mut images), question));
        engine.constrain(format.map(ResponseFormat::constraint).transpose()?);
        let answer = engine.generate(&messages, options, &mut SilentObserver).await?;
        messages.push(Message::text(Role::Assistant, &answer.text));
        last = Some(answer);
    }
    last.ok_or_else(|| Error::new(Kind::Argument, "questions", "there is none"))
}
