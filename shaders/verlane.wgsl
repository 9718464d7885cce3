// The entry point around `test_header(header, first, end)`, which a variant supplies together with
// WORKGROUP, NONCES and ROW_VECTORS: a thread has one header and NONCES rows of the table, one row per
// nonce.

@compute @workgroup_size(WORKGROUP)
fn scan(@builtin(workgroup_id) position: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let header = position.x * WORKGROUP + lane;
    let first = position.y * NONCES;
    if header < params.headers {
        test_header(header, first, min(first + NONCES, rows_here()));
    }
    finish_workgroup(lane);
}
