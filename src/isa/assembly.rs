//! The disassembly of a pipeline, and what its hottest loop does per instruction.

mod amd;
mod intel;

pub use intel::registers;
use std::collections::BTreeMap;

/// What a stretch of code consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// All instructions.
    pub instructions: u32,
    /// Multiply-adds: two of a packed one, four of a dot product of bytes. A product counts where a sum can follow.
    pub multiply_adds: u32,
    /// Loads from memory and from workgroup memory, without those of scalars.
    pub loads: u32,
    /// Bytes that these read for each invocation.
    pub load_bytes: u32,
    /// Loads of 16 bytes.
    pub wide_loads: u32,
    /// Vector instructions.
    pub vector: u32,
    /// Branches.
    pub branches: u32,
}

impl Counts {
    /// Returns the multiply-adds per instruction.
    pub fn per_instruction(&self) -> f64 {
        f64::from(self.multiply_adds) / f64::from(self.instructions.max(1))
    }

    /// Returns the bytes per load.
    pub fn per_load(&self) -> f64 {
        f64::from(self.load_bytes) / f64::from(self.loads.max(1))
    }
}

/// An instruction, as far as it is counted.
#[derive(Debug, Clone, Copy, Default)]
struct Instruction {
    /// Multiply-adds: of a packed instruction two, of a dot product of bytes four.
    multiply_adds: u32,
    products: u32,
    sums: u32,
    /// Bytes that it loads for each invocation, where it loads.
    load: Option<u32>,
    vector: bool,
    branch: bool,
    /// The block that it jumps to.
    target: Option<u32>,
}

/// A block of the disassembly: its number and its instructions.
#[derive(Default)]
struct Block {
    number: u32,
    instructions: Vec<Instruction>,
}

/// Returns the blocks of a disassembly.
fn blocks(assembly: &str) -> Vec<Block> {
    // AMD's begins with `BB0:`, Intel's with an instruction.
    if assembly.trim_start().starts_with("BB") { amd::blocks(assembly) } else { intel::blocks(assembly) }
}

/// A loop: its blocks that belong to no loop within it, and the number of loops that it lies in, itself included.
struct Loop {
    places: Vec<usize>,
    depth: i32,
}

/// Returns the loops.
fn loops(blocks: &[Block]) -> Vec<Loop> {
    let places: BTreeMap<u32, usize> = blocks.iter().enumerate().map(|(at, block)| (block.number, at)).collect();
    let mut ends = BTreeMap::new();
    for (end, block) in blocks.iter().enumerate() {
        let back = block.instructions.iter().filter_map(|one| places.get(&one.target?).copied());
        // The last jump to a block ends its loop; those before it are a `continue`.
        ends.extend(back.filter(|begin| *begin <= end).map(|begin| (begin, end)));
    }
    let around = |at: usize| ends.range(..=at).filter(move |(_, end)| **end >= at).map(|(begin, _)| *begin);
    let own = |begin: usize, end: usize| (begin..=end).filter(|at| around(*at).next_back() == Some(begin)).collect();
    ends.iter().map(|(&begin, &end)| Loop { places: own(begin, end), depth: around(begin).count() as i32 }).collect()
}

/// Counts the instructions of some blocks.
fn count<'a>(blocks: impl Iterator<Item = &'a Block>) -> Counts {
    let mut counts = Counts::default();
    let [mut products, mut sums] = [0, 0];
    for one in blocks.flat_map(|block| &block.instructions) {
        counts.instructions += 1;
        counts.multiply_adds += one.multiply_adds;
        products += one.products;
        sums += one.sums;
        if let Some(bytes) = one.load {
            counts.loads += 1;
            counts.load_bytes += bytes;
            counts.wide_loads += u32::from(bytes == 16);
        }
        counts.vector += u32::from(one.vector);
        counts.branches += u32::from(one.branch);
    }
    counts.multiply_adds += products.min(sums);
    counts
}

/// Returns the counts of a whole pipeline, and of its hottest loop without the loops within it: the one with the most
/// multiply-adds where each loop runs ten times; without any, the whole pipeline.
pub fn counts(assembly: &str) -> [Counts; 2] {
    let blocks = blocks(assembly);
    let whole = count(blocks.iter());
    let counted = loops(&blocks).into_iter().map(|one| (count(one.places.iter().map(|at| &blocks[*at])), one.depth));
    let runs = |(counts, depth): &(Counts, i32)| (f64::from(counts.multiply_adds) * 10f64.powi(*depth)) as u64;
    let hottest = counted.max_by_key(runs).map(|(counts, _)| counts).filter(|counts| counts.multiply_adds > 0);
    [whole, hottest.unwrap_or(whole)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop with two loops within it.
    const ASSEMBLY: &str = "BB0:
\ts_mov_b32 s0, s3                                            ; be800303
BB1:
\tv_add_f32_e32 v1, v2, v3                                    ; 00000000
BB2:
\tds_read_b128 v[4:7], v8 offset:16                           ; 00000000 00000000
\tv_pk_fma_f16 v1, v2, v3, v1                                 ; 00000000 00000000
\tv_dot4_i32_i8 v1, v2, v3, v1                                ; 00000000 00000000
\ts_cbranch_scc1 BB2                                          ; bf850000
BB3:
\tv_mul_f32_e32 v1, v2, v3                                    ; 00000000
\tv_mul_f32_e32 v4, v2, v3                                    ; 00000000
\tv_add_f32_e32 v1, v2, v1                                    ; 00000000
\tv_fmac_f32_e32 v1, v2, v3                                   ; 00000000
\tbuffer_load_dwordx2 v[4:5], v8, s[0:3], 0 offen             ; 00000000 00000000
\ts_cbranch_vccz BB3                                          ; bf850000
\ts_cbranch_scc0 BB1                                          ; bf850000
BB4:
\ts_endpgm                                                    ; bf810000
";

    #[test]
    fn the_hottest_loop_is_counted() {
        let [whole, hottest] = counts(ASSEMBLY);
        assert_eq!((hottest.instructions, hottest.multiply_adds, hottest.branches), (4, 6, 1));
        assert_eq!((hottest.loads, hottest.load_bytes, hottest.wide_loads, hottest.vector), (1, 16, 1, 2));
        assert_eq!(hottest.per_instruction(), 1.5);
        // Two products and two sums, a fused one, and those of the other loop.
        assert_eq!((whole.instructions, whole.multiply_adds, whole.loads, whole.load_bytes), (14, 9, 2, 24));
        assert_eq!(whole.branches, 3);
    }

    #[test]
    fn code_without_a_loop_is_counted_as_a_whole() {
        let [whole, hottest] = counts("BB0:\n\tv_fmac_f32_e32 v1, v2, v3 ; 00\n\ts_endpgm ; 00\n");
        assert_eq!((whole, whole.instructions), (hottest, 2));
    }
}
