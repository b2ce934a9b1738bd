//! Conversion of checkpoints to manifest and shards: tensors kept, tensors left out, and refusals.

use crate::common;

use crate::common::checkpoint::{Checkpoint, Written};
use crate::common::{Scratch, golden, golden_file};
use llava_web::config::Config;
use llava_web::error::{Error, Kind};
use llava_web::format::convert::{ConvertOptions, Progress, convert};
use llava_web::format::files::MANIFEST_FILE;
use llava_web::format::manifest::{Layout, Manifest};
use llava_web::format::names::{EMBED_TOKENS, LM_HEAD, PATCH_EMBEDDING};
use llava_web::format::source::Memory;
use llava_web::prompt::Template;
use llava_web::quant::{WeightType, dequantize};
use pollster::block_on;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;

fn converted(source: &Memory, options: &ConvertOptions) -> Result<(Manifest, Memory), Error> {
    let mut sink = Written::default();
    let (mut last, mut total) = (0, 0);
    let progress = &mut |p: Progress| {
        assert!(p.done > last && p.done <= p.total, "{}: {} of {}", p.tensor, p.done, p.total);
        (last, total) = (p.done, p.total);
    };
    let manifest = block_on(convert(source, &["config.json".into()], "t", &mut sink, options, progress))?;
    assert!(last == total && total > 0, "progress ends at the end");
    let Written(files) = sink;
    assert_eq!(Manifest::parse(&files.0[MANIFEST_FILE]).unwrap(), manifest);
    for shard in &manifest.shards {
        shard.verify(&files.0[&shard.file]).unwrap();
    }
    let small = block_on(manifest.small_files(&files)).unwrap();
    let optional = [small.generation_config, small.preprocessor_config];
    let small = 2 + optional.iter().flatten().count();
    assert_eq!(files.0.len(), manifest.shards.len() + small + 1, "nothing else is written");
    Ok((manifest, files))
}

/// Reads every tensor of the shards as floats.
fn read_back(manifest: &Manifest, files: &Memory) -> BTreeMap<String, Vec<f32>> {
    let tensor = |t: &llava_web::format::manifest::TensorRecord| {
        let mut values = Vec::new();
        for tile in &t.tiles {
            let shard = &files.0[&manifest.shards[tile.shard as usize].file];
            let bytes = &shard[tile.offset as usize..][..tile.bytes as usize];
            values.extend(match t.layout {
                Layout::Rows => bytemuck::pod_collect_to_vec::<u8, f32>(bytes),
                Layout::Blocks => dequantize(t.weight_type, tile.rows[1] - tile.rows[0], t.shape[1], bytes).unwrap(),
            });
        }
        (t.name.clone(), values)
    };
    manifest.tensors.iter().map(tensor).collect()
}

fn types(manifest: &Manifest) -> BTreeMap<&str, WeightType> {
    manifest.tensors.iter().map(|t| (t.name.as_str(), t.weight_type)).collect()
}

#[test]
fn f32_arrives_bit_by_bit() {
    let checkpoint = Checkpoint::random(|_| ());
    let tensors = checkpoint.tensors.clone();
    let (manifest, files) = converted(&checkpoint.into_memory(), &ConvertOptions::new(WeightType::F32, "t")).unwrap();
    let back = read_back(&manifest, &files);
    assert_eq!(back.len(), tensors.len());
    for (name, (shape, values)) in &tensors {
        if name == PATCH_EMBEDDING {
            // [C, 3·14·14] with 20 zero columns.
            for (stored, row) in back[name].chunks(608).zip(values.chunks(588)) {
                assert!(stored[..588] == *row && stored[588..].iter().all(|w| *w == 0.0));
            }
        } else {
            assert!(back[name] == *values, "{name} {shape:?}");
        }
    }
}

