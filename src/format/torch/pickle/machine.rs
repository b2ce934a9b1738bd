//! The stack machine of a pickle: its opcodes, its stack and its memo.

use super::{Global, Tensor};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use safetensors::Dtype;
use std::collections::BTreeMap;

/// Most values on the stack at a time: Python adds to dicts and lists in batches of 1000.
const MAX_STACK: usize = 1 << 16;
/// Most values in the memo. A tensor has about eight.
const MAX_MEMO: usize = 1 << 18;

/// First element and length, in the input or in [`Machine::items`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub at: u32,
    pub len: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// Floats, booleans, bytes, None: no value is kept.
    Other,
    Int(i64),
    /// Text in the input.
    Text(Span),
    /// Elements in [`Machine::items`].
    Tuple(Span),
    /// A list; no state dict needs its elements.
    List,
    Dict(u32),
    Storage(u32),
    Tensor(u32),
    Global(Global),
}

/// A pickle that is being interpreted.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    pub place: &'a str,
    at: usize,
    pub stack: Vec<Value>,
    /// Lengths of the stack at the marks that are open.
    pub marks: Vec<u32>,
    memo: BTreeMap<u32, Value>,
    /// Elements of all tuples.
    items: Vec<Value>,
    /// Number of dicts so far.
    dicts: u32,
    pub storages: Vec<(Span, Dtype, u64)>,
    pub by_key: BTreeMap<&'a [u8], u32>,
    pub tensors: Vec<Tensor>,
    /// Dict, key and tensor, for tensors that were put into dicts.
    pub entries: Vec<(u32, Span, u32)>,
}

