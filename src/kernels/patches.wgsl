// out[p, (c, y, x)] = pixels[c, p_y · size + y, p_x · size + x], zero beyond 3 · size²
// Shapes: pixels [3, side, side]; out [P, cols].   Grid: (cols / 64, P).   Bytes moved: out twice.
// Twin: patches::PATCHES.   Joined with: call.
struct Params { side: u32, size: u32, cols: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> pixels: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.cols) { return; }
    let per_side = params.side / params.size;
    let area = params.size * params.size;
    let c = id.x / area;
    let y = id.y / per_side * params.size + id.x / params.size % params.size;
    let x = id.y % per_side * params.size + id.x % params.size;
    var value = 0.0;
    if (c < 3u) { value = pixels[(c * params.side + y) * params.side + x]; }
    out[id.y * params.cols + id.x] = value;
}
