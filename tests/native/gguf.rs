//! GGUF pairs: files of every generation of converters are read, everything else is refused by name.

use crate::common;

use crate::common::checkpoint::Checkpoint;
use crate::common::pair::{self, GgufFile, Pair, sentence_piece};
use crate::common::{Scratch, Talk, golden_file};
use llava_web::config::{Activation, Config, ConnectorKind, PictureLayout, SquarePolicy};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{GenerateOptions, SilentObserver};
use llava_web::error::Error;
use llava_web::format::gguf::{Described, Strings, Value, describe};
use llava_web::format::names::expected;
use llava_web::format::stored::LocatedTensor;
use llava_web::native::{Folder, load};
use llava_web::preprocess::{PreprocessConfig, Tiling};
use llava_web::quant::{Encoding, decode};
use llava_web::tokenizer::Tokenizer;
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

fn described(change: impl FnOnce(&mut Pair)) -> Result<Described, Error> {
    let mut pair = Pair::random();
    change(&mut pair);
    describe(&pair.headers())
}

fn refused(change: impl FnOnce(&mut Pair)) -> String {
    described(change).expect_err("this must be refused").to_string()
}

fn config(d: &Described) -> Config {
    Config::parse(&d.config, Some(&d.generation_config)).unwrap()
}

fn tokenizer(d: &Described) -> Tokenizer {
    Tokenizer::parse(&d.tokenizer, &config(d)).unwrap()
}

/// LLaVA-1.6: the sizes that a picture is fitted to, as pairs of numbers, and the embed that ends a row.
#[test]
fn a_pair_of_llava_1_6_reads_pictures_in_tiles() {
    let checkpoint = Checkpoint::random(|_| ());
    let theirs = Config::parse(checkpoint.config.to_string().as_bytes(), None).unwrap();
    let (side, hidden) = (theirs.vision.image_size, theirs.text.hidden_size);
    let sizes = [side as i32, 2 * side as i32, 2 * side as i32, side as i32];
    let d = described(|p| {
        p.vision.set("clip.vision.mm_patch_merge_type", "spatial_unpad".into());
        p.vision.set("clip.vision.image_grid_pinpoints", (&sizes[..]).into());
        p.vision.add("model.image_newline", &[hidden]);
    })
    .unwrap();
    let candidates = vec![[side, 2 * side], [2 * side, side]];
    assert_eq!(config(&d).layout, PictureLayout::Anyres { candidates: candidates.clone() });
    let pixels = PreprocessConfig::parse(Some(&d.preprocessor_config), &config(&d)).unwrap();
    assert_eq!(pixels.tiling, Tiling::Anyres { candidates });
    assert!(d.tensors.iter().any(|(expected, _)| expected.name == "image_newline"));
}

#[test]
fn a_pair_is_described_like_its_checkpoint() {
    let checkpoint = Checkpoint::random(|_| ());
    let theirs = Config::parse(checkpoint.config.to_string().as_bytes(), None).unwrap();
    let pair = Pair::of(&checkpoint);
    let [language, vision] = pair.headers();
    let d = describe(&[language.clone(), vision.clone()]).unwrap();
    let ours = config(&d);
    assert_eq!(ours.text, theirs.text);
    assert_eq!((ours.vision_blocks, ours.keep_class_row, ours.connector), (2, false, theirs.connector));
    assert_eq!(ours.connector, ConnectorKind::Mlp2x(Activation::Gelu));
    assert_eq!(ours.vision, llava_web::config::VisionConfig { num_hidden_layers: 2, ..theirs.vision.clone() });
    assert_eq!(ours.image_token_index, 3, "`<image>` is in this vocabulary");
    let of = |d: &Described| PreprocessConfig::parse(Some(&d.preprocessor_config), &config(d)).unwrap();
    let half = described(|p| p.vision.set("clip.vision.image_std", (&[0.5f32; 3][..]).into())).unwrap();
    assert_eq!((of(&half).std, of(&half).mean), ([0.5; 3], of(&d).mean));
    let pixels = PreprocessConfig::parse(Some(&d.preprocessor_config), &ours).unwrap();
    assert_eq!(pixels, PreprocessConfig::llava(42), "padded, with CLIP's numbers to the last digit");
    assert_eq!(pixels.tiling, Tiling::One(SquarePolicy::Pad));
    assert_eq!((d.name.as_str(), d.notes.len()), ("tiny", 0), "{:?}", d.notes);
    // Tensors: what is needed, in order of use, each where its file has it.
    let list = expected(&ours);
    assert_eq!(d.tensors.len(), list.len());
    let bytes = [pair.language.bytes(), pair.vision.bytes()];
    for ((expected, t), e) in d.tensors.iter().zip(list) {
        assert_eq!((expected, &t.name, &t.shape), (&e, &e.name, &e.checkpoint_shape));
        assert_eq!(t.file, usize::from(!t.name.starts_with("language_model.")), "{}", t.name);
        let stored = &bytes[t.file][t.offset as usize..][..t.bytes() as usize];
        let values: Vec<f32> = match t.encoding {
            Encoding::F32 => bytemuck::pod_collect_to_vec(stored),
            Encoding::F16 => stored.chunks(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => panic!("{other}"),
        };
        let mut wanted = checkpoint.tensors[&t.name].1.clone();
        let rotated = t.name.starts_with("language_model.") && (t.name.contains("q_proj") || t.name.contains("k_proj"));
        assert_eq!(t.rope_heads, rotated.then_some(4), "{}", t.name);
        if let Some(heads) = t.rope_heads {
            wanted = pair::permuted(&wanted, heads, 16, 64);
        }
        assert!(values.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-3), "{}", t.name);
    }
    // In the other order only the indices of the files differ.
    let mut other = describe(&[vision, language]).unwrap();
    other.tensors.iter_mut().for_each(|(_, t)| t.file = 1 - t.file);
    assert_eq!(other, d);
}