#[test]
fn every_type_stays_within_its_step() {
    let checkpoint = Checkpoint::random(|_| ());
    let tensors = checkpoint.tensors.clone();
    let source = checkpoint.into_memory();
    // Values are in −1 … 1: half a step of f16 there is 2⁻¹², of q8 1/254, of q4 (one end clipped) 1/7.
    for (quant, most) in [(WeightType::F16, 2.5e-4), (WeightType::Q8, 4.5e-3), (WeightType::Q4, 0.15)] {
        let options =
            ConvertOptions { vision_quant: Some(quant), embed_quant: Some(quant), ..ConvertOptions::new(quant, "t") };
        let (manifest, files) = converted(&source, &options).unwrap();
        let back = read_back(&manifest, &files);
        let worst =
            |name: &str| back[name].iter().zip(&tensors[name].1).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        for (name, weight_type) in types(&manifest) {
            match weight_type {
                WeightType::F32 => assert_eq!(worst(name), 0.0, "{name}"),
                _ if name == PATCH_EMBEDDING => assert_eq!(weight_type, WeightType::F16),
                _ => {
                    assert_eq!(weight_type, quant, "{name}");
                    assert!(worst(name) <= most, "{name}: {}", worst(name));
                }
            }
        }
    }
}

#[test]
fn defaults_spare_tower_and_table() {
    let (manifest, _) =
        converted(&Checkpoint::random(|_| ()).into_memory(), &ConvertOptions::new(WeightType::Q4, "t")).unwrap();
    let types = types(&manifest);
    assert_eq!(types[EMBED_TOKENS], WeightType::F16);
    assert_eq!(types["multi_modal_projector.linear_1.weight"], WeightType::F16);
    assert_eq!(types["language_model.model.layers.0.mlp.up_proj.weight"], WeightType::Q4);
    assert_eq!(types[LM_HEAD], WeightType::Q4);
    assert_eq!(types["multi_modal_projector.linear_1.bias"], WeightType::F32);
}

#[test]
fn shards_keep_to_their_limit_and_to_the_order_of_use() {
    let source = Checkpoint::random(|_| ()).into_memory();
    let options = ConvertOptions { shard_bytes: 20_000, ..ConvertOptions::new(WeightType::Q8, "t") };
    let (manifest, _) = converted(&source, &options).unwrap();
    assert!(manifest.shards.len() > 5);
    let mut single = 0;
    for (i, shard) in manifest.shards.iter().enumerate() {
        let here = |t: &&llava_web::format::shards::TileRecord| t.shard as usize == i;
        let tiles = manifest.tensors.iter().flat_map(|t| &t.tiles).filter(here).count();
        assert!(shard.bytes <= 20_000 || tiles == 1, "{shard:?} has {tiles} tiles");
        single += usize::from(shard.bytes > 20_000);
    }
    assert!(single > 0, "the case of a tensor longer than a shard is there");
    // Within a block in the order of the checkpoint's file, block after block in the order of use.
    let mut groups: Vec<(&str, u32)> = Vec::new();
    for tensor in &manifest.tensors {
        let group = llava_web::format::names::group(&tensor.name);
        if groups.last().is_none_or(|(last, _)| *last != group) {
            groups.push((group, tensor.tiles[0].shard));
        }
    }
    assert!(groups.len() >= 7 && groups.is_sorted_by_key(|(_, shard)| *shard), "{groups:?}");
}

#[test]
fn every_spelling_of_the_keys_gives_the_same_shards() {
    let options = ConvertOptions::new(WeightType::Q4, "t");
    let shards = |rename: &dyn Fn(&str) -> String| {
        converted(&Checkpoint::random(|_| ()).renamed(rename).into_memory(), &options).unwrap().0.shards
    };
    let hub = shards(&str::to_string);
    let newest = |key: &str| match key.strip_prefix("language_model.model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None if key == LM_HEAD => "lm_head.weight".to_string(),
        None => format!("model.{}", key.replace("vision_tower.vision_model.", "vision_tower.")),
    };
    assert_eq!(shards(&newest), hub);
}

