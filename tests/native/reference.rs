//! Comparison with PyTorch's transformers, PIL and Python's tokenizers, where their data are present.
//!
//! `LLAVA_REFERENCE` names the folder that the reference generators wrote (`preproc/`, `tok/`, `tiny/`). Without it these
//! tests report that they are skipped.

use llava_web::config::{Config, SquarePolicy};
use llava_web::preprocess::{PreprocessConfig, Tiling, preprocess};
use llava_web::prompt::{Message, PromptItem, Template, raw};
use llava_web::tokenizer::{StreamDecoder, Tokenizer};
use safetensors::SafeTensors;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Reports on the terminal that a test is skipped, past the harness, which shows the output of failing tests only.
fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Returns the reference folder; reports the test as skipped where there is none.
fn reference(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LLAVA_REFERENCE").map(PathBuf::from).filter(|path| path.is_dir());
    if folder.is_none() {
        skipped(test, "LLAVA_REFERENCE names no folder");
    }
    folder
}

/// Each picture by both policies: at most 1/255 from PIL in any value. (Measured: equal.)
#[test]
fn pixels_are_those_of_pil() {
    let Some(folder) = reference("pixels_are_those_of_pil") else { return };
    let folder = folder.join("preproc");
    let bytes = std::fs::read(folder.join("preproc.safetensors")).unwrap();
    let goldens = SafeTensors::deserialize(&bytes).unwrap();
    let (mut pictures, mut worst, mut worst_float) = (0, 0u8, 0f32);
    for name in goldens.names() {
        let Some((picture, route)) = name.strip_suffix(".u8").and_then(|n| n.rsplit_once('.')) else { continue };
        let policy = if route == "pad" { SquarePolicy::Pad } else { SquarePolicy::Crop };
        let defaults = PreprocessConfig::llava(336);
        let config = PreprocessConfig { tiling: Tiling::One(policy), ..defaults };
        let png = std::fs::read(folder.join(format!("{picture}.png"))).unwrap();
        let pixels = preprocess(&png, &config).unwrap();
        let golden = goldens.tensor(name).unwrap();
        assert_eq!(golden.shape(), [336, 336, 3]);
        let mut most = 0;
        for (i, &theirs) in golden.data().iter().enumerate() {
            let (pixel, channel) = (i / 3, i % 3);
            let value = f64::from(pixels.data[channel * 336 * 336 + pixel]);
            let ours = (value * config.std[channel] + config.mean[channel]) * 255.0;
            assert!((ours - ours.round()).abs() < 1e-3, "{name}: {ours} is no 8-bit value");
            most = most.max((ours.round() as u8).abs_diff(theirs));
        }
        println!("{name}: at most {most}/255 from PIL");
        (pictures, worst) = (pictures + 1, worst.max(most));
        if let Ok(float) = goldens.tensor(&format!("{picture}.{route}.f32")) {
            let theirs = float.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            worst_float = pixels.data.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(worst_float, f32::max);
        }
    }
    println!("{pictures} comparisons: at most {worst}/255; normalised values at most {worst_float:e} apart");
    assert!(pictures >= 20, "only {pictures} comparisons");
    assert!(worst <= 1, "{worst}/255 from PIL");
    // Their float32 arithmetic rounds three times, ours once: values up to 2.7 with 2^-24 relative error each.
    assert!(worst_float < 1e-6, "{worst_float}");
}

