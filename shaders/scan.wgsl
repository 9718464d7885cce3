// The entry point around `test_nonce(nonce, w3)`, which a variant supplies together with WORKGROUP and
// NONCES: a thread has NONCES nonces.

@compute @workgroup_size(WORKGROUP)
fn scan(@builtin(workgroup_id) position: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = position.y * params.groups_per_row + position.x;
    for (var i = 0u; i < NONCES; i++) {
        let first = params.base + (group * NONCES + i) * WORKGROUP;
        let nonce = first + lane;
        // Wraps below `start`, so one comparison serves both ends.
        if nonce - params.start < params.count {
            // The header holds the nonce in little-endian order, SHA-256 reads big-endian words. `first`
            // is a multiple of WORKGROUP <= 256, so the swap is the same for the whole workgroup (scalar
            // units do it) but for the byte of the lane.
            test_nonce(nonce, swap_bytes(first) + (lane << 24u));
        }
    }
    finish_workgroup(lane);
}