#[test]
fn grouped_queries_and_tied_heads() {
    let checkpoint = Checkpoint::random(|c| {
        c["text_config"]["num_key_value_heads"] = json!(2);
        c["text_config"]["tie_word_embeddings"] = json!(true);
        c["text_config"]["rope_theta"] = json!(1e6);
    });
    let d = describe(&Pair::of(&checkpoint).headers()).unwrap();
    let text = config(&d).text;
    assert!(text.tie_word_embeddings && text.num_key_value_heads == 2 && text.rope_theta == 1e6);
    let heads = |name: &str| {
        let name = format!("language_model.model.layers.1.self_attn.{name}.weight");
        d.tensors.iter().find(|(_, t)| t.name == name).unwrap().1.rope_heads
    };
    assert_eq!(["q_proj", "k_proj", "v_proj", "o_proj"].map(heads), [Some(4), Some(2), None, None]);
    assert!(!d.tensors.iter().any(|(_, t)| t.name.contains("lm_head")));
}

/// Mistral's heads are not its width divided by their number in every model.
#[test]
fn heads_have_the_size_that_the_file_says() {
    let checkpoint = Checkpoint::random(|c| c["text_config"]["head_dim"] = json!(32));
    let mut pair = Pair::of(&checkpoint);
    pair.language.set("llama.attention.key_length", 32u32.into());
    pair.language.set("llama.attention.value_length", 32u32.into());
    assert_eq!(config(&describe(&pair.headers()).unwrap()).text.head_dim, 32);
    pair.language.set("llama.rope.dimension_count", 16u32.into());
    assert!(describe(&pair.headers()).unwrap_err().to_string().contains("rope.dimension_count"));
}

#[test]
fn early_files_say_less() {
    let full = described(|_| ()).unwrap();
    let early = described(|p| {
        for key in ["general.architecture", "clip.projector_type", "clip.has_llava_projector", "clip.use_gelu"] {
            p.vision.unset(key);
        }
        for key in ["image_size", "patch_size", "feed_forward_length", "image_mean", "attention.layer_norm_epsilon"] {
            p.vision.unset(&format!("clip.vision.{key}"));
        }
        for key in ["rope.freq_base", "attention.head_count_kv", "rope.dimension_count"] {
            p.language.unset(&format!("llama.{key}"));
        }
        p.language.unset("general.name");
    })
    .unwrap();
    assert_eq!(config(&early), config(&full));
    assert_eq!(early.name, "LLaVA");
}

/// The first generation called the first matrix of the tower's MLP `ffn_down`.
#[test]
fn swapped_names_are_told_by_their_shapes() {
    let places = |d: &Described| {
        let mlp = d.tensors.iter().map(|(_, t)| t).filter(|t| t.name.contains("mlp.fc"));
        mlp.map(|t| (t.name.clone(), t.shape.clone(), t.bytes())).collect::<Vec<_>>()
    };
    let plain = described(|_| ()).unwrap();
    let swapped = described(|p| {
        for (block, part) in [(0, "weight"), (0, "bias"), (1, "weight"), (1, "bias")] {
            let name = |ffn: &str| format!("v.blk.{block}.{ffn}.{part}");
            p.vision.rename(&name("ffn_up"), "aside");
            p.vision.rename(&name("ffn_down"), &name("ffn_up"));
            p.vision.rename("aside", &name("ffn_down"));
        }
    });
    assert_eq!(places(&swapped.unwrap()), places(&plain));
}

/// A vision block and a norm that LLaVA does not run.
fn add_last_block(vision: &mut GgufFile) {
    let last: Vec<_> = vision.tensors.iter().filter(|(t, _)| t.name.starts_with("v.blk.1.")).cloned().collect();
    for (mut planned, values) in last {
        planned.name = planned.name.replace("v.blk.1.", "v.blk.2.");
        vision.tensors.push((planned, values));
    }
    vision.add("v.post_ln.weight", &[32]);
    vision.add("v.post_ln.bias", &[32]);
}

