//! One function per parser of foreign bytes: it takes any input, and panics when the parser breaks a promise. The
//! fuzzer calls them with what it makes up, `tests/parsers.rs` with the seeds and with what was once found.

use crate::counting::bounded;
use llava_web::config::Config;
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::state::{SavedPicture, SavedRow, SavedState, StateFormat};
use llava_web::engine::{GenerateOptions, Loader, SilentObserver};
use llava_web::error::{Error, Kind, Result};
use llava_web::format::gguf::{Gguf, Parsed, describe, parse};
use llava_web::format::hash::sha256;
use llava_web::format::manifest::Manifest;
use llava_web::format::source::Source;
use llava_web::format::stored::StoredTensor;
use llava_web::format::torch::pickle::MEMORY_FACTOR;
use llava_web::format::{names, safetensors, sentencepiece, torch};
use llava_web::model::CacheType;
use llava_web::preprocess::{PreprocessConfig, Tiling, preprocess};
use llava_web::prompt::Message;
use llava_web::tokenizer::{StreamDecoder, Tokenizer};
use pollster::block_on;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A parser, and inputs to start from.
pub struct Target {
    /// As the program is called.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "gguf", run: gguf, seeds: pair_seeds },
    Target { name: "safetensors", run: safetensors_header, seeds: safetensors_seeds },
    Target { name: "pickle", run: pickle, seeds: pickle_seeds },
    Target { name: "manifest", run: manifest, seeds: manifest_seeds },
    Target { name: "config", run: config, seeds: config_seeds },
    Target { name: "tokenizer", run: tokenizer, seeds: tokenizer_seeds },
    Target { name: "picture", run: picture, seeds: picture_seeds },
    Target { name: "state", run: state, seeds: state_seeds },
    Target { name: "pair", run: pair, seeds: pair_seeds },
    Target { name: "directory", run: directory, seeds: directory_seeds },
];

/// Bytes of memory per byte of JSON: maps of short strings, twice at a time.
const JSON: usize = 64;
/// Bytes of memory per byte of `tokenizer.json`, whose tries have a size of their own.
const TOKENIZER: usize = 1024;
/// Bytes that any parser may take besides.
const BASE: usize = 64 << 10;
/// Bytes of regular expressions and of the description of a model with as many blocks as are allowed.
const LARGE: usize = 32 << 20;

macro_rules! golden {
    ($path:literal) => {
        include_bytes!(concat!("../../golden/", $path)).as_slice()
    };
}

// --- Headers --------------------------------------------------------------------------------------------

/// Two headers: what each says of its file, and the model that they describe together: configuration texts, tokenizer
/// and tensors.
fn gguf(data: &[u8]) {
    let headers: Vec<Gguf> = frames(data).iter().take(2).filter_map(header).collect();
    let Ok(described) = bounded(JSON * data.len() + LARGE, || describe(&headers)) else { return };
    let config = Config::parse(&described.config, Some(&described.generation_config)).expect("a checked config.json");
    assert_eq!(described.tensors.len(), names::expected(&config).len());
    let text = described.tokenizer.len();
    let _ = bounded(TOKENIZER * text + LARGE, || Tokenizer::parse(&described.tokenizer, &config).map(drop));
    let _ = PreprocessConfig::parse(Some(&described.preprocessor_config), &config);
}

fn header(file: &Frame) -> Option<Gguf> {
    match bounded(16 * file.bytes.len() + BASE, || parse(file.bytes, file.size)) {
        Ok(Parsed::Header(header)) => {
            let ends = header.tensors.iter().map(|t| t.offset + t.bytes);
            assert!(ends.max().unwrap_or(0) <= file.size, "a tensor ends outside the file");
            Some(header)
        }
        Ok(Parsed::More(more)) => {
            let whole = more > file.bytes.len() as u64 && more <= file.size;
            assert!(whole, "{more} bytes are asked for, after {} of {}", file.bytes.len(), file.size);
            None
        }
        Err(_) => None,
    }
}

