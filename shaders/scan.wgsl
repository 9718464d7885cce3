// The entry point around `is_candidate(w3)`, which a variant supplies together with WORKGROUP.

@compute @workgroup_size(WORKGROUP)
fn scan(@builtin(workgroup_id) position: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = position.y * params.groups_per_row + position.x;
    let first = params.base + group * WORKGROUP;
    let nonce = first + lane;
    // Wraps below `start`, so one comparison serves both ends.
    if nonce - params.start < params.count {
        // The header holds the nonce in little-endian order, SHA-256 reads big-endian words. `first` is
        // a multiple of WORKGROUP <= 256, so the swap is the same for the whole workgroup (scalar units
        // do it) but for the byte of the lane.
        let w3 = swap_bytes(first) + (lane << 24u);
        if is_candidate(w3) {
            let hit = atomicAdd(&report.hits_found, 1u);
            if hit < MAX_HITS {
                report.hits[hit] = nonce;
            }
        }
    }
    // Every thread of the workgroup is through before it counts as done.
    workgroupBarrier();
    if lane == 0u {
        atomicStore(&report.sequence, params.sequence);
        atomicAdd(&report.groups_done, 1u);
    }
}

fn swap_bytes(word: u32) -> u32 {
    return (word << 24u) | ((word & 0xff00u) << 8u) | ((word >> 8u) & 0xff00u) | (word >> 24u);
}