#[test]
fn blocks_that_llava_does_not_run_are_left_out() {
    let plain = described(|_| ()).unwrap();
    let names = |d: &Described| d.tensors.iter().map(|(_, t)| t.name.clone()).collect::<Vec<_>>();
    for announced in [2u32, 3] {
        let whole = described(|p| {
            add_last_block(&mut p.vision);
            p.vision.set("clip.vision.block_count", announced.into());
        })
        .unwrap();
        assert_eq!(names(&whole), names(&plain));
        assert_eq!((config(&whole).vision_blocks, config(&whole).vision.num_hidden_layers), (2, 3));
        assert!(whole.notes.iter().any(|n| n.contains("of 3 vision blocks")), "{:?}", whole.notes);
    }
    // Newer converters name the layer.
    let layer = |value: Value| described(|p| p.vision.set("clip.vision.feature_layer", value));
    assert_eq!(config(&layer((&[1i32][..]).into()).unwrap()).vision_blocks, 1);
    assert_eq!(config(&layer(2u32.into()).unwrap()).vision_blocks, 2);
    assert_eq!(config(&layer((&[-2i32][..]).into()).unwrap()).vision_blocks, 2);
    assert!(layer((&[1i32, 2][..]).into()).unwrap_err().to_string().contains("2 layers"));
    assert!(layer(3u32.into()).unwrap_err().to_string().contains("block 3 of 2"));
    assert!(refused(|p| p.vision.set("clip.vision.block_count", 3u32.into())).contains("v.blk.2"));
}

/// CLIP's own tower is known by its width: 23 of its 24 blocks are run, whether there are 23 or 24.
#[test]
fn the_real_towers_depth_is_known() {
    let blocks = |held: u32, announced: u32| {
        let checkpoint = Checkpoint::random(|c| {
            let vision = json!({"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4,
                "num_hidden_layers": held + 1, "image_size": 14, "patch_size": 14});
            c["vision_config"] = vision;
        });
        let mut pair = Pair::of(&checkpoint);
        pair.vision.set("clip.vision.block_count", announced.into());
        describe(&pair.headers()).map(|d| config(&d).vision_blocks)
    };
    assert_eq!(blocks(23, 23).unwrap(), 23);
    assert_eq!(blocks(23, 24).unwrap(), 23);
    assert_eq!(blocks(24, 24).unwrap(), 23);
    assert_eq!(blocks(24, 23).unwrap(), 23);
    assert!(blocks(22, 23).unwrap_err().to_string().contains("v.blk.22"));
}

#[test]
fn models_in_parts() {
    let whole = Pair::random();
    let split = |change: &dyn Fn(&mut Vec<GgufFile>)| {
        let (mut parts, total) = (vec![GgufFile::default(); 3], whole.language.tensors.len() as u32);
        for (i, tensor) in whole.language.tensors.iter().enumerate() {
            parts[i * 3 / total as usize].tensors.push(tensor.clone());
        }
        parts[0].metadata = whole.language.metadata.clone();
        for (i, part) in parts.iter_mut().enumerate() {
            part.set("split.no", (i as u32).into());
            part.set("split.count", 3u32.into());
            part.set("split.tensors.count", total.into());
        }
        parts.push(whole.vision.clone());
        change(&mut parts);
        describe(&parts.iter().map(GgufFile::header).collect::<Vec<_>>())
    };
    let d = split(&|_| ()).unwrap();
    let one = describe(&whole.headers()).unwrap();
    assert_eq!((&d.config, &d.tokenizer), (&one.config, &one.tokenizer));
    assert_eq!(
        d.tensors.iter().map(|(_, t)| &t.name).collect::<Vec<_>>(),
        one.tensors.iter().map(|(_, t)| &t.name).collect::<Vec<_>>()
    );
    let used: std::collections::BTreeSet<usize> = d.tensors.iter().map(|(_, t)| t.file).collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    // In any order.
    let mut turned = split(&|parts| parts.reverse()).unwrap();
    turned.tensors.iter_mut().for_each(|(_, t)| t.file = 3 - t.file);
    assert_eq!(turned, d);
    let refused = |change: &dyn Fn(&mut Vec<GgufFile>)| split(change).unwrap_err().to_string();
    assert!(refused(&|p| drop(p.remove(1))).contains("part 2 of 3"));
    assert!(refused(&|p| drop(p.remove(0))).contains("first part"));
    assert!(refused(&|p| p.push(p[1].clone())).contains("there twice"));
    assert!(refused(&|p| p[2].set("split.count", 2u32.into())).contains("two models"));
    assert!(refused(&|p| drop(p[1].tensors.pop())).contains("tensors; the first says"));
    let tensor = whole.language.tensors[0].clone();
    assert!(refused(&|p| p[1].tensors[0] = tensor.clone()).contains("two parts"));
}