/// The bytes before the tensors of a GGUF file.
fn gguf_header(file: &[u8]) -> &[u8] {
    let Ok(Parsed::Header(header)) = parse(file, file.len() as u64) else { panic!("a golden file is a GGUF file") };
    &file[..header.tensors.iter().map(|t| t.offset).min().unwrap_or(0) as usize]
}

fn gguf_pairs() -> [[&'static [u8]; 2]; 3] {
    [
        [golden!("gguf/q4_0.gguf"), golden!("gguf/q4_0-mmproj.gguf")],
        [golden!("gguf/legacy.gguf"), golden!("gguf/legacy-mmproj.gguf")],
        [golden!("gguf/k.gguf"), golden!("gguf/k-mmproj.gguf")],
    ]
}

/// The beginning of a safetensors file of a given length.
fn safetensors_header(data: &[u8]) {
    let Some(file) = frames(data).into_iter().next() else { return };
    let (source, size) = (Files { list: vec![("f", file)], tail: 0 }, file.size);
    let read = bounded(JSON * data.len() + BASE, || block_on(safetensors::read_header(&source, "f")));
    inside(&read.unwrap_or_default(), size);
}

/// Every tensor lies in its file of `size` bytes.
fn inside(tensors: &[StoredTensor], size: u64) {
    for tensor in tensors {
        let values: u64 = tensor.shape.iter().product();
        let end = tensor.offset + values * tensor.dtype.bitsize() as u64 / 8;
        assert!(end <= size, "{tensor:?} ends outside of {size} bytes");
    }
}

fn safetensors_seeds() -> Vec<Vec<u8>> {
    vec![framed(&[safetensors_frame(golden!("mha/model.safetensors"))])]
}

/// A file of torch.save, or the pickle of one.
fn pickle(data: &[u8]) {
    let limit = MEMORY_FACTOR * data.len() + BASE;
    if !data.starts_with(b"PK") {
        return drop(bounded(limit, || torch::pickle::parse(data, "f").map(drop)));
    }
    let source = Files { list: vec![("f", Frame { size: data.len() as u64, bytes: data })], tail: 0 };
    let read = bounded(limit, || block_on(torch::read_header(&source, "f")));
    inside(&read.unwrap_or_default(), data.len() as u64);
}

fn pickle_seeds() -> Vec<Vec<u8>> {
    let mut dict = crate::torch::StateDict::default();
    dict.add("model.a.weight", "HalfStorage", &[2, 2], (0..8).collect());
    dict.add("model.b.weight", "FloatStorage", &[1], (0..4).collect());
    vec![dict.archive().bytes(), dict.pickle()]
}

/// Its header, and its length.
fn safetensors_frame(file: &[u8]) -> (u64, &[u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap_or_default()) as usize;
    (file.len() as u64, &file[..8 + length])
}

// --- JSON and Protocol Buffers --------------------------------------------------------------------------

fn manifest(data: &[u8]) {
    if let Ok(manifest) = bounded(JSON * data.len() + BASE, || Manifest::parse(data)) {
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).expect("what was written"), manifest);
        let config = Config::parse(golden!("mha/config.json"), None).expect("a golden config.json");
        let _ = manifest.match_config(&config);
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let hash = "0".repeat(64);
    let file = |name: &str| format!(r#"{{"file": "{name}", "bytes": 300, "sha256": "{hash}"}}"#);
    let shard = format!(r#"{{"file": "s.bin", "bytes": 384, "sha256": "{hash}"}}"#);
    let tensors = r#"{"name": "a.weight", "type": "f32", "layout": "rows", "shape": [64],
        "tiles": [{"rows": [0, 64], "shard": 0, "offset": 0, "bytes": 256}]},
        {"name": "b.weight", "type": "q8", "layout": "blocks", "shape": [3, 32],
        "tiles": [{"rows": [0, 3], "shard": 0, "offset": 256, "bytes": 104}]}"#;
    let text = format!(
        r#"{{"format": "llava-web", "version": 1, "name": "a", "prompt_template": "vicuna_v1",
        "files": {{"config": {}, "preprocessor_config": {}, "tokenizer": {}}}, "shards": [{shard}],
        "tensors": [{tensors}], "parameters": 160, "mirrors": ["https://a.example/b/"]}}"#,
        file("config.json"),
        file("p.json"),
        file("tokenizer.json"),
    );
    vec![text.into_bytes()]
}

