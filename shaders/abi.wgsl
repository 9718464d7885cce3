// What host and kernel share. The one place where these layouts are written down: a test compares every
// offset with `src/kernel/abi.rs`.

// Hits that one report holds; more are counted, not kept.
const MAX_HITS: u32 = 252u;

// One dispatch.
struct Params {
    // The job's words, in the order of the variant's plan.
    job: array<vec4<u32>, 8>,
    // 2 13 22 6 | 11 25 7 18 | 17 19 0 0: the rotation amounts of SHA-256 as values that no compiler
    // can see, for the variants that want them so.
    rotations: array<vec4<u32>, 3>,
    // Nonce of the first thread of the first workgroup: `start` rounded down to whole workgroups.
    base: u32,
    // First nonce to test.
    start: u32,
    // Nonces to test, from `start` on. Threads outside do nothing.
    count: u32,
    // Workgroups in a row of the dispatch's grid.
    groups_per_row: u32,
    // Number of the dispatch, echoed in the report.
    sequence: u32,
    // Bits of digest word 7 that must be zero, for the variants that test a mask.
    filter_mask: u32,
    // 1, as a value that no compiler can see, for the variants that add by multiply-add.
    one: u32,
    unused: u32,
}

// What a dispatch answers. The host clears it before and believes it only if `sequence` is the
// dispatch's and every workgroup is counted: a lost dispatch looks like one without hits.
struct Report {
    sequence: atomic<u32>,
    // Workgroups of which every thread came to its end.
    groups_done: atomic<u32>,
    // Nonces that passed, kept or not.
    hits_found: atomic<u32>,
    unused: u32,
    // The first nonces that passed, in no order.
    hits: array<u32, MAX_HITS>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> report: Report;
