//! PyTorch's own files: those of `torch.save` are read to the bit; files that would make a reader run code, allocate
//! without bound or read out of place are refused by name.

use crate::common::golden_file;
use crate::common::torch::{self, Archive, Pickle, StateDict, strides};
use llava_web::error::{Error, Kind, Result};
use llava_web::format::source::{Memory, Source};
use llava_web::format::stored::StoredTensor;
use llava_web::format::torch::read_header;
use pollster::block_on;
use safetensors::{Dtype, SafeTensors};
use std::cell::Cell;

fn header(bytes: &[u8]) -> Result<Vec<StoredTensor>> {
    block_on(read_header(&Memory([("f.bin".to_string(), bytes.to_vec())].into()), "f.bin"))
}

#[track_caller]
fn refused(bytes: &[u8]) -> Error {
    header(bytes).err().unwrap_or_else(|| panic!("it was read"))
}

/// `a` [2, 2] and `b` [3] in f16, `c` [1] in floats.
fn small() -> StateDict {
    let mut dict = StateDict::default();
    dict.add("a", "HalfStorage", &[2, 2], (0..8).collect());
    dict.add("b", "BFloat16Storage", &[3], (10..16).collect());
    dict.add("c", "FloatStorage", &[1], (20..24).collect());
    dict
}

/// An archive with this pickle instead.
fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    let mut archive = small().archive();
    archive.entry("m/data.pkl").bytes = pickle.to_vec();
    archive.bytes()
}

/// Checks that every tensor of `dict` lies where the header of `bytes` says.
fn same(dict: &StateDict, bytes: &[u8]) {
    let found = header(bytes).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(found.len(), dict.tensors.len());
    for (found, tensor) in found.iter().zip(&dict.tensors) {
        let storage = &dict.storages[tensor.storage];
        let wanted = &storage.bytes[tensor.offset as usize * storage.value_bytes..];
        let count = tensor.shape.iter().product::<u32>() as usize * storage.value_bytes;
        assert_eq!(found.key, tensor.name);
        assert_eq!(bytes[found.offset as usize..][..count], wanted[..count], "{}", tensor.name);
    }
}

/// What torch 2.15 wrote (tests/golden/generate_pickle.py) has the values of the safetensors file it was made from.
#[test]
fn files_of_torch_hold_what_was_saved() {
    let source = golden_file("mha/model.safetensors");
    let wanted = SafeTensors::deserialize(&source).unwrap();
    let mut seen = 0;
    for file in
        ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "vision_tower/pytorch_model.bin"]
    {
        let bytes = golden_file(&format!("pickle/{file}"));
        for tensor in header(&bytes).unwrap() {
            let hub = match tensor.key.replace("model.mm_projector.0", "multi_modal_projector.linear_1") {
                key if key.starts_with("vision_model") => format!("vision_tower.{key}"),
                key if key.contains("projector") => {
                    key.replace("model.mm_projector.2", "multi_modal_projector.linear_2")
                }
                key => format!("language_model.{key}"),
            };
            let Ok(view) = wanted.tensor(&hub) else {
                let beside = ["inv_freq", "logit_scale", "position_ids", "visual_projection"];
                assert!(beside.iter().any(|name| tensor.key.contains(name)), "{}", tensor.key);
                continue;
            };
            assert_eq!(tensor.shape, view.shape().iter().map(|&side| side as u64).collect::<Vec<_>>());
            assert_eq!(bytes[tensor.offset as usize..][..view.data().len()], *view.data(), "{hub}");
            seen += 1;
        }
    }
    assert_eq!(seen, wanted.len());
}

#[test]
fn tensors_are_found_with_their_types_and_places() {
    let dict = small();
    same(&dict, &dict.archive().bytes());
    let found = header(&dict.archive().bytes()).unwrap();
    let types: Vec<Dtype> = found.iter().map(|tensor| tensor.dtype).collect();
    assert_eq!(types, [Dtype::F16, Dtype::BF16, Dtype::F32]);
    assert_eq!(found[0].shape, [2, 2]);
}

