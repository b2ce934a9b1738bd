//! Parsers of foreign input: damaged and lying input is refused without panicking, and allocates at most a bounded
//! multiple of its size. `PROPTEST_CASES` makes the run longer; `./build.sh fuzz` searches with the same
//! targets.

use llava_web::config::Config;
use llava_web::format::gguf::{Gguf, Parsed, Value, describe, parse, tokenizer_json};
use llava_web::format::manifest::Manifest;
use llava_web::format::names;
use llava_web::format::safetensors::read_header;
use llava_web::format::source::Memory;
use llava_web::format::torch::pickle::{self, MEMORY_FACTOR};
use llava_web::preprocess::{MAX_MEMORY, PreprocessConfig, preprocess};
use llava_web::tokenizer::Tokenizer;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::atomic::Ordering::Relaxed;

mod common;
use common::pair;
use common::torch;
#[path = "fuzz/src/targets.rs"]
mod targets;
use common::counting::{self, measured};
use common::golden_file;

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

#[test]
fn the_counter_counts() {
    let (vector, most) = measured(|| vec![1u8; 1 << 20]);
    assert!((1 << 20..1 << 21).contains(&most), "{most}");
    assert_eq!(measured(|| vector.len()).1, 0);
}

/// The seeds of the fuzz targets are valid, as far as the target reads them.
#[test]
fn seeds_of_fuzz_targets_pass() {
    for target in targets::TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        let models = ["pair", "directory"].contains(&target.name);
        for seed in seeds {
            let before = targets::ANSWERS.load(Relaxed);
            (target.run)(&seed);
            assert!(
                !models || targets::ANSWERS.load(Relaxed) > before,
                "a seed of {} is no model that answers",
                target.name
            );
        }
    }
}

proptest! {
    /// Runs a small search of the fuzzer, so that its targets stay tested.
    #[test]
    fn damaged_seeds_of_fuzz_targets_pass(
        which: Index, seed: Index, edits in edits(), cut in any::<Option<Index>>()
    ) {
        let target = &targets::TARGETS[which.index(targets::TARGETS.len())];
        let seeds = (target.seeds)();
        (target.run)(&damaged(&seeds[seed.index(seeds.len())], &edits, cut));
    }
}

/// `bytes` with some overwritten, and perhaps cut off.
fn damaged(bytes: &[u8], edits: &[(Index, u8)], cut: Option<Index>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte) in edits {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(Index, u8)>> {
    // Digits among the bytes: they make numbers larger instead of making nonsense.
    prop::collection::vec((any::<Index>(), prop_oneof![any::<u8>(), b'0'..=b'9', Just(b'"')]), 1..6)
}

/// `bytes` with one run of digits replaced by a number of any size.
fn renumbered(bytes: &[u8], which: Index, number: u64) -> Vec<u8> {
    let starts: Vec<usize> = (1..bytes.len())
        .filter(|&i| bytes[i].is_ascii_digit() && !bytes[i - 1].is_ascii_alphanumeric() && bytes[i - 1] != b'"')
        .collect();
    let start = starts[which.index(starts.len())];
    let end = (start..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
    [&bytes[..start], number.to_string().as_bytes(), &bytes[end..]].concat()
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..70_000, any::<u64>(), Just(u64::MAX), Just(1 << 32), Just((1 << 31) - 1)]
}

/// A valid manifest of a real conversion.
fn manifest() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| std::fs::read(common::convert("mha", "q4").path().join("manifest.json")).unwrap())
}

/// The headers of a pair, without the values.
fn gguf_pair() -> &'static (Vec<u8>, Vec<u8>) {
    static BYTES: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let pair = pair::Pair::random();
        (pair.language.beginning().bytes, pair.vision.beginning().bytes)
    })
}