impl<'a> Machine<'a> {
    /// Starts before the first opcode.
    pub fn new(input: &'a [u8], place: &'a str) -> Self {
        Self {
            input,
            place,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            items: Vec::new(),
            dicts: 0,
            storages: Vec::new(),
            by_key: BTreeMap::new(),
            tensors: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub fn wrong(&self, what: &str) -> Error {
        Error::new(Kind::Tensor, self.place, format!("its pickle is malformed at byte {}: {what}", self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let bytes = self.input[self.at..].get(..count).ok_or_else(|| self.wrong("it ends early"))?;
        self.at += count;
        Ok(bytes)
    }

    /// Reads an unsigned little-endian number of `bytes` bytes (at most eight).
    fn number(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    /// Reads a length of `bytes` bytes and that number of bytes.
    fn counted(&mut self, bytes: usize) -> Result<Span> {
        let len = usize::try_from(self.number(bytes)?).map_err(|_| self.wrong("it ends early"))?;
        let at = self.at as u32;
        self.take(len)?;
        Ok(Span { at, len: len as u32 })
    }

    /// Reads a line, without its end.
    fn line(&mut self) -> Result<&'a [u8]> {
        let end = self.input[self.at..].iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or_else(|| self.wrong("a line has no end"))?)?;
        self.at += 1;
        Ok(line)
    }

    pub fn bytes(&self, span: Span) -> &'a [u8] {
        &self.input[span.at as usize..][..span.len as usize]
    }

    pub fn elements(&self, span: Span) -> &[Value] {
        &self.items[span.at as usize..][..span.len as usize]
    }

    pub fn push(&mut self, value: Value) -> Result<()> {
        ensure!(self.stack.len() < MAX_STACK, Tensor, self.place, "its pickle puts more than {MAX_STACK} values aside");
        self.stack.push(value);
        Ok(())
    }

    pub fn pop(&mut self) -> Result<Value> {
        let at = self.last(1)?;
        Ok(self.stack.remove(at))
    }

    pub fn top(&self) -> Result<Value> {
        self.last(1).map(|at| self.stack[at])
    }

    fn mark(&mut self) -> Result<()> {
        ensure!(self.marks.len() < MAX_STACK, Tensor, self.place, "its pickle is nested deeper than {MAX_STACK}");
        self.marks.push(self.stack.len() as u32);
        Ok(())
    }

    /// Removes the last mark; returns where the values above it begin.
    fn marked(&mut self) -> Result<usize> {
        self.marks.pop().map(|mark| mark as usize).ok_or_else(|| self.wrong("a mark is missing"))
    }

    fn put(&mut self, index: u32) -> Result<()> {
        let value = self.top()?;
        ensure!(self.memo.len() < MAX_MEMO, Tensor, self.place, "its pickle remembers more than {MAX_MEMO} values");
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, index: u64) -> Result<()> {
        let value = u32::try_from(index).ok().and_then(|index| self.memo.get(&index).copied());
        self.push(value.ok_or_else(|| self.wrong("it recalls what it never remembered"))?)
    }

    /// Joins the values from `from` on to one tuple.
    fn tuple(&mut self, from: usize) -> Result<()> {
        let span = Span { at: self.items.len() as u32, len: (self.stack.len() - from) as u32 };
        self.items.extend(self.stack.drain(from..));
        self.push(Value::Tuple(span))
    }

    /// Returns the position of the last `count` values.
    fn last(&self, count: usize) -> Result<usize> {
        let floor = self.marks.last().map_or(0, |&mark| mark as usize);
        let from = self.stack.len().checked_sub(count).filter(|&from| from >= floor);
        from.ok_or_else(|| self.wrong("a value is missing"))
    }

    pub fn dict(&mut self) -> Result<()> {
        self.dicts += 1;
        self.push(Value::Dict(self.dicts - 1))
    }

    /// Moves pairs of key and value from `from` on into the dict below them.
    fn set_items(&mut self, from: usize) -> Result<()> {
        let Some(&Value::Dict(dict)) = self.stack[..from].last() else {
            return Err(self.wrong("items are set on a value that is no dict"));
        };
        ensure!(
            (self.stack.len() - from).is_multiple_of(2),
            Tensor,
            self.place,
            "its pickle has a key without a value"
        );
        for pair in self.stack[from..].chunks_exact(2) {
            if let (Value::Text(key), Value::Tensor(tensor)) = (pair[0], pair[1]) {
                self.entries.push((dict, key, tensor));
            }
        }
        self.stack.truncate(from);
        Ok(())
    }

    /// Appends the values from `from` on to the list below them, which drops them.
    fn append(&mut self, from: usize) -> Result<()> {
        let list = matches!(self.stack[..from].last(), Some(Value::List));
        self.stack.truncate(from);
        if list { Ok(()) } else { Err(self.wrong("a value is appended to what is no list")) }
    }

    /// Reads a signed little-endian number of at most eight bytes; a longer one is [`Value::Other`].
    fn long(&mut self, length_bytes: usize) -> Result<()> {
        let span = self.counted(length_bytes)?;
        let bytes = self.bytes(span);
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let fill = if negative { -1i64 } else { 0 };
        let value = bytes.iter().rev().fold(fill, |sum, &byte| sum << 8 | i64::from(byte));
        self.push(if bytes.len() <= 8 { Value::Int(value) } else { Value::Other })
    }

    /// Interprets one opcode; returns whether more follow.
    pub fn step(&mut self) -> Result<bool> {
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return Ok(false),
            // Protocol and frames are not needed.
            0x80 => ensure!(self.number(1)? <= 5, Tensor, self.place, "is a pickle of an unknown protocol"),
            0x95 => drop(self.number(8)?),
            b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
            b'G' => self.take(8).and_then(|_| self.push(Value::Other))?,
            b'J' => {
                let value = self.number(4)? as u32 as i32;
                self.push(Value::Int(value.into()))?;
            }
            b'K' | b'M' => {
                let value = self.number(if opcode == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(value as i64))?;
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'X' | b'T' => self.counted(4).and_then(|text| self.push(Value::Text(text)))?,
            0x8c | b'U' => self.counted(1).and_then(|text| self.push(Value::Text(text)))?,
            0x8d => self.counted(8).and_then(|text| self.push(Value::Text(text)))?,
            b'B' => self.counted(4).and_then(|_| self.push(Value::Other))?,
            b'C' => self.counted(1).and_then(|_| self.push(Value::Other))?,
            b'(' => self.mark()?,
            b')' => self.tuple(self.stack.len())?,
            0x85..=0x87 => self.last(usize::from(opcode - 0x84)).and_then(|from| self.tuple(from))?,
            b't' => self.marked().and_then(|from| self.tuple(from))?,
            b']' => self.push(Value::List)?,
            b'a' => self.pop().and_then(|_| self.append(self.stack.len()))?,
            b'e' => self.marked().and_then(|from| self.append(from))?,
            b'}' => self.dict()?,
            b's' => self.last(2).and_then(|from| self.set_items(from))?,
            b'u' => self.marked().and_then(|from| self.set_items(from))?,
            b'q' => self.number(1).and_then(|index| self.put(index as u32))?,
            b'r' => self.number(4).and_then(|index| self.put(index as u32))?,
            0x94 => self.put(self.memo.len() as u32)?,
            b'h' => self.number(1).and_then(|index| self.get(index))?,
            b'j' => self.number(4).and_then(|index| self.get(index))?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => self.stack_global()?,
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            other => {
                let what = format!("its pickle uses opcode {other:#04x}, which no state dict needs");
                let hint = "take a copy in safetensors, or save the state dict again with torch.save";
                return Err(Error::new(Kind::Tensor, self.place, what).hint(hint));
            }
        }
        Ok(true)
    }
}
