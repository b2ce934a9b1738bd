//! Constrained answers: the engine's loop with constraints of its own, and JSON schemas with models.

mod common;

use common::smollm2;
use common::{Talk, convert, golden_file, gpu_or_skip, smollm2_or_skip};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Answer, Constraint, Engine, GenerateOptions, SilentObserver, Stop};
use llava_web::error::{Error, Kind, Result};
use llava_web::native::{ResponseFormat, Threads, load_model};
use pollster::block_on;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// A constraint that allows one text of tokens, and fails at a step where that is asked for.
struct Script {
    tokens: Vec<u32>,
    at: usize,
    fails_at: Option<usize>,
}

impl Script {
    fn boxed(tokens: &[u32], fails_at: Option<usize>) -> Option<Box<dyn Constraint>> {
        Some(Box::new(Self { tokens: tokens.to_vec(), at: 0, fails_at }))
    }
}

impl Constraint for Script {
    fn mask(&mut self, words: &mut [u32]) -> Result<()> {
        if self.fails_at == Some(self.at) {
            return Err(Error::new(Kind::Argument, "script", "fails"));
        }
        if let Some(id) = self.tokens.get(self.at) {
            words[*id as usize / 32] |= 1 << (id % 32);
        }
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<bool> {
        assert_eq!(self.tokens[self.at], token, "step {}", self.at);
        self.at += 1;
        Ok(self.at == self.tokens.len())
    }
}

fn device(backend: BackendChoice) -> Device {
    let mut device = block_on(Device::open(backend)).unwrap();
    device.set_thread_pool(Box::new(Threads::new(2)));
    device
}

fn ask(engine: &mut Engine, options: &GenerateOptions) -> Result<Answer> {
    let mut talk = Talk::about(engine, &[golden_file("wide.png")]);
    talk.try_ask(engine, "what is in the picture?", options, &mut SilentObserver)
}

#[test]
fn an_answer_follows_its_constraint_and_the_next_one_is_free() {
    let directory = convert("mha", "f32");
    let mut backends = vec![BackendChoice::Reference, BackendChoice::Cpu];
    backends.extend(gpu_or_skip().then_some(BackendChoice::Gpu));
    for backend in backends {
        let mut engine = block_on(load_model(directory.path(), None, backend, None)).unwrap();
        let greedy = GenerateOptions { max_new_tokens: 12, ..GenerateOptions::default() };
        let free = ask(&mut engine, &greedy).unwrap();
        let script: Vec<u32> = (40..49).rev().collect();
        let random = GenerateOptions { temperature: 1.0, top_k: 5, ..greedy.clone() };
        let logits = GenerateOptions { keep_logits: true, ..greedy.clone() };
        let probabilities = GenerateOptions { top_logprobs: Some(2), repetition_penalty: 1.3, ..greedy.clone() };
        for options in [&greedy, &random, &logits, &probabilities] {
            engine.constrain(Script::boxed(&script, None));
            let answer = ask(&mut engine, options).unwrap();
            assert_eq!((&answer.ids, answer.stop), (&script, Stop::Eos), "{backend:?} {options:?}");
            assert_eq!(answer.logits.len(), if options.keep_logits { script.len() + 1 } else { 0 });
            assert_eq!(answer.logprobs.len(), if options.top_logprobs.is_some() { script.len() } else { 0 });
        }
        // Cut by the limit; begun by an earlier answer; complete before it begins.
        engine.constrain(Script::boxed(&script, None));
        let cut = ask(&mut engine, &GenerateOptions { max_new_tokens: 4, ..greedy.clone() }).unwrap();
        assert_eq!((&cut.ids[..], cut.stop), (&script[..4], Stop::Length));
        for begun in [4, script.len()] {
            engine.constrain(Script::boxed(&script, None));
            let options = GenerateOptions { answer_prefix: script[..begun].to_vec(), ..greedy.clone() };
            let answer = ask(&mut engine, &options).unwrap();
            assert_eq!((&answer.ids, answer.stop), (&script, Stop::Eos), "{backend:?}: begun with {begun}");
        }
        // The first step and a later one fail: an error, and the engine goes on.
        for (fails_at, tokens) in [(Some(0), &script[..]), (Some(3), &script[..]), (None, &[])] {
            engine.constrain(Script::boxed(tokens, fails_at));
            let error = ask(&mut engine, &greedy).unwrap_err();
            assert!(error.kind == Kind::Argument && ["script", "constraint"].contains(&&*error.place), "{error}");
        }
        assert_eq!(ask(&mut engine, &greedy).unwrap().ids, free.ids, "{backend:?}: without constraint, as before");
        // A conversation goes on after a constrained answer as after another.
        engine.constrain(Script::boxed(&script, None));
        let mut talk = Talk::about(&mut engine, &[golden_file("wide.png")]);
        let first = talk.ask(&mut engine, "what is in the picture?", &greedy);
        assert_eq!(first.ids, script);
        let next = talk.ask(&mut engine, "and?", &greedy);
        assert!(next.prompt_ids.starts_with(&[&first.prompt_ids[..], &first.ids].concat()));
        assert!(next.reused_rows as usize >= first.prompt_ids.len() + first.ids.len() - 1);
    }
}

/// The tokens of a model and the words of its masks, from what the engine packs for grammars.
struct Vocabulary {
    ends: Vec<u32>,
    tokens: Vec<Vec<u8>>,
}

impl Vocabulary {
    fn of(engine: &Engine) -> Self {
        let packed = engine.vocabulary();
        let number = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().unwrap());
        let ends: Vec<u32> = (0..number(4) as usize).map(|i| number(12 + 4 * i)).collect();
        let (mut at, mut tokens) = (12 + 4 * ends.len(), Vec::new());
        while at < packed.len() {
            let length = usize::from(u16::from_le_bytes([packed[at], packed[at + 1]]));
            tokens.push(packed[at + 2..at + 2 + length].to_vec());
            at += 2 + length;
        }
        Self { ends, tokens }
    }

