use super::*;
use crate::format::source::Memory;
use pollster::block_on;
use proptest::prelude::*;

fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn two() -> Vec<u8> {
    write(&[("a", &[2, 2], &[1.0, -2.0, 3.5, 4.0]), ("b", &[1], &[7.0])]).unwrap()
}

fn header(file: &[u8]) -> Result<Vec<StoredTensor>> {
    block_on(read_header(&Memory([("f".to_string(), file.to_vec())].into()), "f"))
}

#[test]
fn lying_headers_are_refused_without_being_believed() {
    let huge = r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,0]}}"#;
    let gap = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    for file in [
        Vec::new(),
        u64::MAX.to_le_bytes().to_vec(),
        (MAX_HEADER + 1).to_le_bytes().to_vec(),
        raw("{", &[]),
        raw(huge, &[]),
        raw(gap, &[0; 8]),
        two()[..two().len() - 1].to_vec(),
        [two(), vec![0]].concat(),
    ] {
        assert_eq!(header(&file).err().unwrap().kind, Kind::Tensor);
    }
}

/// A shard of a 7B model in f16 has 4.99 GB: past what 32 bits hold.
#[test]
fn offsets_are_longer_than_32_bits() {
    let (a, b) = (2_500_000_000u64, 5_000_000_000u64);
    let info =
        |from: u64, to: u64| format!(r#"{{"dtype":"F16","shape":[{}],"data_offsets":[{from},{to}]}}"#, (to - from) / 2);
    let text = format!(r#"{{"__metadata__":{{"format":"pt"}},"y":{},"x":{}}}"#, info(a, b), info(0, a));
    let tensors = tensors_of(text.as_bytes(), b, "f").unwrap();
    let found: Vec<(&str, u64)> = tensors.iter().map(|t| (t.key.as_str(), t.offset)).collect();
    assert_eq!(found, [("x", 8 + text.len() as u64), ("y", 8 + text.len() as u64 + a)]);
    assert!(tensors_of(text.as_bytes(), b - 1, "f").is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(header(&bytes).is_err() || bytes.starts_with(&2u64.to_le_bytes()));
    }

    /// A changed header is refused, or still describes exactly the data that are there.
    #[test]
    fn mutations_do_not_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut file = two();
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Ok(tensors) = header(&file) {
            let end = |t: &StoredTensor| t.offset + bytes_of(t.dtype, &t.shape).unwrap();
            prop_assert!(tensors.last().is_none_or(|last| end(last) == file.len() as u64));
        }
    }
}