/// config.json, generation_config.json and preprocessor_config.json.
fn config(data: &[u8]) {
    let files = frames(data);
    let file = |i: usize| files.get(i).map(|f| f.bytes).filter(|bytes| !bytes.is_empty());
    let parsed = bounded(JSON * data.len() + BASE, || Config::parse(file(0).unwrap_or_default(), file(1)));
    let Ok(config) = parsed else { return };
    // 512 blocks of 16 and of 12 tensors, each with a name and two shapes.
    let list = bounded(LARGE, || names::expected(&config));
    assert!(list.len() <= 16 * 512 + 12 * 512 + 64, "{} tensors", list.len());
    let Ok(preprocess) = bounded(JSON * data.len() + BASE, || PreprocessConfig::parse(file(2), &config)) else {
        return;
    };
    assert_eq!(preprocess.size, config.vision.image_size);
    if config.vision.image_size <= 112 {
        let pixels = llava_web::preprocess::preprocess(golden!("tall.png"), &preprocess).expect("a golden picture");
        assert_eq!(pixels.data.len(), pixels.tiles as usize * 3 * (config.vision.image_size as usize).pow(2));
    }
}

fn config_seeds() -> Vec<Vec<u8>> {
    let files = |config, generation, preprocessor| framed(&[config, generation, preprocessor].map(whole));
    vec![
        files(
            golden!("mha/config.json"),
            golden!("mha/generation_config.json"),
            golden!("mha/preprocessor_config.json"),
        ),
        files(
            golden!("gqa/config.json"),
            golden!("gqa/generation_config.json"),
            golden!("gqa/preprocessor_config.json"),
        ),
        files(b"{}", b"{\"eos_token_id\": [2, 3]}", b"{\"image_aspect_ratio\": \"pad\"}"),
    ]
}

/// tokenizer.json, which begins with a brace, or tokenizer.model, which never does.
fn tokenizer(data: &[u8]) {
    if data.starts_with(b"{") { tokenizer_json(data) } else { sentence_piece(data) }
}

fn tokenizer_json(data: &[u8]) {
    let config = Config::parse(golden!("mha/config.json"), None).expect("a golden config.json");
    let limit = TOKENIZER * data.len() + LARGE;
    let Ok(tokenizer) = bounded(limit, || Tokenizer::parse(data, &config)) else { return };
    let texts = ["USER: <image>\nwhat's é? 12345</s>", "😀\u{301} <s>", " ", ""];
    // What a hundred characters become: no normalizer may multiply them.
    bounded(64 * data.len() + (4 << 20), || {
        for text in texts {
            let _ = tokenizer.encode_text(text);
            if let Ok(ids) = tokenizer.encode_raw(text) {
                tokenizer.decode(&ids);
            }
        }
        let mut stream = StreamDecoder::default();
        for id in 0..config.text.vocab_size.min(300) {
            stream.push(&tokenizer, id);
        }
        stream.finish(&tokenizer);
    });
}

fn tokenizer_seeds() -> Vec<Vec<u8>> {
    let described = gguf_pairs().map(|pair| {
        let header = |file: &[u8]| match parse(file, file.len() as u64) {
            Ok(Parsed::Header(header)) => header,
            _ => panic!("a golden file is a GGUF file"),
        };
        describe(&pair.map(header)).expect("a golden pair is a LLaVA").tokenizer
    });
    [golden!("mha/tokenizer.json").to_vec(), sentence_piece_seed()].into_iter().chain(described).collect()
}

