//! The pickle of a state dict → its tensors, and nothing else.
//!
//! A pickle is a program for a small stack machine. The opcodes that Python's protocols 2 to 5 use for dicts of
//! tensors are interpreted; every value is a number, or a range of the input. The only callables are those that make
//! tensors and dicts: any other name is refused where it is mentioned.
//!
//! Memory: at most [`MEMORY_FACTOR`] times the input. Nothing here recurses, no value is copied out of the input
//! before the end, and a value that is used twice is one value.
//!
//! # Source
//! `Lib/pickle.py` and `Lib/pickletools.py` of CPython; `torch/serialization.py` and `torch/_utils.py`.

mod machine;

use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use machine::{Machine, Span, Value};
use safetensors::Dtype;
use std::collections::BTreeMap;

/// Longest pickle that is read, bytes. A 13B model's has 0.1 MB.
pub const MAX_PICKLE: u64 = 4 << 20;
/// Most bytes of memory per byte of input that [`parse`] takes (beside 4 KiB).
pub const MEMORY_FACTOR: usize = 128;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;
/// Longest part of a file's name that an error repeats, bytes.
const SHOWN: usize = 80;

/// A run of values of one type, in which tensors lie: one raw file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Name of the file under `data/`.
    pub key: String,
    /// Type of the values.
    pub dtype: Dtype,
    /// Number of values.
    pub elements: u64,
}

/// A tensor as a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Key in the state dict.
    pub name: String,
    /// Index into [`StateDict::storages`].
    pub storage: usize,
    /// First value there.
    pub offset: u64,
    /// Sides.
    pub shape: Vec<u64>,
    /// Values from one index to the next, per side.
    pub strides: Vec<u64>,
}

/// The tensors that a pickle describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDict {
    /// In the order in which the pickle mentions them.
    pub storages: Vec<Storage>,
    /// In the order of the dict. Its other entries (numbers, `_metadata`) are left out.
    pub tensors: Vec<View>,
}

/// Names that a pickle may mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageOf(Dtype),
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", _) => Self::StorageOf(match name.strip_suffix("Storage")? {
                "Float" => Dtype::F32,
                "Half" => Dtype::F16,
                "BFloat16" => Dtype::BF16,
                "Double" => Dtype::F64,
                "Long" => Dtype::I64,
                "Int" => Dtype::I32,
                "Short" => Dtype::I16,
                "Char" => Dtype::I8,
                "Byte" => Dtype::U8,
                "Bool" => Dtype::BOOL,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// A tensor before its name is known.
#[derive(Debug, Clone, Copy)]
struct Tensor {
    storage: u32,
    offset: u64,
    shape: Span,
    strides: Span,
}

/// Interprets `input`; `place` is for errors.
///
/// # Errors
/// [`Kind::Tensor`]: malformed, too large, or with something in it that is no tensor of a state dict, by name.
pub fn parse(input: &[u8], place: &str) -> Result<StateDict> {
    ensure!(
        input.len() as u64 <= MAX_PICKLE,
        Tensor,
        place,
        "a pickle of {} bytes; {MAX_PICKLE} are read",
        input.len()
    );
    let mut machine = Machine::new(input, place);
    while machine.step()? {}
    machine.finish()
}

/// Returns `text` short enough for an error, without control characters of a terminal.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).escape_debug().to_string()
}

