//! Conversations: reuse of the cache, refused input, interruptions that change nothing.

use crate::common::{Talk, convert, golden_file, gpu_or_skip};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Answer, Engine, Event, GenerateOptions, Loader, Observer, SilentObserver, Stop};
use llava_web::error::Kind;
use llava_web::measure::{self, BenchOptions};
use llava_web::model::CacheType;
use llava_web::native::synthetic::{Format, ModelSize, Synthetic};
use llava_web::native::{Folder, load, load_model, load_parts, now, read_file};
use llava_web::prompt::Message;
use llava_web::tuning::Tuning;
use pollster::block_on;
use std::path::Path;

const QUESTION: &str = "what is in the picture?";
const SECOND: &str = "how many stars are there?";

fn options(max_new_tokens: u32) -> GenerateOptions {
    GenerateOptions { max_new_tokens, ignore_eos: true, ..GenerateOptions::default() }
}

fn open(directory: &Path) -> Engine {
    open_on(BackendChoice::Cpu, directory)
}

fn open_on(backend: BackendChoice, directory: &Path) -> Engine {
    block_on(load_model(directory, None, backend, None)).unwrap()
}

/// Encodes a picture and prefills the prompt up to it, as the page does before a question is typed.
fn look(engine: &mut Engine, picture: &str) -> Talk {
    let talk = Talk::about(engine, &[golden_file(picture)]);
    talk.prefill(engine, "").unwrap();
    talk
}

fn ask(engine: &mut Engine, talk: &mut Talk, question: &str) -> Answer {
    talk.ask(engine, question, &options(8))
}

/// Cancels after this number of tokens.
struct CancelAfter(u32);

