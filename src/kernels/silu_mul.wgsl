// gate = gate · sigmoid(gate) · up
// Shapes: gate, up [T, cols].   Grid: (cols / 64, T).   Bytes moved: gate twice, up once.
// Twin: activation::SILU_MUL.   Joined with: call.
struct Params { cols: u32, rows: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> gate: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.cols) { return; }
    let at = id.y * params.cols + id.x;
    let x = gate[at];
    gate[at] = x / (1.0 + exp(-x)) * up[at];
}
