//! The disassembly that ANV gives for Intel's graphics cards.
//!
//! An instruction works on as many invocations as the number in brackets says: `mad(8)` multiplies and adds for eight.
//! What a `send` asks for stands on the line below it.

use super::{Block, Instruction};

/// Bytes of a register.
const REGISTER: u32 = 32;

/// Returns the blocks: `LABEL3:` begins one. The first has no label.
pub(super) fn blocks(assembly: &str) -> Vec<Block> {
    let mut blocks = vec![Block { number: u32::MAX, ..Block::default() }];
    let mut width = 1;
    for line in assembly.lines() {
        let Some(block) = blocks.last_mut() else { break };
        if let Some(number) = line.strip_prefix("LABEL").and_then(|rest| rest.strip_suffix(':')) {
            blocks.push(Block { number: number.parse().unwrap_or_default(), instructions: Vec::new() });
        } else if line.contains("MsgDesc") {
            if let Some(send) = block.instructions.last_mut() {
                send.load = load_bytes(line, width);
            }
        } else if let Some((name, lanes, rest)) = parts(line) {
            width = lanes;
            block.instructions.push(instruction(name, rest));
        }
    }
    blocks
}

/// Splits `(+f0.0) sel(8) g1<1>F …` into name, invocations and the rest.
fn parts(line: &str) -> Option<(&str, u32, &str)> {
    let line = if line.starts_with('(') { line.split_once(')')?.1.trim_start() } else { line };
    let (name, rest) = line.split_once('(')?;
    let (lanes, rest) = rest.split_once(')')?;
    let known = name.starts_with(|c: char| c.is_ascii_lowercase());
    known.then(|| Some((name, lanes.parse().ok()?, rest))).flatten()
}

fn instruction(name: &str, rest: &str) -> Instruction {
    let name = name.split('.').next().unwrap_or(name);
    // The type stands behind the operand that is written: `g3<1>F`, `g3<1>HF`.
    let written = rest.split_whitespace().next().unwrap_or_default();
    let float = written.ends_with(">F") || written.ends_with(">HF");
    let branch = ["if", "else", "break", "continue", "while"].contains(&name);
    let label =
        rest.split("LABEL").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    Instruction {
        multiply_adds: match name {
            "mad" | "mac" if float => 1,
            "dp4a" => 4,
            _ => 0,
        },
        products: u32::from(name == "mul" && float),
        sums: u32::from(name == "add" && float),
        vector: !branch && name != "send" && !name.starts_with("sync"),
        branch,
        // The others jump forward.
        target: label.filter(|_| name == "while").and_then(|label| label.parse().ok()),
        ..Instruction::default()
    }
}

/// Returns the bytes that a message loads for each of `lanes` invocations. Constants are loaded once for all, and
/// registers that come back from memory (surface 253) are no loads of the shader's.
fn load_bytes(message: &str, lanes: u32) -> Option<u32> {
    let reads = message.contains("surface read") || message.contains("load_cmask");
    let behind = |name: &str| message.split(name).nth(1).map(|rest| rest.trim_start_matches([' ', '=']));
    let registers = behind("rlen").or(behind("dst_len"))?;
    let registers: u32 = registers.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
    (reads && registers > 0).then(|| registers * REGISTER / lanes.max(1))
}

/// Returns the number of registers that a pipeline uses: the highest one's number and one.
pub fn registers(assembly: &str) -> u64 {
    let number =
        |word: &str| word.trim_start_matches(['-', '(']).strip_prefix('g')?.split(['<', '.', 'U']).next()?.parse().ok();
    assembly.split_whitespace().filter_map(number).max().map_or(0, |highest: u64| highest + 1)
}

#[cfg(test)]
mod tests {
    use super::super::counts;
    use super::*;

    const ASSEMBLY: &str = "\
mov(8)          g19<1>UD        g0<8,8,1>UD                     { align1 WE_all 1Q };

LABEL1:
cmp.ge.f0.0(8)  null<1>UD       g19<8,8,1>UD    g38<8,8,1>UD    { align1 1Q @2 };
(+f0.0) break(8) JIP:  LABEL0         UIP:  LABEL0              { align1 1Q };
sync nop(1)                     null<0,1,0>UB                   { align1 WE_all 1N $3.src };
send(8)         g60UD           g4UD            nullUD          0x04805004                0x00000000
                            dp data 1 MsgDesc: (untyped surface read, Surface = 254, SIMD8, Mask = 0x0) mlen 1 rlen 4
send(8)         g61UD           g5UD            nullUD          0x04805004                0x00000000
                            data MsgDesc: (DC OWORD block read, bti 253, owords = 2, aligned = 0) mlen 1 rlen 1
mad(8)          g17<1>F         g17<8,8,1>F     g60<8,8,1>F     g60<1,1,1>F { align1 1Q $3.dst };
mul(8)          g18<1>F         g17<8,8,1>F     g60<8,8,1>F     { align1 1Q };
mul(8)          g20<1>D         g42<8,8,1>D     g38<16,8,2>UW   { align1 1Q @1 };
add(8)          g18<1>F         g18<8,8,1>F     g61<8,8,1>F     { align1 1Q @1 };
dp4a(8)         g22<1>D         g22<8,8,1>D     g60<8,8,1>D     g61<1,1,1>D { align1 1Q @1 };

LABEL0:
while(8)        JIP:  LABEL1                                    { align1 1Q };
";

    #[test]
    fn a_loop_is_counted() {
        let [whole, hottest] = counts(ASSEMBLY);
        assert_eq!((hottest.instructions, hottest.multiply_adds, hottest.branches), (11, 6, 2));
        assert_eq!((hottest.loads, hottest.load_bytes, hottest.wide_loads, hottest.vector), (1, 16, 1, 6));
        assert_eq!((whole.instructions, registers(ASSEMBLY)), (12, 62));
    }

    #[test]
    fn messages_have_their_size() {
        let arc = "ugm MsgDesc: ( load_cmask, a32, d32, xyzw, L1STATE_L3MOCS dst_len = 4, src0_len = 1";
        assert_eq!(load_bytes(arc, 8), Some(16));
        let two = "dp data 1 MsgDesc: (untyped surface read, Surface = 4, SIMD16, Mask = 0xe) mlen 2 rlen 2";
        assert_eq!(load_bytes(two, 16), Some(4));
        let constants = "const MsgDesc: (bti 3, msg_ctrl 3, msg_type 0, write_commit 0) mlen 1 ex_mlen 0 rlen 2";
        assert_eq!(load_bytes(constants, 16), None);
    }
}