    /// Completes an answer as soon as its constraint lets it; returns its text, or `None` where that never happens.
    fn complete(&self, constraint: &mut dyn Constraint, ids: &[u32]) -> Option<Vec<u8>> {
        let bytes = |id: u32| &self.tokens[id as usize][..];
        let mut text: Vec<u8> = ids.iter().flat_map(|id| bytes(*id)).copied().collect();
        for id in ids {
            constraint.accept(*id).unwrap();
        }
        let mut words = vec![0; self.tokens.len().div_ceil(32)];
        for step in 0..400 {
            constraint.mask(&mut words).unwrap();
            let allowed = |id: &u32| words[*id as usize / 32] >> (id % 32) & 1 == 1;
            if self.ends.iter().any(allowed) {
                return Some(text);
            }
            // What ends a value, then what goes on, in turn.
            let singles = (0..self.tokens.len() as u32).filter(|id| allowed(id) && bytes(*id).len() == 1);
            let rank = |id: &u32| b"\"}]Z0,:".iter().position(|byte| bytes(*id)[0] == *byte).unwrap_or(7 + step % 3);
            let id = singles.min_by_key(rank).or_else(|| (0..self.tokens.len() as u32).find(allowed))?;
            text.extend(bytes(id));
            if constraint.accept(id).unwrap() {
                return Some(text);
            }
        }
        None
    }
}

/// Asks for each schema of the grammars' tests, at temperatures 0 and 1. Every answer must be valid; one that the limit
/// has cut must begin a valid one.
fn check_schemas(label: &str, engine: &mut Engine, limit: u32, pictures: &[Vec<u8>]) -> (u32, u32) {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../src/grammar/tests/schemas.json")).unwrap();
    assert!(cases.len() >= 40);
    let vocabulary = Vocabulary::of(engine);
    let (mut whole, mut cut, mut tokens, start) = (0, 0, 0, Instant::now());
    for case in &cases {
        let format = json!({ "type": "json_schema", "json_schema": { "schema": case["schema"] } });
        let format = ResponseFormat::new(engine, &format).unwrap_or_else(|e| panic!("{}: {e}", case["name"]));
        let validator = jsonschema::options().should_validate_formats(true).build(&case["schema"]).unwrap();
        for temperature in [0.0, 1.0] {
            let mut talk = Talk::about(engine, pictures);
            engine.constrain(Some(format.constraint().unwrap()));
            let options = GenerateOptions { max_new_tokens: limit, temperature, seed: 5, ..GenerateOptions::default() };
            let answer = talk.try_ask(engine, case["ask"].as_str().unwrap(), &options, &mut SilentObserver);
            let answer = answer.unwrap_or_else(|e| panic!("{label}, {}: {e}", case["name"]));
            tokens += answer.ids.len();
            let text = match answer.stop {
                Stop::Eos => {
                    whole += 1;
                    answer.text.clone().into_bytes()
                }
                stop => {
                    assert_eq!(stop, Stop::Length, "{}", case["name"]);
                    cut += 1;
                    let text = vocabulary.complete(&mut *format.constraint().unwrap(), &answer.ids);
                    text.unwrap_or_else(|| panic!("{label}, {}: no end after {}", case["name"], answer.text))
                }
            };
            let shown = String::from_utf8_lossy(&text);
            let value: Value =
                serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}: {shown}", case["name"]));
            let valid = validator.validate(&value).map_err(|e| e.to_string());
            assert_eq!(valid, Ok(()), "{label}, {}: {shown}", case["name"]);
        }
    }
    let seconds = start.elapsed().as_secs_f32();
    println!("{label}: {whole} answers complete and valid, {cut} cut and completed; {tokens} tokens in {seconds:.1} s");
    (whole, cut)
}