#[test]
fn what_is_not_a_pair_is_named() {
    let [language, vision] = Pair::random().headers();
    let error = |files: &[_]| describe(files).unwrap_err().to_string();
    assert!(error(std::slice::from_ref(&language)).contains("mmproj-model-f16.gguf"));
    assert!(error(std::slice::from_ref(&vision)).contains("language model is not among them"));
    assert!(error(&[language.clone(), language.clone(), vision.clone()]).contains("2 of them are language models"));
    assert!(error(&[language.clone(), vision.clone(), vision]).contains("2 of them are vision"));
    assert!(error(&[]).contains("language model is not"));
    let wide = Pair::of(&Checkpoint::random(|c| c["text_config"]["hidden_size"] = json!(128)));
    let mixed = error(&[language, wide.vision.header()]);
    assert!(mixed.contains("128 values") && mixed.contains("takes 64"), "{mixed}");
}

#[test]
fn other_models_are_refused_by_name() {
    let language = |key: &str, value: Value| refused(|p| p.language.set(key, value));
    let vision = |key: &str, value: Value| refused(|p| p.vision.set(key, value));
    for (other, instead) in [("gemma", "Vicuna"), ("phi3", "llava-phi-3-mini-gguf"), ("phi2", "SmolVLM-500M")] {
        let error = language("general.architecture", other.into());
        assert!(error.contains(&format!("`{other}`")) && error.contains(instead), "{error}");
    }
    assert!(language("llama.expert_count", 8u32.into()).contains("8 experts"));
    assert!(language("llama.rope.scaling.type", "yarn".into()).contains("`yarn`"));
    assert!(language("llama.rope.scale_linear", 4f32.into()).contains("rotary scaling by 4"));
    let linear = refused(|p| {
        p.language.set("llama.rope.scaling.type", "linear".into());
        p.language.set("llama.rope.scaling.factor", 2f32.into());
    });
    assert!(linear.contains("rotary scaling by 2"), "{linear}");
    let unscaled = described(|p| {
        p.language.set("llama.rope.scaling.type", "linear".into());
        p.language.set("llama.rope.scaling.factor", 1f32.into());
    });
    assert!(unscaled.is_ok(), "by 1 is not at all");
    assert!(refused(|p| p.language.add("rope_freqs.weight", &[8])).contains("Llama 3.1"));
    assert!(language("llama.attention.layer_norm_rms_epsilon", "x".into()).contains("layer_norm_rms_epsilon"));
    assert!(language("llama.feed_forward_length", (&[1i32, 2][..]).into()).contains("feed_forward_length"));
    assert!(refused(|p| p.language.unset("llama.block_count")).contains("llama.block_count"));
    assert!(vision("clip.projector_type", "resampler".into()).contains("`resampler`"));
    assert!(vision("clip.has_vision_encoder", false.into()).contains("has_vision_encoder"));
    assert!(vision("clip.use_silu", true.into()).contains("SiLU"));
    assert!(vision("clip.vision.mm_patch_merge_type", "spatial".into()).contains("`spatial`"));
    assert!(vision("clip.vision.mm_patch_merge_type", "spatial_unpad".into()).contains("image_grid_pinpoints"));
    assert!(refused(|p| p.vision.add("model.image_newline", &[64])).contains("image_newline"));
    let pinpoints: &[i32] = &[42, 84, 84, 42];
    assert!(vision("clip.vision.image_grid_pinpoints", pinpoints.into()).contains("`flat`"));
    assert!(vision("split.count", 2u32.into()).contains("single file"));
    assert_eq!(
        config(&described(|p| p.vision.set("clip.use_gelu", true.into())).unwrap()).vision.hidden_act,
        Activation::Gelu
    );
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let missing = refused(|p| drop(p.language.remove("blk.1.ffn_gate.weight")));
    assert!(missing.contains("layers.1.mlp.gate_proj.weight") && missing.contains("missing"), "{missing}");
    let shape = refused(|p| p.language.tensor("blk.0.attn_v.weight").0.shape = vec![32, 128]);
    assert!(shape.contains("blk.0.attn_v.weight") && shape.contains("[64, 64]"), "{shape}");
    for unknown in ["blk.0.attn_q.bias", "blk.2.attn_norm.weight", "blk.00.ffn_up.weight", "output_norm.bias"] {
        assert!(refused(|p| p.language.add(unknown, &[64])).contains(unknown));
    }
    assert!(refused(|p| p.vision.add("v.patch_embd.bias", &[32])).contains("v.patch_embd.bias"));
    assert!(refused(|p| p.vision.add("mm.4.weight", &[32])).contains("mm.4.weight"));
    // A side of 1 more is the same tensor.
    assert!(described(|p| p.vision.tensor("v.class_embd").0.shape = vec![1, 32]).is_ok());
    // A type that is not read is named, with its tensor and a hint.
    let mut pair = Pair::random();
    pair.language.tensor("blk.1.ffn_up.weight").0.encoding = Encoding::F32;
    let mut bytes = pair.language.bytes();
    let name = b"blk.1.ffn_up.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&20u32.to_le_bytes());
    let error = describe(&[pair::header(&bytes), pair.vision.header()]).unwrap_err().to_string();
    assert!(error.contains("blk.1.ffn_up.weight") && error.contains("IQ4_NL") && error.contains("Q4_K_M"), "{error}");
}

