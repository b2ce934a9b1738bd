use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

struct Memory(HashMap<&'static str, Vec<u8>>);

impl Source for Memory {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(name).cloned())
    }
    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>> {
        match self.0.get(name) {
            Some(bytes) => Ok(Box::new(bytes.clone())),
            None => fail!(Io, name, "is not there"),
        }
    }
}

fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn two() -> Vec<u8> {
    write(&[("a", &[2, 2], &[1.0, -2.0, 3.5, 4.0]), ("b", &[1], &[7.0])]).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let checkpoint = Checkpoint::open(&Memory(HashMap::from([(SINGLE_FILE, two())]))).unwrap();
    let a = checkpoint.get("a").unwrap();
    assert_eq!(a.shape, [2, 2]);
    assert_eq!(checkpoint.read(a, 1, 2).unwrap(), [-2.0, 3.5]);
    assert_eq!(checkpoint.read(checkpoint.get("b").unwrap(), 0, 1).unwrap(), [7.0]);
    assert!(checkpoint.read(a, 3, 2).is_err() && checkpoint.read(a, u64::MAX, 2).is_err());
}

#[test]
fn halves_of_both_kinds_are_widened() {
    let header = r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]}}"#;
    let file = raw(header, &[0x00, 0xC5, 0xA0, 0xC0]);
    let checkpoint = Checkpoint::open(&Memory(HashMap::from([(SINGLE_FILE, file)]))).unwrap();
    let read = |name| checkpoint.read(checkpoint.get(name).unwrap(), 0, 1).unwrap();
    assert_eq!((read("h"), read("b")), (vec![-5.0], vec![-5.0]));
}

#[test]
fn other_types_are_refused_by_name() {
    let file = raw(r#"{"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#, &[0; 2]);
    let error = Checkpoint::open(&Memory(HashMap::from([(SINGLE_FILE, file)]))).err().unwrap();
    assert!(error.place == "w" && error.message.contains("I8"), "{error}");
}

#[test]
fn an_index_must_agree_with_its_files() {
    let open = |map: &str| {
        let index = format!(r#"{{"metadata":{{}},"weight_map":{map}}}"#).into_bytes();
        Checkpoint::open(&Memory(HashMap::from([(INDEX_FILE, index), ("x.safetensors", two())])))
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
    let error = Checkpoint::open(&Memory(HashMap::from([(SINGLE_FILE, file)]))).err().unwrap();
    assert!(error.message.contains("twice"));
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
        assert_eq!(read_header("f", &file).err().unwrap().kind, Kind::Tensor);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read_header("f", &bytes).is_err() || bytes.starts_with(&2u64.to_le_bytes()));
    }

    /// A changed header is refused, or still describes exactly the data that are there.
    #[test]
    fn mutations_do_not_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut file = two();
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let size = file.len() as u64;
        if let Ok((data, metadata)) = read_header("f", &file) {
            prop_assert_eq!(data + metadata.data_len() as u64, size);
        }
        if let Ok(checkpoint) = Checkpoint::open(&Memory(HashMap::from([(SINGLE_FILE, file)]))) {
            for tensor in checkpoint.tensors.values() {
                prop_assert_eq!(checkpoint.read(tensor, 0, tensor.values()).unwrap().len() as u64, tensor.values());
            }
        }
    }
}
