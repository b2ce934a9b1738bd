//! Sampling in answers: penalties count what they should, log-probabilities are the model's, stop strings end the text.

use crate::common::{Scratch, Talk, convert, golden_file, gpu_or_skip};
use llava_web::device::BackendChoice;
use llava_web::engine::{Answer, Engine, Event, GenerateOptions, Observer, Stop, TokenProbability};
use llava_web::kernels::process_logits::{EXCLUDED, IN_PROMPT, process};
use llava_web::kernels::sample::pick;
use llava_web::native::load_model;
use llava_web::pass::Call;
use llava_web::scenes::dataset;
use pollster::block_on;
use std::process::Command;

const QUESTION: &str = "what is in the picture?";

/// Collects what events bring.
#[derive(Default)]
struct Heard {
    text: String,
    ids: Vec<u32>,
    logprobs: Vec<TokenProbability>,
    /// Cancels after this number of tokens.
    cancel_after: Option<usize>,
}

impl Observer for Heard {
    fn event(&mut self, event: Event) {
        if let Event::Token { text, count, id, logprob } = event {
            self.text += &text;
            self.ids.extend(id);
            self.logprobs.extend(logprob);
            assert!(count as usize >= self.ids.len());
        }
    }
    async fn pause(&mut self) -> bool {
        self.cancel_after.is_some_and(|tokens| self.ids.len() >= tokens)
    }
}

fn long(max_new_tokens: u32) -> GenerateOptions {
    GenerateOptions { max_new_tokens, ignore_eos: true, ..GenerateOptions::default() }
}

fn engines(model: &str) -> Vec<Engine> {
    let directory = convert(model, "f32");
    let backends = [Some(BackendChoice::Cpu), gpu_or_skip().then_some(BackendChoice::Gpu)];
    let open = |backend| block_on(load_model(directory.path(), None, backend, None)).unwrap();
    backends.into_iter().flatten().map(open).collect()
}

/// Asks about a picture in a new conversation.
fn ask(engine: &mut Engine, options: &GenerateOptions) -> (Answer, Heard) {
    let mut heard = Heard::default();
    (ask_with(engine, options, &mut heard), heard)
}

fn ask_with(engine: &mut Engine, options: &GenerateOptions, observer: &mut Heard) -> Answer {
    Talk::about(engine, &[golden_file("wide.png")]).try_ask(engine, QUESTION, options, observer).unwrap()
}

/// Returns the tokens that the twins choose from an answer's logits: step by step, with counts of prompt and answer.
fn chosen(answer: &Answer, options: &GenerateOptions) -> Vec<u32> {
    let vocab = answer.logits[0].len();
    let (mut counts, mut bias) = (vec![0u32; vocab], vec![0f32; vocab]);
    answer.prompt_ids.iter().filter(|id| (**id as usize) < vocab).for_each(|id| counts[*id as usize] = IN_PROMPT);
    for (id, b) in &options.logit_bias {
        bias[*id as usize] = if *b == -100.0 { EXCLUDED } else { *b };
    }
    let GenerateOptions { temperature, top_k, top_p, seed, .. } = *options;
    let GenerateOptions { repetition_penalty, frequency_penalty, presence_penalty, .. } = *options;
    let plain = Call { temperature, top_k, top_p, seed, biased: 1, ..Call::new(1, 0) };
    let call = Call { repetition_penalty, frequency_penalty, presence_penalty, ..plain };
    let mut ids = Vec::new();
    for (logits, step) in answer.logits.iter().zip(0..answer.ids.len() as u32) {
        let mut processed = vec![0.0; vocab];
        process((logits, &counts, &bias, &[]), &call, &mut processed);
        let id = pick(&processed, &Call { step, ..call });
        counts[id as usize] += 1;
        ids.push(id);
    }
    ids
}