/// Pieces, their scores not in the order of their ids; a run of spaces with a score like LLaMA's.
const PIECES: [(&str, f32); 19] = [
    ("▁", -10.0),
    ("a", -11.0),
    ("b", -12.0),
    ("c", -13.0),
    ("h", -13.5),
    ("e", -14.0),
    ("▁▁", -1e9),
    ("▁▁▁▁", -1e9),
    ("ab", -3.0),
    ("bc", -2.0),
    ("abc", -4.0),
    ("▁a", -1.0),
    ("▁abc", -5.0),
    ("he", -6.0),
    ("é", -15.0),
    ("<", -16.0),
    ("/", -16.0),
    (">", -16.0),
    ("s", -16.0),
];

fn small(change: impl FnOnce(&mut Pair)) -> Described {
    described(|p| {
        sentence_piece(&mut p.language, &PIECES);
        change(p);
    })
    .unwrap()
}

#[test]
fn sentence_piece_merges_follow_the_scores() {
    let tokenizer = tokenizer(&small(|_| ()));
    let id = |piece: &str| 259 + PIECES.iter().position(|(p, _)| *p == piece).unwrap() as u32;
    let ids = |text: &str| tokenizer.encode_text(text).unwrap();
    // "▁a" has the best score of all, then "bc"; "▁a" + "bc" makes "▁abc".
    assert_eq!(ids("abc"), [id("▁abc")]);
    // Not at a beginning: "bc" before "ab", then "a" + "bc".
    assert_eq!(ids("cabc"), [id("▁"), id("c"), id("abc")]);
    assert_eq!(ids("   a"), [id("▁▁"), id("▁"), id("▁a")], "runs of spaces merge last");
    assert_eq!(ids("    "), [id("▁▁▁▁"), id("▁")]);
    assert_eq!(ids("hé"), [id("▁"), id("h"), id("é")]);
    // Characters that the vocabulary lacks become bytes: "z" and a character of three.
    assert_eq!(ids("z€"), [id("▁"), 3 + 0x7a, 3 + 0xe2, 3 + 0x82, 3 + 0xac]);
    for text in ["abc z€ he  \n", "</s> <s>", "é<image>"] {
        assert_eq!(tokenizer.decode(&ids(text)), text);
    }
    // A raw prompt: beginning, picture and end are recognised; `<image>` is the first id after the vocabulary.
    let image = 259 + PIECES.len() as u32;
    assert_eq!(tokenizer.image(), image);
    assert_eq!(tokenizer.encode_raw("<image>abc</s>").unwrap(), [1, image, id("▁abc"), 2]);
}

#[test]
fn a_vocabularys_flags_are_respected() {
    let flag =
        |key: &str, value: bool| tokenizer(&small(|p| p.language.set(&format!("tokenizer.ggml.{key}"), value.into())));
    assert_eq!(
        flag("add_bos_token", true).encode_raw("a").unwrap(),
        flag("add_space_prefix", true).encode_raw("a").unwrap()
    );
    let without = flag("add_bos_token", false).encode_raw("a").unwrap();
    assert_eq!([vec![1], without.clone()].concat(), flag("add_bos_token", true).encode_raw("a").unwrap());
    let bare = flag("add_space_prefix", false);
    assert_eq!(bare.encode_text("a").unwrap(), [260], "no space is put before it");
    assert_eq!(bare.decode(&bare.encode_text(" a").unwrap()), " a", "and none is taken away");
    // A picture's token that the vocabulary has, as an added token would be.
    let pieces: Vec<(&str, f32)> = PIECES.into_iter().chain([("<image>", 0.0), ("<pad>", 0.0)]).collect();
    let own = described(|p| sentence_piece(&mut p.language, &pieces)).unwrap();
    assert_eq!(config(&own).image_token_index, 259 + PIECES.len() as u32);
    assert_eq!(tokenizer(&own).encode_raw("<image>").unwrap().len(), 2);
    // Files from before types: bytes and marks are known by their spelling.
    let untyped = small(|p| p.language.unset("tokenizer.ggml.token_type"));
    assert_eq!(
        tokenizer(&untyped).encode_raw("z</s>").unwrap(),
        tokenizer(&small(|_| ())).encode_raw("z</s>").unwrap()
    );
    // Another token that ends an answer.
    let eot = small(|p| p.language.set("tokenizer.ggml.eot_token_id", 260u32.into()));
    assert_eq!(config(&eot).text.eos_token_ids, [2, 260]);
}

