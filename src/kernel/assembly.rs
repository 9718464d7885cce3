//! What the loops of a compiled kernel cost, read from AMD assembly as Mesa prints it: a label such as
//! `BB12:` heads each block, a branch names one as its last operand.
//!
//! Mesa leaves the assembly to LLVM. For a chip that is newer than its LLVM it prints its own notes instead,
//! an instruction a line as well: `v1: %6:v[0] = v_add_u32 …`, labels without a colon, branches to `block:BB12`.

use serde::Serialize;

/// One pass through the body of a loop, each instruction in it counted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoopCost {
    /// The label of its first block.
    pub label: String,
    /// How many loops it lies in; 0 is outermost.
    pub depth: usize,
    /// Instructions of all kinds.
    pub instructions: usize,
    /// Vector instructions. One that does two operations, `v_dual_…`, is one, as in RADV's own count.
    pub valu: usize,
    /// Operations of the vector instructions.
    pub valu_operations: usize,
    /// Scalar instructions that compute.
    pub salu: usize,
    /// Loads, stores and atomics, vector and scalar.
    pub memory: usize,
}

/// The loops of a program in the order of their labels; none for a text that is not AMD assembly.
///
/// A loop is what lies between a block and the last branch back to it. Blocks are laid out in program
/// order, so that is its body, with every path that it can take.
#[must_use]
pub fn loops(assembly: &str) -> Vec<LoopCost> {
    let mut labels: Vec<(&str, usize)> = Vec::new();
    let mut instructions: Vec<&str> = Vec::new();
    // Block and first and last instruction.
    let mut found: Vec<(&str, usize, usize)> = Vec::new();
    for line in assembly.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        let line = line.split_once(" = ").map_or(line, |(_results, instruction)| instruction);
        if let Some(label) = label(line) {
            labels.push((label, instructions.len()));
        } else if !line.is_empty() && !line.starts_with("/*") {
            if let Some((label, first)) = branches_back(line, &labels) {
                let last = instructions.len();
                match found.iter_mut().find(|(_, start, _)| *start == first) {
                    Some((_, _, end)) => *end = last,
                    None => found.push((label, first, last)),
                }
            }
            instructions.push(line);
        }
    }
    found.sort_by_key(|(_, first, _)| *first);
    let depth = |first: usize, last: usize| {
        let around = found.iter().filter(|(_, start, end)| *start <= first && last <= *end);
        around.count() - 1
    };
    found
        .iter()
        .map(|(label, first, last)| {
            count(label, depth(*first, *last), &instructions[*first..=*last])
        })
        .collect()
}

/// The label that a line is, if it is one.
fn label(line: &str) -> Option<&str> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let bare = || line.strip_prefix("BB").is_some_and(is_number).then_some(line);
    line.strip_suffix(':').or_else(bare)
}

/// The block at or before this instruction to which it branches.
fn branches_back<'a>(instruction: &str, labels: &[(&'a str, usize)]) -> Option<(&'a str, usize)> {
    if !instruction.starts_with("s_branch") && !instruction.starts_with("s_cbranch") {
        return None;
    }
    let target = instruction.split_whitespace().last()?;
    let target = target.strip_prefix("block:").unwrap_or(target);
    labels.iter().copied().find(|(label, _)| *label == target)
}

