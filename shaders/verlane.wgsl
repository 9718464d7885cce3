// The entry point around `test_header(header, first, end)`, which a variant supplies together with
// WORKGROUP and NONCES: a thread has one header and NONCES rows of the table, one row per nonce.

@group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn scan(@builtin(workgroup_id) position: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let header = position.x * WORKGROUP + lane;
    let first = position.y * NONCES;
    if header < params.headers {
        test_header(header, first, min(first + NONCES, params.count));
    }
    finish_workgroup(lane);
}
