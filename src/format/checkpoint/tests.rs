use super::*;
use crate::format::safetensors::{INDEX_FILE, SINGLE_FILE, write};
use crate::format::source::Memory;
use pollster::block_on;

fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// The weights of a directory of these files.
fn add(files: &[(&str, Vec<u8>)]) -> Result<DirectoryTensors> {
    let source = Memory(files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect());
    let mut weights = DirectoryTensors::default();
    block_on(weights.add_directory(&source, "")).map(|()| weights)
}

fn two() -> Vec<u8> {
    write(&[("a", &[2, 2], &[1.0, -2.0, 3.5, 4.0]), ("b", &[1], &[7.0])]).unwrap()
}

#[test]
fn tensors_are_found_with_their_places_and_types() {
    let header = r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]}}"#;
    let weights = add(&[(SINGLE_FILE, raw(header, &[0x00, 0xC5, 0xA0, 0xC0]))]).unwrap();
    let (h, b) = (&weights.tensors["h"], &weights.tensors["b"]);
    let data = 8 + header.len() as u64;
    assert_eq!((h.encoding, h.offset, b.encoding, b.offset), (Encoding::F16, data, Encoding::Bf16, data + 2));
    assert_eq!(add(&[(SINGLE_FILE, two())]).unwrap().tensors["a"].shape, [2, 2]);
}

#[test]
fn other_types_are_refused_by_name() {
    let file = raw(r#"{"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#, &[0; 2]);
    let error = add(&[(SINGLE_FILE, file)]).err().unwrap();
    assert!(error.place == "w" && error.message.contains("I8"), "{error}");
}

#[test]
fn an_index_must_agree_with_its_files() {
    let open = |map: &str| {
        let index = format!(r#"{{"metadata":{{}},"weight_map":{map}}}"#).into_bytes();
        add(&[(INDEX_FILE, index), ("x.safetensors", two())])
    };
    assert!(open(r#"{"a":"x.safetensors","b":"x.safetensors"}"#).is_ok());
    for (map, message) in [
        (r#"{"a":"x.safetensors"}"#, "places elsewhere"),
        (r#"{"a":"x.safetensors","b":"x.safetensors","c":"x.safetensors"}"#, "in no file"),
        (r#"{"a":"x.safetensors","b":"y.safetensors"}"#, "elsewhere"),
        (r#"{"a":"../x.safetensors"}"#, "no plain file name"),
    ] {
        let error = open(map).err().unwrap();
        assert!(error.to_string().contains(message), "{map}: {error}");
    }
}

#[test]
fn two_spellings_of_one_tensor_are_refused() {
    let file = write(&[("lm_head.weight", &[1], &[0.0]), ("language_model.lm_head.weight", &[1], &[0.0])]).unwrap();
    assert!(add(&[(SINGLE_FILE, file)]).err().unwrap().message.contains("twice"));
}

#[test]
fn more_tensors_than_any_model_has_are_refused() {
    let header = |count: usize| {
        let empty = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let entries: Vec<String> = (0..count).map(|i| format!(r#""{i}":{empty}"#)).collect();
        vec![(SINGLE_FILE, raw(&format!("{{{}}}", entries.join(",")), &[]))]
    };
    assert!(add(&header(1000)).is_ok());
    assert!(add(&header(MAX_TENSORS + 1)).err().unwrap().message.contains("more than"));
}
