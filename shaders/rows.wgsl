// Makes the table of the verlane layouts before the scan: `fill_row(row, w3)`, which a variant supplies,
// writes what the hashes of one nonce share.

@group(0) @binding(3) var<storage, read_write> rows: array<vec4<u32>>;

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) position: vec3<u32>) {
    if position.x < params.count {
        fill_row(position.x, swap_bytes(params.start + position.x));
    }
}