#[test]
fn broken_vocabularies_are_refused() {
    let with = |key: &str, value: Value| {
        refused(|p| {
            sentence_piece(&mut p.language, &PIECES);
            p.language.set(&format!("tokenizer.ggml.{key}"), value);
        })
    };
    assert!(with("model", "bert".into()).contains("`bert`"));
    assert!(with("scores", (&[1f32][..]).into()).contains("1 numbers for"));
    let many: Vec<String> = (0..289).map(|i| i.to_string()).collect();
    let many: Strings = many.iter().map(String::as_str).collect();
    assert!(with("tokens", Value::Strings(many)).contains("289 tokens, but 288 embeddings"));
    assert!(refused(|p| p.language.unset("tokenizer.ggml.tokens")).contains("no vocabulary"));
    assert!(refused(|p| p.language.set("tokenizer.ggml.pre", "deepseek-v3".into())).contains("`deepseek-v3`"));
    assert!(refused(|p| p.language.unset("tokenizer.ggml.merges")).contains("merges"));
    let single = Value::Strings(["ab"].into_iter().collect());
    assert!(refused(|p| p.language.set("tokenizer.ggml.merges", single)).contains("join no two tokens"));
}

/// The golden checkpoint's byte-level tokenizer survives the way through GGUF.
#[test]
fn byte_level_vocabularies_give_the_same_ids() {
    let d = described(|_| ()).unwrap();
    let original = Tokenizer::parse(&golden_file("mha/tokenizer.json"), &config(&d)).unwrap();
    let ours = tokenizer(&d);
    for text in ["USER: what is in the picture? ASSISTANT:", " a  b\n", "é€😀</s>", "I'll 1234", ""] {
        assert_eq!(ours.encode_text(text).unwrap(), original.encode_text(text).unwrap(), "{text:?}");
        assert_eq!(ours.encode_raw(text).unwrap(), original.encode_raw(text).unwrap(), "{text:?}");
        assert_eq!(ours.decode(&ours.encode_text(text).unwrap()), text);
    }
    // Llama 3 cuts numbers in threes, and the whole piece is a token where the vocabulary has it.
    let pre = |name: &str| tokenizer(&described(|p| p.language.set("tokenizer.ggml.pre", name.into())).unwrap());
    assert_eq!(pre("llama-bpe").encode_raw("12345").unwrap()[0], 1, "it puts a beginning before a text");
    for name in ["llama-bpe", "default"] {
        let text = "USER: it's 12345  é\n\n x";
        let tokenizer = pre(name);
        assert_eq!(tokenizer.decode(&tokenizer.encode_text(text).unwrap()), text);
    }
}

/// The program that writes weights of real size, on its smallest: both GGUF mixes and Hugging Face's layout.
#[test]
fn made_up_weights_are_whole() {
    let scratch = Scratch::new("weights");
    let run = |format: &str, seed: &str, out: &str| {
        let out = scratch.path().join(out);
        let mut command = Command::new(env!("CARGO_BIN_EXE_weights"));
        command.args(["--size", "tiny", "--format", format, "--seed", seed, "--out"]).arg(&out);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut files: Vec<PathBuf> = std::fs::read_dir(out).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    };
    let read = |files: &[PathBuf]| files.iter().map(|f| std::fs::read(f).unwrap()).collect::<Vec<_>>();
    for (format, mix) in [("gguf-q4_0", Encoding::Q4_0), ("gguf-q4_k_m", Encoding::Q4K)] {
        let bytes = read(&run(format, "1", format));
        assert_eq!(bytes.len(), 2, "a pair and nothing temporary");
        let d = describe(&bytes.iter().map(|b| pair::header(b)).collect::<Vec<_>>()).unwrap();
        let kind = |name: &str| d.tensors.iter().find(|(_, t)| t.name.ends_with(name)).unwrap().1.encoding;
        assert_eq!((kind("embed_tokens.weight"), kind("lm_head.weight")), (mix, Encoding::Q6K));
        assert_eq!(kind("language_model.model.norm.weight"), Encoding::F32);
        assert_eq!((config(&d).vision_blocks, config(&d).image_token_index), (2, 1024));
        let ids = tokenizer(&d).encode_text("the cat in the house").unwrap();
        assert!(ids.len() < 16, "{ids:?}: pairs merge");
        assert_eq!(tokenizer(&d).decode(&ids), "the cat in the house");
        assert_eq!(read(&run(format, "1", &format!("{format}-again"))), bytes);
        assert_ne!(read(&run(format, "2", &format!("{format}-other"))), bytes);
    }
    let files = run("safetensors", "1", "hf");
    let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.contains(&"model-00002-of-00002.safetensors".to_string()), "{names:?}");
    common::convert_directory(&scratch.path().join("hf"), "q4");
}

/// A committed pair of `tests/golden/generate_gguf.py`: its bytes by file, its description, its answers.
fn golden_pair(name: &str) -> ([Vec<u8>; 2], Described, Json) {
    let files = [format!("gguf/{name}.gguf"), format!("gguf/{name}-mmproj.gguf")].map(|f| golden_file(&f));
    let d = describe(&[pair::header(&files[0]), pair::header(&files[1])]).unwrap();
    (files, d, serde_json::from_slice(&golden_file(&format!("gguf/{name}.json"))).unwrap())
}