/// Two names for one tensor, and two tensors that lie behind each other in one storage.
#[test]
fn tensors_may_share_a_storage() {
    let mut dict = small();
    let view = |name: &str, offset, shape: &[u32]| torch::Tensor {
        name: name.to_string(),
        storage: 0,
        offset,
        shape: shape.to_vec(),
        strides: strides(shape),
    };
    dict.tensors.push(view("tied", 0, &[2, 2]));
    same(&dict, &dict.archive().bytes());
    dict.tensors.drain(..1);
    dict.tensors.pop();
    dict.tensors.extend([view("first", 0, &[1, 2]), view("second", 2, &[2])]);
    same(&dict, &dict.archive().bytes());
    dict.tensors.push(view("across", 1, &[2]));
    let error = refused(&dict.archive().bytes());
    assert!(error.message.contains("overlaps") && ["across", "second"].contains(&error.place.as_str()), "{error}");
}

#[test]
fn only_contiguous_tensors_are_read() {
    let changed = |shape: &[u32], strides: &[u32], offset| {
        let mut dict = small();
        let a = &mut dict.tensors[0];
        (a.shape, a.strides, a.offset) = (shape.to_vec(), strides.to_vec(), offset);
        header(&dict.archive().bytes())
    };
    // A side of one may have any stride: nothing is stepped over.
    for (shape, strides) in [(&[1, 4][..], &[99, 1][..]), (&[4, 1], &[1, 7]), (&[], &[]), (&[2, 1, 2], &[2, 0, 1])] {
        assert!(changed(shape, strides, 0).is_ok(), "{shape:?} {strides:?}");
    }
    for (shape, strides, offset, what) in [
        (&[2, 2][..], &[1, 2][..], 0, "transposed"),
        (&[2, 2], &[0, 1], 0, "expanded"),
        (&[2], &[2], 0, "cut out"),
        (&[2, 2], &[2, 1], 1, "more than its storage of 4"),
        (&[5], &[1], 0, "more than its storage of 4"),
        (&[0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF], &[1, 1, 1], 0, ""),
    ] {
        let error = changed(shape, strides, offset).unwrap_err();
        assert!(error.kind == Kind::Tensor && error.to_string().contains(what), "{error}");
    }
}

/// A source that counts its requests.
struct Counting(Memory, Cell<u32>);

impl Source for Counting {
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.0.size(name).await
    }
    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        self.1.set(self.1.get() + 1);
        self.0.read(name, offset, bytes).await
    }
}

/// Archives of other tools have another layout. The same tensors are found with more requests.
#[test]
fn files_are_found_however_they_were_packed() {
    let mut dict = StateDict::default();
    for index in 0..300 {
        dict.add(
            &format!("t{index}"),
            "FloatStorage",
            &[index % 7 + 1],
            vec![index as u8; 4 * (index as usize % 7 + 1)],
        );
    }
    let reads = |archive: &Archive| {
        let bytes = archive.bytes();
        same(&dict, &bytes);
        let source = Counting(Memory([("f".to_string(), bytes)].into()), Cell::new(0));
        block_on(read_header(&source, "f")).unwrap();
        source.1.get()
    };
    let torch = dict.archive();
    assert_eq!(reads(&torch), 7, "the end, two small files and their headers, the first and the last header");
    let reads_others = |alignment, descriptors, zip64, comment: &[u8]| {
        reads(&Archive { alignment, descriptors, zip64, comment: comment.to_vec(), ..dict.archive() })
    };
    assert_eq!(reads_others(64, true, false, b"PK\x05\x06 a comment that begins as an end"), 7);
    assert!(reads_others(1, true, true, b"") > 300, "not aligned");
    assert!(reads_others(32, true, true, b"") > 100, "aligned otherwise");
    assert_eq!(reads_others(64, false, true, b""), 7, "without descriptors");
    // Everything ends where it would in torch's layout, and begins four bytes earlier.
    let mut shifted = Archive { shift: 4, ..dict.archive() };
    shifted.entries.iter_mut().for_each(|entry| entry.padding = 4);
    assert!(reads(&shifted) > 300);
    // Torch's layout at both ends, and one file between them that is not where torch would put it.
    let mut odd = dict.archive();
    odd.entry("m/data/150").padding = 3;
    assert_eq!(reads(&odd), 8);
}

