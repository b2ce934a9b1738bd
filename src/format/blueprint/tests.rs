use super::*;
use crate::format::names::{self, Component};
use crate::format::stored::LocatedTensor;

fn config() -> Config {
    let json = r#"{"text_config": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 163}, "vision_config": {"hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 28}}"#;
    Config::parse(json.as_bytes(), None).unwrap()
}

/// A checkpoint whose tensors lie in the order of their names, as safetensors writes them.
fn checkpoint(encoding: Encoding) -> Checkpoint {
    checkpoint_of(config(), encoding)
}

fn checkpoint_of(config: Config, encoding: Encoding) -> Checkpoint {
    let order = names::expected(&config);
    let mut expected = order.clone();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    let mut offset = 1000;
    let mut located = Vec::new();
    for e in expected {
        let (name, shape) = (e.name.clone(), e.checkpoint_shape.clone());
        let bytes = e.parameters() * u64::from(encoding.block().1);
        located.push((e, LocatedTensor { name, file: 0, offset, encoding, shape, rope_heads: None }));
        offset += bytes;
    }
    located.sort_by_key(|(e, _)| order.iter().position(|other| other.name == e.name));
    Checkpoint::for_tests(config, located)
}

fn plan(part_bytes: u64, wanted: WeightType) -> Blueprint {
    Blueprint::from_checkpoint(checkpoint(Encoding::F16), "t", &|_, _| wanted, part_bytes).unwrap()
}

/// SigLIP so400m: rows of 4304 are no multiple of 32, so that one matrix of each block stays f16.
#[test]
fn matrices_whose_rows_fit_no_group_stay_wider_alone() {
    let json = r#"{"model_type": "idefics3", "scale_factor": 3,
        "vision_config": {"image_size": 384, "patch_size": 14, "intermediate_size": 4304, "num_hidden_layers": 2},
        "text_config": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
            "num_attention_heads": 2}}"#;
    for (encoding, wanted) in [(Encoding::F16, WeightType::Q4), (Encoding::F32, WeightType::Q8)] {
        let checkpoint = checkpoint_of(Config::parse(json.as_bytes(), None).unwrap(), encoding);
        let b = Blueprint::from_checkpoint(checkpoint, "t", &|_, _| wanted, 1 << 20).unwrap();
        // What the page quantises to while it loads.
        let again = Blueprint { tensors: b.tensors_as(&|_, _| wanted).unwrap(), ..b };
        for tensor in again.tensors.iter().filter(|t| t.layout == Layout::Blocks) {
            let wider = tensor.expected.name.ends_with("mlp.fc2.weight");
            assert_eq!(tensor.expected.shape[1] == 4304, wider, "{}", tensor.expected.name);
            let found = if wider { WeightType::F16 } else { wanted };
            assert_eq!(tensor.weight_type, found, "{}", tensor.expected.name);
        }
    }
}

/// For every limit, each byte of each tensor is in exactly one piece, inside its part, at whole rows.
#[test]
fn parts_cover_every_tensor_once() {
    let checkpoint = checkpoint(Encoding::F16);
    for part_bytes in [1 << 10, 5_000, 1 << 16, 1 << 30] {
        let b = plan(part_bytes, WeightType::F16);
        let mut rows: Vec<Vec<[u32; 2]>> = vec![Vec::new(); b.tensors.len()];
        for (index, part) in b.parts.iter().enumerate() {
            assert_eq!(part.index as usize, index);
            let mut end = 0;
            for piece in &part.pieces {
                assert!(piece.offset >= end && piece.offset + piece.bytes <= part.bytes);
                end = piece.offset + piece.bytes;
                let (_, located) = &checkpoint.tensors[piece.tensor];
                let width: u64 = located.shape[1..].iter().map(|&n| u64::from(n)).product();
                assert_eq!(part.offset + piece.offset, located.offset + u64::from(piece.rows[0]) * width * 2);
                rows[piece.tensor].push(piece.rows);
            }
            assert_eq!(end, part.bytes, "a part ends with its last piece");
        }
        for (tensor, mut rows) in b.tensors.iter().zip(rows) {
            rows.sort_unstable();
            let end = rows.iter().fold(0, |next, [first, end]| if *first == next { *end } else { u32::MAX });
            assert_eq!(end, tensor.expected.checkpoint_shape[0], "{}", tensor.expected.name);
        }
        // The last norm and the head lie together.
        let component = |part: &Part| b.tensors[part.pieces[0].tensor].expected.component.min(Component::Decoder);
        let in_order = b.parts.iter().map(component);
        assert!(in_order.is_sorted(), "in order of use");
    }
    assert!(plan(1 << 30, WeightType::F16).parts.len() <= 10, "what lies together is fetched together");
    assert!(plan(1 << 10, WeightType::F16).parts.len() > 50);
}

/// 163 rows in pieces of 32: the last three have a buffer of their own, as their scales end off a word.
#[test]
fn an_odd_end_has_a_buffer_to_itself() {
    let b = plan(1 << 12, WeightType::Q8);
    let table = b.tensors.iter().find(|t| t.expected.name == names::EMBED_TOKENS).unwrap();
    assert_eq!(table.tiles, [[0, 160], [160, 163]]);
    let b = plan(1 << 30, WeightType::Q8);
    let table = b.tensors.iter().find(|t| t.expected.name == names::EMBED_TOKENS).unwrap();
    assert_eq!(table.tiles, [[0, 163]]);
}

#[test]
fn what_takes_more_room_here_is_said() {
    assert_eq!(plan(1 << 20, WeightType::F16).notes(), Vec::<String>::new());
    assert_eq!(plan(1 << 20, WeightType::Q8).notes(), Vec::<String>::new());
    let notes = plan(1 << 20, WeightType::F32).notes();
    assert!(notes.len() == 1 && notes[0].starts_with("F16 weights are held as f32"), "{notes:?}");
}

#[test]
fn a_part_is_verified_by_length_and_hash() {
    let part = |sha256| Part { index: 0, file: "a".into(), offset: 0, bytes: 3, sha256, pieces: Vec::new() };
    assert!(part(None).verify(b"abc").is_ok() && part(None).verify(b"ab").is_err());
    let hashed = part(Some(sha256_hex(b"abc")));
    assert!(hashed.verify(b"abc").is_ok() && hashed.verify(b"abd").unwrap_err().message.contains("SHA-256"));
}

/// A bf16 matrix takes twice its file's bytes as it is, and an eighth as q4: the parts are the same.
#[test]
fn parts_are_the_same_whatever_is_chosen() {
    for encoding in [Encoding::F32, Encoding::F16, Encoding::Bf16] {
        let plan = |wanted| Blueprint::from_checkpoint(checkpoint(encoding), "t", &|_, _| wanted, 1 << 12).unwrap();
        let exact = plan(encoding.exact());
        assert!(exact.is_float());
        for wanted in [WeightType::Q8, WeightType::Q4] {
            let narrow = plan(wanted);
            assert_eq!(narrow.parts, exact.parts, "{encoding} as {wanted}");
            // A change of mind is the same as the choice in the first place.
            assert_eq!(exact.tensors_as(&|_, _| wanted).unwrap(), narrow.tensors, "{encoding} as {wanted}");
            assert_eq!(narrow.tensors_as(&|_, e| e.exact()).unwrap(), exact.tensors, "{encoding} as {wanted}");
        }
    }
}