#[test]
fn penalties_count_prompt_and_answer_while_steps_run_ahead() {
    let base = long(24);
    let bias = [(7, 3.0), (11, -100.0), (40, -2.5)].into();
    let cases = [
        GenerateOptions { frequency_penalty: 0.8, ..base.clone() },
        GenerateOptions { presence_penalty: 2.0, ..base.clone() },
        GenerateOptions { repetition_penalty: 1.8, ..base.clone() },
        GenerateOptions { repetition_penalty: 0.6, frequency_penalty: 2.0, logit_bias: bias, ..base.clone() },
        GenerateOptions { temperature: 0.8, top_k: 60, top_p: 0.9, seed: 4, presence_penalty: 1.5, ..base.clone() },
    ];
    let mut by_backend = Vec::new();
    for mut engine in engines("mha") {
        let plain = ask(&mut engine, &base).0;
        for options in &cases {
            let kept = GenerateOptions { keep_logits: true, ..options.clone() };
            let slow = ask(&mut engine, &kept).0;
            assert_eq!(slow.ids, chosen(&slow, options), "{options:?}");
            assert_ne!(slow.ids, plain.ids, "{options:?}: the penalty must matter");
            // Steps run ahead of the host, on a GPU.
            assert_eq!(ask(&mut engine, options).0.ids, slow.ids, "{options:?}");
            for cut in [1, 5, 23] {
                let continued = GenerateOptions { answer_prefix: slow.ids[..cut].to_vec(), ..options.clone() };
                let (rest, heard) = ask(&mut engine, &continued);
                assert_eq!((&rest.ids, &rest.text), (&slow.ids, &slow.text), "{options:?} from {cut}");
                assert_eq!(heard.ids, slow.ids[cut..]);
            }
            by_backend.push(slow.ids);
        }
        assert_eq!(ask(&mut engine, &base).0.ids, plain.ids, "later answers are free of penalties");
    }
    if let [cpu, gpu] = &by_backend.chunks(cases.len()).collect::<Vec<_>>()[..] {
        assert_eq!(cpu, gpu, "the same tokens on both");
    }
}

#[test]
fn a_bias_excludes_or_forces_a_token() {
    for mut engine in engines("mha") {
        let plain = ask(&mut engine, &long(6)).0;
        let first = plain.ids[0];
        let without = GenerateOptions { logit_bias: [(first, -100.0)].into(), ..long(6) };
        assert!(!ask(&mut engine, &without).0.ids.contains(&first));
        let warm = GenerateOptions { temperature: 50.0, ..without };
        assert!(
            (0..20).all(|seed| !ask(&mut engine, &GenerateOptions { seed, ..warm.clone() }).0.ids.contains(&first))
        );
        let only = GenerateOptions { logit_bias: [(33, 100.0)].into(), ..long(6) };
        assert_eq!(ask(&mut engine, &only).0.ids, [33; 6]);
    }
}

#[test]
fn log_probabilities_are_those_of_the_logits() {
    for mut engine in engines("mha") {
        // Penalties and temperature change the choice, not the reported probabilities.
        let base = GenerateOptions { temperature: 1.2, seed: 3, frequency_penalty: 1.0, ..long(12) };
        let kept = ask(&mut engine, &GenerateOptions { keep_logits: true, ..base.clone() }).0;
        assert!(kept.logprobs.is_empty());
        for count in [0, 1, 5, 20] {
            let (answer, heard) = ask(&mut engine, &GenerateOptions { top_logprobs: Some(count), ..base.clone() });
            assert_eq!(answer.ids, kept.ids);
            assert_eq!(answer.logprobs, heard.logprobs);
            assert_eq!(answer.logprobs.len(), 12);
            for ((found, logits), id) in answer.logprobs.iter().zip(&kept.logits).zip(&kept.ids) {
                let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
                let wanted = |id: u32| f64::from(logits[id as usize]) - total;
                assert_eq!((found.id, found.top.len()), (*id, count as usize));
                assert!((f64::from(found.logprob) - wanted(*id)).abs() < 1e-4);
                let mut order: Vec<u32> = (0..logits.len() as u32).collect();
                order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
                assert_eq!(found.top.iter().map(|t| t.id).collect::<Vec<_>>(), order[..count as usize]);
                assert!(found.top.iter().all(|t| (f64::from(t.logprob) - wanted(t.id)).abs() < 1e-4));
            }
        }
    }
}

