//! The disassembly that RADV gives for AMD's graphics cards.

use super::{Block, Instruction};

/// Returns the blocks: `BB3:` begins one, and what follows `;` is the machine code.
pub(super) fn blocks(assembly: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in assembly.lines() {
        let line = line.split(" ; ").next().unwrap_or(line).trim();
        if let Some(number) = line.strip_prefix("BB").and_then(|rest| rest.strip_suffix(':')) {
            blocks.push(Block { number: number.parse().unwrap_or_default(), instructions: Vec::new() });
        } else if let Some(block) = blocks.last_mut().filter(|_| line.contains('_')) {
            block.instructions.push(instruction(line));
        }
    }
    blocks
}

/// Reads an instruction, or two that are issued as one (`::`).
fn instruction(line: &str) -> Instruction {
    let target = target(line);
    let mut read =
        Instruction { vector: line.starts_with("v_"), branch: target.is_some(), target, ..Instruction::default() };
    for half in line.split("::") {
        let name = half.split_whitespace().next().unwrap_or_default();
        read.multiply_adds += multiply_adds(name);
        let [product, sum] = product_or_sum(name);
        read.products += product;
        read.sums += sum;
        read.load = read.load.or(load_bytes(name));
    }
    read
}

/// Returns the block that a branch jumps to.
fn target(line: &str) -> Option<u32> {
    let jumps = line.starts_with("s_branch") || line.starts_with("s_cbranch");
    jumps.then(|| line.rsplit("BB").next()?.trim().parse().ok()).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