#[test]
fn what_is_not_run_is_left_out_and_what_is_unknown_is_refused() {
    let options = ConvertOptions::new(WeightType::Q4, "t");
    let plain = converted(&Checkpoint::random(|_| ()).into_memory(), &options).unwrap().0;
    let mut more = Checkpoint::random(|_| ());
    for name in ["post_layernorm.weight", "encoder.layers.2.layer_norm1.bias", "embeddings.position_ids"] {
        more.tensors.insert(format!("vision_tower.vision_model.{name}"), (vec![32], vec![0.0; 32]));
    }
    assert_eq!(converted(&more.into_memory(), &options).unwrap().0.shards, plain.shards);
    for name in ["image_newline", "vision_tower.vision_model.encoder.layers.3.layer_norm1.bias"] {
        let mut unknown = Checkpoint::random(|_| ());
        unknown.tensors.insert(name.into(), (vec![32], vec![0.0; 32]));
        let error = converted(&unknown.into_memory(), &options).err().unwrap();
        assert!(error.kind == Kind::Tensor && error.place == name, "{error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let name = "language_model.model.layers.1.self_attn.k_proj.weight";
    let refused = |damage: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = Checkpoint::random(|_| ());
        damage(&mut checkpoint);
        converted(&checkpoint.into_memory(), &ConvertOptions::new(WeightType::Q4, "t")).err().unwrap().to_string()
    };
    let missing = refused(&|c| drop(c.tensors.remove(name)));
    assert!(missing.contains(name) && missing.contains("missing"), "{missing}");
    let shape = refused(&|c| c.tensors.get_mut(name).unwrap().0 = vec![32, 128]);
    assert!(shape.contains(name) && shape.contains("[64, 64]"), "{shape}");
    let nan = refused(&|c| c.tensors.get_mut(name).unwrap().1[65] = f32::NAN);
    assert!(nan.contains(name) && nan.contains("row 1, columns 0"), "{nan}");
    let norm = "language_model.model.norm.weight";
    let infinite = refused(&|c| c.tensors.get_mut(norm).unwrap().1[3] = f32::INFINITY);
    assert!(infinite.contains(norm) && infinite.contains("value 3"), "{infinite}");
    assert!(refused(&|c| drop(c.files.remove("tokenizer.json"))).contains("tokenizer.json"));
    assert!(refused(&|c| drop(c.files.insert("tokenizer.json".into(), b"{}".into()))).contains("tokenizer.json"));
    let crop = br#"{"crop_size": 224}"#.to_vec();
    assert!(refused(&|c| drop(c.files.insert("preprocessor_config.json".into(), crop.clone()))).contains("crop_size"));
    let act = refused(&|c| c.config["text_config"]["hidden_act"] = json!("gelu"));
    assert!(act.contains("hidden_act"), "{act}");
}

#[test]
fn smaller_models_need_fewer_tensors() {
    let tied = Checkpoint::random(|c| {
        c["tie_word_embeddings"] = json!(true);
        c["text_config"]["tie_word_embeddings"] = json!(true);
        c["mm_projector_type"] = json!("linear");
    });
    let (manifest, files) = converted(&tied.into_memory(), &ConvertOptions::new(WeightType::Q8, "t")).unwrap();
    let types = types(&manifest);
    assert!(!types.contains_key(LM_HEAD) && !types.contains_key("multi_modal_projector.linear_2.weight"));
    assert_eq!(types[EMBED_TOKENS], WeightType::F16);
    let config = Config::parse(&files.0["config.json"], None).unwrap();
    assert_eq!(manifest.match_config(&config).unwrap().len(), manifest.tensors.len());
}

#[test]
fn rows_that_fit_no_group_are_stored_wider() {
    let odd = Checkpoint::random(|c| c["text_config"]["intermediate_size"] = json!(104));
    let (manifest, _) = converted(&odd.into_memory(), &ConvertOptions::new(WeightType::Q4, "t")).unwrap();
    let types = types(&manifest);
    assert_eq!(types["language_model.model.layers.0.mlp.down_proj.weight"], WeightType::F16, "104 = 13 · 8");
    assert_eq!(types["language_model.model.layers.0.mlp.up_proj.weight"], WeightType::Q4);
}

#[test]
fn the_template_is_the_options_or_the_configs_or_the_default() {
    let template = |ours: serde_json::Value, given: Option<Template>| {
        let source = Checkpoint::random(|c| c["llava_web"] = json!({ "prompt_template": ours })).into_memory();
        let options = ConvertOptions { prompt_template: given, ..ConvertOptions::new(WeightType::Q4, "t") };
        converted(&source, &options).map(|(manifest, _)| manifest.prompt_template)
    };
    assert_eq!(template(json!(null), None).unwrap(), Template::VicunaV1);
    assert_eq!(template(json!("plain"), None).unwrap(), Template::Plain);
    assert_eq!(template(json!("plain"), Some(Template::LlavaHf)).unwrap(), Template::LlavaHf);
    assert_eq!(template(json!("alpaca"), None).unwrap_err().kind, Kind::Config);
    assert_eq!(template(json!("llama_3"), None).unwrap(), Template::Llama3);
}

/// The program writes a whole conversion or nothing, and overwrites no other files.
#[test]
fn the_program_writes_all_or_nothing() {
    let scratch = Scratch::new("convert-program");
    std::fs::create_dir_all(scratch.path()).unwrap();
    let run = |source: &std::path::Path, out: &str, more: &[&str]| {
        let out = scratch.path().join(out);
        let output = Command::new(env!("CARGO_BIN_EXE_convert")).arg(source).arg(out).args(more).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let entries = || {
        let mut names: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(run(&golden("mha"), "m", &[]).0);
    let (again, message) = run(&golden("mha"), "m", &[]);
    assert!(!again && message.contains("--force"), "{message}");
    assert!(run(&golden("gqa"), "m", &["--force", "--name", "second"]).0);
    let manifest = std::fs::read(scratch.path().join("m").join(MANIFEST_FILE)).unwrap();
    assert_eq!(Manifest::parse(&manifest).unwrap().name, "second");
    std::fs::create_dir(scratch.path().join("mine")).unwrap();
    std::fs::write(scratch.path().join("mine/thesis.txt"), "dear to me").unwrap();
    let (forced, message) = run(&golden("mha"), "mine", &["--force"]);
    assert!(!forced && message.contains("not empty"), "{message}");
    assert!(scratch.path().join("mine/thesis.txt").is_file());
    // A conversion that fails in the middle leaves no files.
    let broken = scratch.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::write(broken.join(file), golden_file(&format!("mha/{file}"))).unwrap();
    }
    let mut weights = golden_file("mha/model.safetensors");
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(broken.join("model.safetensors"), weights).unwrap();
    let (broke, message) = run(&broken, "half", &[]);
    assert!(!broke, "NaN must not be converted: {message}");
    assert_eq!(entries(), ["broken", "m", "mine"]);
}

/// Files of PyTorch in the original layout, the tower in a directory of its own (as the program is told), give the
/// shards of the safetensors file that holds the same values.
#[test]
fn the_program_reads_files_of_torch() {
    let scratch = Scratch::new("torch");
    let (main, tower) = (scratch.path().join("llava"), scratch.path().join("clip"));
    for folder in [&main, &tower] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let copy = |from: &str, folder: &std::path::Path| {
        std::fs::copy(golden(from), folder.join(from.rsplit('/').next().unwrap())).unwrap();
    };
    for name in ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"]
    {
        copy(&format!("pickle/{name}"), &main);
    }
    for name in ["pickle/config.json", "mha/tokenizer.json", "mha/generation_config.json"] {
        copy(name, &main);
    }
    for name in
        ["pickle/vision_tower/config.json", "pickle/vision_tower/pytorch_model.bin", "mha/preprocessor_config.json"]
    {
        copy(name, &tower);
    }
    let program = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convert"));
        let output = command.arg(&main).args(more).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), format!("{out}{err}"))
    };
    let out = scratch.path().join("out");
    let [tower, out] = [&tower, &out].map(|path| path.to_str().unwrap());
    let (success, listed) = program(&["--inspect", "--vision-tower", tower]);
    assert!(success && listed.contains("149408 parameters"), "{listed}");
    let (success, said) = program(&[out, "--quant", "f32", "--vision-tower", tower]);
    assert!(success, "{said}");
    let wanted = common::convert("mha", "f32");
    let shards = |folder: &std::path::Path| {
        let manifest = Manifest::parse(&std::fs::read(folder.join(MANIFEST_FILE)).unwrap()).unwrap();
        let hashes: std::collections::BTreeSet<String> = manifest.shards.into_iter().map(|s| s.sha256).collect();
        hashes
    };
    assert_eq!(shards(std::path::Path::new(out)), shards(wanted.path()));
    let (success, said) = program(&["--inspect"]);
    assert!(!success && said.contains("--vision-tower DIR"), "{said}");
}