#[test]
fn a_stop_string_ends_the_text_wherever_tokens_end() {
    for mut engine in engines("mha") {
        let (plain, heard) = ask(&mut engine, &GenerateOptions { temperature: 1.0, seed: 9, ..long(24) });
        assert_eq!(heard.text.trim(), plain.text, "all text is in events");
        let text = heard.text;
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let base = GenerateOptions { temperature: 1.0, seed: 9, ..long(24) };
        let mut inside = 0;
        for (index, start) in starts.iter().enumerate().skip(1).step_by(3) {
            for length in [1, 2, 5] {
                let Some(end) = starts.get(index + length) else { continue };
                let stop = text[*start..*end].to_string();
                let cut = text.find(&stop).unwrap();
                let options = GenerateOptions { stop: vec!["no such text".into(), stop.clone()], ..base.clone() };
                let (answer, heard) = ask(&mut engine, &options);
                assert_eq!(answer.stop, Stop::Stop, "{stop:?} of {text:?}");
                assert_eq!(heard.text, text[..cut], "{stop:?} of {text:?}");
                assert_eq!(answer.text, text[..cut].trim());
                assert_eq!(answer.ids, plain.ids[..answer.ids.len()]);
                assert_eq!(heard.ids, answer.ids, "each token has its event");
                inside += usize::from(!heard.text.is_empty() && answer.ids.len() < 24);
            }
        }
        assert!(inside > 5, "the test needs stop strings within the text: {text:?}");
        // What was withheld comes at the end: of a whole answer, and of one that is cancelled.
        let last = text[*starts.last().unwrap()..].to_string() + "never";
        let options = GenerateOptions { stop: vec![last], ..base.clone() };
        let (whole, heard) = ask(&mut engine, &options);
        assert_eq!((whole.stop, heard.text), (Stop::Length, text.clone()));
        let mut early = Heard { cancel_after: Some(7), ..Heard::default() };
        let every: Vec<String> = text.chars().map(|c| format!("{c}never")).take(16).collect();
        let cancelled = ask_with(&mut engine, &GenerateOptions { stop: every, ..base.clone() }, &mut early);
        assert_eq!((cancelled.stop, early.text.trim()), (Stop::Cancelled, cancelled.text.as_str()));
        assert!(text.starts_with(&early.text));
    }
}

#[test]
fn an_answer_cut_at_a_stop_string_is_later_read_as_its_text() {
    for mut engine in engines("mha") {
        let plain = ask(&mut engine, &long(12)).0;
        let middle = plain.text.char_indices().nth(plain.text.chars().count() / 2).unwrap().0;
        let stop = plain.text[middle..].chars().take(2).collect::<String>();
        let mut talk = Talk::about(&mut engine, &[golden_file("wide.png")]);
        let cut = talk.ask(&mut engine, QUESTION, &GenerateOptions { stop: vec![stop], ..long(12) });
        assert_eq!(cut.stop, Stop::Stop);
        let next = talk.clone().ask(&mut engine, "and then?", &long(1));
        // An engine that knows nothing of the answer but its text.
        let mut fresh = engines("mha").remove(0);
        Talk::about(&mut fresh, &[golden_file("wide.png")]);
        let restored = talk.ask(&mut fresh, "and then?", &long(1));
        assert_eq!(next.prompt_ids, restored.prompt_ids);
        assert!(!next.prompt_ids.windows(cut.ids.len()).any(|window| window == cut.ids), "not the whole answer");
    }
}