fn sentence_piece(data: &[u8]) {
    let Ok(vocabulary) = bounded(JSON * data.len() + BASE, || sentencepiece::parse(data)) else { return };
    let _ = bounded(JSON * data.len() + LARGE, || llava_web::format::gguf::tokenizer_json(&vocabulary, 32000));
}

fn sentence_piece_seed() -> Vec<u8> {
    let mut model = Vec::new();
    let pieces = [("<unk>", 0.0f32, 2u8), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<0x0A>", 0.0, 6)];
    for (text, score, kind) in pieces.into_iter().chain([("a", -1.0, 1), ("b", -2.0, 1), ("ab", -3.0, 1)]) {
        let mut piece = vec![(1 << 3) | 2, text.len() as u8];
        piece.extend(text.as_bytes());
        piece.push((2 << 3) | 5);
        piece.extend(score.to_le_bytes());
        piece.extend([3 << 3, kind]);
        model.extend([(1 << 3) | 2, piece.len() as u8]);
        model.extend(piece);
    }
    model
}

// --- Pictures -------------------------------------------------------------------------------------------

/// Largest pictures that the fuzzer decodes, pixels: larger ones take it too long.
const PIXELS: u64 = 1 << 20;

fn picture(data: &[u8]) {
    let reader = image::ImageReader::new(std::io::Cursor::new(data)).with_guessed_format();
    let sides = reader.ok().and_then(|reader| reader.into_dimensions().ok()).unwrap_or((0, 0));
    let pixels = u64::from(sides.0) * u64::from(sides.1);
    if pixels > PIXELS {
        return;
    }
    let crop = Tiling::One(llava_web::config::SquarePolicy::Crop);
    let crop = PreprocessConfig { tiling: crop, ..PreprocessConfig::llava(28) };
    for config in [PreprocessConfig::llava(28), crop] {
        // 16-bit RGBA and RGB beside each other, and the tables of a decoder.
        let limit = 32 * pixels as usize + 64 * data.len() + (16 << 20);
        if let Ok(values) = bounded(limit, || preprocess(data, &config)) {
            assert_eq!(values.data.len(), 3 * 28 * 28);
            assert!(values.data.iter().all(|x| x.is_finite()));
        }
    }
}

fn picture_seeds() -> Vec<Vec<u8>> {
    use image::{DynamicImage, ImageFormat as F, Rgba, RgbaImage};
    let rgba = RgbaImage::from_fn(20, 12, |x, y| Rgba([x as u8 * 9, y as u8 * 7, (x * y) as u8, (x * 13) as u8]));
    let rgba = DynamicImage::ImageRgba8(rgba);
    let file = |(image, format): (DynamicImage, F)| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("a picture that can be written");
        bytes.into_inner()
    };
    let rgb = || DynamicImage::ImageRgb8(rgba.to_rgb8());
    let images = [
        (rgb(), F::Jpeg),
        (DynamicImage::ImageLuma8(rgba.to_luma8()), F::Jpeg),
        (rgba.clone(), F::Png),
        (DynamicImage::ImageLumaA16(rgba.to_luma_alpha16()), F::Png),
        (DynamicImage::ImageRgb16(rgba.to_rgb16()), F::Png),
        (rgba.clone(), F::WebP),
        (rgb(), F::WebP),
        (rgba.clone(), F::Gif),
        (rgb(), F::Bmp),
        (rgba.clone(), F::Bmp),
    ];
    images.into_iter().map(file).collect()
}

// --- Saved conversations --------------------------------------------------------------------------------

fn state_format() -> StateFormat {
    let (model, cache_type) = ("model".to_string(), CacheType::F32);
    StateFormat { model, weights: [7; 32], cache_type, row_bytes: 8, context: 64, vocab_size: 100 }
}

/// A state without its hash, which is added: with one that does not agree no field would be read.
fn state(data: &[u8]) {
    let (format, signed) = (state_format(), [data, &sha256(&[data])].concat());
    for bytes in [data, &signed] {
        if let Ok(state) = bounded(32 * bytes.len() + BASE, || SavedState::parse(bytes, &format)) {
            assert_eq!(state.write(&format), bytes);
        }
    }
}

