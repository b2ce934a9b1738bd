//! The published formats: what is read, what is asked, what is refused.

mod common;

use common::Folder;
use llava_benchmark::Benchmark;
use llava_benchmark::question::{Picture, Question};
use serde_json::json;

const SHORT: &str = "Answer the question using a single word or phrase.";
const LETTER: &str = "Answer with the option's letter from the given choices directly.";

fn file(question: &Question) -> String {
    match &question.picture {
        Some(Picture::File(path)) => path.to_string_lossy().replace('\\', "/"),
        other => panic!("{other:?}"),
    }
}

fn only(folder: &Folder, benchmark: Benchmark, split: Option<&str>) -> Question {
    let suite = folder.open(benchmark, split).unwrap();
    assert_eq!(suite.questions.len(), 1);
    suite.questions[0].clone()
}

#[test]
fn official_files_become_the_prompts_of_llava() {
    let folder = Folder::new();
    let vqa = json!({ "info": {}, "questions": [{ "image_id": 581929, "question": "Is it wet?", "question_id": 581929000 }] });
    folder.write("v2_OpenEnded_mscoco_test-dev2015_questions.json", &vqa.to_string());
    let question = only(&folder, Benchmark::Vqav2, None);
    assert_eq!((question.id.clone(), question.text.clone()), (json!(581929000), format!("Is it wet?\n{SHORT}")));
    assert!(file(&question).ends_with("test2015/COCO_test2015_000000581929.jpg"));
    assert_eq!(question.prompt, question.text);

    folder.write("test.json", r#"[{"image": "VizWiz_test_00000000.jpg", "question": "what is THIS? "}]"#);
    let question = only(&folder, Benchmark::Vizwiz, None);
    let wanted = "What is this? \nWhen the provided information is insufficient, respond with 'Unanswerable'.\n";
    assert_eq!((question.id.clone(), question.text.clone()), (json!(0), format!("{wanted}{SHORT}")));

    let gqa = json!({ "05515938": {
        "question": "Is it red?", "imageId": "n161313", "answer": "no", "isBalanced": true,
        "types": { "structural": "verify", "semantic": "attr", "detailed": "x" }, "groups": { "global": null, "local": "x" },
    } });
    folder.write("testdev_balanced_questions.json", &gqa.to_string());
    let question = only(&folder, Benchmark::Gqa, None);
    assert_eq!((question.id.clone(), question.text.clone()), (json!("05515938"), format!("Is it red?\n{SHORT}")));
    assert!(file(&question).ends_with("images/n161313.jpg"));

    let seed = json!({ "question_type": { "Instances Counting": 5 }, "questions": [{
        "answer": "B", "choice_a": "One", "choice_b": "Two", "choice_c": "Three", "choice_d": "Four", "data_id": "1_2",
        "data_type": "image", "question": "How many?", "question_id": "101669", "question_type_id": 5,
    }] });
    folder.write("SEED-Bench.json", &seed.to_string());
    let question = only(&folder, Benchmark::Seed, None);
    assert_eq!(question.text, format!("How many?\nA. One\nB. Two\nC. Three\nD. Four\n{LETTER}"));
    assert!(file(&question).ends_with("SEED-Bench-image/1_2"), "no extension");

    folder.write("mm-vet.json", r#"{"v1_5": {"imagename": "v1_3.png", "question": "What?\nWhy?", "answer": "x"}}"#);
    let question = only(&folder, Benchmark::MmVet, None);
    assert_eq!((question.id.clone(), question.text.as_str()), (json!(5), "What?\nWhy?"), "no suffix");
    assert!(file(&question).ends_with("images/v1_3.png"));
}

#[test]
fn mmbench_is_read_as_pandas_reads_it() {
    let folder = Folder::new();
    let table = "index\tquestion\thint\tA\tB\tC\tD\tanswer\timage\tsplit\n\
                 3\t\"Which \"\"is\"\" it?\nLook.\"\t\"A tab\there\"\tred\tblue\tNA\tx\tB\tAAEC\tdev\n\
                 1000003\tWhich?\tnan\tred\tblue\t\t\tA\t3\tdev\n";
    folder.write("mmbench_dev_20230712.tsv", table);
    let suite = folder.open(Benchmark::Mmbench, None).unwrap();
    let [first, second] = &suite.questions[..] else { panic!() };
    assert_eq!(first.prompt, "A tab\there\nWhich \"is\" it?\nLook.\nA. red\nB. blue", "options end at the missing one");
    assert_eq!(first.text, format!("{}\n{LETTER}", first.prompt));
    assert_eq!(first.picture, Some(Picture::Inline([0, 1, 2].into())));
    assert_eq!(second.picture, first.picture, "newer tables name the row that holds the picture");
    assert_eq!(second.prompt, "Which?\nA. red\nB. blue");
    folder.write("mmbench_dev_cn_20231003.tsv", table);
    let chinese = folder.open(Benchmark::MmbenchCn, None).unwrap();
    assert_eq!(chinese.questions[1].text, "Which?\nA. red\nB. blue\n请直接回答选项字母。");
}

/// Writes LLaVA's question file of an official one, and returns the questions of both.
fn both(benchmark: Benchmark, name: &str, pictures: &str) -> [Vec<Question>; 2] {
    let folder = Folder::sample(benchmark, 6);
    let official = folder.open(benchmark, None).unwrap().questions;
    let base = folder.path(pictures).to_string_lossy().replace('\\', "/").trim_end_matches('/').to_owned() + "/";
    let line = |q: &Question| {
        let image = file(q).strip_prefix(&base).unwrap_or_else(|| panic!("{}", file(q))).to_owned();
        json!({ "question_id": q.id, "image": image, "text": q.text, "category": "default" }).to_string() + "\n"
    };
    folder.write(name, &official.iter().map(line).collect::<String>());
    [official, folder.open(benchmark, None).unwrap().questions]
}

#[test]
fn llavas_own_files_give_the_same_questions() {
    for [official, llava] in [
        both(Benchmark::Vqav2, "llava_vqav2_mscoco_test-dev2015.jsonl", "test2015"),
        both(Benchmark::Gqa, "llava_gqa_testdev_balanced.jsonl", "images"),
        both(Benchmark::Vizwiz, "llava_test.jsonl", "test"),
        both(Benchmark::Textvqa, "llava_textvqa_val_v051_ocr.jsonl", "train_images"),
        both(Benchmark::Pope, "llava_pope_test.jsonl", "val2014"),
        both(Benchmark::Mme, "llava_mme.jsonl", "MME_Benchmark_release_version"),
        both(Benchmark::MmVet, "llava-mm-vet.jsonl", "images"),
        both(Benchmark::Seed, "llava-seed-bench.jsonl", ""),
    ] {
        assert_eq!(official, llava);
        assert!(!official.is_empty());
    }
    let ids = |list: &[Question]| list.iter().map(|q| q.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        ids(&Folder::sample(Benchmark::Pope, 2).open(Benchmark::Pope, None).unwrap().questions)[3..6],
        [json!(4), json!(10_000_001), json!(10_000_002)]
    );
}

#[test]
fn llavas_file_of_scienceqa_gives_the_same_questions() {
    let folder = Folder::sample(Benchmark::Scienceqa, 4);
    let official = folder.open(Benchmark::Scienceqa, Some("all")).unwrap().questions;
    assert_eq!(official.len(), 6, "two have no picture");
    let item = |q: &Question| {
        let turn = q.text.strip_suffix(&format!("\n{LETTER}")).unwrap();
        let id = q.id.as_str().unwrap();
        let mut item =
            json!({ "id": id, "conversations": [{ "from": "human", "value": turn }, { "from": "gpt", "value": "A" }] });
        if q.picture.is_some() {
            item["image"] = json!(format!("{id}/image.png"));
            item["conversations"][0]["value"] = json!(format!("<image>\n{turn}"));
        }
        item
    };
    folder.write("llava_test_CQM-A.json", &json!(official.iter().map(item).collect::<Vec<_>>()).to_string());
    assert_eq!(folder.open(Benchmark::Scienceqa, Some("all")).unwrap().questions, official);
    let img = folder.open(Benchmark::Scienceqa, None).unwrap().questions;
    assert_eq!(img.len(), 4);
    assert!(img.iter().all(|q| q.prompt.starts_with("<image>\n")));
}

/// A change of a sample, and what the error must say.
type Wrong = (Benchmark, Option<&'static str>, &'static str, &'static str, &'static str, &'static [&'static str]);

const WRONG: [Wrong; 17] = [
    (
        Benchmark::Vqav2,
        None,
        "v2_OpenEnded_mscoco_test-dev2015_questions.json",
        "\"image_id\":0",
        "\"image_id\":\"0\"",
        &["`questions`[0]", "field `image_id` is no whole number"],
    ),
    (
        Benchmark::Vqav2,
        Some("val"),
        "v2_mscoco_val2014_annotations.json",
        "\"answer\":\"not sure\"",
        "\"a\":1",
        &["`annotations`[1]", "field `answers` holds an item without"],
    ),
    (
        Benchmark::Vqav2,
        None,
        "v2_OpenEnded_mscoco_test-dev2015_questions.json",
        "\"license\":{},",
        "\"license\":{,",
        &["is no JSON", "line 1 column"],
    ),
    (
        Benchmark::Gqa,
        None,
        "testdev_balanced_questions.json",
        "\"structural\":\"verify\"",
        "\"structural\":4",
        &["`000000000`", "field `structural` is no text"],
    ),
    (
        Benchmark::Gqa,
        None,
        "testdev_balanced_questions.json",
        "\"imageId\":\"n000000\"",
        "\"imageId\":\"../n\"",
        &["field `image` `../n.jpg` is no file inside"],
    ),
    (Benchmark::Vizwiz, None, "test.json", "\"question\":", "\"frage\":", &["[0]", "field `question` is missing"]),
    (
        Benchmark::Vizwiz,
        Some("val"),
        "val.json",
        "{\"answer\":\"not sure\",\"answer_confidence\":\"yes\"}",
        "{\"answer\":\"x\"},{\"answer\":\"y\"}",
        &["[1]", "field `answers` holds 11 answers"],
    ),
    (
        Benchmark::Textvqa,
        None,
        "TextVQA_0.5.1_val.json",
        "\"image_id\":\"0000000000000001\"",
        "\"image_id\":\"x\"",
        &["`data`[1]", "field `image_id` has no entry in the OCR file"],
    ),
    (
        Benchmark::Textvqa,
        None,
        "TextVQA_Rosetta_OCR_v0.2_val.json",
        "\"ocr_tokens\":[]",
        "\"ocr_tokens\":[1]",
        &["field `ocr_tokens` holds something that is no text"],
    ),
    (
        Benchmark::Pope,
        None,
        "coco/coco_pope_random.json",
        "\"label\":\"no\"",
        "\"label\":\"nein\"",
        &["coco_pope_random.json: line 2", "field `label` is `nein`"],
    ),
    (
        Benchmark::Mme,
        None,
        "MME_Benchmark_release_version/existence/0000.txt",
        "\tNo",
        "\tNein",
        &["0000.txt: line 2", "field `answer` is `Nein`"],
    ),
    (
        Benchmark::Mme,
        None,
        "MME_Benchmark_release_version/existence/0000.txt",
        "\tYes",
        " Yes",
        &["0000.txt: line 1", "no tab"],
    ),
    (
        Benchmark::Scienceqa,
        None,
        "problems.json",
        "\"answer\":0,",
        "\"answer\":7,",
        &["`5`", "field `answer` is 7, for 4 choices"],
    ),
    (
        Benchmark::Mmbench,
        None,
        "mmbench_dev_20230712.tsv",
        "1000000\t",
        "x\t",
        &["line 4", "field `index` is no whole number"],
    ),
    (
        Benchmark::Mmbench,
        None,
        "mmbench_dev_20230712.tsv",
        "\tquestion\t",
        "\tfrage\t",
        &["line 1", "field `question` is missing"],
    ),
    (
        Benchmark::Seed,
        None,
        "SEED-Bench.json",
        "\"answer\":\"A\"",
        "\"answer\":\"E\"",
        &["`questions`[0]", "field `answer` is `E`"],
    ),
    (
        Benchmark::LlavaBench,
        None,
        "questions.jsonl",
        "\"text\":\"Describe",
        "\"txt\":\"Describe",
        &["questions.jsonl: line 1", "field `text` is missing"],
    ),
];

#[test]
fn malformed_files_are_refused_with_line_and_field() {
    for (benchmark, split, name, from, to, wanted) in WRONG {
        let folder = Folder::sample(benchmark, 4);
        folder.open(benchmark, split).unwrap_or_else(|e| panic!("{e}"));
        let text = folder.read(name);
        assert!(text.contains(from), "{name} has no {from}");
        folder.write(name, &text.replacen(from, to, 1));
        let error = folder.open(benchmark, split).err().unwrap_or_else(|| panic!("{name}: {to} was read")).to_string();
        assert!(wanted.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn tables_that_lose_a_cell_and_pictures_that_are_no_base64_are_refused() {
    let folder = Folder::new();
    let error = |row: &str| {
        folder.write("mmbench_dev_20230712.tsv", &format!("index\tquestion\tA\tB\timage\n1\tq\tx\ty\tAAEC\n{row}\n"));
        folder.open(Benchmark::Mmbench, None).err().unwrap().to_string()
    };
    assert!(error("2\tq\tx\ty").contains("line 3"), "{}", error("2\tq\tx\ty"));
    assert!(error("2\tq\tx\ty\tAA*C").contains("line 3: field `image` is no base64"));
    assert!(error("2\tq\tx\ty\t77").contains("names row 77, which holds no picture"));
    assert!(error("2\tq\tNA\ty\tAAEC").contains("line 3: field `A` is empty"));
}

#[test]
fn missing_files_and_unknown_parts_are_named() {
    let folder = Folder::new();
    for benchmark in
        [Benchmark::Vqav2, Benchmark::Gqa, Benchmark::Textvqa, Benchmark::Pope, Benchmark::Mme, Benchmark::Seed]
    {
        let error = folder.open(benchmark, None).err().unwrap();
        assert!(error.message.starts_with("holds no "), "{error}");
        assert!(error.hint.contains("benchmarks.md"), "{error}");
        let error = folder.open(benchmark, Some("train")).err().unwrap().to_string();
        assert!(error.contains("`train` is not a part of this benchmark"), "{error}");
    }
}

#[test]
fn questions_of_another_pope_are_refused() {
    let folder = Folder::sample(Benchmark::Pope, 2);
    let line =
        json!({ "question_id": 1, "image": "a.jpg", "text": format!("Is there a snowboard in the image?\n{SHORT}") });
    folder.write("llava_pope_test.jsonl", &format!("{line}\n"));
    let error = folder.open(Benchmark::Pope, None).err().unwrap().to_string();
    assert!(error.contains("question 1 of llava_pope_test.jsonl") && error.contains("e3e39262"), "{error}");
}
