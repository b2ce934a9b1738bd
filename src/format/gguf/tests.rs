use super::write::{TensorSpec, file};
use super::*;
use crate::quant::Encoding;

fn planned(name: &str, encoding: Encoding, shape: &[u32]) -> TensorSpec {
    TensorSpec { name: name.into(), encoding, shape: shape.into() }
}

fn metadata() -> Vec<(String, Value)> {
    let words: Strings = ["a", "", "▁bc"].into_iter().collect();
    let values = [
        ("general.architecture", Value::from("llama")),
        ("a.uint", Value::Uint(1 << 40)),
        ("a.int", Value::Int(-3)),
        ("a.float", Value::from(1e-5f32)),
        ("a.flag", Value::from(true)),
        ("a.list", Value::from(&[0.5f32, -2.0][..])),
        ("a.words", Value::Strings(words)),
    ];
    values.map(|(key, value)| (key.to_string(), value)).into()
}

/// Two tensors, of which the first ends off the alignment.
fn valid() -> Vec<u8> {
    let tensors = [planned("x", Encoding::F16, &[3, 5]), planned("y", Encoding::Q4K, &[2, 256])];
    file(&metadata(), &tensors, |t| vec![7; t.bytes().unwrap() as usize]).unwrap()
}

fn refused(bytes: &[u8], file_size: u64) -> String {
    parse(bytes, file_size).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read() {
    let bytes = valid();
    let Parsed::Header(header) = parse(&bytes, bytes.len() as u64).unwrap() else { panic!("all of it is there") };
    assert_eq!(header.metadata.clone().into_iter().collect::<Vec<_>>().len(), metadata().len());
    for (key, value) in metadata() {
        assert_eq!(header.metadata[&key], value, "{key}");
    }
    let [x, y] = &header.tensors[..] else { panic!("two tensors") };
    assert_eq!((x.shape.as_slice(), x.bytes, &x.encoding), (&[3, 5][..], 30, &Ok(Encoding::F16)));
    assert_eq!((y.shape.as_slice(), y.bytes, y.offset), (&[2, 256][..], 288, x.offset + 32));
    assert_eq!(y.offset + 288, bytes.len() as u64);
    assert!(bytes[x.offset as usize..][..30] == [7; 30] && bytes[x.offset as usize + 30..][..2] == [0; 2]);
    assert_eq!(header.float("a.float").unwrap(), Some(1e-5), "not 9.999999747378752e-6");
    assert_eq!(header.strings("a.words").unwrap().unwrap().iter().collect::<Vec<_>>(), ["a", "", "▁bc"]);
    assert!(header.uint("a.int").unwrap_err().to_string().contains("a.int"));
    // Version 2 is the same bytes.
    let mut older = bytes.clone();
    older[4] = 2;
    assert_eq!(parse(&older, bytes.len() as u64).unwrap(), Parsed::Header(header));
}

/// Every shorter prefix asks for more, never for less than it has, and following the answers ends.
#[test]
fn a_prefix_asks_for_what_it_lacks() {
    let bytes = valid();
    let (size, large) = (bytes.len() as u64, 1 << 30);
    let header = (0..bytes.len()).find(|&n| matches!(parse(&bytes[..n], size), Ok(Parsed::Header(_)))).unwrap();
    for n in 0..header {
        assert_eq!(parse(&bytes[..n], size).unwrap(), Parsed::More(size), "{n}: a small file is asked for whole");
        match parse(&bytes[..n], large).unwrap() {
            Parsed::More(more) => assert!(more > n as u64 && more <= 1 << 17, "{n}: {more}"),
            Parsed::Header(_) => panic!("{n} of {header} bytes are no header"),
        }
    }
    assert!(refused(&bytes[..header - 1], header as u64 - 1).contains("interrupted"));
    assert!(refused(&bytes[..bytes.len() - 1], size - 1).contains("`y` has 288 bytes"));
    // A vocabulary that the prefix cannot hold is requested in one step.
    let mut count = bytes.clone();
    let at = bytes.windows(7).position(|w| w == b"a.words").unwrap() + 7 + 8;
    count[at..at + 8].copy_from_slice(&100_000u64.to_le_bytes());
    assert!(matches!(parse(&count, large).unwrap(), Parsed::More(n) if n > 800_000));
}

#[test]
fn other_files_are_named() {
    let with = |at: usize, bytes: &[u8]| {
        let mut file = valid();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let size = file.len() as u64;
        refused(&file, size)
    };
    assert!(with(0, b"lmgg").contains("before GGUF"));
    assert!(with(0, b"<htm").contains("`<htm`"));
    assert!(with(4, &1u32.to_le_bytes()).contains("version 1"));
    assert!(with(4, &4u32.to_le_bytes()).contains("version 4 is unknown"));
    assert!(with(4, &3u32.to_be_bytes()).contains("big-endian"));
    assert!(with(8, &u64::MAX.to_le_bytes()).contains("at most 65536"));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let bytes = valid();
    let place = |name: &[u8]| bytes.windows(name.len()).position(|w| w == name).unwrap();
    let with = |at: usize, change: &[u8]| {
        let mut file = bytes.clone();
        file[at..at + change.len()].copy_from_slice(change);
        refused(&file, bytes.len() as u64)
    };
    // name, number of sides, sides, type, offset
    let x = place(&[1, 0, 0, 0, 0, 0, 0, 0, b'x']) + 9;
    assert!(with(x, &5u32.to_le_bytes()).contains("5 sides"));
    assert!(with(x, &0u32.to_le_bytes()).contains("0 sides"));
    for side in [0, 1 << 63, u64::MAX, 1 << 32] {
        assert!(with(x + 4, &side.to_le_bytes()).contains("a side of"), "{side}");
    }
    let many = [(u64::from(u32::MAX)).to_le_bytes(), (u64::from(u32::MAX)).to_le_bytes()].concat();
    assert!(with(x + 4, &many).contains("a side of"), "a product of 2^64");
    assert!(with(x + 20, &12u32.to_le_bytes()).contains("no multiple of 256"));
    assert!(with(x + 24, &16u64.to_le_bytes()).contains("no multiple of 32"));
    assert!(with(x + 24, &(u64::MAX - 31).to_le_bytes()).contains("interrupted"));
    assert!(with(x + 24, &32u64.to_le_bytes()).contains("overlap"));
    assert!(with(x - 1, b"y").contains("there twice"));
    assert!(with(x - 1, b"\n").contains("no tensor's name"));
    let key = place(b"a.flag");
    assert!(with(key, b"a.list").contains("key `a.list` is there twice, with two values"));
    assert!(with(key + 6, &13u32.to_le_bytes()).contains("type 13"));
    let words = place(b"a.words");
    assert!(with(words + 7 + 8, &(1u64 << 63).to_le_bytes()).contains("goes on to byte"));
    assert!(with(words + 7 + 8 + 8, &(1u64 << 63).to_le_bytes()).contains("at most"));
    assert!(with(words - 8, &(1u64 << 63).to_le_bytes()).contains("a key of"));
}

#[test]
fn alignment_is_a_power_of_two() {
    let aligned = |n: u64| {
        let mut metadata = metadata();
        metadata.push(("general.alignment".into(), Value::Uint(n)));
        let tensors = [planned("x", Encoding::F16, &[3, 5]), planned("y", Encoding::F32, &[4])];
        let bytes = file(&metadata, &tensors, |t| vec![0; t.bytes().unwrap() as usize]).unwrap();
        parse(&bytes, bytes.len() as u64)
    };
    let Ok(Parsed::Header(header)) = aligned(1 << 10) else { panic!("1024 is an alignment") };
    assert!(header.tensors.iter().all(|t| t.offset % 1024 == 0));
    assert!(aligned(24).unwrap_err().to_string().contains("power of two"));
    assert!(aligned(1 << 21).unwrap_err().to_string().contains("power of two"));
}

/// Arrays of arrays are passed over, to a depth, whatever their counts say.
#[test]
fn nesting_has_an_end() {
    let nested = |depth: u32, count: u64| {
        let mut bytes = [&b"GGUF"[..], &3u32.to_le_bytes(), &0u64.to_le_bytes(), &1u64.to_le_bytes()].concat();
        bytes.extend([&1u64.to_le_bytes()[..], b"k", &9u32.to_le_bytes()].concat());
        for _ in 0..depth {
            bytes.extend([&9u32.to_le_bytes()[..], &count.to_le_bytes()].concat());
        }
        bytes.extend([&0u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat());
        let size = bytes.len() as u64;
        parse(&bytes, size)
    };
    let Ok(Parsed::Header(header)) = nested(2, 1) else { panic!("two levels are read") };
    assert_eq!(header.metadata["k"], Value::Nested);
    assert!(nested(8, 1).unwrap_err().to_string().contains("deep"));
    assert!(nested(3, u64::MAX).unwrap_err().to_string().contains("goes on to byte"));
}

#[test]
fn types_that_are_not_read_keep_their_names() {
    let mut bytes = valid();
    let y = bytes.windows(9).position(|w| w == [1, 0, 0, 0, 0, 0, 0, 0, b'y']).unwrap() + 9 + 4 + 16;
    bytes[y] = 10;
    let Parsed::Header(header) = parse(&bytes, bytes.len() as u64).unwrap() else { panic!() };
    assert_eq!((&header.tensors[1].encoding, header.tensors[1].bytes), (&Err("Q2_K".to_string()), 168));
    bytes[y] = 99;
    let Parsed::Header(header) = parse(&bytes, bytes.len() as u64).unwrap() else { panic!() };
    assert_eq!(header.tensors[1].encoding, Err("of the unknown type 99".to_string()));
}