/// A tensor's values in Hugging Face's order of rows.
fn values(files: &[Vec<u8>; 2], t: &LocatedTensor) -> Vec<f32> {
    let stored = decode(t.encoding, &files[t.file][t.offset as usize..][..t.bytes() as usize]).unwrap();
    let Some(heads) = t.rope_heads else { return stored };
    let (rows, k) = (t.shape[0], t.shape[1] as usize);
    let (d, mut out) = (rows / heads, Vec::new());
    for row in 0..rows {
        let (head, i) = (row / d * d, row % d);
        let source = head + i % (d / 2) * 2 + i / (d / 2);
        out.extend(&stored[source as usize * k..][..k]);
    }
    out
}

/// Pairs that llama.cpp's own package wrote: every value of the checkpoint is found where it belongs.
#[test]
fn files_of_the_gguf_package_hold_the_checkpoint() {
    let bytes = golden_file("mha/model.safetensors");
    let checkpoint = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, inexact) in
        [("q4_0", &[][..]), ("legacy", &["q_proj", "k_proj", "v_proj", "o_proj", "mlp.", "lm_head", "embed_tokens"])]
    {
        let (files, d, _) = golden_pair(name);
        assert_eq!(config(&d).vision_blocks, 2);
        for (_, t) in &d.tensors {
            let stored: Vec<half::f16> = bytemuck::pod_collect_to_vec(checkpoint.tensor(&t.name).unwrap().data());
            let wanted: Vec<f32> = stored.iter().map(|x| x.to_f32()).collect();
            let got = values(&files, t);
            // Of the older types only some hold values of 4 bits exactly; Q8_0 and the 5-bit ones round to a
            // step of the largest value / 127 or a range / 31.
            let language = t.name.starts_with("language_model.");
            let within = if language && inexact.iter().any(|part| t.name.contains(part)) { 1.0 / 31.0 } else { 0.0 };
            let most = wanted.iter().fold(0f32, |m, w| m.max(w.abs()));
            assert!(got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= within * most), "{name}: {}", t.name);
        }
    }
}

#[test]
fn golden_pairs_have_every_type_and_their_prompts_ids() {
    let mut types = std::collections::BTreeSet::new();
    for name in ["q4_0", "legacy", "k"] {
        let (files, d, answers) = golden_pair(name);
        let tokenizer = tokenizer(&d);
        for (case, expected) in answers["cases"].as_object().unwrap() {
            let ids = tokenizer.encode_raw(expected["prompt"].as_str().unwrap()).unwrap();
            let wanted: Vec<u32> = serde_json::from_value(expected["ids"].clone()).unwrap();
            let begins = usize::from(ids.first() == Some(&tokenizer.bos()));
            assert_eq!(ids[begins..], wanted, "{name}: {case}");
        }
        for (_, t) in &d.tensors {
            types.insert(t.encoding);
            assert!(values(&files, t).iter().all(|x| x.is_finite()), "{name}: {}", t.name);
        }
    }
    assert_eq!(types.len(), Encoding::ALL.len(), "{types:?}");
}

