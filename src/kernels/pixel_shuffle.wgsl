// out[i n + j, (a s + b) C + c] = x[(i s + a) side + j s + b, c],  n = side / s
// Shapes: x [side², C]; out [n², s² C].   Grid: (s² C / 64, n²).   Bytes moved: out twice.
// Twin: pixel_shuffle::PIXEL_SHUFFLE.   Joined with: call.   Source: Idefics3Connector.pixel_shuffle of transformers
struct Params { side: u32, factor: u32, cols: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let width = params.factor * params.factor * params.cols;
    if (id.x >= width) { return; }
    let squares = params.side / params.factor;
    let within = id.x / params.cols;
    let row = id.y / squares * params.factor + within / params.factor;
    let column = id.y % squares * params.factor + within % params.factor;
    out[id.y * width + id.x] = x[(row * params.side + column) * params.cols + id.x % params.cols];
}
