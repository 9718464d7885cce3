// The table of rows in uniform memory: a window of it, which each dispatch has in another place.
const WINDOW: u32 = 64u;

@group(0) @binding(3) var<uniform> rows: array<vec4<u32>, WINDOW * ROW_VECTORS>;

fn rows_here() -> u32 {
    // Without any row the table is that of an earlier batch.
    return min(min(WINDOW, params.count), rows_left(0u));
}