/// The engine on a golden pair gives PyTorch's best logits and greedy tokens.
fn answers_as_pytorch(name: &str, backend: BackendChoice) {
    let (_, d, answers) = golden_pair(name);
    let entry = [format!("{name}.gguf"), format!("{name}-mmproj.gguf")];
    let folder = Folder::new(&common::golden("gguf"), None);
    let device = block_on(Device::open(backend)).unwrap();
    let mut engine = block_on(load(&folder, &entry, device, Some(192))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let begins = tokenizer(&d).encode_raw("").unwrap() == [1];
    for (case, expected) in answers["cases"].as_object().unwrap() {
        let mut talk = Talk::default();
        for image in expected["images"].as_array().unwrap() {
            let picture = golden_file(&format!("{}.png", image.as_str().unwrap()));
            talk.encode(&mut engine, &picture).unwrap();
        }
        let greedy: Vec<u32> = serde_json::from_value(expected["greedy"].clone()).unwrap();
        let margins: Vec<f32> = serde_json::from_value(expected["margin"].clone()).unwrap();
        let top: Vec<(usize, f32)> = serde_json::from_value(expected["top"].clone()).unwrap();
        let prompt = format!("{}{}", if begins { "" } else { "<s>" }, expected["prompt"].as_str().unwrap());
        let max_new_tokens = greedy.len() as u32;
        let options =
            GenerateOptions { max_new_tokens, ignore_eos: true, keep_logits: true, ..GenerateOptions::default() };
        let answer = block_on(engine.generate_raw(&prompt, &talk.pictures, &options, &mut SilentObserver)).unwrap();
        let logits = &answer.logits[0];
        for (id, wanted) in top {
            // Logits are up to 20 here; f32 sums of two blocks differ in the sixth digit.
            assert!((logits[id] - wanted).abs() < 2e-3, "{name} {case}: {} for {wanted} of token {id}", logits[id]);
        }
        // Where the two best are closer than that, either may come, and the texts may differ from there on.
        let certain = margins.iter().position(|m| *m < 4e-3).unwrap_or(greedy.len());
        assert!(certain >= greedy.len() / 2, "{name} {case}: too close after {certain} tokens to mean anything");
        assert_eq!(answer.ids[..certain], greedy[..certain], "{name} {case}");
    }
}

#[test]
fn twins_answer_as_pytorch() {
    for name in ["q4_0", "legacy", "k"] {
        answers_as_pytorch(name, BackendChoice::Reference);
    }
}

#[test]
fn gpu_answers_as_pytorch() {
    if common::gpu_or_skip() {
        for name in ["q4_0", "legacy", "k"] {
            answers_as_pytorch(name, BackendChoice::Gpu);
        }
    }
}

/// LLaMA's vocabulary as a GGUF file has it, by the `gguf` package: no tensors, only metadata.
const VOCABULARY: &str = r#"
import sys, gguf, sentencepiece
sp = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
kind = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 5 if sp.is_unused(i) else 6 if sp.is_byte(i) else 1
n = sp.vocab_size()
w = gguf.GGUFWriter(sys.argv[2], "llama")
w.add_tokenizer_model("llama")
w.add_token_list([sp.id_to_piece(i).encode() for i in range(n)])
w.add_token_scores([sp.get_score(i) for i in range(n)])
w.add_token_types([kind(i) for i in range(n)])
w.add_bos_token_id(1); w.add_eos_token_id(2); w.add_unk_token_id(0)
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
"#;

/// Ids of LLaMA's vocabulary from its scores, against those of its published `tokenizer.json`.
#[test]
fn llamas_vocabulary_gives_the_ids_of_python() {
    let skipped = |why: &str| {
        let _ = writeln!(std::io::stderr(), "SKIPPED llamas_vocabulary_gives_the_ids_of_python: {why}");
    };
    let Some(folder) = std::env::var_os("LLAVA_REFERENCE").map(PathBuf::from).filter(|path| path.is_dir()) else {
        return skipped("LLAVA_REFERENCE names no folder");
    };
    let (python, model) = (folder.join("venv/bin/python"), folder.join("src/data/tokenizer.model"));
    let file = std::env::temp_dir().join(format!("llava-web-vocabulary-{}.gguf", std::process::id()));
    if !python.is_file() || !model.is_file() {
        return skipped(&format!("no {} or {}", python.display(), model.display()));
    }
    let output = Command::new(python).args(["-c", VOCABULARY]).arg(model).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let vocabulary = pair::header(&std::fs::read(&file).unwrap());
    std::fs::remove_file(&file).unwrap();
    let mut language =
        Pair::of(&Checkpoint::random(|c| c["text_config"]["vocab_size"] = json!(32000))).language.header();
    language.metadata.retain(|key, _| !key.starts_with("tokenizer."));
    language.metadata.extend(vocabulary.metadata.into_iter().filter(|(key, _)| key.starts_with("tokenizer.")));
    let vision = Pair::random().vision.header();
    let d = describe(&[language, vision]).unwrap();
    assert_eq!((config(&d).image_token_index, config(&d).text.vocab_size), (32000, 32000));
    let ours = tokenizer(&d);
    let published = std::fs::read(folder.join("tok/llava/tokenizer.json")).unwrap();
    let theirs = Config::parse(br#"{"text_config": {"vocab_size": 32064}}"#, None).unwrap();
    let theirs = Tokenizer::parse(&published, &theirs).unwrap();
    // The merges themselves, in their order: then every text gives the same ids.
    let merges = |json: &[u8]| {
        let json: Json = serde_json::from_slice(json).unwrap();
        let pair = |m: &Json| {
            m.as_str().map_or_else(|| format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap()), str::to_string)
        };
        json["model"]["merges"].as_array().unwrap().iter().map(pair).collect::<Vec<_>>()
    };
    let (mine, wanted) = (merges(&d.tokenizer), merges(&published));
    assert_eq!(mine.len(), wanted.len());
    assert!(mine.iter().zip(&wanted).all(|(a, b)| a == b), "{:?}", mine.iter().zip(&wanted).find(|(a, b)| a != b));
    let text = "USER: <image>\nWhat's  the content\tof 这张图片? 😀 é\r\n    </s> 1234567 ▁▁ \u{0}ASSISTANT:";
    for end in text.char_indices().map(|(at, _)| at) {
        assert_eq!(ours.encode_raw(&text[..end]).unwrap(), theirs.encode_raw(&text[..end]).unwrap());
        assert_eq!(ours.encode_text(&text[end..]).unwrap(), theirs.encode_text(&text[end..]).unwrap());
    }
    let ids = ours.encode_raw("USER: <image>\nWhat's the content of the image?\nASSISTANT:").unwrap();
    let documented =
        [1, 3148, 1001, 29901, 29871, 32000, 29871, 13, 5618, 29915, 29879, 278, 2793, 310, 278, 1967, 29973];
    assert_eq!(ids[..documented.len()], documented);
}