#[test]
fn a_pickle_that_would_run_code_is_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("torch", "load"),
        ("torch", "EvilStorage"),
        ("collections", "OrderedDict.fromkeys"),
        ("posix\u{1b}[2J", "system"),
    ] {
        let mut old = Pickle::new();
        old.global(module, name).text("echo").op(b"\x85R.");
        let mut new = Pickle::new();
        new.text(module).text(name).op(b"\x93").text("echo").op(b"\x85R.");
        for pickle in [old, new] {
            let error = refused(&with_pickle(&pickle.0)).to_string();
            let full = format!("`{}.{name}`", module.escape_debug());
            assert!(error.contains(&full) && error.contains("run code"), "{error}");
        }
    }
}

#[test]
fn other_hostile_pickles_are_refused() {
    let pickle = |opcodes: &[u8]| refused(&with_pickle(Pickle::new().op(opcodes).0.as_slice())).to_string();
    let valid = small().pickle();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = valid.windows(from.len()).position(|window| window == from).unwrap();
        refused(&with_pickle(&[&valid[..at], to, &valid[at + from.len()..]].concat())).to_string()
    };
    for (error, what) in [
        (pickle(&b"(".repeat(1 << 20)), "nested deeper"),
        (pickle(&b"]".repeat(1 << 20)), "puts more than"),
        (pickle(&[&b"]"[..], &b"\x94".repeat(1 << 20)].concat()), "remembers more than"),
        (pickle(&[&b")"[..], &b"\x85".repeat(3 << 20), b"."].concat()), "no dict of tensors"),
        // Doubling at every step: 2^60 elements if they were copied.
        (pickle(&[&b")"[..], &b"\x94h\0\x86q\0h\0".repeat(60), b"."].concat()), "no dict of tensors"),
        (pickle(b"X\xff\xff\xff\xffab"), "ends early"),
        (pickle(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab"), "ends early"),
        (pickle(b"R."), "a value is missing"),
        (pickle(b"t."), "a mark is missing"),
        (pickle(b"]h\x07."), "never remembered"),
        (pickle(b"}."), "no tensor in it"),
        (pickle(b"(}(e."), "no list"),
        (pickle(b"\x81."), "opcode 0x81"),
        (pickle(b"i"), "opcode 0x69"),
        (replaced(b"K\x04tQ", b"K\x05tQ"), "5 F16 are not its 8 bytes"),
        (replaced(b"K\x04tQ", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ftQ"), "are not its 8 bytes"),
        (replaced(b"K\x04tQ", b"J\xff\xff\xff\xfftQ"), "no sane count"),
        (replaced(b"X\x01\0\0\x001", b"X\x01\0\0\x000"), "described in two ways"),
        (replaced(b"X\x01\0\0\x001", b"X\x01\0\0\x009"), "storage `9`, for which the archive has no file"),
        (replaced(b"X\x01\0\0\0b", b"X\x01\0\0\0a"), "names `a` twice"),
        (replaced(b"storage", b"storm__"), "no sane count"),
        (replaced(b"\x80\x02", b"\x80\x09"), "unknown protocol"),
    ] {
        assert!(error.contains(what), "{error}: not {what}");
    }
}

#[test]
fn what_else_is_in_a_dict_is_left_out() {
    let mut pickle = small().pickle();
    assert_eq!(pickle.split_off(pickle.len() - 2), b"u.");
    let mut more = Pickle(pickle);
    more.text("step").int(70_000).text("list").op(b"](K\x01K\x02e").text("none").op(b"N").text("pi").op(b"G12345678");
    more.text("inner").ordered_dict().text("big").op(b"\x8a\x09123456789").text("bytes").op(b"C\x01x");
    // Attributes of the whole, as nn.Module.state_dict() has them.
    more.op(b"u}").text("_metadata").ordered_dict().text("").op(b"}").text("version").int(1).op(b"sssb.");
    same(&small(), &with_pickle(&more.0));
    let mut nested = Pickle::new();
    nested.op(b"}").text("state_dict").op(&small().pickle()[2..]);
    nested.0.pop();
    nested.op(b"s.");
    let error = refused(&with_pickle(&nested.0)).to_string();
    assert!(error.contains("inside another"), "{error}");
}

/// Protocol 4: frames, short text, remembering in order.
#[test]
fn newer_protocols_are_read() {
    let mut p = Pickle(vec![0x80, 4, 0x95, 9, 0, 0, 0, 0, 0, 0, 0]);
    let short = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes(), &[0x94]].concat();
    p.op(b"}\x94(").op(&short("a")).op(&short("torch._utils")).op(&short("_rebuild_tensor_v2")).op(b"\x93\x94((");
    p.op(&short("storage")).op(&short("torch")).op(&short("HalfStorage")).op(b"\x93\x94").op(&short("0"));
    p.op(&short("cuda:0")).op(b"K\x04t\x94QK\0K\x02K\x02\x86\x94K\x02K\x01\x86\x94\x89").op(&short("collections"));
    p.op(&short("OrderedDict")).op(b"\x93\x94)R\x94t\x94R\x94u.");
    assert_eq!(header(&with_pickle(&p.0)).unwrap()[0].shape, [2, 2]);
}

#[test]
fn hostile_archives_are_refused() {
    let changed = |change: &dyn Fn(&mut Archive)| {
        let mut archive = small().archive();
        change(&mut archive);
        refused(&archive.bytes()).to_string()
    };
    let b = "m/data/1";
    for (error, what) in [
        (changed(&|a| a.entry(b).method = 8), "compressed (method 8)"),
        (changed(&|a| a.entry("m/data.pkl").method = 8), "compressed (method 8)"),
        (changed(&|a| a.entry(b).flags |= 1), "encrypted"),
        (changed(&|a| a.entry(b).position = Some(0)), "overlaps"),
        (changed(&|a| a.entry(b).position = Some(1 << 40)), "overlaps another file or lies outside"),
        (changed(&|a| a.entry(b).position = Some(u64::MAX - 8)), "overlaps another file or lies outside"),
        (changed(&|a| a.entry(b).size = Some(u64::MAX)), "overlaps another file or lies outside"),
        (changed(&|a| a.entry(b).size = Some(1 << 33)), "overlaps another file or lies outside"),
        (changed(&|a| a.entry(b).size = Some(4)), "are not its 4 bytes"),
        (changed(&|a| a.add("m/data/0", vec![0; 8])), "`m/data/0` is in it twice"),
        (changed(&|a| a.add("n/data.pkl", vec![0; 8])), "more than one"),
        (changed(&|a| a.entry("m/data.pkl").name = "m/pkl".into()), "no (or more than one)"),
        (changed(&|a| a.entry("m/byteorder").bytes = b"big".to_vec()), "big-endian"),
        (changed(&|a| a.entry("m/data.pkl").bytes = vec![b'N'; 5 << 20]), "bytes; 4194304 are read"),
        (changed(&|a| (0..17_000).for_each(|i| a.add(&i.to_string(), Vec::new()))), "are no checkpoint"),
    ] {
        assert!(error.contains(what), "{error}: not {what}");
    }
    let valid = small().archive().bytes();
    let end = valid.len() - 22;
    let edited = |at: usize, bytes: &[u8]| {
        let mut file = valid.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&file).to_string()
    };
    // Local headers that contradict the directory.
    let local = valid.windows(8).position(|window| window == b"m/data/0").unwrap();
    assert!(edited(local, b"m/data/1").contains("is not where the directory"));
    assert!(edited(local - 4, &[0xFF, 0xFF]).contains("is not where the directory"));
    for (at, bytes, what) in [
        (end + 10, &[9, 0][..], "disagree"),
        (end + 16, &[1, 0, 0, 0], "disagree"),
        (end + 4, &[1, 0], "several"),
        (end - 12, &[0xFF; 8], "zip64 record is not where"),
        (end - 76 + 4, &[0xFF; 8], "zip64 record is not where"),
        (end - 76 + 32, &[0xFF; 8], "disagree"),
    ] {
        let error = edited(at, bytes);
        assert!(error.contains(what), "{at}: {error}: not {what}");
    }
}

#[test]
fn what_is_no_archive_is_said() {
    let legacy = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let archive = small().archive().bytes();
    for (bytes, what, todo) in [
        (&legacy[..], "before 1.6", "save it again"),
        (&archive[..archive.len() / 2], "no directory at its end", "fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS", "git lfs pull"),
        (b"<html>", "no file that torch.save", "safetensors"),
        (b"", "no file that torch.save", "safetensors"),
    ] {
        let error = refused(bytes);
        assert!(error.place == "f.bin" && error.message.contains(what) && error.hint.contains(todo), "{error}");
    }
}
