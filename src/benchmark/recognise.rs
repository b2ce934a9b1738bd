//! Which benchmarks a folder belongs to, by the names of its files.

use crate::Benchmark;
use crate::data::Data;

/// Files that a part of a benchmark needs: each inner list is of files of which one is enough.
type Needs = &'static [&'static [&'static str]];

/// The parts of every benchmark that can be asked, those with labels first.
const PARTS: [(Benchmark, &str, Needs); 17] = [
    (
        Benchmark::Vqav2,
        "val",
        &[&["v2_OpenEnded_mscoco_val2014_questions.json"], &["v2_mscoco_val2014_annotations.json"]],
    ),
    (
        Benchmark::Vqav2,
        "test",
        &[&["v2_OpenEnded_mscoco_test-dev2015_questions.json", "llava_vqav2_mscoco_test-dev2015.jsonl"]],
    ),
    (
        Benchmark::Gqa,
        "testdev",
        &[&[
            "testdev_balanced_questions.json",
            "questions/testdev_balanced_questions.json",
            "llava_gqa_testdev_balanced.jsonl",
        ]],
    ),
    (Benchmark::Vizwiz, "val", &[&["val.json"]]),
    (Benchmark::Vizwiz, "test", &[&["test.json", "llava_test.jsonl"]]),
    (Benchmark::Scienceqa, "img", &[&["problems.json"], &["pid_splits.json", "llava_test_CQM-A.json"]]),
    (Benchmark::Scienceqa, "all", &[&["problems.json"], &["pid_splits.json", "llava_test_CQM-A.json"]]),
    (Benchmark::Textvqa, "val", &[&["TextVQA_0.5.1_val.json", "llava_textvqa_val_v051_ocr.jsonl"]]),
    (Benchmark::Pope, "coco", &[&["coco_pope_adversarial.json", "coco_pope_random.json", "coco_pope_popular.json"]]),
    (Benchmark::Mme, "all", &[&["MME_Benchmark_release_version", "llava_mme.jsonl"]]),
    (Benchmark::Mmbench, "dev", &[&["mmbench_dev_20230712.tsv"]]),
    (Benchmark::MmbenchCn, "dev", &[&["mmbench_dev_cn_20231003.tsv"]]),
    (Benchmark::Seed, "images", &[&["SEED-Bench.json"]]),
    (Benchmark::Seed, "all", &[&["SEED-Bench.json"]]),
    // Its pictures lie in a folder; those of the scenes beside the questions.
    (Benchmark::LlavaBench, "all", &[&["questions.jsonl"], &["images"]]),
    (Benchmark::MmVet, "all", &[&["mm-vet.json", "llava-mm-vet.jsonl"]]),
    (Benchmark::Scenes, "all", &[&["questions.jsonl"]]),
];

/// Returns benchmarks and parts whose question files are in the folder, those with labels first.
pub fn recognise(data: &Data) -> Vec<(Benchmark, &'static str)> {
    let has = |needs: Needs| needs.iter().all(|names| data.find(names).is_some());
    let mut found: Vec<_> =
        PARTS.iter().filter(|(.., needs)| has(needs)).map(|(benchmark, part, _)| (*benchmark, *part)).collect();
    if found.iter().any(|(benchmark, _)| *benchmark == Benchmark::LlavaBench) {
        found.retain(|(benchmark, _)| *benchmark != Benchmark::Scenes);
    }
    found
}

/// Returns every benchmark with its parts.
pub fn parts() -> impl Iterator<Item = (Benchmark, &'static str)> {
    PARTS.iter().map(|(benchmark, part, _)| (*benchmark, *part))
}
