//! Answers: messages, pictures by their hash, several conversations on one cache.

use crate::common::{convert, golden_file, gpu_or_skip};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Answer, Engine, Event, GenerateOptions, Loader, Observer, SilentObserver};
use llava_web::error::Kind;
use llava_web::native::{Folder, load_model, now};
use llava_web::prompt::{Message, Part, Role};
use pollster::block_on;
use std::path::Path;

const QUESTION: &str = "what is in the picture, and how many stars are there in it?";

fn options(max_new_tokens: u32) -> GenerateOptions {
    GenerateOptions { max_new_tokens, ignore_eos: true, ..GenerateOptions::default() }
}

fn open(backend: BackendChoice, directory: &Path) -> Engine {
    block_on(load_model(directory, None, backend, None)).unwrap()
}

fn backends() -> Vec<BackendChoice> {
    let gpu = gpu_or_skip().then_some(BackendChoice::Gpu);
    [BackendChoice::Cpu, BackendChoice::Reference].into_iter().chain(gpu).collect()
}

fn encode(engine: &mut Engine, picture: &str, needed: &[String]) -> String {
    block_on(engine.encode(&golden_file(picture), needed, &mut SilentObserver)).unwrap().id
}

/// Counts the rows that are prefilled: those beyond the ones that an answer reports as reused.
#[derive(Default)]
struct Rows {
    done: Vec<u32>,
}

impl Observer for Rows {
    fn event(&mut self, event: Event) {
        if let Event::Prefill { done, .. } = event {
            self.done.push(done);
        }
    }
    async fn pause(&mut self) -> bool {
        false
    }
}

fn chat(engine: &mut Engine, messages: &[Message]) -> Answer {
    block_on(engine.generate(messages, &options(8), &mut SilentObserver)).unwrap()
}

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

/// Takes the place of the long system sentence.
fn brief() -> Message {
    Message::text(Role::System, "be brief.")
}

/// Appends the answer as a client would, by its text, and the next question.
fn go_on(messages: &mut Vec<Message>, answer: &Answer, question: &str) {
    messages.extend([Message::text(Role::Assistant, &answer.text), user(question)]);
}

/// A client may name an earlier answer by its text or by its ids; the ids need no engine that remembers them.
#[test]
fn answers_by_their_text_are_those_by_their_ids() {
    let directory = convert("mha", "f32");
    let mut engine = open(BackendChoice::Cpu, directory.path());
    let id = encode(&mut engine, "wide.png", &[]);
    assert_eq!(id.len(), 64);
    let mut messages = vec![Message::user(&[id], QUESTION)];
    let mut by_ids = messages.clone();
    for question in ["and then?", "so?", ""] {
        let mut fresh = open(BackendChoice::Cpu, directory.path());
        encode(&mut fresh, "wide.png", &[]);
        let expected = chat(&mut fresh, &by_ids);
        let answer = chat(&mut engine, &messages);
        assert_eq!((&answer.ids, &answer.prompt_ids), (&expected.ids, &expected.prompt_ids));
        assert_eq!(answer.text, expected.text);
        go_on(&mut messages, &answer, question);
        by_ids.extend([Message::answer(&expected.ids), user(question)]);
    }
    // Every answer's own ids were used: only the last of each and the question are new.
    let again = chat(&mut engine, &messages[..5]);
    assert_eq!(again.reused_rows as usize, again.prompt_ids.len());
}

/// Two conversations with a picture each, in turns; every call computes what is new in it.
fn alternate(backend: BackendChoice, model: &str, quant: &str) {
    let directory = convert(model, quant);
    let mut engine = open(backend, directory.path());
    let ids = ["wide.png", "tall.png"].map(|picture| encode(&mut engine, picture, &[]));
    let questions = [QUESTION, "how many circles, squares and other shapes does the picture show?"];
    let mut talks: Vec<Vec<Message>> =
        (0..2).map(|i| vec![brief(), Message::user(&ids[i..=i], questions[i])]).collect();
    let mut alone: Vec<Engine> = (0..2).map(|_| open(backend, directory.path())).collect();
    for (engine, picture) in alone.iter_mut().zip(["wide.png", "tall.png"]) {
        encode(engine, picture, &[]);
    }
    let mut known = [0, 0];
    for round in 0..3 {
        for (i, talk) in talks.iter_mut().enumerate() {
            let mut rows = Rows::default();
            let answer = block_on(engine.generate(talk, &options(8), &mut rows)).unwrap();
            let expected = chat(&mut alone[i], talk);
            assert_eq!(answer.ids, expected.ids, "{backend:?} {model}: round {round} of talk {i}");
            if round > 0 {
                assert_eq!(answer.reused_rows, known[i], "{backend:?} {model}: round {round} of talk {i}");
                assert_eq!(answer.reused_rows, expected.reused_rows, "as if it were alone");
                assert_eq!(rows.done, [answer.prompt_ids.len() as u32], "one chunk");
            }
            // All but the answer's last token, which was not run through the decoder.
            known[i] = (answer.prompt_ids.len() + answer.ids.len()) as u32 - 1;
            go_on(talk, &answer, "and so?");
        }
    }
}