impl Observer for CancelAfter {
    fn event(&mut self, event: Event) {
        if matches!(event, Event::Token { id: Some(_), .. }) {
            self.0 -= 1;
        }
    }
    async fn pause(&mut self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_second_question_prefills_only_new_rows() {
    let directory = convert("mha", "f32");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    let first = ask(&mut engine, &mut talk, QUESTION);
    assert!(first.reused_rows > 9, "the system text and the 9 image rows were prefilled: {}", first.reused_rows);
    let second = ask(&mut engine, &mut talk, SECOND);
    // All of the first turn except its last token, which was sampled and never run through the decoder.
    assert_eq!(second.reused_rows as usize, first.prompt_ids.len() + first.ids.len() - 1);
    assert!(second.prompt_ids.starts_with(&[&first.prompt_ids[..], &first.ids[..]].concat()));

    // The same conversation on an engine whose cache held another one.
    let mut other = open(directory.path());
    let mut tall = look(&mut other, "tall.png");
    ask(&mut other, &mut tall, "is there a word in the image?");
    let mut talk = look(&mut other, "wide.png");
    assert_eq!(ask(&mut other, &mut talk, QUESTION).ids, first.ids);
    assert_eq!(ask(&mut other, &mut talk, SECOND).ids, second.ids);
}

#[test]
fn the_cached_path_equals_one_prefill_of_the_whole_prompt() {
    let directory = convert("gqa", "f32");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    ask(&mut engine, &mut talk, QUESTION);
    let second = ask(&mut engine, &mut talk, SECOND);
    let mut fresh = open(directory.path());
    look(&mut fresh, "wide.png");
    let model = fresh.model();
    let mut row = 0;
    let mut input_id = |id: &u32| {
        let image = *id == model.config.image_token_index;
        row += u32::from(image);
        if image { model.image_embed_id(0, row - 1) } else { *id }
    };
    let ids: Vec<u32> = second.prompt_ids.iter().map(&mut input_id).collect();
    model.prefill(&ids, 0, Some(ids.len() as u32 - 1)).unwrap();
    let logits = block_on(model.logits()).unwrap();
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
    assert_eq!(best as u32, second.ids[0]);
}

#[test]
fn a_prefilled_question_is_not_prefilled_again_and_changes_nothing() {
    let directory = convert("mha", "q4");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    let plain = ask(&mut engine, &mut talk, QUESTION);
    let mut talk = look(&mut engine, "wide.png");
    for end in [3, 9, 5, QUESTION.len()] {
        talk.prefill(&mut engine, &QUESTION[..end]).unwrap();
    }
    let answer = ask(&mut engine, &mut talk, QUESTION);
    assert_eq!(answer.ids, plain.ids);
    assert_eq!(answer.reused_rows as usize, answer.prompt_ids.len());
    let long = "what is this? ".repeat(5000);
    assert_eq!(talk.prefill(&mut engine, &long).unwrap_err().kind, Kind::ContextFull);
    assert!(!ask(&mut engine, &mut talk, SECOND).ids.is_empty());
}

/// Prefilled logits serve any sampling, and only the prompt that they belong to.
fn answer_after_prefill(backend: BackendChoice) {
    let directory = convert("mha", "q4");
    let mut engine = open_on(backend, directory.path());
    let warm = |seed| GenerateOptions { temperature: 1.5, seed, keep_logits: true, ..options(6) };
    let asked =
        [(QUESTION, options(6)), (QUESTION, warm(1)), (QUESTION, warm(2)), (SECOND, options(6)), (SECOND, warm(1))];
    let mut plain: Vec<Answer> = Vec::new();
    for (question, options) in &asked {
        plain.push(look(&mut engine, "wide.png").ask(&mut engine, question, options));
    }
    assert!(plain[0].ids != plain[3].ids && plain[1].ids != plain[2].ids, "the test needs answers that differ");
    for (index, before) in [QUESTION, "what is in", SECOND].into_iter().enumerate() {
        for ((question, options), plain) in asked.iter().zip(&plain) {
            let mut talk = look(&mut engine, "wide.png");
            talk.prefill(&mut engine, before).unwrap();
            talk.prefill(&mut engine, before).unwrap();
            if index == 2 {
                // Calls in between have no effect: another prefill, a picture, another conversation.
                talk.prefill(&mut engine, QUESTION).unwrap();
                look(&mut engine, "wide.png");
                Talk::default().prefill(&mut engine, "").unwrap();
                look(&mut engine, "wide.png");
            }
            let mut repeated = talk.clone();
            let answer = talk.ask(&mut engine, question, options);
            assert_eq!(answer.ids, plain.ids, "{backend:?}: {before} | {question}");
            assert_eq!(answer.logits.len(), plain.logits.len());
            // Asked again, after steps that overwrote the logits.
            let again = repeated.ask(&mut engine, question, options);
            assert_eq!(again.ids, plain.ids, "{backend:?}: again {before} | {question}");
        }
    }
}

#[test]
fn an_answer_does_not_depend_on_what_was_prefilled() {
    answer_after_prefill(BackendChoice::Cpu);
    if gpu_or_skip() {
        answer_after_prefill(BackendChoice::Gpu);
    }
}

/// Counts the chunks that are prefilled.
#[derive(Default)]
struct Chunks(u32);

impl Observer for Chunks {
    fn event(&mut self, event: Event) {
        self.0 += u32::from(matches!(event, Event::Prefill { .. }));
    }
    async fn pause(&mut self) -> bool {
        false
    }
}

#[test]
fn nothing_is_prefilled_when_the_prefilled_question_is_asked() {
    let directory = convert("mha", "q4");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    let mut chunks = |engine: &mut Engine, typed: &str, question: &str| {
        let mut chunks = Chunks::default();
        talk.prefill(engine, typed).unwrap();
        talk.try_ask(engine, question, &options(3), &mut chunks).unwrap();
        chunks.0
    };
    assert_eq!(chunks(&mut engine, QUESTION, QUESTION), 0);
    assert_eq!(chunks(&mut engine, QUESTION, QUESTION), 0, "a second turn");
    assert_eq!(chunks(&mut engine, QUESTION, SECOND), 1, "another question");
    // A context that would be full is the same error in both calls.
    let long = [Message::user(&[], &"what is this? ".repeat(5000))];
    let refused = block_on(engine.prefill(&long, &mut SilentObserver)).unwrap_err();
    assert_eq!(refused.kind, Kind::ContextFull);
    let answered = block_on(engine.generate(&long, &options(3), &mut SilentObserver));
    assert_eq!(answered.map(drop).unwrap_err().kind, refused.kind);
    assert_eq!(chunks(&mut engine, SECOND, SECOND), 0, "the engine still works");
}

#[test]
fn measuring_leaves_an_engine_that_works() {
    let directory = convert("mha", "q4");
    measure_and_ask(open(directory.path()));
    if gpu_or_skip() {
        measure_and_ask(open_on(BackendChoice::Gpu, directory.path()));
    }
    let mut short = block_on(load_model(directory.path(), None, BackendChoice::Cpu, Some(8))).unwrap();
    let refused = block_on(short.bench(&MEASURED, &|| 0.0, &mut |line| panic!("{line}"))).unwrap_err();
    assert_eq!(refused.kind, Kind::Argument, "{refused}");
}

const MEASURED: BenchOptions = BenchOptions { rows: 9, tokens: 2, repeat: 1, operations: true };

fn measure_and_ask(mut engine: Engine) {
    let about = look(&mut engine, "wide.png");
    let plain = ask(&mut engine, &mut about.clone(), QUESTION);
    let (begun, mut lines) = (std::time::Instant::now(), Vec::new());
    block_on(engine.bench(&MEASURED, &|| begun.elapsed().as_secs_f64() * 1e3, &mut |line| lines.push(line))).unwrap();
    for (part, what) in [
        ("calibration", "copy"),
        ("stage", "encode"),
        ("stage", "prefill"),
        ("stage", "decode"),
        ("stage", "decode with attention"),
    ] {
        assert!(lines.iter().any(|l| l.part == part && l.what == what && l.timing.ms > 0.0), "{part} {what}");
    }
    assert!(lines.iter().any(|l| l.part == "step" && l.what.starts_with("mat")));
    let features = engine.model().device.features();
    let has_f16 = lines.iter().any(|l| l.part == "calibration" && l.what == "multiply-add f16");
    assert_eq!(has_f16, features.f16, "the rate of f16 is measured where the device has it");
    let clock = features.timestamps;
    for line in lines.iter().filter(|l| l.part == "stage") {
        let possible = |gpu_ms: f64| clock && gpu_ms > 0.0 && gpu_ms <= line.timing.ms;
        assert!(line.timing.gpu_ms.map_or(!clock, possible), "{:?} {line}", line.timing);
    }
    assert!(clock || lines.iter().all(|l| l.timing.gpu_ms.is_none()), "no clock, no figure");
    let columns = measure::Line::HEADER.matches(',').count();
    assert!(lines.iter().all(|l| l.to_string().matches(',').count() == columns));
    assert_eq!(engine.missing_pictures(&about.with(QUESTION)).unwrap(), about.pictures);
    let mut again = look(&mut engine, "wide.png");
    assert_eq!(ask(&mut engine, &mut again, QUESTION).ids, plain.ids);
}

/// The clock advances a thousand seconds at each call, so that every timed run takes a thousand seconds.
#[test]
fn growth_is_measured_by_chunks_and_by_steps() {
    let model = Synthetic::new(ModelSize::Tiny, Format::GgufQ4_0, 1).unwrap();
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let mut engine = block_on(load(&model, &model.entry(), device, Some(513))).unwrap();
    let time = std::cell::Cell::new(0.0);
    let now = || time.replace(time.get() + 1e6);
    let mut lines = Vec::new();
    let model = engine.model();
    let growth = block_on(measure::growth(model, 512, 2, &now, &mut |line| lines.push(line))).unwrap();
    let prefill = [(64.0, 1e6), (128.0, 1e6), (192.0, 1e6), (256.0, 1e6), (512.0, 2e6)];
    assert_eq!(growth.prefill, prefill, "a long prompt takes the sum of its chunks");
    assert_eq!(growth.chunks(), [(0.0, 1e6), (256.0, 1e6)]);
    assert_eq!(growth.decode, (1..=16).map(|i| (f64::from(32 * i), 1e6 / 8.0)).collect::<Vec<_>>());
    assert_eq!(growth.cache_bytes, 2 * 2 * 256 * 4, "two layers' keys and values of 256 floats");
    let bytes = |what: &str| lines.iter().filter(|l| l.what == what).map(|l| l.cost.bytes).collect::<Vec<_>>();
    assert!(bytes("decode").windows(2).all(|b| b[1] - b[0] == 32 * growth.cache_bytes), "{:?}", bytes("decode"));
    for refused in [0, 200, 768] {
        let error = block_on(measure::growth(model, refused, 1, &now, &mut |_| ())).err().unwrap();
        assert_eq!(error.kind, Kind::Argument, "{error}");
    }
}

#[test]
fn regenerating_prefills_one_row() {
    let directory = convert("mha", "q4");
    let mut engine = open(directory.path());
    let begun = look(&mut engine, "wide.png");
    let first = ask(&mut engine, &mut begun.clone(), QUESTION);
    let again = ask(&mut engine, &mut begun.clone(), QUESTION);
    assert_eq!(again.ids, first.ids);
    assert_eq!(again.reused_rows as usize, first.prompt_ids.len());
    // An edited question keeps the rows before it.
    let edited = ask(&mut engine, &mut begun.clone(), SECOND);
    assert!(edited.reused_rows > 9 && (edited.reused_rows as usize) < first.prompt_ids.len());
    let mut fresh = open(directory.path());
    let mut talk = look(&mut fresh, "wide.png");
    assert_eq!(ask(&mut fresh, &mut talk, SECOND).ids, edited.ids);
}

#[test]
fn cancelling_at_any_token_leaves_the_cache_consistent() {
    let directory = convert("mha", "f32");
    let mut whole = open(directory.path());
    let mut talk = look(&mut whole, "wide.png");
    let (first, second) = (ask(&mut whole, &mut talk, QUESTION), ask(&mut whole, &mut talk, SECOND));
    for tokens in 1..6 {
        let mut engine = open(directory.path());
        let mut talk = look(&mut engine, "wide.png");
        let cut = talk.clone().try_ask(&mut engine, QUESTION, &options(8), &mut CancelAfter(tokens)).unwrap();
        assert_eq!(cut.stop, Stop::Cancelled);
        assert_eq!(cut.ids, first.ids[..tokens as usize]);
        assert_eq!(ask(&mut engine, &mut talk, QUESTION).ids, first.ids, "after a stop at token {tokens}");
        assert_eq!(ask(&mut engine, &mut talk, SECOND).ids, second.ids, "after a stop at token {tokens}");
    }
}

#[test]
fn a_full_context_is_an_error_with_numbers_and_changes_nothing() {
    let directory = convert("mha", "f32");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    let before = engine.report().cached;
    let long = "word ".repeat(300);
    let error = talk.try_ask(&mut engine, &long, &options(8), &mut SilentObserver).unwrap_err();
    assert_eq!(error.kind, Kind::ContextFull);
    assert!(error.message.contains("256"), "{error}");
    assert_eq!(engine.report().cached, before);
    let mut fresh = open(directory.path());
    let plain = look(&mut fresh, "wide.png");
    assert_eq!(ask(&mut engine, &mut talk.clone(), QUESTION).ids, ask(&mut fresh, &mut plain.clone(), QUESTION).ids);
    // An answer that reaches the end of the context stops there with that reason.
    let long = talk.ask(&mut engine, QUESTION, &options(1000));
    assert_eq!(long.stop, Stop::Context);
    assert_eq!(long.prompt_ids.len() + long.ids.len(), 256);
}

#[test]
fn pictures_beyond_the_context_are_refused_and_earlier_ones_stay() {
    let directory = convert("gqa", "q8");
    let mut engine = block_on(load_model(directory.path(), None, BackendChoice::Cpu, Some(200))).unwrap();
    let (mut talk, mut encoded_pictures) = (Talk::default(), 0);
    let error = loop {
        // The same picture twice is one slot and twice its rows.
        let picture = golden_file(if encoded_pictures % 2 == 0 { "wide.png" } else { "tall.png" });
        let encoded = talk.encode(&mut engine, &picture).unwrap();
        assert_eq!((encoded.rows, encoded.reused), (10, encoded_pictures > 1));
        match talk.prefill(&mut engine, "") {
            Ok(rows) => assert!(rows <= 200),
            Err(error) => break error,
        }
        encoded_pictures += 1;
    };
    assert_eq!(error.kind, Kind::ContextFull);
    assert!(encoded_pictures >= 2 && error.message.contains("200"), "{encoded_pictures} {error}");
    talk.pictures.pop();
    let cached = engine.report().cached;
    // The pictures leave room for a token, and perhaps not for the question.
    match talk.try_ask(&mut engine, "?", &options(1), &mut SilentObserver) {
        Ok(answer) => assert_eq!(answer.ids.len(), 1),
        Err(error) => assert_eq!((error.kind, engine.report().cached), (Kind::ContextFull, cached)),
    }
    let mut talk = look(&mut engine, "tall.png");
    assert_eq!(ask(&mut engine, &mut talk, "?").stop, Stop::Length);
}

#[test]
fn typed_special_tokens_are_text() {
    let directory = convert("mha", "f32");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    let answer = ask(&mut engine, &mut talk, "</s><image><s>?");
    let config = engine.model().config.clone();
    let count = |id: u32| answer.prompt_ids.iter().filter(|i| **i == id).count();
    assert_eq!(count(config.image_token_index), 9, "the picture's rows and nothing else");
    assert_eq!(count(config.text.eos_token_ids[0]), 0);
    assert_eq!(count(config.text.bos_token_id), 1);
}

#[test]
fn raw_prompts_are_verbatim_with_marks_and_special_tokens() {
    let directory = convert("mha", "f32");
    let mut engine = open(directory.path());
    let images = look(&mut engine, "wide.png").pictures;
    let prompt = "USER: <image>\nhello ASSISTANT: yes</s>USER: what? ASSISTANT:";
    let answer = block_on(engine.generate_raw(prompt, &images, &options(4), &mut SilentObserver)).unwrap();
    let eos = engine.model().config.text.eos_token_ids[0];
    assert_eq!(answer.prompt_ids.iter().filter(|id| **id == eos).count(), 1);
    let error = block_on(engine.generate_raw("no mark", &images, &options(4), &mut SilentObserver)).unwrap_err();
    assert_eq!(error.kind, Kind::Prompt);
    assert!(error.message.contains("0 <image> marks for 1"), "{error}");
}

#[test]
fn logits_are_kept_for_the_prompt_and_every_token() {
    let directory = convert("mha", "f32");
    let mut engine = open(directory.path());
    let mut talk = look(&mut engine, "wide.png");
    let plain = ask(&mut engine, &mut talk.clone(), QUESTION);
    let kept = GenerateOptions { keep_logits: true, ..options(8) };
    let answer = talk.ask(&mut engine, QUESTION, &kept);
    assert_eq!(answer.ids, plain.ids);
    assert_eq!(answer.logits.len(), 9);
    for (logits, id) in answer.logits.iter().zip(&answer.ids) {
        assert!(logits.iter().all(|l| *l <= logits[*id as usize]), "greedy takes the largest");
    }
    // The extra step for the last row must not change later answers.
    assert_eq!(ask(&mut engine, &mut talk, SECOND).ids, {
        let mut other = open(directory.path());
        let mut talk = look(&mut other, "wide.png");
        ask(&mut other, &mut talk, QUESTION);
        ask(&mut other, &mut talk, SECOND).ids
    });
}

#[test]
fn sampling_is_reproducible_and_bounded_by_its_options() {
    let directory = convert("mha", "f32");
    let mut engine = open(directory.path());
    let mut sample = |temperature: f32, top_k: u32, seed: u32| {
        let options = GenerateOptions { temperature, top_k, seed, ..options(12) };
        Talk::default().ask(&mut engine, QUESTION, &options).ids
    };
    let greedy = sample(0.0, 0, 1);
    assert_eq!(sample(2.0, 1, 5), greedy, "top_k 1 is greedy");
    assert_eq!(sample(1.5, 0, 7), sample(1.5, 0, 7));
    assert!((0..8).any(|seed| sample(3.0, 0, seed) != greedy), "a high temperature strays");
    let wrong = GenerateOptions { top_p: 0.0, ..GenerateOptions::default() };
    let refused = Talk::default().try_ask(&mut engine, "?", &wrong, &mut SilentObserver).unwrap_err();
    assert_eq!(refused.kind, Kind::Argument);
}

#[test]
fn a_damaged_part_is_refused_by_name_and_can_be_pushed_again() {
    let directory = convert("mha", "f32");
    let read = |file: &str| read_file(&directory.path().join(file)).unwrap();
    let folder = Folder::new(directory.path(), None);
    block_on(async {
        let device = Device::open(BackendChoice::Cpu).await.unwrap();
        let mut loader = Loader::open(device, &folder, &["manifest.json".into()], &now).await.unwrap();
        let parts = loader.plan(None).await.unwrap().parts;
        for (index, part) in parts.iter().enumerate() {
            let bytes = read(&part.file);
            let mut damaged = bytes.clone();
            damaged[bytes.len() / 2] ^= 1;
            let error = loader.push(index, &damaged).await.unwrap_err();
            assert_eq!(error.kind, Kind::Shard);
            assert!(error.to_string().contains(&part.file), "{error}");
            assert_eq!(loader.push(index, &bytes[1..]).await.unwrap_err().kind, Kind::Shard);
            if index > 0 {
                loader.push(index, &bytes).await.unwrap();
            }
        }
        assert_eq!(loader.push(1000, &[]).await.unwrap_err().kind, Kind::Argument);
        assert_eq!(loader.finish(None).await.map(|_| ()).unwrap_err().kind, Kind::State);
    });
    // The small files are verified, too.
    let path = directory.path().join("config.json");
    let spaced = [b" ".to_vec(), read("config.json")].concat();
    std::fs::write(&path, spaced).unwrap();
    let error = block_on(load_model(directory.path(), None, BackendChoice::Cpu, None)).map(drop).unwrap_err();
    assert!(error.kind == Kind::Shard && error.place == "config.json", "{error}");
}

/// The same conversation on a new device: pictures, answers by their ids, and the interrupted answer.
#[test]
fn a_conversation_continues_on_another_engine() {
    let directory = convert("mha", "f32");
    let picture = golden_file("wide.png");
    let long = options(10);
    let mut first = open(directory.path());
    let mut talk = Talk::about(&mut first, std::slice::from_ref(&picture));
    let asked = talk.with(QUESTION);
    let said = talk.ask(&mut first, QUESTION, &options(6));
    let whole = talk.ask(&mut first, "how many?", &long);
    assert_eq!(whole.ids.len(), 10);
    let messages = [&asked[..], &[Message::answer(&said.ids), Message::user(&[], "how many?")]].concat();
    for cut in [0, 1, 4, 9] {
        let mut second = open(directory.path());
        let continued = GenerateOptions { answer_prefix: whole.ids[..cut].to_vec(), ..long.clone() };
        let refused = block_on(second.generate(&messages, &continued, &mut SilentObserver)).unwrap_err();
        assert_eq!(
            (refused.kind, &refused.place[..]),
            (Kind::Prompt, "messages[0].parts[0]"),
            "the picture is missing"
        );
        Talk::about(&mut second, std::slice::from_ref(&picture));
        let rest = block_on(second.generate(&messages, &continued, &mut SilentObserver)).unwrap();
        assert_eq!((&rest.ids, &rest.text, &rest.prompt_ids), (&whole.ids, &whole.text, &whole.prompt_ids), "{cut}");
    }
    let mut strange = open(directory.path());
    let unknown = [Message::user(&[], "?"), Message::answer(&[1 << 20]), Message::user(&[], "?")];
    let refused = block_on(strange.generate(&unknown, &options(3), &mut SilentObserver)).unwrap_err();
    assert_eq!((refused.kind, &refused.place[..]), (Kind::Prompt, "messages[1].parts[0]"));
    let continued = GenerateOptions { answer_prefix: vec![1 << 20], ..options(3) };
    let refused = Talk::default().try_ask(&mut strange, "?", &continued, &mut SilentObserver).unwrap_err();
    assert_eq!(refused.kind, Kind::Argument);
}

#[test]
fn a_cache_of_16_bits_takes_half_the_memory_and_rounds() {
    let directory = convert("mha", "f32");
    let answer = |cache_type| {
        block_on(async {
            let (device, folder) =
                (Device::open(BackendChoice::Reference).await.unwrap(), Folder::new(directory.path(), None));
            let mut loader = Loader::open(device, &folder, &["manifest.json".into()], &now).await.unwrap();
            if let Some(cache_type) = cache_type {
                loader.set_cache_type(cache_type);
            }
            let memory = loader.plan(None).await.unwrap().memory;
            let mut engine = load_parts(loader, &folder, None).await.unwrap();
            assert_eq!(engine.report().cache_type, memory.cache_type);
            let kept = GenerateOptions { keep_logits: true, ..options(2) };
            let logits = look(&mut engine, "wide.png").ask(&mut engine, QUESTION, &kept).logits;
            (memory.cache_type, memory.cache_per_token, logits)
        })
    };
    let (usual, wide, exact) = answer(None);
    let (half, narrow, rounded) = answer(Some(CacheType::F16));
    assert_eq!([usual, half], [CacheType::F32, CacheType::F16]);
    assert_eq!(wide, 2 * narrow);
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>();
    let difference = squares(&mut exact[0].iter().zip(&rounded[0]).map(|(a, b)| a - b));
    let error = difference / squares(&mut exact[0].iter().copied());
    assert!(error > 0.0 && error < 1e-5, "{error:e}");
}

/// Returns the numbers of pipelines: those compiled before the first part, those that the plan names, and those that
/// exist after an answer. The last `left_out` of the plan are not compiled in advance.
async fn pipelines(directory: &Path, tuning: Tuning, left_out: usize) -> [usize; 3] {
    let mut device = Device::open(BackendChoice::Gpu).await.unwrap();
    device.set_tuning(tuning);
    let mut loader =
        Loader::open(device, &Folder::new(directory, None), &["manifest.json".into()], &now).await.unwrap();
    let total = loop {
        let compiled = loader.compile().await.unwrap();
        if compiled.done + left_out == compiled.total {
            break compiled.total;
        }
    };
    let before = loader.device().pipelines();
    for (index, part) in loader.plan(None).await.unwrap().parts.iter().enumerate() {
        loader.push(index, &std::fs::read(directory.join(&part.file)).unwrap()).await.unwrap();
    }
    let mut engine = loader.finish(None).await.unwrap();
    let picture = engine.encode(&golden_file("wide.png"), &[], &mut SilentObserver).await.unwrap().id;
    engine.prefill(&[Message::user(std::slice::from_ref(&picture), "")], &mut SilentObserver).await.unwrap();
    let question = [Message::user(&[picture], QUESTION)];
    engine.prefill(&question, &mut SilentObserver).await.unwrap();
    engine.generate(&question, &options(4), &mut SilentObserver).await.unwrap();
    [before, total, engine.model().device.pipelines()]
}

#[test]
fn an_answer_needs_no_pipeline_beyond_those_of_the_plan() {
    if !gpu_or_skip() {
        return;
    }
    for (model, quant) in [("mha", "q4"), ("gqa", "q8"), ("gqa", "f16")] {
        let directory = convert(model, quant);
        for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
            let [before, total, after] = block_on(pipelines(directory.path(), tuning, 0));
            assert!(total > 10 && before == total && after == total, "{model} {quant}: {before}, {total}, {after}");
        }
        let [before, total, after] = block_on(pipelines(directory.path(), Tuning::SOFTWARE, 1));
        assert_eq!((before, after), (total - 1, total), "a missing one is compiled when it is needed");
    }
}

#[test]
fn a_cpu_compiles_nothing() {
    let directory = convert("mha", "q4");
    let device = block_on(Device::open(BackendChoice::Cpu)).unwrap();
    let folder = Folder::new(directory.path(), None);
    let mut loader = block_on(Loader::open(device, &folder, &["manifest.json".into()], &now)).unwrap();
    let compiled = block_on(loader.compile()).unwrap();
    assert_eq!((compiled.done, compiled.total), (0, 0));
}

/// A clock for loaders that must not measure.
fn unread() -> f64 {
    panic!("the clock was read")
}

#[test]
fn the_first_part_tunes_a_gpu_unless_its_tuning_is_set() {
    let directory = convert("mha", "q4");
    let folder = Folder::new(directory.path(), None);
    let entry = ["manifest.json".to_string()];
    let push = async |loader: &mut Loader| {
        let part = loader.plan(None).await.unwrap().parts.remove(0);
        loader.push(0, &read_file(&directory.path().join(&part.file)).unwrap()).await.unwrap();
    };
    block_on(async {
        let cpu = Device::open(BackendChoice::Cpu).await.unwrap();
        push(&mut Loader::open(cpu, &folder, &entry, &unread).await.unwrap()).await;
        if !gpu_or_skip() {
            return;
        }
        let gpu = async || Device::open(BackendChoice::Gpu).await.unwrap();
        let mut known = Loader::open(gpu().await, &folder, &entry, &unread).await.unwrap();
        known.set_tuning(&serde_json::to_string(&Tuning::HARDWARE).unwrap());
        push(&mut known).await;
        assert_eq!(known.device().tuning(), Some(Tuning::HARDWARE));
        let mut unknown = Loader::open(gpu().await, &folder, &entry, &now).await.unwrap();
        let before = unknown.device().tuning();
        unknown.set_tuning("{}");
        assert_eq!(unknown.device().tuning(), before, "text that is no tuning is ignored");
        push(&mut unknown).await;
        assert!(!unknown.device().wants_tuning());
    });
}