impl Machine<'_> {
    fn global(&mut self, module: &[u8], name: &[u8]) -> Result<()> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or("");
        let Some(global) = Global::named(text(module), text(name)) else {
            let full = format!("{}.{}", shown(module), shown(name));
            let what = format!("mentions `{full}`, which tensors do not need; loading it in Python would run code");
            let hint = "take a copy in safetensors, or one that holds nothing but a state dict";
            return Err(Error::new(Kind::Tensor, self.place, what).hint(hint));
        };
        self.push(Value::Global(global))
    }

    fn stack_global(&mut self) -> Result<()> {
        match (self.pop()?, self.pop()?) {
            (Value::Text(name), Value::Text(module)) => self.global(self.bytes(module), self.bytes(name)),
            _ => Err(self.wrong("a name is no text")),
        }
    }

    /// Interprets `("storage", type, key, device, elements)`, which names the file of the values.
    fn storage(&mut self) -> Result<()> {
        let Value::Tuple(id) = self.pop()? else { return Err(self.wrong("a storage is no tuple")) };
        let &[Value::Text(word), Value::Global(Global::StorageOf(dtype)), Value::Text(key), _, Value::Int(count)] =
            self.elements(id)
        else {
            return Err(self.wrong("a storage is not (storage, type, key, device, count)"));
        };
        let elements = u64::try_from(count).ok().filter(|_| self.bytes(word) == b"storage");
        let elements = elements.ok_or_else(|| self.wrong("a storage has no sane count"))?;
        let name = self.bytes(key);
        let index = *self.by_key.entry(name).or_insert(self.storages.len() as u32);
        match self.storages.get(index as usize) {
            None => self.storages.push((key, dtype, elements)),
            Some(&(_, t, n)) => {
                let same = t == dtype && n == elements;
                ensure!(same, Tensor, self.place, "storage `{}` is described in two ways", shown(name));
            }
        }
        self.push(Value::Storage(index))
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Value::Tuple(span), Value::Global(global)) = (arguments, callable) else {
            return Err(self.wrong("a call, or its arguments, that a state dict does not contain"));
        };
        match (global, self.elements(span)) {
            (Global::OrderedDict, []) => self.dict(),
            (
                Global::RebuildTensor,
                &[Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides), _, _]
                | &[Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides), _, _, _],
            ) => {
                let offset = u64::try_from(offset).map_err(|_| self.wrong("a tensor begins before its storage"))?;
                self.tensors.push(Tensor { storage, offset, shape, strides });
                self.push(Value::Tensor(self.tensors.len() as u32 - 1))
            }
            (Global::RebuildParameter, &[Value::Tensor(tensor), _, _]) => self.push(Value::Tensor(tensor)),
            _ => Err(self.wrong("a call has other arguments than a state dict's")),
        }
    }

    /// Attributes of an OrderedDict (`_metadata`), which nothing here needs.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err(self.wrong("attributes are set on a value that is no dict")),
        }
    }

    /// Returns the tensors of the dict that the pickle ends with.
    fn finish(self) -> Result<StateDict> {
        let place = self.place;
        let (&[Value::Dict(dict)], []) = (&self.stack[..], &self.marks[..]) else {
            fail!(Tensor, place, "its pickle is no dict of tensors");
        };
        let mut tensors = Vec::new();
        let mut seen: BTreeMap<&[u8], ()> = BTreeMap::new();
        for &(_, key, tensor) in self.entries.iter().filter(|(of, ..)| *of == dict) {
            let key = self.bytes(key);
            // Refused before it is copied: the same long name may be put in a million times.
            ensure!(seen.insert(key, ()).is_none(), Tensor, place, "names `{}` twice", shown(key));
            let Ok(name) = std::str::from_utf8(key) else {
                fail!(Tensor, place, "names a tensor `{}`, which is no UTF-8", shown(key));
            };
            let Tensor { storage, offset, shape, strides } = self.tensors[tensor as usize];
            let sides = self.sides(shape).zip(self.sides(strides)).filter(|(a, b)| a.len() == b.len());
            let Some((shape, strides)) = sides else {
                fail!(Tensor, place, "gives `{}` a shape or strides that no tensor has", shown(key));
            };
            tensors.push(View { name: name.to_string(), storage: storage as usize, offset, shape, strides });
        }
        if tensors.is_empty() {
            let elsewhere = !self.entries.is_empty();
            let what = if elsewhere { "its tensors are in a dict inside another" } else { "there is no tensor in it" };
            let hint = "a state dict is one dict of tensors by name: save that part of it alone";
            return Err(Error::new(Kind::Tensor, place, what).hint(hint));
        }
        let text = |span| String::from_utf8_lossy(self.bytes(span)).into_owned();
        let storage = |&(key, dtype, elements): &(Span, Dtype, u64)| Storage { key: text(key), dtype, elements };
        Ok(StateDict { storages: self.storages.iter().map(storage).collect(), tensors })
    }

    /// Reads a tuple of at most [`MAX_RANK`] numbers, none negative.
    fn sides(&self, span: Span) -> Option<Vec<u64>> {
        let number = |value: &Value| match value {
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        (span.len as usize <= MAX_RANK).then(|| self.elements(span).iter().map(number).collect())?
    }
}