fn image_file(format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(20, 12, |x, y| image::Rgb([x as u8 * 9, y as u8 * 7, (x * y) as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A file of torch, of a few hundred bytes.
fn torch_file() -> torch::Archive {
    let mut dict = torch::StateDict::default();
    dict.add("a", "HalfStorage", &[2, 2], (0..8).collect());
    dict.add("b", "FloatStorage", &[1], (0..4).collect());
    dict.archive()
}

/// Reads a file of torch, checks what that takes, and that every tensor lies inside.
fn read_torch(bytes: Vec<u8>) {
    let size = bytes.len();
    let source = Memory([("f".to_string(), bytes)].into());
    let (result, most) = measured(|| pollster::block_on(llava_web::format::torch::read_header(&source, "f")));
    // Directory and pickle, each with what is made of it.
    assert!(most <= MEMORY_FACTOR * size + 4096, "{most} bytes for {size}");
    for tensor in result.unwrap_or_default() {
        let bytes = tensor.shape.iter().product::<u64>() * tensor.dtype.bitsize() as u64 / 8;
        assert!(tensor.offset + bytes <= size as u64, "{tensor:?}");
    }
}

/// Every value of one byte.
#[test]
fn torch_files_cut_and_flipped_everywhere() {
    let valid = torch_file().bytes();
    for cut in 0..valid.len() {
        read_torch(valid[..cut].to_vec());
    }
    for at in 0..valid.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut bytes = valid.clone();
            bytes[at] ^= flip;
            read_torch(bytes);
        }
    }
}

/// The opcodes that make most of one byte.
#[test]
fn pickles_take_a_multiple_of_their_size() {
    let repeated = |begin: &[u8], unit: &[u8], size: usize| [begin, &unit.repeat(size / unit.len())].concat();
    let long = [&b"X\x60\0\0\0"[..], &[b'k'; 96]].concat();
    for (begin, unit) in [
        (&b""[..], &b"("[..]),
        (b"", b")"),
        (b"", b"]"),
        (b")", b"\x85"),
        (b"]", b"\x94"),
        (b"", b"]\x94"),
        (b"", b"}\x94"),
        (b"}", b"NNs"),
        (b"]", b"Na"),
        (b"ccollections\nOrderedDict\n\x94)\x94", b"h\0h\x01R"),
        (&long, b"\x94"),
    ] {
        for size in [300, 4_000, 60_000, 1 << 20, 4 << 20] {
            let pickle = repeated(begin, unit, size);
            let (_, most) = measured(|| pickle::parse(&pickle, "f").map(drop));
            assert!(most <= MEMORY_FACTOR * pickle.len() + 4096, "{most} bytes for {} of {unit:?}", pickle.len());
        }
    }
    // One long key for many tensors: refused before it is copied.
    let mut dict = torch::StateDict::default();
    dict.add(&"k".repeat(1 << 16), "HalfStorage", &[1], vec![0; 2]);
    let mut bomb = dict.pickle();
    bomb.truncate(bomb.len() - 2);
    let key = bomb.iter().position(|&byte| byte == b'k').unwrap() + (1 << 16);
    let bomb = [&bomb[..key], b"\x94", &bomb[key..], b"\x94", &b"h\0h\x01".repeat(1 << 14), b"u."].concat();
    let (result, most) = measured(|| pickle::parse(&bomb, "f"));
    assert!(result.unwrap_err().message.contains("twice") && most <= MEMORY_FACTOR * bomb.len(), "{most}");
}

/// What a parsed copy of JSON takes compared with its text: maps of short strings, twice at a time.
const JSON_FACTOR: usize = 64;

/// A configuration of each family.
const FAMILIES: [&str; 5] =
    ["gqa/config.json", "smolvlm/config.json", "next/config.json", "interleave/config.json", "qwen2/odd.json"];
/// Models with a processor of each kind.
const PROCESSORS: [&str; 4] = ["mha", "smolvlm", "next", "interleave"];

proptest! {
    #[test]
    fn manifests(edits in edits(), cut in any::<Option<Index>>(), which: Index, number in any_number()) {
        for bytes in [damaged(manifest(), &edits, cut), renumbered(manifest(), which, number)] {
            let (result, most) = measured(|| Manifest::parse(&bytes));
            prop_assert!(most <= JSON_FACTOR * bytes.len() + 4096, "{most} bytes for {}", bytes.len());
            if let Ok(manifest) = result {
                prop_assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
            }
        }
    }

    #[test]
    fn configurations(
        edits in edits(), cut in any::<Option<Index>>(), which: Index, number in any_number(), family in 0..FAMILIES.len(),
    ) {
        let valid = golden_file(FAMILIES[family]);
        for bytes in [damaged(&valid, &edits, cut), renumbered(&valid, which, number)] {
            let (result, most) = measured(|| Config::parse(&bytes, Some(&bytes)));
            prop_assert!(most <= JSON_FACTOR * bytes.len() + 4096, "{most} bytes for {}", bytes.len());
            if let Ok(config) = result {
                // 512 blocks of 16 and of 12 tensors, each with a name and two shapes.
                let (list, most) = measured(|| names::expected(&config));
                prop_assert!(list.len() <= 16 * 512 + 12 * 512 + 64 && most <= 16 << 20, "{} in {most}", list.len());
                let _ = PreprocessConfig::parse(Some(&bytes), &config);
            }
        }
    }

    #[test]
    fn preprocessor_configurations(
        edits in edits(), which: Index, number in any_number(), family in prop::sample::select(PROCESSORS.to_vec()),
    ) {
        let model = Config::parse(&golden_file(&format!("{family}/config.json")), None).unwrap();
        let valid = golden_file(&format!("{family}/preprocessor_config.json"));
        let side = model.vision.image_size as usize;
        for bytes in [damaged(&valid, &edits, None), renumbered(&valid, which, number)] {
            if let Ok(config) = PreprocessConfig::parse(Some(&bytes), &model) {
                let pixels = preprocess(&golden_file("tall.png"), &config).unwrap();
                prop_assert_eq!(pixels.data.len(), pixels.tiles as usize * 3 * side * side);
            }
        }
    }

    #[test]
    fn checkpoints(edits in edits(), cut in any::<Option<Index>>(), which: Index, number in any_number()) {
        let valid = golden_file("mha/model.safetensors");
        let header = 8 + u64::from_le_bytes(valid[..8].try_into().unwrap()) as usize;
        // Damage where it matters: in the header and its length.
        let hurt = |head: Vec<u8>| [head, valid[header..].to_vec()].concat();
        let renumbered = renumbered(&valid[8..header], which, number);
        let lengths = (renumbered.len() as u64).to_le_bytes().to_vec();
        for bytes in [hurt(damaged(&valid[..header], &edits, cut)), hurt([lengths, renumbered].concat())] {
            let size = bytes.len();
            let source = Memory([("f".to_string(), bytes)].into());
            let (result, most) = measured(|| pollster::block_on(read_header(&source, "f")));
            prop_assert!(most <= JSON_FACTOR * size, "{most} bytes for {size}");
            for tensor in result.unwrap_or_default() {
                prop_assert!(tensor.offset <= size as u64);
            }
        }
    }

    #[test]
    fn tokenizers(edits in edits(), cut in any::<Option<Index>>(), which: Index, number in any_number()) {
        let config = Config::parse(&golden_file("mha/config.json"), None).unwrap();
        let valid = golden_file("mha/tokenizer.json");
        for bytes in [damaged(&valid, &edits, cut), renumbered(&valid, which, number)] {
            let (result, most) = measured(|| Tokenizer::parse(&bytes, &config));
            // Regular expressions and double-array tries have a size of their own.
            prop_assert!(most <= 1024 * valid.len(), "{most} bytes for {}", bytes.len());
            if let Ok(tokenizer) = result {
                let _ = tokenizer.encode_raw("USER: <image>\nwhat? é</s>").map(|ids| tokenizer.decode(&ids));
                let _ = tokenizer.encode_text("</s> 😀");
            }
        }
    }

    /// A header of `bytes` is worth a few times as much memory; a description of it some megabytes.
    #[test]
    fn gguf_headers(edits in edits(), cut in any::<Option<Index>>(), at: Index, number in any_number(), which: bool) {
        let (language, vision) = gguf_pair();
        let valid = if which { language } else { vision };
        let mut lying = valid.clone();
        let at = at.index(valid.len() - 8);
        lying[at..at + 8].copy_from_slice(&number.to_le_bytes());
        for bytes in [damaged(valid, &edits, cut), lying] {
            for size in [bytes.len() as u64, 1 << 40] {
                let (result, most) = measured(|| parse(&bytes, size));
                prop_assert!(most <= 16 * bytes.len() + 4096, "{most} bytes for {}", bytes.len());
                match result {
                    Ok(Parsed::More(more)) => prop_assert!(more > bytes.len() as u64 && more <= 64 << 20, "{more}"),
                    Ok(Parsed::Header(header)) => {
                        let Ok(Parsed::Header(other)) = parse(if which { vision } else { language }, 1 << 40) else {
                            panic!("the other file is whole");
                        };
                        let (_, most) = measured(|| describe(&[header, other]).map(drop));
                        prop_assert!(most <= 64 * bytes.len() + (32 << 20), "{most} bytes for {}", bytes.len());
                    }
                    Err(_) => {}
                }
            }
        }
    }

    #[test]
    fn torch_files(edits in edits(), cut in any::<Option<Index>>(), at: Index, number in any_number()) {
        let valid = torch_file().bytes();
        let mut lying = valid.clone();
        let at = at.index(valid.len() - 8);
        lying[at..at + 8].copy_from_slice(&number.to_le_bytes());
        // Damage inside the pickle, with a directory that agrees.
        let mut inside = torch_file();
        inside.entry("m/data.pkl").bytes = damaged(&torch_file().entry("m/data.pkl").bytes, &edits, cut);
        [damaged(&valid, &edits, cut), lying, inside.bytes()].into_iter().for_each(read_torch);
    }

    #[test]
    fn pictures(format in 0usize..5, edits in edits(), cut in any::<Option<Index>>(), side: u32, at: Index) {
        use image::ImageFormat as F;
        let mut bytes = damaged(&image_file([F::Jpeg, F::Png, F::WebP, F::Gif, F::Bmp][format]), &edits, cut);
        // A random size somewhere in the first 40 bytes, where headers keep theirs, in either order of bytes.
        let at = at.index(40);
        for side in [side.to_le_bytes(), side.to_be_bytes()] {
            let mut lying = bytes.clone();
            if let Some(place) = lying.get_mut(at..at + 4) {
                place.copy_from_slice(&side);
            }
            let (_, most) = measured(|| preprocess(&lying, &PreprocessConfig::llava(28)).map(drop));
            prop_assert!(most as u64 <= MAX_MEMORY, "{most} bytes");
        }
        bytes.clear();
    }
}

/// Vocabularies of runs of letters: every way to cut a run is a merge, so that eight megabytes imply gigabytes of them.
#[test]
fn merges_that_scores_imply_are_bounded() {
    let described = |letters: u32, longest: usize| {
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
        for letter in (0..letters).filter_map(|i| char::from_u32(0x100 + i)) {
            tokens.extend((1..=longest / letter.len_utf8()).map(|n| letter.to_string().repeat(n)));
        }
        let list: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let scores: Vec<f32> = (0..list.len()).map(|i| -(i as f32)).collect();
        let metadata = [
            ("tokenizer.ggml.model", Value::from("llama")),
            ("tokenizer.ggml.tokens", Value::Strings(list.iter().copied().collect())),
            ("tokenizer.ggml.scores", scores.as_slice().into()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value)).into();
        let file = Gguf { metadata, tensors: Vec::new() };
        let (result, most) = measured(|| tokenizer_json(&file, u32::MAX).map(|json| json.len()));
        (result, most, list.iter().map(|t| t.len() + 8).sum::<usize>())
    };
    let (small, ..) = described(4, 64);
    assert!(small.unwrap() > 4 * 31 * 32, "a small one is read");
    let (refused, most, bytes) = described(400, 256);
    assert!(refused.unwrap_err().message.contains("merges"));
    assert!(most <= JSON_FACTOR * bytes, "{most} bytes for {bytes}");
}

/// 2^20 pixels in patches of one: more patches than 32 bits can count.
#[test]
fn sizes_whose_squares_overflow_are_refused() {
    for (image, patch) in [(1u32 << 20, 1u32), (1 << 20, 16), (65536, 1), (2048, 1)] {
        let json = format!(r#"{{"vision_config": {{"image_size": {image}, "patch_size": {patch}}}}}"#);
        let error = Config::parse(json.as_bytes(), None).unwrap_err();
        assert!(error.place.ends_with("image_size"), "{error}");
    }
}

/// A GIF has a screen, by which it is judged, and frames of any size: found by the fuzzer, 234 MB from 240 pixels.
#[test]
fn frames_larger_than_their_screen_are_bounded() {
    let mut bytes = image_file(image::ImageFormat::Gif);
    let config = PreprocessConfig::llava(28);
    assert!(preprocess(&bytes, &config).is_ok());
    let descriptor = [0x2c, 0, 0, 0, 0, 20, 0, 12, 0];
    let at = bytes.windows(descriptor.len()).position(|window| window == descriptor).unwrap();
    bytes[at + 5..at + 9].copy_from_slice(&[0x00, 0x40, 0xb8, 0x0b]); // 16384 × 3000
    let (result, most) = measured(|| preprocess(&bytes, &config));
    assert!(result.is_err() && most <= 12 << 20, "{most} bytes");
}