/// Runs a program on the golden model; returns what it prints.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn chat_has_the_options() {
    let directory = convert("mha", "f32");
    let model = directory.path().to_str().unwrap();
    let chat = |more: &[&str]| {
        let base =
            ["--model", model, "--backend", "cpu", "--prompt", QUESTION, "--ignore-eos", "--max-new-tokens", "12"];
        output(env!("CARGO_BIN_EXE_chat"), &[&base, more].concat())
    };
    let json = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&chat(&[&["--json"], more].concat()).unwrap()).unwrap()
    };
    let plain = json(&[]);
    let first = plain["ids"][0].to_string();
    for flags in [
        vec!["--frequency-penalty", "2"],
        vec!["--presence-penalty", "-2"],
        vec!["--repetition-penalty", "3"],
        vec!["--logit-bias", &format!("{first}=-100")],
    ] {
        assert_ne!(json(&flags)["ids"], plain["ids"], "{flags:?}");
    }
    let warm = ["--temperature", "50", "--seed", "1"];
    assert_ne!(json(&warm)["ids"], plain["ids"]);
    for flags in [["--min-p", "1"], ["--top-k", "1"], ["--top-p", "1e-6"]] {
        assert_eq!(json(&[&warm[..], &flags].concat())["ids"], plain["ids"], "{flags:?}: the most likely tokens");
    }
    let text = plain["text"].as_str().unwrap();
    let (at, stop) = text.char_indices().nth(text.chars().count() / 2).unwrap();
    let stopped = json(&["--stop", "no such text", "--stop", &stop.to_string()]);
    assert_eq!(stopped["stop"], "stop");
    assert_eq!(stopped["text"].as_str().unwrap(), text[..text[..=at].find(stop).unwrap_or(at)].trim());
    let logprobs = json(&["--logprobs", "3"])["logprobs"].as_array().unwrap().clone();
    assert_eq!(logprobs.len(), 12);
    assert!(logprobs.iter().all(|t| t["id"] == t["top"][0]["id"] && t["top"].as_array().unwrap().len() == 3));
    let table = chat(&["--logprobs", "2"]).unwrap();
    assert_eq!(table.lines().filter(|line| line.matches("  | ").count() == 2).count(), 12, "{table}");
    let refused = chat(&["--min-p", "2"]).unwrap_err();
    assert!(refused.contains("min_p") && refused.contains("not between 0 and 1"), "{refused}");
}

#[test]
fn eval_has_the_options() {
    let directory = convert("mha", "f32");
    let data = Scratch::new("data");
    dataset::write(5, 2, data.path()).unwrap();
    let (model, scenes) = (directory.path().to_str().unwrap(), data.path().to_str().unwrap());
    let eval = |more: &[&str]| {
        let base = ["eval", "--model", model, "--data", scenes, "--limit", "3", "--wrong"];
        output(env!("CARGO_BIN_EXE_train"), &[&base, more].concat())
    };
    let answers = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.split_once(" → "));
        lines.map(|(_, rest)| rest.split(", expected").next().unwrap().trim_matches('"').to_string()).collect()
    };
    let plain = answers(&eval(&[]).unwrap());
    assert_eq!(plain.len(), 3, "random weights are wrong");
    // Answers are printed with escapes, which are ASCII.
    let letter = plain[0].chars().find(|letter| !letter.is_ascii()).unwrap().to_string();
    let stopped = answers(&eval(&["--stop", &letter]).unwrap());
    assert!(plain.iter().zip(&stopped).all(|(p, s)| !s.contains(&letter) && p.starts_with(s.as_str())), "{stopped:?}");
    assert_ne!(answers(&eval(&["--frequency-penalty", "2"]).unwrap()), plain);
    assert!(eval(&["--presence-penalty", "3"]).unwrap_err().contains("presence_penalty"));
    let burn = output(env!("CARGO_BIN_EXE_train"), &["eval", "--run", scenes, "--data", scenes, "--stop", "a"]);
    assert!(burn.unwrap_err().contains("cannot be used with"));
}