fn count(label: &str, depth: usize, body: &[&str]) -> LoopCost {
    let of = |class| body.iter().filter(|instruction| Class::of(instruction) == class).count();
    let valu = of(Class::Vector);
    LoopCost {
        label: label.to_owned(),
        depth,
        instructions: body.len(),
        valu,
        valu_operations: valu + body.iter().filter(|line| line.contains(" :: ")).count(),
        salu: of(Class::Scalar),
        memory: of(Class::Memory),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Vector,
    Scalar,
    Memory,
    /// Branches, waits and hints.
    Control,
}

impl Class {
    fn of(instruction: &str) -> Self {
        const MEMORY: [&str; 9] = [
            "buffer_",
            "global_",
            "flat_",
            "scratch_",
            "ds_",
            "image_",
            "s_load_",
            "s_buffer_",
            "s_store_",
        ];
        // The format of instructions without operands that compute, which AMD calls SOPP.
        const CONTROL: [&str; 15] = [
            "s_branch",
            "s_cbranch",
            "s_wait",
            "s_delay_alu",
            "s_nop",
            "s_clause",
            "s_barrier",
            "s_sendmsg",
            "s_endpgm",
            "s_code_end",
            "s_sleep",
            "s_setprio",
            "s_inst_prefetch",
            "s_set_inst_prefetch",
            "s_icache",
        ];
        let starts =
            |prefixes: &[&str]| prefixes.iter().any(|prefix| instruction.starts_with(prefix));
        match instruction {
            _ if starts(&MEMORY) => Self::Memory,
            _ if instruction.starts_with("v_") => Self::Vector,
            _ if instruction.starts_with("s_") && !starts(&CONTROL) => Self::Scalar,
            _ => Self::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the words of RADV for navi21: a prelude, a loop with one inside and two ways back, an end.
    const NESTED: &str = "\
BB0:
	s_load_dwordx4 s[8:11], s[2:3], null                        ; f4080201 fa000000
	s_waitcnt lgkmcnt(0)                                        ; bf8cc07f
	v_mov_b32_e32 v1, 0                                         ; 7e020280
BB1:
	s_buffer_load_dwordx4 s[4:7], s[8:11], 0x20                 ; f4280104 fa000020
	v_add_nc_u32_e32 v1, s12, v0                                ; 4a02000c
	s_cbranch_scc1 BB9                                          ; bf850009
BB2:
	v_alignbit_b32 v5, v2, v2, s36                              ; d5160005 00920502
	v_xor3_b32 v6, v6, v4, v5                                   ; d5780006 04160906
	s_add_u32 s0, s0, 1                                         ; 80008100
	s_cbranch_scc0 BB2                                          ; bf84fbe3
BB4:
	buffer_store_dword v1, v0, s[4:7], 0 offen offset:16        ; e0701010 80010100
	s_cbranch_scc0 BB1                                          ; bf84ff09
BB5:
	v_mov_b32_e32 v2, 1                                         ; 7e040281
	s_branch BB1                                                ; bf82ff09
BB9:
	v_mov_b32_e32 v0, 1                                         ; 7e000281
	s_endpgm                                                    ; bf810000
";

    #[test]
    fn a_loop_ends_with_the_last_way_back_and_holds_the_inner_one() {
        let outer = LoopCost {
            label: "BB1".to_owned(),
            depth: 0,
            instructions: 11,
            valu: 4,
            valu_operations: 4,
            salu: 1,
            memory: 2,
        };
        let inner = LoopCost {
            label: "BB2".to_owned(),
            depth: 1,
            instructions: 4,
            valu: 2,
            valu_operations: 2,
            salu: 1,
            memory: 0,
        };
        assert_eq!(loops(NESTED), [outer, inner]);
    }

    #[test]
    fn loops_one_after_the_other_lie_in_none() {
        let text = "BB1:\n\ts_cbranch_scc0 BB1\nBB2:\n\tv_mov_b32 v0, 1\n\ts_branch BB2\n";
        let found: Vec<(String, usize, usize)> = loops(text)
            .into_iter()
            .map(|body| (body.label, body.depth, body.instructions))
            .collect();
        assert_eq!(found, [("BB1".to_owned(), 0, 1), ("BB2".to_owned(), 0, 2)]);
    }

    #[test]
    fn a_dual_instruction_is_one_of_two_operations() {
        // navi31 in wave32.
        let text = "BB3:\n\
            \tv_dual_mov_b32 v1, 1 :: v_dual_mov_b32 v0, s4               ; ca100081 01000004\n\
            \ts_delay_alu instid0(VALU_DEP_1) | instskip(NEXT) | instid1(VALU_DEP_1) ; bf870091\n\
            \tglobal_load_b32 v2, v0, s[0:1]                              ; dc520000 02000000\n\
            \ts_cbranch_vccnz BB3                                         ; bfa4fffa\n";
        let [body] = loops(text).try_into().unwrap();
        assert_eq!((body.valu, body.valu_operations), (1, 2));
        assert_eq!((body.salu, body.memory, body.instructions), (0, 1, 4));
    }

    #[test]
    fn the_notes_of_mesa_itself_are_read_too() {
        // gfx1201 with an LLVM that does not know it, cut short.
        let text = "Shader disassembly is not supported in the current configuration, falling back to print_program.\n\
            BB0\n\
            /* logical preds: / linear preds: / kind: top-level, branch, */\n\
            \x20    s1: %0:s[3] = s_movk_i32 imm:-32768\n\
            BB2\n\
            /* logical preds: BB0, BB2, / linear preds: BB0, BB2, / kind: uniform, loop-header, */\n\
            \x20    s8: %5:s[8-15] = s_buffer_load_dwordx8 %10:s[4-7], %2:s[0]\n\
            \x20   s_wait_kmcnt imm:0\n\
            \x20    v1: %7:v[1],  s1: %8:vcc_lo = v_add_co_u32 %5:s[8], %6:v[0]\n\
            \x20    v1: %9:v[2] = v_xor3_b32 %7:v[1], %6:v[0], %6:v[0]\n\
            \x20    s1: %2:s[0],  s1: %3:scc = s_add_u32 %2:s[0], 1\n\
            \x20   s_cbranch_scc1 block:BB2\n\
            BB3\n\
            \x20   s_endpgm\n";
        let [body] = loops(text).try_into().unwrap();
        assert_eq!((body.label.as_str(), body.depth, body.instructions), ("BB2", 0, 6));
        assert_eq!((body.valu, body.valu_operations, body.salu, body.memory), (2, 2, 1, 1));
    }

    #[test]
    fn a_straight_line_and_foreign_text_have_no_loop() {
        let straight = "BB0:\n\ts_cbranch_execz BB2\nBB1:\n\tv_mov_b32 v0, 1\nBB2:\n\ts_endpgm\n";
        for text in ["", straight, "label0:\n\tbra label0\n", "s_branch BB0"] {
            assert_eq!(loops(text), [], "{text}");
        }
    }
}
