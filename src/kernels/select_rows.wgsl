// out[r] = x[first + r], first = call.head_row when params.first is all ones
// Shapes: x [T, cols]; out [count, cols].   Grid: (cols / 64, count).   Bytes moved: out twice.
// Twin: select_rows::SELECT_ROWS.   Joined with: call.
struct Params { cols: u32, count: u32, first: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.cols) { return; }
    let first = select(params.first, call.head_row, params.first == 0xffffffffu);
    out[id.y * params.cols + id.x] = x[(first + id.y) * params.cols + id.x];
}