#[test]
fn alternating_conversations_compute_only_new_rows() {
    for backend in backends() {
        alternate(backend, "mha", "f32");
    }
    for backend in backends() {
        alternate(backend, "gqa", "q8");
    }
}

/// Parked rows count as memory of the device, and are freed where pictures are forgotten.
#[test]
fn parked_rows_are_bounded_and_freed() {
    for backend in backends() {
        let directory = convert("mha", "q4");
        let mut engine = open(backend, directory.path());
        let before = engine.report().device_bytes;
        let limit = block_on(async {
            let (device, folder) =
                (Device::open(BackendChoice::Cpu).await.unwrap(), Folder::new(directory.path(), None));
            let loader = Loader::open(device, &folder, &["manifest.json".into()], &now).await.unwrap();
            loader.plan(None).await.unwrap().memory.conversations
        });
        assert_eq!(limit, 256 * engine.model().cache_row_bytes());
        let mut most = 0;
        for n in 0..12 {
            chat(&mut engine, &[brief(), user(&format!("{n} {}", "word ".repeat(30)))]);
            let parked = engine.report().device_bytes - before;
            assert!(parked <= limit, "{parked} of {limit}");
            most = most.max(parked);
        }
        assert!(most > limit / 2, "{most} of {limit}");
        block_on(engine.encode(&golden_file("wide.png"), &[], &mut SilentObserver)).unwrap();
        engine.set_rendering(llava_web::preprocess::Rendering::Reference);
        assert_eq!(engine.report().device_bytes, before);
        assert!(!chat(&mut engine, &[user(QUESTION)]).ids.is_empty());
    }
}

/// Two conversations that the bound has not room for together: while one is in the cache, the other is parked.
#[test]
fn conversations_of_more_than_half_the_bound_alternate() {
    let directory = convert("mha", "q4");
    let mut engine = open(BackendChoice::Cpu, directory.path());
    let talks = ["a", "b"].map(|name| [brief(), user(&format!("{name} {}", "word ".repeat(30)))]);
    let first = [0, 1].map(|i| chat(&mut engine, &talks[i]));
    assert!(first.iter().all(|answer| answer.prompt_rows > 128), "the bound is 256 rows");
    for _ in 0..3 {
        for i in 0..2 {
            let again = chat(&mut engine, &talks[i]);
            assert_eq!((again.reused_rows, &again.ids), (again.prompt_rows, &first[i].ids));
        }
    }
}

#[test]
fn a_picture_is_needed_on_the_device_only_where_its_rows_are_not_cached() {
    let directory = convert("mha", "f32");
    let mut engine = block_on(load_model(directory.path(), None, BackendChoice::Cpu, Some(128))).unwrap();
    let wide = encode(&mut engine, "wide.png", &[]);
    let messages = [brief(), Message::user(std::slice::from_ref(&wide), "what is it?")];
    let unknown = "0".repeat(64);
    let strange = [user("a"), Message::answer(&[5]), Message::user(&[unknown.clone(), wide.clone()], QUESTION)];
    assert_eq!(engine.missing_pictures(&strange).unwrap(), [&unknown[..]]);
    let error = block_on(engine.generate(&strange, &options(3), &mut SilentObserver)).unwrap_err();
    assert_eq!((error.kind, &error.place[..]), (Kind::Prompt, "messages[2].parts[0]"), "{error}");
    let first = chat(&mut engine, &messages);
    // Other pictures take its place: the model has 14 slots.
    for n in 0..14u8 {
        let bytes = painted(n);
        block_on(engine.encode(&bytes, &[], &mut SilentObserver)).unwrap();
    }
    assert_eq!(engine.missing_pictures(&messages).unwrap(), [""; 0], "its rows are cached");
    assert_eq!(chat(&mut engine, &messages).ids, first.ids);
    let later = [user("first"), Message::answer(&[5]), messages[1].clone()];
    assert_eq!(engine.missing_pictures(&later).unwrap(), [&wide[..]]);
    let error = block_on(engine.prefill(&later, &mut SilentObserver)).unwrap_err();
    assert_eq!((error.kind, &error.place[..]), (Kind::Prompt, "messages[2].parts[0]"), "{error}");
    // Encoded again it is the same picture: the cached rows stay valid.
    encode(&mut engine, "wide.png", &[]);
    let again = chat(&mut engine, &messages);
    assert_eq!((again.reused_rows as usize, again.ids), (again.prompt_ids.len(), first.ids));
}

