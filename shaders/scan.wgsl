// Around `test_nonce(nonce, w3)`, which a variant supplies together with WORKGROUP.

// Tests the nonce of a thread in a group of WORKGROUP nonces.
fn test_lane(group: u32, lane: u32) {
    let first = params.base + group * WORKGROUP;
    let nonce = first + lane;
    // Wraps below `start`, so one comparison serves both ends.
    if nonce - params.start < params.count {
        // The header holds the nonce in little-endian order, SHA-256 reads big-endian words. `first` is
        // a multiple of WORKGROUP <= 256, so the swap is the same for the whole workgroup (scalar units
        // do it) but for the byte of the lane.
        test_nonce(nonce, swap_bytes(first) + (lane << 24u));
    }
}
