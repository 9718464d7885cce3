// The table of rows in storage memory.
@group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;

fn rows_here() -> u32 {
    return params.count;
}