fn state_seeds() -> Vec<Vec<u8>> {
    let picture = SavedPicture { sha256: "0a".repeat(32), size: [640, 480] };
    let rows = vec![SavedRow::Token(99), SavedRow::Image(0, 3), SavedRow::Newline];
    let full = SavedState {
        pictures: vec![picture],
        rows,
        answers: vec![("yes".to_string(), vec![1, 2])],
        cache: &[0x3f; 24],
    };
    [full, SavedState::default()]
        .iter()
        .map(|state| {
            let mut bytes = state.write(&state_format());
            bytes.truncate(bytes.len() - 32);
            bytes
        })
        .collect()
}

// --- Whole models ---------------------------------------------------------------------------------------

/// A GGUF pair, its values the bytes of the last frame over and over, loaded and asked.
fn pair(data: &[u8]) {
    let names = ["model.gguf", "mmproj.gguf", "values"];
    load(data, names.into_iter().zip(frames(data)).collect(), &["model.gguf", "mmproj.gguf"]);
}

fn pair_seeds() -> Vec<Vec<u8>> {
    let seed = |pair: [&'static [u8]; 2]| {
        let [language, vision] = pair.map(|file| (file.len() as u64, gguf_header(file)));
        framed(&[language, vision, whole(&[17, 0x12])])
    };
    gguf_pairs().map(seed).into()
}

/// Files of a checkpoint directory, in the order of the frames; an empty one is not there.
const DIRECTORY: [&str; 12] = [
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "values",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.model",
    "vision_tower/config.json",
    "vision_tower/preprocessor_config.json",
    "vision_tower/model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
];