fn tokenizer(folder: &Path) -> Tokenizer {
    let config = Config::parse(br#"{"text_config": {"vocab_size": 32064}}"#, None).unwrap();
    Tokenizer::parse(&std::fs::read(folder.join("tok/llava/tokenizer.json")).unwrap(), &config).unwrap()
}

/// The ids that the original code encodes its own prompt to, as recorded in the tests of vLLM and others.
#[test]
fn the_vicuna_prompt_has_its_published_ids() {
    let Some(folder) = reference("the_vicuna_prompt_has_its_published_ids") else { return };
    let question = Message::user(&["picture".into()], "What");
    let items = Template::VicunaV1.items(&[question], &tokenizer(&folder)).unwrap();
    let before = [
        1, 319, 13563, 1546, 263, 12758, 1404, 322, 385, 23116, 21082, 20255, 29889, 450, 20255, 4076, 8444, 29892,
        13173, 29892, 322, 1248, 568, 6089, 304, 278, 1404, 29915, 29879, 5155, 29889, 3148, 1001, 29901, 29871,
    ];
    let after = [29871, 13, 5618, 319, 1799, 9047, 13566, 29901];
    let mut expected: Vec<PromptItem> = before.map(PromptItem::Token).into();
    expected.push(PromptItem::Image(0));
    expected.extend(after.map(PromptItem::Token));
    assert_eq!(items, expected);
}

/// The raw prompts of the tiny models, against the ids that transformers fed to them.
#[test]
fn raw_prompts_have_the_ids_of_transformers() {
    let Some(folder) = reference("raw_prompts_have_the_ids_of_transformers") else { return };
    let tokenizer = tokenizer(&folder);
    let golden = folder.join("tiny/mha-q4x/golden");
    let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(golden.join("cases.json")).unwrap()).unwrap();
    for (name, case) in cases.as_object().unwrap() {
        let bytes = std::fs::read(golden.join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let ids: Vec<i32> = bytemuck::pod_collect_to_vec(file.tensor("input_ids").unwrap().data());
        let items = raw(case["prompt"].as_str().unwrap(), &tokenizer).unwrap();
        let expand = |item: &PromptItem| match *item {
            PromptItem::Token(id) => vec![id as i32],
            PromptItem::Image(_) => vec![32000; 16],
        };
        assert_eq!(items.iter().flat_map(expand).collect::<Vec<_>>(), ids, "{name}");
    }
    assert!(cases.as_object().unwrap().len() >= 8);
}

/// Encodes a list of strings with Python's `tokenizers`: ids with special tokens and a beginning, ids with neither, and
/// the decoded text of the first.
const PYTHON: &str = "
import json, sys
from tokenizers import Tokenizer
t = Tokenizer.from_file(sys.argv[1])
out = []
for s in json.load(open(sys.argv[2])):
    t.encode_special_tokens = False
    raw = t.encode(s).ids
    t.encode_special_tokens = True
    out.append([raw, t.encode(s, add_special_tokens=False).ids, t.decode(raw)])
json.dump(out, sys.stdout)
";

/// Returns strings of pieces that are hard for tokenizers, from a fixed seed.
fn strings() -> Vec<String> {
    let pieces = [
        " ",
        "  ",
        "\n",
        "\t",
        "\r\n",
        "a",
        "The",
        " quick",
        "brown",
        "Straße",
        "naïve",
        "café",
        "描述",
        "这张图片",
        "の",
        "😀",
        "👩‍🚀",
        "é",
        "e\u{301}",
        "—",
        "…",
        "<image>",
        "</s>",
        "<s>",
        "<unk>",
        "<pad>",
        "<0x0A>",
        "▁",
        "▁▁",
        "0",
        "1234567",
        "3.14",
        "{\"k\": [1, 2]}",
        "```py\nx = 1\n```",
        "https://example.org/a?b=c",
        "\u{0}",
        "\u{200b}",
        "ไทย",
        "हिन्दी",
        "עברית",
        "العربية",
        "\u{feff}",
        "USER:",
        "ASSISTANT:",
        "'s",
        "\\",
        "\u{10FFFF}",
        "𝔘𝔫𝔦",
        "ſ",
        "ǅ",
    ];
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n
    };
    let mut all: Vec<String> = pieces.iter().map(|p| p.to_string()).collect();
    all.push(String::new());
    for _ in 0..3000 {
        all.push((0..1 + next(12)).map(|_| pieces[next(pieces.len())]).collect());
    }
    all
}

/// 3000 strings on LLaMA's tokenizer: ids equal to Python's, decoded text equal, streamed text equal.
#[test]
fn ids_are_those_of_python() {
    let Some(folder) = reference("ids_are_those_of_python") else { return };
    let python = folder.join("venv/bin/python");
    if !python.is_file() {
        return skipped("ids_are_those_of_python", &format!("no {}", python.display()));
    }
    let strings = strings();
    let list = std::env::temp_dir().join(format!("llava-web-strings-{}.json", std::process::id()));
    std::fs::write(&list, serde_json::to_vec(&strings).unwrap()).unwrap();
    let file = folder.join("tok/llava/tokenizer.json");
    let output = std::process::Command::new(python).args(["-c", PYTHON]).arg(file).arg(&list).output().unwrap();
    std::fs::remove_file(&list).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<(Vec<u32>, Vec<u32>, String)> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(theirs.len(), strings.len());
    let tokenizer = tokenizer(&folder);
    for (text, (raw, plain, decoded)) in strings.iter().zip(theirs) {
        assert_eq!(tokenizer.encode_raw(text).unwrap(), raw, "{text:?} raw");
        assert_eq!(tokenizer.encode_text(text).unwrap(), plain, "{text:?} as text");
        assert_eq!(tokenizer.decode(&raw), decoded, "{text:?} decoded");
        let mut stream = StreamDecoder::default();
        let streamed: String = raw.iter().map(|id| stream.push(&tokenizer, *id)).collect();
        assert_eq!(streamed + &stream.finish(&tokenizer), decoded, "{text:?} streamed");
    }
    println!("{} strings: ids, text and streamed text equal", strings.len());
}