/// A picture of 8 × 8 pixels of one colour.
fn painted(value: u8) -> Vec<u8> {
    let image = image::RgbImage::from_pixel(8, 8, image::Rgb([value * 9, 7, 250 - value]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn needed_pictures_keep_their_places() {
    let directory = convert("mha", "f32");
    let mut engine = block_on(load_model(directory.path(), None, BackendChoice::Cpu, Some(128))).unwrap();
    let ids: Vec<String> =
        (0..14).map(|n| block_on(engine.encode(&painted(n), &[], &mut SilentObserver)).unwrap().id).collect();
    let refused = block_on(engine.encode(&painted(14), &ids, &mut SilentObserver)).unwrap_err();
    assert_eq!(refused.kind, Kind::ContextFull);
    block_on(engine.encode(&painted(14), &ids[..13], &mut SilentObserver)).unwrap();
    let missing = |engine: &Engine, id: &String| {
        engine.missing_pictures(&[Message::user(std::slice::from_ref(id), QUESTION)]).unwrap().len()
    };
    assert_eq!((missing(&engine, &ids[12]), missing(&engine, &ids[13])), (0, 1));
}

#[test]
fn a_last_answer_is_continued_and_its_rows_are_reused() {
    let directory = convert("mha", "f32");
    let mut engine = open(BackendChoice::Cpu, directory.path());
    let question = [user(QUESTION)];
    let whole = block_on(engine.generate(&question, &options(10), &mut SilentObserver)).unwrap();
    let mut other = open(BackendChoice::Cpu, directory.path());
    let cut = block_on(other.generate(&question, &options(4), &mut SilentObserver)).unwrap();
    assert_eq!(cut.ids, whole.ids[..4]);
    for begun in [Message::text(Role::Assistant, &cut.text), Message::answer(&cut.ids)] {
        let messages = [question[0].clone(), begun];
        let rest = block_on(other.generate(&messages, &options(6), &mut SilentObserver)).unwrap();
        assert_eq!(rest.ids, whole.ids[4..]);
        assert_eq!(format!("{}{}", cut.text, rest.text), whole.text);
        assert_eq!(rest.prompt_ids, [&whole.prompt_ids[..], &cut.ids].concat());
        assert!(rest.reused_rows as usize >= whole.prompt_ids.len() + 3);
    }
    // Both parts together are known as one answer.
    let next = [question[0].clone(), Message::text(Role::Assistant, &whole.text), user("so?")];
    let answer = chat(&mut other, &next);
    assert_eq!(answer.reused_rows as usize, whole.prompt_ids.len() + whole.ids.len() - 1);
    assert_eq!(answer.ids, chat(&mut engine, &next).ids);
    // `begin` counts as part of the answer.
    let begin = GenerateOptions { answer_prefix: cut.ids.clone(), ..options(10) };
    let begun = block_on(other.generate(&question, &begin, &mut SilentObserver)).unwrap();
    assert_eq!((begun.ids, begun.text), (whole.ids, whole.text));
}

#[test]
fn a_system_message_and_parts_in_any_order_are_answered() {
    let directory = convert("mha", "f32");
    let mut engine = open(BackendChoice::Cpu, directory.path());
    let id = encode(&mut engine, "wide.png", &[]);
    let parts = vec![Part::Text("look:".into()), Part::Image(id), Part::Text("well?".into())];
    let messages = [brief(), Message { role: Role::User, parts }];
    let rows = block_on(engine.prefill(&messages, &mut SilentObserver)).unwrap();
    let answer = chat(&mut engine, &messages);
    assert_eq!((answer.reused_rows, answer.prompt_ids.len()), (rows, rows as usize));
    let error = block_on(engine.generate(&[], &options(3), &mut SilentObserver)).unwrap_err();
    assert_eq!(error.kind, Kind::Prompt);
    let wrong = [user("a"), Message::text(Role::System, "late")];
    let error = block_on(engine.generate(&wrong, &options(3), &mut SilentObserver)).unwrap_err();
    assert_eq!((error.kind, &error.place[..]), (Kind::Prompt, "messages[1]"), "{error}");
}

fn save(engine: &mut Engine) -> Vec<u8> {
    block_on(engine.save_state()).unwrap()
}

fn restore(engine: &mut Engine, bytes: &[u8]) -> u32 {
    block_on(engine.restore_state(bytes)).unwrap()
}

/// Saves on one device and restores on another: the conversation goes on as it would have, without its picture.
fn save_and_restore(from: BackendChoice, to: BackendChoice, model: &str, quant: &str) {
    let directory = convert(model, quant);
    let mut engine = open(from, directory.path());
    let id = encode(&mut engine, "wide.png", &[]);
    let mut messages = vec![brief(), Message::user(&[id], QUESTION)];
    let first = chat(&mut engine, &messages);
    let bytes = save(&mut engine);
    assert_eq!(save(&mut engine), bytes, "saving changes nothing");

    let mut other = open(to, directory.path());
    chat(&mut other, &[brief(), user("something else, at some length, so that it is parked")]);
    assert_eq!(other.missing_pictures(&messages).unwrap().len(), 1);
    let rows = restore(&mut other, &bytes);
    assert_eq!(rows as usize, first.prompt_ids.len() + first.ids.len() - 1);
    assert_eq!(other.missing_pictures(&messages).unwrap(), [""; 0], "its rows are cached");
    let mut prefilled = Rows::default();
    let again = block_on(other.generate(&messages, &options(8), &mut prefilled)).unwrap();
    assert_eq!((&again.ids, &again.text), (&first.ids, &first.text), "{from:?} to {to:?}, {model}");
    assert_eq!(again.reused_rows as usize, first.prompt_ids.len());
    assert_eq!(prefilled.done, [first.prompt_ids.len() as u32], "the last row, for its logits");

    restore(&mut other, &bytes);
    go_on(&mut messages, &first, "and so?");
    let (expected, next) = (chat(&mut engine, &messages), chat(&mut other, &messages));
    assert_eq!((next.ids, next.reused_rows), (expected.ids, rows), "the answer's own ids came with the state");
    // What the other conversation had computed was parked.
    let kept = chat(&mut other, &[brief(), user("something else, at some length, so that it is parked")]);
    assert_eq!(kept.reused_rows as usize, kept.prompt_ids.len());
}

#[test]
fn a_saved_conversation_goes_on_without_a_forward_pass() {
    let all = backends();
    for (from, to) in all.iter().zip(all.iter().cycle().skip(1)) {
        save_and_restore(*from, *to, "mha", "f32");
        save_and_restore(*to, *to, "gqa", "q8");
    }
}

#[test]
fn a_state_is_refused_by_another_model_and_where_nothing_was_answered() {
    let directory = convert("mha", "f32");
    let mut engine = open(BackendChoice::Cpu, directory.path());
    assert_eq!(block_on(engine.save_state()).unwrap_err().kind, Kind::State);
    chat(&mut engine, &[brief(), user(QUESTION)]);
    let bytes = save(&mut engine);
    // Weights of another type, and pictures read in another way.
    let quantized = convert("mha", "q8");
    for refused in [
        block_on(open(BackendChoice::Cpu, quantized.path()).restore_state(&bytes)),
        {
            let mut other = open(BackendChoice::Cpu, directory.path());
            other.set_rendering(llava_web::preprocess::Rendering::Reference);
            block_on(other.restore_state(&bytes))
        },
        block_on(open(BackendChoice::Cpu, convert("gqa", "f32").path()).restore_state(&bytes)),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind, Kind::Argument, "{error}");
    }
    let mut short = block_on(load_model(directory.path(), None, BackendChoice::Cpu, Some(20))).unwrap();
    assert_eq!(block_on(short.restore_state(&bytes)).unwrap_err().kind, Kind::ContextFull);
    // A refused state changes nothing.
    let before = chat(&mut engine, &[brief(), user(QUESTION)]);
    for cut in [0, 7, 100, bytes.len() - 1] {
        assert_eq!(block_on(engine.restore_state(&bytes[..cut])).unwrap_err().kind, Kind::Argument, "{cut}");
    }
    let after = chat(&mut engine, &[brief(), user(QUESTION)]);
    assert_eq!((after.ids, after.reused_rows as usize), (before.ids, before.prompt_ids.len()));
}

/// The last answered conversation is saved, also when another one was prefilled since.
#[test]
fn the_last_answered_conversation_is_saved() {
    let directory = convert("mha", "f32");
    let mut engine = open(BackendChoice::Cpu, directory.path());
    let first = chat(&mut engine, &[brief(), user(QUESTION)]);
    let bytes = save(&mut engine);
    let other = [brief(), user("another question of about the same length, for another answer")];
    block_on(engine.prefill(&other, &mut SilentObserver)).unwrap();
    assert_eq!(save(&mut engine), bytes);
    let mut fresh = open(BackendChoice::Cpu, directory.path());
    restore(&mut fresh, &bytes);
    assert_eq!(chat(&mut fresh, &[brief(), user(QUESTION)]).ids, first.ids);
}
