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

fn header(file: &[u8]) -> Result<(u64, Metadata)> {
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
        if let Ok((data, metadata)) = header(&file) {
            prop_assert_eq!(data + metadata.data_len() as u64, file.len() as u64);
        }
    }
}
