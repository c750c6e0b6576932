// What a dispatch does of an op that was cut into parts, by the flags of src/plan/op.rs.

const FIRST_PART: u32 = 1u;
const LAST_PART: u32 = 2u;
const OUTPUT_CUT: u32 = 4u;
const OPERAND_CUT: u32 = 8u;

fn has(flag: u32) -> bool {
    return (params.flags & flag) != 0u;
}
