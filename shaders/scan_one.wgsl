// The entry point where a thread has one nonce. (Drivers do not unroll a loop of one pass around so much.)
@compute @workgroup_size(WORKGROUP)
fn scan(@builtin(workgroup_id) position: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    test_lane(position.y * params.groups_per_row + position.x, lane);
    finish_workgroup(lane);
}
