//! The disassembly of a pipeline, and what its hottest loop does per instruction.

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

/// A block of the disassembly: its number and its instructions.
struct Block<'a> {
    number: u32,
    lines: Vec<&'a str>,
}

/// Returns the blocks of a disassembly: `BB3:` begins one, and what follows `;` is the machine code.
fn blocks(assembly: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in assembly.lines() {
        let line = line.split(" ; ").next().unwrap_or(line).trim();
        if let Some(number) = line.strip_prefix("BB").and_then(|rest| rest.strip_suffix(':')) {
            blocks.push(Block { number: number.parse().unwrap_or_default(), lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut().filter(|_| line.contains('_')) {
            block.lines.push(line);
        }
    }
    blocks
}

/// Returns the block that a branch jumps to.
fn target(line: &str) -> Option<u32> {
    let jumps = line.starts_with("s_branch") || line.starts_with("s_cbranch");
    jumps.then(|| line.rsplit("BB").next()?.trim().parse().ok()).flatten()
}

/// Returns, for each loop, the places of its blocks that belong to no loop within it.
fn loops(blocks: &[Block]) -> Vec<Vec<usize>> {
    let places: BTreeMap<u32, usize> = blocks.iter().enumerate().map(|(at, block)| (block.number, at)).collect();
    let mut ends = BTreeMap::new();
    for (end, block) in blocks.iter().enumerate() {
        let back = block.lines.iter().filter_map(|line| target(line)).filter_map(|to| places.get(&to).copied());
        // The last jump to a block ends its loop; those before it are a `continue`.
        ends.extend(back.filter(|begin| *begin <= end).map(|begin| (begin, end)));
    }
    let innermost = |at: usize| ends.range(..=at).rfind(|(_, end)| **end >= at).map(|(begin, _)| *begin);
    ends.iter().map(|(begin, end)| (*begin..=*end).filter(|at| innermost(*at) == Some(*begin)).collect()).collect()
}

/// Returns the multiply-adds of an instruction that adds.
fn multiply_adds(name: &str) -> u32 {
    let is = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
    if is(&["v_dot4"]) {
        4
    } else if is(&["v_pk_fma", "v_pk_mad", "v_pk_mul_f16", "v_dot2"]) {
        2
    } else {
        let scalar =
            ["v_fma", "v_mac", "v_mad_f", "v_mad_mix", "v_mad_legacy_f", "v_mad_i32", "v_mad_i16", "v_dual_fma"];
        u32::from(is(&scalar))
    }
}

/// Returns the products and the sums of an instruction that does only one of both.
fn product_or_sum(name: &str) -> [u32; 2] {
    let is = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
    match name {
        _ if is(&["v_mul_f", "v_mul_i32_i24", "v_dual_mul_f"]) => [1, 0],
        _ if is(&["v_add_f", "v_dual_add_f"]) => [0, 1],
        _ => [0, 0],
    }
}

/// Returns the bytes that an instruction loads.
fn load_bytes(name: &str) -> Option<u32> {
    let size = ["buffer_load_", "global_load_", "ds_read_", "ds_load_", "ds_read2", "ds_load_2addr_"];
    let rest = size.iter().find_map(|start| name.strip_prefix(start))?;
    let two = if name.contains("read2") || name.contains("2addr") { 2 } else { 1 };
    let one = match rest.trim_start_matches("st64").trim_start_matches('_') {
        r if r.contains("x4") || r.contains("128") => 16,
        r if r.contains("x3") || r.contains("96") => 12,
        r if r.contains("x2") || r.contains("64") => 8,
        r if r.contains("dword") || r.contains("32") => 4,
        r if r.contains("short") || r.contains("16") => 2,
        _ => 1,
    };
    Some(one * two)
}

/// Counts the instructions of some blocks.
fn count<'a>(blocks: impl Iterator<Item = &'a Block<'a>>) -> Counts {
    let mut counts = Counts::default();
    let [mut products, mut sums] = [0, 0];
    for line in blocks.flat_map(|block| &block.lines) {
        counts.instructions += 1;
        for half in line.split("::") {
            let name = half.split_whitespace().next().unwrap_or_default();
            counts.multiply_adds += multiply_adds(name);
            let [product, sum] = product_or_sum(name);
            products += product;
            sums += sum;
            if let Some(bytes) = load_bytes(name) {
                counts.loads += 1;
                counts.load_bytes += bytes;
                counts.wide_loads += u32::from(bytes == 16);
            }
        }
        counts.vector += u32::from(line.starts_with("v_"));
        counts.branches += u32::from(target(line).is_some());
    }
    counts.multiply_adds += products.min(sums);
    counts
}

/// Returns the counts of a whole pipeline, and of its hottest loop without the loops within it: the one with the most
/// multiply-adds; without any, the whole pipeline.
pub fn counts(assembly: &str) -> [Counts; 2] {
    let blocks = blocks(assembly);
    let whole = count(blocks.iter());
    let loops = loops(&blocks).into_iter().map(|places| count(places.into_iter().map(|at| &blocks[at])));
    let hottest = loops.max_by_key(|counts| counts.multiply_adds).filter(|counts| counts.multiply_adds > 0);
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
    fn loads_have_their_size() {
        for (name, bytes) in [
            ("buffer_load_dwordx4", 16),
            ("buffer_load_b128", 16),
            ("global_load_dword", 4),
            ("ds_read2_b32", 8),
            ("ds_load_2addr_b64", 16),
            ("ds_read2st64_b32", 8),
            ("ds_read_u16", 2),
            ("buffer_load_ushort", 2),
        ] {
            assert_eq!(load_bytes(name), Some(bytes), "{name}");
        }
        assert_eq!(load_bytes("s_buffer_load_dword"), None);
        assert_eq!(load_bytes("ds_write_b128"), None);
    }

    #[test]
    fn code_without_a_loop_is_counted_as_a_whole() {
        let [whole, hottest] = counts("BB0:\n\tv_fmac_f32_e32 v1, v2, v3 ; 00\n\ts_endpgm ; 00\n");
        assert_eq!((whole, whole.instructions), (hottest, 2));
    }
}
