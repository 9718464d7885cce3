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
    // Nonce of the first thread of the first workgroup: `start` rounded down to whole workgroups. Verlane
    // kernels have no use for it.
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
    // Headers to test, which differ in their version only.
    headers: u32,
}

// What a dispatch answers. The host clears it before and believes it only if `sequence` is the
// dispatch's and every workgroup is counted: a lost dispatch looks like one without hits.
struct Report {
    sequence: atomic<u32>,
    // Workgroups of which every thread came to its end.
    groups_done: atomic<u32>,
    // Hashes that passed, kept or not.
    hits_found: atomic<u32>,
    unused: u32,
    // The first that passed, in no order: number of the header, nonce.
    hits: array<vec2<u32>, MAX_HITS>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> report: Report;

// Notes a hash that passed.
fn report_hit(header: u32, nonce: u32) {
    let hit = atomicAdd(&report.hits_found, 1u);
    if hit < MAX_HITS {
        report.hits[hit] = vec2<u32>(header, nonce);
    }
}

// Ends a workgroup, in uniform control flow: every thread is through before it counts as done.
fn finish_workgroup(lane: u32) {
    workgroupBarrier();
    if lane == 0u {
        atomicStore(&report.sequence, params.sequence);
        atomicAdd(&report.groups_done, 1u);
    }
}
