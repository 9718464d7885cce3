// The entry point where a thread has NONCES nonces.
@compute @workgroup_size(WORKGROUP)
fn scan(@builtin(workgroup_id) position: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (position.y * params.groups_per_row + position.x) * NONCES;
    for (var group = first; group < first + NONCES; group++) {
        test_lane(group, lane);
    }
    finish_workgroup(lane);
}
