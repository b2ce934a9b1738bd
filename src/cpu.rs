//! The CPU executor: replays a pass with the kernels' twins.

use crate::pass::{Buf, Call, Pass, Words};

/// Buffers in main memory.
#[derive(Debug, Default)]
pub struct Cpu {
    buffers: Vec<Words>,
    passes: Vec<Pass>,
}

impl Cpu {
    pub(crate) fn buffer(&mut self, words: u64) -> Result<Buf, std::collections::TryReserveError> {
        let mut memory = Vec::new();
        let length = usize::try_from(words).unwrap_or(usize::MAX);
        memory.try_reserve_exact(length)?;
        memory.resize(length, 0);
        self.buffers.push(Words(memory));
        Ok(Buf { id: self.buffers.len() as u32 - 1, words })
    }

    pub(crate) fn upload(&mut self, buffer: Buf, word_offset: usize, bytes: &[u8]) {
        let words = &mut self.buffers[buffer.id as usize].0[word_offset..];
        let destination: &mut [u8] = bytemuck::cast_slice_mut(words);
        destination[..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn read(&self, buffer: Buf, word_offset: usize, words: usize) -> Vec<u32> {
        self.buffers[buffer.id as usize].0[word_offset..word_offset + words].to_vec()
    }

    pub(crate) fn copy(&mut self, from: Buf, to: Buf, to_offset: usize, words: usize) {
        let source = self.read(from, 0, words);
        self.buffers[to.id as usize].0[to_offset..to_offset + words].copy_from_slice(&source);
    }

    pub(crate) fn prepare(&mut self, pass: Pass) -> usize {
        self.passes.push(pass);
        self.passes.len() - 1
    }

    pub(crate) fn replay(&mut self, passes: &[usize], call: &Call) {
        for &index in passes {
            for op in &self.passes[index].ops {
                // Lend each buffer to the twin for the time of the operation; none is bound twice.
                let lend = |b: &Buf| std::mem::take(&mut self.buffers[b.id as usize]);
                let mut bound: Vec<Words> = op.buffers.iter().map(lend).collect();
                (op.kernel.reference)(op, call, &mut bound);
                for (buffer, words) in op.buffers.iter().zip(bound) {
                    self.buffers[buffer.id as usize] = words;
                }
            }
        }
    }
}
