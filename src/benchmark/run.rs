//! Asking all questions: by several workers, the questions on a picture together, no question twice.

use crate::plan::{Group, Plan};
use crate::question::{Picture, Question};
use llava_web::error::{Error, Result};
use llava_web::native::read_file;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

/// A model that answers.
pub trait Answerer {
    /// Answers a question about the file `picture`.
    ///
    /// # Errors
    /// Those of the model.
    fn answer(&mut self, picture: Option<&[u8]>, question: &Question, max_new_tokens: u32) -> Result<String>;
}

/// Returns the bytes of a picture's file.
///
/// # Errors
/// [`llava_web::error::Kind::Io`], naming it.
pub fn bytes_of(picture: &Picture) -> Result<Arc<[u8]>> {
    match picture {
        Picture::File(path) => Ok(read_file(path)?.into()),
        Picture::Inline(bytes) => Ok(bytes.clone()),
    }
}

/// What the workers share.
struct Shared<'a> {
    questions: &'a [Question],
    groups: &'a [Group],
    max_new_tokens: u32,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl Shared<'_> {
    /// Answers group after group until there is none left, or another worker failed.
    fn work(&self, model: &mut dyn Answerer, done: &Sender<Result<(usize, Vec<usize>, String)>>) -> Result<()> {
        while let Some(group) = self.groups.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let picture = match group.first().and_then(|ask| self.questions[ask.index].picture.as_ref()) {
                Some(picture) => Some(bytes_of(picture)?),
                None => None,
            };
            for ask in group {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let question = &self.questions[ask.index];
                let text = model.answer(picture.as_deref(), question, self.max_new_tokens);
                let text = text.map_err(|e| Error { place: format!("question {}: {}", question.id, e.place), ..e })?;
                let _ = done.send(Ok((ask.index, ask.copies.clone(), text)));
            }
        }
        Ok(())
    }
}

/// Asks what `plan` holds, with a model of `make` for each of `workers` threads. `record` is called with the index and
/// the text of every answer, in the order in which they come.
///
/// # Errors
/// The first of a picture, a model or `record`; what was answered until then has been recorded.
pub fn ask(
    questions: &[Question],
    plan: &Plan,
    max_new_tokens: u32,
    workers: usize,
    make: &(dyn Fn() -> Result<Box<dyn Answerer>> + Sync),
    record: &mut dyn FnMut(usize, &str) -> Result<()>,
) -> Result<()> {
    plan.known.iter().try_for_each(|(index, text)| record(*index, text))?;
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let shared = Shared { questions, groups: &plan.groups, max_new_tokens, next, stop };
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, plan.groups.len().max(1)) {
            let (shared, sender) = (&shared, sender.clone());
            scope.spawn(move || {
                if !shared.groups.is_empty()
                    && let Err(error) = make().and_then(|mut model| shared.work(model.as_mut(), &sender))
                {
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        let mut result = Ok(());
        for message in receiver {
            let recorded = message.and_then(|(index, copies, text)| {
                [index].into_iter().chain(copies).try_for_each(|index| record(index, &text))
            });
            if let Err(error) = recorded {
                shared.stop.store(true, Ordering::Relaxed);
                result = result.and(Err(error));
            }
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use llava_web::error::Kind;
    use std::sync::Mutex;

    /// Questions by (picture, text).
    fn questions(list: &[(u8, &str)]) -> Vec<Question> {
        let question = |(i, (picture, text)): (usize, &(u8, &str))| Question {
            picture: Some(Picture::Inline(Arc::new([*picture]))),
            ..Question::new(i, "x".into(), (*text).to_owned())
        };
        list.iter().enumerate().map(question).collect()
    }

    /// Repeats the question, and notes what it was asked.
    struct Echo<'a>(&'a Mutex<Vec<String>>, Option<&'static str>);

    impl Answerer for Echo<'_> {
        fn answer(&mut self, picture: Option<&[u8]>, question: &Question, _: u32) -> Result<String> {
            let text = format!("{}{}", picture.unwrap()[0], question.text);
            if self.1 == Some(&text) {
                return Err(Error::new(Kind::Image, "image", "is broken"));
            }
            self.0.lock().unwrap().push(text.clone());
            Ok(text)
        }
    }

    const LIST: [(u8, &str); 7] = [(1, "a"), (2, "a"), (1, "b"), (1, "a"), (3, "c"), (2, "b"), (2, "a")];

    #[test]
    fn questions_on_a_picture_come_together_and_equal_ones_once() {
        let questions = questions(&LIST);
        let mut given = vec![None; LIST.len()];
        let plan = Plan::new(&questions, &given, usize::MAX);
        assert_eq!(plan.asks, 5);
        // The thread takes the model with it, and the model borrows.
        let asked: &'static Mutex<Vec<String>> = Box::leak(Box::default());
        let make = || Ok(Box::new(Echo(asked, None)) as Box<dyn Answerer>);
        let mut record = |index: usize, text: &str| {
            assert!(given[index].replace(text.to_owned()).is_none());
            Ok(())
        };
        ask(&questions, &plan, 8, 1, &make, &mut record).unwrap();
        assert_eq!(*asked.lock().unwrap(), ["1a", "1b", "2a", "2b", "3c"]);
        let wanted = LIST.map(|(picture, text)| Some(format!("{picture}{text}")));
        assert_eq!(given, wanted);
        // What was answered is not asked again, also where only an equal question was.
        let half: Vec<Option<String>> = (0..LIST.len()).map(|i| given[i].clone().filter(|_| i < 3)).collect();
        let plan = Plan::new(&questions, &half, 6);
        assert_eq!(plan.known, [(3, "1a".to_owned())]);
        assert_eq!(plan.groups.iter().flatten().map(|ask| ask.index).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn several_workers_answer_the_same_and_an_error_ends_them_all() {
        let list: Vec<(u8, &str)> = (0..40).flat_map(|picture| [(picture, "a"), (picture, "b")]).collect();
        let questions = questions(&list);
        let asked: &'static Mutex<Vec<String>> = Box::leak(Box::default());
        let run = |broken: Option<&'static str>| {
            let mut given = vec![None; list.len()];
            let plan = Plan::new(&questions, &given, usize::MAX);
            let make = || Ok(Box::new(Echo(asked, broken)) as Box<dyn Answerer>);
            let result = ask(&questions, &plan, 8, 3, &make, &mut |index, text| {
                given[index] = Some(text.to_owned());
                Ok(())
            });
            (result, given)
        };
        let (result, given) = run(None);
        result.unwrap();
        assert!(given.iter().zip(&list).all(|(text, (p, t))| text.as_deref() == Some(&format!("{p}{t}"))));
        let (result, given) = run(Some("20a"));
        let error = result.unwrap_err().to_string();
        assert_eq!(error, "question 40: image: is broken");
        assert!(given[40].is_none() && given.iter().flatten().count() >= 20);
    }
}