fn directory(data: &[u8]) {
    let there = DIRECTORY.into_iter().zip(frames(data)).filter(|(_, file)| !file.bytes.is_empty());
    let mut files: Vec<(&'static str, Frame)> = there.collect();
    // Of weights the beginning is enough; the other files are as long as what is given of them.
    for (name, file) in &mut files {
        if !name.ends_with(".safetensors") && !name.ends_with(".bin") {
            file.size = file.bytes.len() as u64;
        }
    }
    load(data, files, &["config.json"]);
}

fn directory_seeds() -> Vec<Vec<u8>> {
    let files = |config, tokenizer, tensors, preprocessor| {
        let values = whole(&[0x12, 0x3c]);
        framed(&[whole(config), whole(tokenizer), safetensors_frame(tensors), values, whole(b""), whole(preprocessor)])
    };
    vec![
        files(
            golden!("mha/config.json"),
            golden!("mha/tokenizer.json"),
            golden!("mha/model.safetensors"),
            golden!("mha/preprocessor_config.json"),
        ),
        files(
            golden!("gqa/config.json"),
            golden!("gqa/tokenizer.json"),
            golden!("gqa/model.safetensors"),
            golden!("gqa/preprocessor_config.json"),
        ),
    ]
}

/// Most parameters, bytes of activations, and rows of a model that is run.
const PARAMETERS: u64 = 1 << 21;
const SCRATCH: u64 = 16 << 20;
const CONTEXT: u32 = 256;

/// Answers that models gave, so that a test can tell whether inputs come so far.
pub static ANSWERS: AtomicUsize = AtomicUsize::new(0);

/// Opens a model; where it is a small one, pushes its parts, and takes a picture and two steps of an answer.
fn load(data: &[u8], list: Vec<(&'static str, Frame)>, entry: &[&str]) {
    let mut source = Files { list, tail: HEADER_READ };
    let entry: Vec<String> = entry.iter().map(|name| name.to_string()).collect();
    let device = block_on(Device::open(BackendChoice::Cpu)).expect("the CPU");
    let opened = bounded(TOKENIZER * data.len() + LARGE, || block_on(Loader::open(device, &source, &entry, &|| 0.0)));
    let Ok(mut loader) = opened else { return };
    let Ok(plan) = block_on(loader.plan(None)) else { return };
    let context = plan.longest_context.min(CONTEXT);
    let Ok(plan) = block_on(loader.plan(Some(context))) else { return };
    if plan.parameters > PARAMETERS || plan.memory.scratch > SCRATCH || plan.memory.total > 2 * LARGE as u64 {
        return;
    }
    source.tail = u64::MAX;
    // Buffers, their bytes once more while they are made, and the part under way.
    let limit = 2 * plan.memory.total as usize + 2 * LARGE;
    let _ = bounded(limit, || -> Result<()> {
        for (index, part) in plan.parts.iter().enumerate() {
            let bytes = block_on(source.read(&part.file, part.offset, part.bytes))?;
            block_on(loader.push(index, &bytes))?;
        }
        let mut engine = block_on(loader.finish(Some(context)))?;
        let picture = block_on(engine.encode(golden!("wide.png"), &[], &mut SilentObserver))?;
        let question = [Message::user(&[picture.id], "what is it?")];
        let options = GenerateOptions { max_new_tokens: 2, ignore_eos: true, ..GenerateOptions::default() };
        let answer = block_on(engine.generate(&question, &options, &mut SilentObserver))?;
        assert!(answer.ids.len() <= 2);
        ANSWERS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
}

// --- Inputs of several files ----------------------------------------------------------------------------

/// A file's beginning, and how long it is said to be.
#[derive(Clone, Copy)]
struct Frame<'a> {
    size: u64,
    bytes: &'a [u8],
}

/// An input as several: length of the beginning (u32), length of the file (u32), the beginning.
fn frames(mut data: &[u8]) -> Vec<Frame<'_>> {
    let mut list = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<8>() {
        let [length, size] = [0, 4].map(|at| u32::from_le_bytes(head[at..at + 4].try_into().unwrap_or_default()));
        let (bytes, rest) = rest.split_at((length as usize).min(rest.len()));
        list.push(Frame { size: u64::from(size).max(bytes.len() as u64), bytes });
        data = rest;
    }
    list
}

fn framed(files: &[(u64, &[u8])]) -> Vec<u8> {
    let frame = |(size, bytes): &(u64, &[u8])| {
        let [length, size] = [bytes.len() as u64, *size].map(|n| (n as u32).to_le_bytes());
        [&length, &size, *bytes].concat()
    };
    files.iter().flat_map(frame).collect()
}

fn whole(bytes: &[u8]) -> (u64, &[u8]) {
    (bytes.len() as u64, bytes)
}

/// What readers of headers may ask for at once, whatever the header is.
const HEADER_READ: u64 = 1 << 20;

/// Files by name: what lies behind a beginning is the file `values`, over and over. At most `tail` bytes of it can be read:
/// while headers are parsed, what is not in the input is no excuse for memory.
struct Files<'a> {
    list: Vec<(&'static str, Frame<'a>)>,
    tail: u64,
}

impl Files<'_> {
    fn file(&self, name: &str) -> Option<Frame<'_>> {
        self.list.iter().find(|(n, _)| *n == name).map(|(_, file)| *file)
    }
}

impl Source for Files<'_> {
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.file(name).map(|file| file.size))
    }

    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let readable = |file: &Frame| file.size.min((file.bytes.len() as u64).saturating_add(self.tail));
        let file = self.file(name).filter(|file| offset.checked_add(bytes).is_some_and(|end| end <= readable(file)));
        let Some(file) = file else { return Err(Error::new(Kind::Io, name, "ends early")) };
        let values = self.file("values").map(|f| f.bytes).filter(|bytes| !bytes.is_empty()).unwrap_or(&[0]);
        let byte = |at: u64| file.bytes.get(at as usize).copied().unwrap_or(values[at as usize % values.len()]);
        Ok((offset..offset + bytes).map(byte).collect())
    }
}