#[test]
fn the_shipped_model_answers_by_schemas() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/scenes");
    let mut engine = block_on(load_model(&directory, None, BackendChoice::Cpu, None)).unwrap();
    let (whole, cut) = check_schemas("scenes", &mut engine, 200, &[golden_file("wide.png")]);
    assert!(whole >= 9 * cut, "{whole} complete, {cut} cut");
}

#[test]
fn smollm2_answers_by_schemas() {
    let Some(file) = smollm2_or_skip("smollm2_answers_by_schemas") else { return };
    let mut engine = smollm2::open(&file, device(BackendChoice::Cpu));
    let (whole, cut) = check_schemas("SmolLM2", &mut engine, 120, &[]);
    assert!(whole >= 9 * cut, "{whole} complete, {cut} cut");
}

/// A schema whose answers are long, and whose strings leave a choice of many tokens.
fn long_answers() -> Value {
    let person = json!({ "type": "object", "additionalProperties": false, "required": ["name", "age", "city"],
        "properties": { "name": { "type": "string" }, "age": { "type": "integer" }, "city": { "type": "string" } } });
    json!({ "type": "json_schema", "json_schema": { "schema": { "type": "array", "items": person, "minItems": 50 } } })
}

/// Tokens per second of an answer of `tokens`, after the first.
fn speed(engine: &mut Engine, tokens: u32, constraint: Option<Box<dyn Constraint>>) -> f64 {
    struct Clock(Vec<Instant>);
    impl llava_web::engine::Observer for Clock {
        fn event(&mut self, event: llava_web::engine::Event) {
            if matches!(event, llava_web::engine::Event::Token { .. }) {
                self.0.push(Instant::now());
            }
        }
        async fn pause(&mut self) -> bool {
            false
        }
    }
    engine.constrain(constraint);
    let mut clock = Clock(Vec::new());
    let options = GenerateOptions { max_new_tokens: tokens, ignore_eos: true, ..GenerateOptions::default() };
    Talk::default().try_ask(engine, "List people as JSON.", &options, &mut clock).unwrap();
    let (first, last) = (clock.0[0], *clock.0.last().unwrap());
    (clock.0.len() - 1) as f64 / (last - first).as_secs_f64()
}

#[test]
fn a_constrained_answer_is_decoded_about_as_fast_as_a_free_one() {
    let Some(file) = smollm2_or_skip("a_constrained_answer_is_decoded_about_as_fast_as_a_free_one") else { return };
    let mut backends = vec![BackendChoice::Cpu];
    backends.extend(gpu_or_skip().then_some(BackendChoice::Gpu));
    for backend in backends {
        let mut engine = smollm2::open(&file, device(backend));
        let format = ResponseFormat::new(&engine, &long_answers()).unwrap();
        // The best of several runs, in turn: the machine has other work.
        let (mut free, mut constrained) = (0f64, 0f64);
        for _ in 0..3 {
            free = free.max(speed(&mut engine, 48, None));
            constrained = constrained.max(speed(&mut engine, 48, Some(format.constraint().unwrap())));
        }
        let share = constrained / free;
        println!("{backend:?}: {free:.1} tokens/s free, {constrained:.1} constrained: {:.0} %", 100.0 * share);
        assert!(share >= 0.7, "{backend:?}: {share}");
    }
}
